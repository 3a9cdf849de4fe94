"""``zoo data``: what datasets there are, whether one can be trusted, and bringing one in."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxelzoo.api import DataError, MissingError, UsageError, ZooError
from voxelzoo.cli.options import AllowPickleOption, DatasetOptionOption, read_pairs
from voxelzoo.cli.output import TerminalProgress, print_json, print_table
from voxelzoo.cli.session import DisableOption, JsonOption, NoPluginsOption
from voxelzoo.contract.specs import DatasetSpec
from voxelzoo.host.host import Host
from voxelzoo.host.loading import load_host
from voxelzoo.host.records import Registered
from voxelzoo.host.zoo import open_zoo

if TYPE_CHECKING:
    from voxelzoo.data.check.findings import CheckReport, Severity, StoryReport
    from voxelzoo.runs.alignment_check import AlignmentCurve

app = typer.Typer(help="See, check and import datasets.", no_args_is_help=True)
app.callback()(lambda: None)

DatasetArgument = Annotated[
    str,
    typer.Argument(metavar="D", help="simulated, NAME:PATH, or the path of a folder."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


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
    dataset: Annotated[str, typer.Argument(metavar="NAME|D", help="A name, or as for zoo run.")],
    dataset_option: DatasetOptionOption = None,
    allow_pickle: AllowPickleOption = False,
    as_json: JsonOption = False,
    disable_plugin: DisableOption = None,
    no_plugins: NoPluginsOption = False,
) -> None:
    """Say a dataset's licence, citation, stories and subjects; of a bare name, how to get it.

    Example:  zoo data describe ./my-study
    """
    from voxelzoo.data.opening import open_dataset, own_stories, unusable_subjects

    host = load_host(disabled=disable_plugin or (), first_party_only=no_plugins)
    if registered := _bare(host, dataset):
        spec = registered.spec
        said: dict[str, Any] = {
            "name": spec.name,
            "summary": spec.summary,
            "licence": spec.licence,
            "citation": spec.citation,
            "homepage": spec.homepage,
            "obtain": list(spec.obtain),
            "distribution": registered.distribution,
        }
    else:
        data = open_dataset(
            host, dataset, read_pairs("--dataset-option", dataset_option or ()), allow_pickle
        )
        said = {
            **asdict(data.info()),
            "subjects": list(data.subjects()),
            "unusable_subjects": unusable_subjects(data),
            "train_stories": list(data.train_stories()),
            "own_stories": {s: list(own) for s in data.subjects() if (own := own_stories(data, s))},
            "test_stories": list(data.test_stories()),
        }
    if as_json:
        print_json(dataset=said)
        return
    for name, value in said.items():
        if value:
            print(f"{name.replace('_', ' ')}: {_listed(value)}")


def _bare(host: Host, text: str) -> Registered[DatasetSpec] | None:
    """The plugin of a name alone, where that names no data yet."""
    for registered in host.datasets:
        if registered.spec.name == text and registered.spec.needs_path:
            return registered
    return None


def _listed(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} ({_listed(each)})" for key, each in value.items())
    return ", ".join(value) if isinstance(value, list | tuple) else str(value)


# ---------------------------------------------------------------------------------------- check


@app.command()
def check(
    dataset: DatasetArgument,
    dataset_option: DatasetOptionOption = None,
    allow_pickle: AllowPickleOption = False,
    alignment: Annotated[
        bool,
        typer.Option(
            "--alignment",
            help="Also shift the stimulus from -40 to 40 s: word rate must predict best near 0.",
        ),
    ] = False,
    subject: Annotated[
        list[str] | None,
        typer.Option("--subject", "-s", help="For --alignment; all if none. Repeatable."),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    disable_plugin: DisableOption = None,
    no_plugins: NoPluginsOption = False,
) -> None:
    """Look for everything that would make a wrong fit, and list it all.

    Reads every story and response once. Exits 6 where there is an error; warnings do not fail.

    Examples:  zoo data check ./my-study
      zoo data check ./alice --alignment --subject group --json
    """
    from voxelzoo.data.check import check_dataset
    from voxelzoo.data.check.findings import CheckReport
    from voxelzoo.data.opening import choose_subjects, open_dataset

    zoo = open_zoo(None, disable_plugin, no_plugins)
    options = read_pairs("--dataset-option", dataset_option or ())
    curve: AlignmentCurve | None = None
    with TerminalProgress(quiet) as progress, _quiet_libraries():
        try:
            data = open_dataset(zoo.host, dataset, options, allow_pickle)
        except DataError as error:
            report = CheckReport(dataset)
            report.add("error", "dataset", dataset, str(error))
        else:
            subjects = choose_subjects(data, subject) if subject else ()
            report = check_dataset(data, progress)
            if alignment:
                from voxelzoo.runs.alignment_check import alignment_curve

                try:
                    curve = alignment_curve(zoo, data, subjects=subjects, progress=progress)
                except ZooError as error:
                    report.add("warning", "alignment", report.name, f"no curve: {error}")
                else:
                    if curve.verdict != "aligned":
                        severity: Severity = "error" if curve.is_wrong else "warning"
                        report.add(severity, "alignment", report.name, curve.say())
    if as_json:
        shown = None if curve is None else curve.record()
        print_json(**report.record(), alignment=shown)
    else:
        _print_report(report, curve)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _quiet_libraries() -> AbstractContextManager[Any]:
    """Damaged numbers make numpy warn; the report says what is damaged."""
    import warnings

    return warnings.catch_warnings(action="ignore") if not sys.warnoptions else nullcontext()


MOST_ALIKE = 10
"""Findings of one kind that are shown to people."""


def _print_report(report: CheckReport, curve: AlignmentCurve | None) -> None:
    from voxelzoo.data.check.findings import by_severity

    print(f"{report.name}: {report.summary}" if report.summary else report.name)
    if report.licence or report.citation:
        print(f"licence {report.licence or 'not said'}; cite {report.citation or 'not said'}")
    if report.evaluation:
        print(f"held out: {report.evaluation}")
    for subject, reason in report.unusable.items():
        print(f"subject {subject} cannot be used: {reason}")
    if report.stories:
        _print_stories(report.stories)
    if report.responses:
        which = "stories" if sys.stdout.isatty() else "story"
        print_table(_response_rows(report), ("subject", which, *RESPONSE_COLUMNS), "\nresponses")
    if curve is not None:
        _print_curve(curve)
    print()
    alike: Counter[tuple[str, str]] = Counter()
    for finding in by_severity(report.findings):
        alike[finding.severity, finding.kind] += 1
        if alike[finding.severity, finding.kind] <= MOST_ALIKE:
            print(f"{finding.severity}: {finding.where}: {finding.message} [{finding.kind}]")
    for (severity, kind), n in alike.items():
        if n > MOST_ALIKE:
            print(f"{severity}: and {n - MOST_ALIKE} more of kind {kind}; --json lists them all")
    print(f"{_count(report.n('error'), 'error')}, {_count(report.n('warning'), 'warning')}")


STORY_COLUMNS = (
    "story",
    "split",
    "words",
    "silences",
    "from_s",
    "to_s",
    "gaps",
    "longest_gap_s",
    "before_scan",
    "after_scan",
    "sound_s",
)
CLOCK_COLUMNS = ("tr", "start", "first_sample", "last_sample", "kept", "dropped", "sound_start")


def _print_stories(stories: Sequence[StoryReport]) -> None:
    """Stories, then clocks; on a terminal narrower, and one row for stories of one clock."""
    rows = [_story_row(story) for story in stories]
    clocks = [_clock_row(story) for story in stories if story.clock]
    if not sys.stdout.isatty():
        print_table(rows, STORY_COLUMNS)
        if clocks:
            print_table(clocks, ("story", *CLOCK_COLUMNS))
        return
    for row in rows:
        row["name"] = row["story"]
        row["span_s"] = f"{row['from_s']} to {row['to_s']}" if row["words"] else None
        row["outside_scan"] = (row["before_scan"] or 0) + (row["after_scan"] or 0)
    columns = ("name", "split", "words", "silences", "span_s", "gaps", "outside_scan", "sound_s")
    print_table(rows, columns, "\nstories")
    alike: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in clocks:
        alike.setdefault((row["tr"], row["start"], row["dropped"], row["sound_start"]), []).append(
            row
        )
    shown = []
    for same in alike.values():
        kept = _range([row["kept"] for row in same])
        last = max(row["last_sample"] for row in same)
        names = same[0]["story"] if len(same) == 1 else f"{len(same)} stories"
        shown.append(same[0] | {"name": names, "kept": kept, "last_sample": last})
    title = "\nclock (s): row i is sampled mid-volume, at first sample + i x tr"
    print_table(shown, ("name", *CLOCK_COLUMNS), title)


def _story_row(story: StoryReport) -> dict[str, Any]:
    return {
        "story": story.name,
        "split": story.split,
        "words": story.n_words,
        "silences": story.n_silences,
        "from_s": _rounded(story.words_begin, 1),
        "to_s": _rounded(story.words_end, 1),
        "gaps": story.n_gaps,
        "longest_gap_s": _rounded(story.longest_gap, 1),
        "before_scan": story.n_words_before_scan,
        "after_scan": story.n_words_after_scan,
        "sound_s": _rounded(story.audio_seconds, 1),
    }


def _clock_row(story: StoryReport) -> dict[str, Any]:
    clock = story.clock
    assert clock is not None
    return {
        "story": story.name,
        "tr": _rounded(clock.tr, 4),
        "start": _rounded(clock.start, 3),
        "first_sample": _rounded(clock.first_sample, 3),
        "last_sample": _rounded(clock.last_sample, 3),
        "kept": clock.n_trs,
        "dropped": clock.n_dropped,
        "sound_start": _rounded(clock.sound_start, 3),
    }


RESPONSE_COLUMNS = ("trs", "voxels", "repeats", "nan_voxels", "flat_voxels")


def _response_rows(report: CheckReport) -> list[dict[str, Any]]:
    """One row a subject on a terminal, where stories may be a hundred; one a story for pipes."""
    if not sys.stdout.isatty():
        return [
            {
                "subject": found.subject,
                "story": found.story,
                "trs": found.n_trs,
                "voxels": found.n_voxels,
                "repeats": found.n_repeats,
                "nan_voxels": found.n_nan_voxels,
                "flat_voxels": found.n_flat_voxels,
            }
            for found in report.responses
        ]
    rows = []
    for subject in dict.fromkeys(found.subject for found in report.responses):
        each = [found for found in report.responses if found.subject == subject]
        rows.append(
            {
                "subject": subject,
                "stories": len(each),
                "trs": sum(found.n_trs for found in each),
                "voxels": _range([found.n_voxels for found in each]),
                "repeats": _range([found.n_repeats for found in each]),
                "nan_voxels": _range([found.n_nan_voxels for found in each]),
                "flat_voxels": _range([found.n_flat_voxels for found in each]),
            }
        )
    return rows


def _range(values: Sequence[int]) -> str:
    least, most = min(values), max(values)
    return f"{least}" if least == most else f"{least}-{most}"


BARS = " ▁▂▃▄▅▆▇█"


def _print_curve(curve: AlignmentCurve) -> None:
    """The curve as bars, one a shift; what is below zero is blank."""
    top = max(*curve.r, 1e-9)
    bars = "".join(BARS[max(0, min(8, round(8 * r / top)))] * 2 for r in curve.r)
    width = len(bars)
    marks = f"{curve.shifts[0]:+g} s".ljust(width // 2) + "0"
    print(
        f"\nmisalignment: word rate's held-out r, stimulus shifted; {curve.n_voxels} voxels of "
        f"{_count(curve.n_subjects, 'subject')}, {_count(curve.n_stories, 'story', 'stories')}"
    )
    print(f"  {bars}  best r {top:.3f}")
    print(f"  {marks.ljust(width - 5)}{curve.shifts[-1]:+g} s")
    print(f"  {curve.say()}")


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _count(n: int, one: str, many: str | None = None) -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


# --------------------------------------------------------------------------------------- import


@app.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="A dataset, as for zoo run --dataset.")
    ],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The folder to write.")],
    subject: Annotated[
        list[str] | None,
        typer.Option("--subject", "-s", help="A subject; all if none. Repeatable."),
    ] = None,
    dataset_option: DatasetOptionOption = None,
    allow_pickle: AllowPickleOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    disable_plugin: DisableOption = None,
    no_plugins: NoPluginsOption = False,
) -> None:
    """Copy any dataset into one folder of chunked Zarr whose responses stream by voxel block.

    Run again after an interruption: finished pieces are kept. The folder is then a dataset.

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
        print(f"{done.root}: {_count(done.n_written, 'piece')} written, {done.n_kept} kept")


# ---------------------------------------------------------------------------------------- fetch


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A dataset's name, as zoo data list has it.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The folder to fetch into.")],
    manifest: Annotated[
        Path | None,
        typer.Option(help="YAML: path, url and sha256 of each file; the dataset's own if none."),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    disable_plugin: DisableOption = None,
    no_plugins: NoPluginsOption = False,
) -> None:
    """Download a dataset's files and hold each to its checksum; run again to go on.

    Of a dataset without known checksums, says the commands that get it, and exits 5.

    Example:  zoo data fetch lebel2023 ./ds003020 --manifest lab-mirror.yaml
    """
    host = load_host(disabled=disable_plugin or (), first_party_only=no_plugins)
    spec = host.dataset(name).spec
    listed = manifest or spec.manifest
    if listed is None:
        _say_how_to_obtain(spec, target, as_json)
        return
    from voxelzoo.data.fetching import fetch as fetch_files
    from voxelzoo.data.fetching import read_manifest

    with TerminalProgress(quiet) as progress:
        done = fetch_files(read_manifest(listed), target, progress)
    if as_json:
        print_json(path=str(target), **asdict(done))
    else:
        print(f"{target}: {_count(done.n_fetched, 'file')} fetched, {done.n_kept} kept")


def _say_how_to_obtain(spec: DatasetSpec, target: Path, as_json: bool) -> None:
    """The commands on stdout, to be read or run; nothing was fetched, so it is no success."""
    if not spec.needs_path:
        raise UsageError(f"dataset {spec.name!r} is generated; there is nothing to fetch")
    commands = [command.replace("DST", str(target)) for command in spec.obtain]
    if as_json:
        print_json(fetched=0, commands=commands)
        raise typer.Exit(MissingError.exit_code)
    for command in commands:
        print(command)
    raise MissingError(
        f"no checksums are known of dataset {spec.name!r}, so nothing was fetched; "
        + ("get it as above, or name a --manifest" if commands else "name a --manifest")
    )
