"""``zoo run``: the main job. ``zoo plan``: what it would take."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from voxelzoo.cli.arguments import RunArguments, command_of
from voxelzoo.cli.output import TerminalProgress, fail, is_terminal, print_json, print_table

if TYPE_CHECKING:
    from voxelzoo.runs.estimate import Estimate
    from voxelzoo.runs.execute import RunReport
    from voxelzoo.store.records import ResultRecord
    from voxelzoo.store.results import Result


@command_of(RunArguments)
def run(typed: RunArguments) -> None:
    """Predict responses from models: extract, align, fit every voxel, score.

    Examples:  zoo run --plugin word-rate
      zoo run --plugin whisper-tiny --untrained --stride 1
      zoo run --plugin opt-125m --dataset ./my-study --layer 9 --subject S1 --json
    """
    options, zoo = typed.run_options(), typed.open_zoo()

    from voxelzoo.reports.remarks import remarks
    from voxelzoo.runs import execute
    from voxelzoo.store.store import Store

    with TerminalProgress(typed.quiet) as progress:
        dataset, store = typed.open_dataset(zoo), Store(typed.store)
        report = execute.run(zoo, typed.plugin, dataset, store, options, progress)
        n, n_stored = len(report.results), sum(not each.computed for each in report.results)
        if n_stored and n_stored == n:
            many = "the result was" if n == 1 else f"all {n} results were"
            progress.say(f"nothing computed: {many} in {typed.store}")
        elif n_stored:
            progress.say(f"{n_stored} of {n} results were in {typed.store}")
        for remark in remarks([result.record for result in report.results]):
            progress.say(remark)
    _print_report(report, typed.as_json)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _print_report(report: RunReport, as_json: bool) -> None:
    """Results on stdout, failures on stderr."""
    from voxelzoo.reports.layers import layer_choices

    records = [result.flat() for result in report.results]
    choices = layer_choices(report.results)
    if as_json:
        print_json(
            results=records,
            layer_choices=choices,
            failures=[
                {"model": entry.name, "error": str(error), "exit_code": error.exit_code}
                for entry, error in report.failures
            ],
        )
    elif records:
        _print_results(report.results, choices)
        _print_spaces(records)
        _print_layer_choices(choices)
    for _, error in report.failures:
        fail(error, as_json=False)


@command_of(RunArguments)
def plan(typed: RunArguments) -> None:
    """Estimate what zoo run would take with the same options: time, memory and disk.

    No weights are loaded and nothing is computed. What is already in the store is not counted.

    Example:  zoo plan --plugin opt-30b --dataset ./my-study --dtype bfloat16 --device cuda
    """
    options, zoo = typed.run_options(), typed.open_zoo()

    from voxelzoo.runs import execute
    from voxelzoo.store.store import Store

    with TerminalProgress(typed.quiet) as progress:
        dataset, store = typed.open_dataset(zoo), Store(typed.store)
        estimates = execute.plan(zoo, typed.plugin, dataset, store, options, progress)
    if typed.as_json:
        print_json(plans=[each.record() for each in estimates])
    else:
        _print_estimates(estimates)


def _print_estimates(estimates: Sequence[Estimate]) -> None:
    """A row for each model: the main figures on a terminal, every figure when piped."""
    from voxelzoo.text import human_bytes, human_count, human_seconds

    records = [each.record() for each in estimates]
    if not is_terminal():
        print_table(records, list(records[0]))
        return
    rows = [
        {
            "model": r["model"],
            "layers": r["n_layers"],
            "stories to read": f"{r['stories_to_read']} of {r['n_stories']}",
            "passes": human_count(r["extraction_n_passes"]),
            "fed": human_count(r["extraction_n_fed"]),
            "extraction": human_seconds(r["extraction_seconds"]),
            "fits": f"{r['n_fits']} of {r['n_rows']} x {r['n_features'] or '?'} x {r['n_voxels']}",
            "memory": human_bytes(r["peak_bytes"]),
            "store": human_bytes(r["store_bytes"]),
        }
        for r in records
    ]
    print_table(rows, list(rows[0]))


RESULT_COLUMNS = (
    "model",
    "layer",
    "subject",
    "dataset",
    "n_voxels",
    "n_train",
    "n_test",
    "mean_r",
    "median_r",
    "mean_signed_r2",
    "best_voxel_r",
    "mean_ceiling",
    "mean_r_repeated",
    "mean_r_normalised",
    "n_undefined_voxels",
    "undefined",
    "evaluation",
    "computed",
    "key",
)


def _print_results(results: Sequence[Result], choices: Sequence[Mapping[str, Any]]) -> None:
    """A row for each result: on a terminal what fits, when piped every figure as one table."""
    from voxelzoo.store.result_columns import region_columns, result_row, telling_columns

    rows = [
        result_row(each) | {"model": each.record.label, "computed": each.computed}
        for each in results
    ]
    if is_terminal():
        extra = telling_columns(rows, ("model", "layer", "subject"))
        _print_brief([each.record for each in results], rows, extra)
        return
    of_layers = _layer_columns(choices)
    for row, result in zip(rows, results, strict=True):
        row |= region_columns(result.record)
        row |= of_layers.get((result.record.model_id, result.record.subject), {})
    extra = telling_columns([_settings_only(row) for row in rows], RESULT_COLUMNS)
    more = dict.fromkeys(name for row in rows for name in row if name.startswith(_PARTS))
    columns = [*RESULT_COLUMNS, *extra, *more]
    print_table([dict.fromkeys(columns) | row for row in rows], columns)


_PARTS = ("mean_weights.", "mean_split_r.", "mean_partition.", "mean_r[", "layer_by_", "r_by_")
"""How the columns begin that only some runs have: of joint fits, regions and layers."""


def _settings_only(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith(_PARTS)}


def _layer_columns(choices: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """What each way of choosing a layer gives, as columns for each model and subject."""
    columns: dict[tuple[str, str], dict[str, Any]] = {}
    for choice in choices:
        row = columns.setdefault((choice["model_id"], choice["subject"]), {})
        source = choice["chosen_on"]
        if choice["per"] == "model":
            row |= {f"layer_by_{source}": choice["layer"], f"r_by_{source}": choice["mean_r"]}
        else:
            row[f"r_by_{source}_per_voxel"] = choice["mean_r"]
    return columns


def _print_brief(
    records: Sequence[ResultRecord], rows: Sequence[Mapping[str, Any]], extra: Sequence[str]
) -> None:
    """Few columns, what tells the results apart, and r of as many regions as fit."""
    from voxelzoo.text import listed

    first = records[0]
    names = {"r": "mean_r", "best": "best_voxel_r", "ceiling": "mean_ceiling"}
    if set(first.ceiling_stories) not in (set(), set(first.test_stories)):
        names["r repeated"] = "mean_r_repeated"
    columns = ["model", "layer", "subject", *extra, *names]
    width = 45 + 12 * ("r repeated" in names) + max(len(row["model"]) for row in rows)
    width += sum(max(len(name), *(len(str(row.get(name))) for row in rows)) + 2 for name in extra)
    regions = list(dict.fromkeys(label for each in records for label in each.scores.by_region))
    shown = []
    for region in regions:
        width += max(len(region), 6) + 2
        if width > shutil.get_terminal_size().columns:
            break
        shown.append(region)
    brief = []
    for record, row in zip(records, rows, strict=True):
        scores = record.scores.by_region
        of_regions = {name: scores[name].mean_r if name in scores else None for name in shown}
        settings = dict.fromkeys(extra) | dict(row)
        brief.append(settings | {short: row[name] for short, name in names.items()} | of_regions)
    title = (
        f"{first.dataset}: {first.evaluation}; {first.n_train} TRs train, "
        f"{first.n_test} test; {first.n_voxels} voxels; mean r"
    )
    if "r repeated" in names:
        stories = listed(first.ceiling_stories)
        title += f"; ceiling and r repeated: over {stories}, heard more than once"
    print_table(brief, [*columns, *shown], title=title)


def _print_spaces(records: Sequence[Mapping[str, Any]]) -> None:
    """On a terminal, what each feature space adds to the joint fits, a column for each subject."""
    kinds = {
        "mean_weights": "mean weight",
        "mean_split_r": "mean share of r",
        "mean_partition": "mean R2 shared by exactly these",
    }
    joint = [record for record in records if record["spaces"]]
    if not joint or not is_terminal():
        return
    for kind, title in kinds.items():
        rows: dict[str, dict[str, Any]] = {}
        for record in joint:
            values = record[kind] or {}
            if not isinstance(values, dict):
                values = dict(zip(record["spaces"], values, strict=True))
            for name, value in values.items():
                rows.setdefault(name, {"space": name})[record["subject"]] = value
        if rows:
            subjects = [record["subject"] for record in joint]
            print_table(list(rows.values()), ["space", *subjects], title=title)


def _print_layer_choices(choices: Sequence[Mapping[str, Any]]) -> None:
    """On a terminal, r by each way of choosing a layer; when piped, results have its columns."""
    if not choices or not is_terminal():
        return
    titles = {
        ("training", "model"): "in training",
        ("training", "voxel"): "each voxel",
        ("test", "model"): "on test*",
        ("test", "voxel"): "each voxel*",
    }
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for choice in choices:
        of = choice["model"], choice["subject"]
        row = rows.setdefault(of, {"model": of[0], "subject": of[1]})
        name = titles[choice["chosen_on"], choice["per"]]
        layer = "" if choice["layer"] is None else f" (layer {choice['layer']})"
        row[name] = f"{choice['mean_r']:.3f}{layer}"
    print_table(
        list(rows.values()),
        [
            "model",
            "subject",
            *(name for name in titles.values() if name in next(iter(rows.values()))),
        ],
        title="mean r by how the layer is chosen (*optimistic: chosen on the test stories)",
    )
