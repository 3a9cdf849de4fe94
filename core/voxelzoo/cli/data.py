"""``zoo data``: list, describe, check, import and download datasets."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from voxelzoo.api import MissingError, UsageError
from voxelzoo.cli.options import AllowPickleOption, DatasetOptionOption, QuietOption, read_pairs
from voxelzoo.cli.output import TerminalProgress, print_json, print_line, print_table
from voxelzoo.cli.session import DisableOption, JsonOption, NoPluginsOption
from voxelzoo.contract.specs import DatasetSpec
from voxelzoo.host.host import Host
from voxelzoo.host.loading import load_host
from voxelzoo.host.records import Registered
from voxelzoo.host.zoo import open_zoo
from voxelzoo.text import counted

app = typer.Typer(help="List, describe, check, import and download datasets.", no_args_is_help=True)
app.callback()(lambda: None)

DatasetArgument = Annotated[
    str,
    typer.Argument(metavar="DATASET", help="NAME, NAME:PATH, or the path of a folder."),
]


@app.command("list")
def list_datasets(
    as_json: JsonOption = False,
    disable_plugin: DisableOption = None,
    no_plugins: NoPluginsOption = False,
) -> None:
    """List the datasets that plugins read: licence, and whether a folder is needed.

    Example:  zoo data list --json
    """
    host = load_host(disabled=disable_plugin or (), first_party_only=no_plugins)
    rows = [
        {
            "name": registered.spec.name,
            "licence": registered.spec.licence,
            "needs_path": registered.spec.needs_path,
            "summary": registered.spec.summary,
            "distribution": registered.distribution,
        }
        for registered in sorted(host.datasets, key=lambda registered: registered.spec.name)
    ]
    if as_json:
        print_json(datasets=rows)
    else:
        print_table(rows, ("name", "licence", "needs_path", "summary", "distribution"))


@app.command()
def describe(
    dataset: DatasetArgument,
    dataset_option: DatasetOptionOption = None,
    allow_pickle: AllowPickleOption = False,
    as_json: JsonOption = False,
    disable_plugin: DisableOption = None,
    no_plugins: NoPluginsOption = False,
) -> None:
    """Print a dataset's licence, citation, stories and subjects.

    For the name of a dataset that is not on this machine, print how to get it.

    Example:  zoo data describe ./my-study
    """
    host = load_host(disabled=disable_plugin or (), first_party_only=no_plugins)
    if registered := _without_data(host, dataset):
        facts = _spec_facts(registered)
    else:
        options = read_pairs("--dataset-option", dataset_option or ())
        facts = _dataset_facts(host, dataset, options, allow_pickle)
    if as_json:
        print_json(dataset=facts)
        return
    for name, value in facts.items():
        if value:
            print_line(f"{name.replace('_', ' ')}: {_shown(value)}")


def _without_data(host: Host, text: str) -> Registered[DatasetSpec] | None:
    """The plugin of that name, if the name alone is not yet a dataset."""
    for registered in host.datasets:
        if registered.spec.name == text and registered.spec.needs_path:
            return registered
    return None


def _spec_facts(registered: Registered[DatasetSpec]) -> dict[str, Any]:
    spec = registered.spec
    return {
        "name": spec.name,
        "summary": spec.summary,
        "licence": spec.licence,
        "citation": spec.citation,
        "homepage": spec.homepage,
        "obtain": [command.replace("DST", "FOLDER") for command in spec.obtain],
        "distribution": registered.distribution,
    }


def _dataset_facts(
    host: Host, dataset: str, options: dict[str, str], allow_pickle: bool
) -> dict[str, Any]:
    from voxelzoo.data.opening import open_dataset, own_stories, unusable_subjects

    data = open_dataset(host, dataset, options, allow_pickle)
    return {
        **asdict(data.info()),
        "subjects": list(data.subjects()),
        "unusable_subjects": unusable_subjects(data),
        "train_stories": list(data.train_stories()),
        "own_stories": {s: list(own) for s in data.subjects() if (own := own_stories(data, s))},
        "test_stories": list(data.test_stories()),
    }


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} ({_shown(each)})" for key, each in value.items())
    return ", ".join(value) if isinstance(value, list | tuple) else str(value)


@app.command()
def check(
    dataset: DatasetArgument,
    dataset_option: DatasetOptionOption = None,
    allow_pickle: AllowPickleOption = False,
    alignment: Annotated[
        bool,
        typer.Option(
            "--alignment",
            help="Also shift the stimulus by -40 to 40 s: word rate must predict best near 0.",
        ),
    ] = False,
    subject: Annotated[
        list[str] | None,
        typer.Option(
            "--subject", "-s", help="A subject for --alignment; all if not given. Repeatable."
        ),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    disable_plugin: DisableOption = None,
    no_plugins: NoPluginsOption = False,
) -> None:
    """List everything in a dataset that would make a fit wrong.

    Reads every story and response once. Exits 6 if there is an error;
    warnings do not fail.

    \b
    Examples:
      zoo data check ./my-study
      zoo data check ./alice --alignment --subject group --json
    """
    from voxelzoo.cli.check_tables import print_check
    from voxelzoo.reports.dataset_check import check_named_dataset

    zoo = open_zoo(None, disable_plugin, no_plugins)
    with TerminalProgress(quiet) as progress:
        checked = check_named_dataset(
            zoo,
            dataset,
            read_pairs("--dataset-option", dataset_option or ()),
            allow_pickle=allow_pickle,
            alignment=alignment,
            subjects=subject or (),
            progress=progress,
        )
    if as_json:
        print_json(**checked.record())
    else:
        print_check(checked)
    if checked.report.exit_code:
        raise typer.Exit(checked.report.exit_code)


@app.command("import")
def import_(
    source: DatasetArgument,
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to write.")],
    subject: Annotated[
        list[str] | None,
        typer.Option("--subject", "-s", help="A subject; all if not given. Repeatable."),
    ] = None,
    dataset_option: DatasetOptionOption = None,
    allow_pickle: AllowPickleOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    disable_plugin: DisableOption = None,
    no_plugins: NoPluginsOption = False,
) -> None:
    """Copy any dataset into one folder whose responses are read by voxel block.

    The folder is a dataset. Run again after an interruption: what was
    finished is kept.

    Example:  zoo data import ./ds003020 ./stories && zoo run -p word-rate --dataset ./stories
    """
    from voxelzoo.data.importing import import_dataset
    from voxelzoo.data.opening import choose_subjects, open_dataset

    host = load_host(disabled=disable_plugin or (), first_party_only=no_plugins)
    data = open_dataset(
        host, source, read_pairs("--dataset-option", dataset_option or ()), allow_pickle
    )
    with TerminalProgress(quiet) as progress:
        done = import_dataset(data, target, choose_subjects(data, subject or ()), progress)
    if as_json:
        print_json(path=str(done.root), written=done.n_written, kept=done.n_kept)
    else:
        print_line(f"{done.root}: {counted(done.n_written, 'piece')} written, {done.n_kept} kept")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Name of a dataset, from zoo data list.")],
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to download to.")],
    manifest: Annotated[
        Path | None,
        typer.Option(help="YAML with path, url and sha256 of each file; the dataset's by default."),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    disable_plugin: DisableOption = None,
    no_plugins: NoPluginsOption = False,
) -> None:
    """Download a dataset's files and check them; run again to continue.

    For a dataset without known checksums, print the commands that get it,
    and exit 5.

    Example:  zoo data fetch lebel2023 ./ds003020 --manifest lab-mirror.yaml
    """
    host = load_host(disabled=disable_plugin or (), first_party_only=no_plugins)
    spec = host.dataset(name).spec
    listed = manifest or spec.manifest
    if listed is None:
        _print_how_to_obtain(spec, target, as_json)
        return
    from voxelzoo.data.fetching import fetch as fetch_files, read_manifest

    with TerminalProgress(quiet) as progress:
        done = fetch_files(read_manifest(listed), target, progress)
    if as_json:
        print_json(path=str(target), **asdict(done))
    else:
        print_line(f"{target}: {counted(done.n_fetched, 'file')} fetched, {done.n_kept} kept")


def _print_how_to_obtain(spec: DatasetSpec, target: Path, as_json: bool) -> None:
    """The commands on stdout, to be read or run. Nothing was downloaded, so it is no success."""
    if not spec.needs_path:
        raise UsageError(f"dataset {spec.name!r} is generated; there is nothing to download")
    commands = [command.replace("DST", str(target)) for command in spec.obtain]
    if as_json:
        print_json(fetched=0, commands=commands)
        raise typer.Exit(MissingError.exit_code)
    for command in commands:
        print_line(command)
    raise MissingError(
        f"no checksums of dataset {spec.name!r} are known, so nothing was downloaded; "
        + ("get it as above, or pass --manifest" if commands else "pass --manifest")
    )
