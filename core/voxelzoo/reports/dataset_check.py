"""``zoo data check``: a dataset by itself, and whether its clock is right."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from voxelzoo.api import DataError, Dataset, ZooError
from voxelzoo.data.check import check_dataset
from voxelzoo.data.check.findings import CheckReport, Severity
from voxelzoo.data.opening import choose_subjects, open_dataset
from voxelzoo.host.zoo import Zoo
from voxelzoo.progress import Progress
from voxelzoo.runs.alignment_check import AlignmentCurve, alignment_curve


@dataclass(frozen=True)
class DatasetCheck:
    """Everything that was read of a dataset, and everything that is wrong with it."""

    report: CheckReport
    alignment: AlignmentCurve | None = None
    """How well word rate predicts responses at each shift, if that was asked for."""

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        alignment = None if self.alignment is None else self.alignment.record()
        return {**self.report.record(), "alignment": alignment}


def check_named_dataset(
    zoo: Zoo,
    dataset: str,
    options: Mapping[str, str] | None = None,
    *,
    allow_pickle: bool = False,
    alignment: bool = False,
    subjects: Sequence[str] = (),
    progress: Progress,
) -> DatasetCheck:
    """Open a dataset and check it. One that cannot be opened has that as its only finding.

    Parameters
    ----------
    zoo : Zoo
        Plugins and catalogue.
    dataset : str
        A name, ``NAME:PATH``, or the path of a folder.
    options : mapping of str to str, optional
        Settings of the dataset.
    allow_pickle : bool, default False
        Read data that exist only as pickles. Unpickling can run any code.
    alignment : bool, default False
        Also measure how well word rate predicts responses when the stimulus is shifted.
    subjects : sequence of str
        Subjects of the alignment curve; all by default.
    progress : Progress
        Told what has been read.

    Raises
    ------
    NotFoundError
        If there is no such dataset or subject.
    UsageError
        If the dataset has no such setting.
    """
    with _without_numpy_warnings():
        try:
            opened = open_dataset(zoo.host, dataset, options, allow_pickle)
        except DataError as error:
            report = CheckReport(dataset)
            report.add("error", "dataset", dataset, str(error))
            return DatasetCheck(report)
        chosen = choose_subjects(opened, subjects) if subjects else ()
        report = check_dataset(opened, progress)
        if not alignment:
            return DatasetCheck(report)
        return DatasetCheck(report, _alignment(opened, report, chosen, progress))


def _alignment(
    dataset: Dataset, report: CheckReport, subjects: Sequence[str], progress: Progress
) -> AlignmentCurve | None:
    """The curve; a finding if it shows a fault, or if there is none."""
    try:
        curve = alignment_curve(dataset, subjects=subjects, progress=progress)
    except ZooError as error:
        report.add("warning", "alignment", report.name, f"no alignment curve: {error}")
        return None
    if curve.verdict != "aligned":
        severity: Severity = "error" if curve.is_wrong else "warning"
        report.add(severity, "alignment", report.name, curve.say())
    return curve


def _without_numpy_warnings() -> AbstractContextManager[Any]:
    """The report names damaged numbers; numpy need not warn of them."""
    return warnings.catch_warnings(action="ignore") if not sys.warnoptions else nullcontext()
