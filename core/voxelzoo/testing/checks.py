"""Every check of a plugin: its light half first, then extractors, aligners, regressors, datasets.

A check passes, fails with the reason, or is skipped with the reason. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence

from voxelzoo.host.host import Host
from voxelzoo.testing.aligner_checks import aligner_checks
from voxelzoo.testing.dataset_checks import dataset_checks
from voxelzoo.testing.extractor_checks import extractor_checks
from voxelzoo.testing.regressor_checks import regressor_checks
from voxelzoo.testing.report import Check, Report, run_checks
from voxelzoo.testing.spec_checks import plugin_checks, row_checks, spec_checks


def check_plugin(host: Host, name: str, datasets: Sequence[str] = ()) -> list[Report]:
    """Every check of one plugin.

    Parameters
    ----------
    host
        The plugins.
    name
        The plugin's entry-point name.
    datasets
        Folders of the plugin's datasets, each ``NAME:PATH``. A dataset that needs a folder is only
        opened if it is here.

    Raises
    ------
    voxelzoo.api.NotFoundError
        No plugin, or no dataset of it, has this name.
    """
    record = host.record(name)
    if record is None:
        record = host.require_plugin(name)
    if record.status != "loaded":
        failed = Check("loads", "failed", f"{record.status}: {record.error}")
        return [Report(name, (failed,))]
    folders = {host.dataset(each.partition(":")[0]).id: each for each in datasets}
    reports = [run_checks(name, [*plugin_checks(record), *row_checks(host, name)])]
    for extractor in (each for each in host.extractors if each.plugin == name):
        checks = [*spec_checks(extractor), *extractor_checks(extractor)]
        reports.append(run_checks(extractor.id, checks))
    for aligner in (each for each in host.aligners if each.plugin == name):
        reports.append(run_checks(aligner.id, [*spec_checks(aligner), *aligner_checks(aligner)]))
    for regressor in (each for each in host.regressors if each.plugin == name):
        checks = [*spec_checks(regressor), *regressor_checks(regressor)]
        reports.append(run_checks(regressor.id, checks))
    for dataset in (each for each in host.datasets if each.plugin == name):
        checks = dataset_checks(host, dataset, folders.get(dataset.id))
        reports.append(run_checks(dataset.id, [*spec_checks(dataset), *checks]))
    return reports
