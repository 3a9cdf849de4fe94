"""``zoo run``: the main job. ``zoo plan``: what it would take."""

from __future__ import annotations

import functools
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxelzoo.api import ExtractorRequest, ModelEntry, ZooError
from voxelzoo.cli.options import (
    AllowPickleOption,
    ContextOption,
    DatasetOption,
    DatasetOptionOption,
    DeviceOption,
    DtypeOption,
    LayerOption,
    ModelOptionOption,
    PluginOption,
    SeedOption,
    StrideOption,
    UntrainedOption,
    WindowOption,
    read_delays,
    read_entries,
    read_keep,
    read_pairs,
    read_request,
    read_tool,
    with_options,
)
from voxelzoo.cli.output import TerminalProgress, fail, print_json, print_table
from voxelzoo.cli.session import DisableOption, JsonOption, NoPluginsOption, RegistryOption
from voxelzoo.host.zoo import Zoo, open_zoo

if TYPE_CHECKING:
    from voxelzoo.runs.execute import RunReport
    from voxelzoo.runs.models import Model
    from voxelzoo.runs.plan import Plan
    from voxelzoo.store.results import Result


def run(
    plugin: PluginOption,
    dataset: DatasetOption = None,
    layer: LayerOption = "all",
    subject: Annotated[
        list[str] | None,
        typer.Option("--subject", "-s", help="A subject; all if none. Repeatable."),
    ] = None,
    untrained: UntrainedOption = False,
    protocol: Annotated[
        str, typer.Option(help="clean, or antonello2023: the released code's to the letter.")
    ] = "clean",
    aligner: Annotated[
        str | None, typer.Option(help="lanczos, or with settings: lanczos:window=3,cutoff=1.")
    ] = None,
    regressor: Annotated[
        str | None, typer.Option(help="ridge, bootstrap-ridge, or with settings as above.")
    ] = None,
    delays: Annotated[str | None, typer.Option(help="FIR delays in TRs (1,2,3,4).")] = None,
    train_stories: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Train on so many of the stories, drawn from --subset-seed."
        ),
    ] = None,
    own_stories: Annotated[
        bool,
        typer.Option(
            "--own-stories", help="Train subjects on stories as well that not every other heard."
        ),
    ] = False,
    subset_seed: Annotated[int, typer.Option(help="Which training stories are drawn.")] = 0,
    folds: Annotated[int, typer.Option(help="Folds, where there is but one story.")] = 6,
    gap: Annotated[int, typer.Option(help="TRs left out around a held-out fold.")] = 5,
    ceiling: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Noise ceiling: schoppe (where held-out stories were repeated), split-half, "
            "explainable-variance, or inter-subject, from the other subjects' responses.",
        ),
    ] = None,
    shift: Annotated[
        float,
        typer.Option(help="Control: pretend the stimulus came so many seconds later; r must fall."),
    ] = 0.0,
    allow_leak: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-leak",
            metavar="GUARD",
            help="Let through what this guard found, and say so in the result. Repeatable.",
        ),
    ] = None,
    window: WindowOption = None,
    stride: StrideOption = None,
    context: ContextOption = None,
    model_option: ModelOptionOption = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    seed: SeedOption = 0,
    allow_pickle: AllowPickleOption = False,
    dataset_option: DatasetOptionOption = None,
    store: Annotated[
        Path, typer.Option(envvar="ZOO_STORE", help="Folder that keeps every artefact.")
    ] = Path("zoo-store"),
    keep: Annotated[
        str,
        typer.Option(
            help="aligned: TR-rate states and scores. More, divided by commas: states at the "
            "model's own rate; predictions of what was held out, for zoo test; weights of each "
            "delay, unit and voxel; decompositions of designs, for other subjects and alphas."
        ),
    ] = "aligned",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: JsonOption = False,
    registry: RegistryOption = None,
    disable_plugin: DisableOption = None,
    no_plugins: NoPluginsOption = False,
) -> None:
    """Run models against brains: extract, align, fit every voxel, score.

    Examples:  zoo run --plugin word-rate
      zoo run --plugin whisper-tiny --untrained --stride 1
      zoo run --plugin opt-125m --dataset ./my-study --layer 9 --subject S1 --json
    """
    job = _open_job(locals())
    from voxelzoo.data.opening import own_stories_left

    with TerminalProgress(quiet) as progress:
        if line := own_stories_left(job.plan.dataset, job.plan.evaluation, job.plan.subjects):
            progress.say(line)
        report = _run_all(job, progress)
        kept = sum(not result.computed for result in report.results)
        if report.results and kept == len(report.results):
            progress.say(f"nothing computed: all {kept} results were in {store}")
        elif kept:
            progress.say(f"{kept} of {len(report.results)} results were in {store}")
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
        _print_results(report.results)
        _print_spaces(records)
        _print_layer_choices(choices)
    for _, error in report.failures:
        fail(error, as_json=False)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


@functools.wraps(run, assigned=("__annotations__",))
def plan(**typed: Any) -> None:
    """What zoo run would take with the same options: passes, time, memory and disk.

    Nothing is loaded or computed; what the store has already is left out.

    Example:  zoo plan --plugin opt-30b --dataset ./my-study --dtype bfloat16 --device cuda
    """
    job = _open_job(typed)
    with TerminalProgress(typed["quiet"]) as progress:
        from voxelzoo.runs.estimate import estimate

        estimates = [estimate(job.plan, model, layers) for model, layers in job.models(progress)]
    if typed["as_json"]:
        print_json(plans=[each.record() for each in estimates])
    else:
        _print_estimates(estimates)


@dataclass(frozen=True)
class _Job:
    """What was typed, resolved."""

    session: Zoo
    plan: Plan
    entries: Sequence[ModelEntry]
    request: ExtractorRequest
    layer: str

    def model(self, entry: ModelEntry, progress: TerminalProgress) -> tuple[Model, list[int]]:
        """A model, ready to read stories, and the layers asked for."""
        from voxelzoo.runs.models import choose_layers, open_model, with_layers

        model = open_model(
            self.session.host,
            with_layers(self.session.host, entry, self.plan.dataset),
            replace(self.request, notify=progress.say),
        )
        return model, choose_layers(model, self.layer)

    def models(self, progress: TerminalProgress) -> list[tuple[Model, list[int]]]:
        """Every model."""
        return [self.model(entry, progress) for entry in self.entries]


def _open_job(typed: Mapping[str, Any]) -> _Job:
    """Reads the options of ``zoo run``; what makes no sense is said before anything is computed."""
    session = open_zoo(typed["registry"], typed["disable_plugin"], typed["no_plugins"])
    entries = read_entries(session, typed["plugin"])
    request = read_request(
        typed["untrained"],
        typed["seed"],
        typed["device"],
        typed["dtype"],
        typed["protocol"],
        typed["window"],
        typed["stride"],
        typed["context"],
        typed["allow_pickle"],
    )
    request = with_options(session, entries, request, typed["model_option"] or ())

    from voxelzoo.data.opening import choose_subjects, open_dataset, plan_evaluation
    from voxelzoo.runs.models import Alignment
    from voxelzoo.runs.plan import Plan
    from voxelzoo.science.protocols import find_protocol
    from voxelzoo.science.splits import train_on_fewer
    from voxelzoo.store.store import Store

    protocol = find_protocol(typed["protocol"])
    aligner, aligner_options = read_tool(
        typed["aligner"] or session.host.default_aligner(protocol.name).id
    )
    regressor, regressor_options = read_tool(
        typed["regressor"] or session.host.default_regressor(protocol.name).id
    )
    options = read_pairs("--dataset-option", typed["dataset_option"] or ())
    data = open_dataset(session.host, typed["dataset"], options, typed["allow_pickle"])
    subjects = choose_subjects(data, typed["subject"] or ())
    own_for = data.subjects() if typed["own_stories"] else ()
    evaluation = plan_evaluation(data, typed["folds"], typed["gap"], own_for)
    fewer, subset_seed = typed["train_stories"], typed["subset_seed"]
    if fewer is not None:
        evaluation = train_on_fewer(evaluation, fewer, subset_seed, subjects)
    delays = typed["delays"]
    plan = Plan(
        dataset=data,
        subjects=subjects,
        evaluation=evaluation,
        subset_seed=None if fewer is None else subset_seed,
        protocol=protocol,
        delays=read_delays(delays) if delays is not None else protocol.delays,
        alignment=Alignment.open(session.host.aligner(aligner), aligner_options),
        regressor=session.host.regressor(regressor),
        regressor_options=regressor_options,
        store=Store(typed["store"]),
        keep=read_keep(typed["keep"]),
        shift=typed["shift"],
        ceiling=typed["ceiling"],
        allowed_leaks=tuple(dict.fromkeys(typed["allow_leak"] or ())),
    )
    return _Job(session, plan, entries, request, typed["layer"])


def _run_all(job: _Job, progress: TerminalProgress) -> RunReport:
    """Every model in turn; one that fails does not stop the others."""
    from voxelzoo.runs.execute import RunReport, run_joint, run_model

    report = RunReport()
    if job.plan.regressor.spec.spaces:
        report.results.extend(run_joint(job.plan, job.models(progress), progress))
        return report
    for entry in job.entries:
        try:
            model, layers = job.model(entry, progress)
            for result in run_model(job.plan, model, layers, progress):
                report.results.append(result)
        except ZooError as error:
            report.failures.append((entry, error))
    return report


def _print_estimates(estimates: Sequence[Any]) -> None:
    """A row a model on a terminal, every figure when piped."""
    from voxelzoo.text import human_bytes, human_count, human_seconds

    records = [each.record() for each in estimates]
    if not sys.stdout.isatty():
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
    "evaluation",
    "computed",
    "key",
)


def _print_results(results: Sequence[Result]) -> None:
    """One row a result; on a terminal fewer columns, and r of as many regions as fit."""
    records = [result.flat() for result in results]
    if not sys.stdout.isatty():
        print_table(records, RESULT_COLUMNS)
        return
    first = records[0]
    names = {"r": "mean_r", "best": "best_voxel_r", "ceiling": "mean_ceiling"}
    columns = ["model", "layer", "subject", *names]
    width = 45 + max(len(record["model"]) for record in records)
    regions = list(dict.fromkeys(label for record in records for label in record["by_label"]))
    shown = []
    for region in regions:
        width += max(len(region), 6) + 2
        if width > shutil.get_terminal_size().columns:
            break
        shown.append(region)
    rows = []
    for record in records:
        row = record | {short: record[name] for short, name in names.items()}
        for region in shown:
            row[region] = record["by_label"].get(region, {}).get("mean_r")
        rows.append(row)
    title = (
        f"{first['dataset']}: {first['evaluation']}; {first['n_train']} TRs train, "
        f"{first['n_test']} test; {first['n_voxels']} voxels; mean r"
    )
    print_table(rows, [*columns, *shown], title=title)


def _print_spaces(records: Sequence[Mapping[str, Any]]) -> None:
    """On a terminal, what each feature space gives to the joint fits, a column a subject."""
    kinds = {
        "mean_weights": "mean weight",
        "mean_split_r": "mean share of r",
        "mean_partition": "mean R2 shared by exactly these",
    }
    joint = [record for record in records if record["spaces"]]
    if not joint or not sys.stdout.isatty():
        return
    for kind, title in kinds.items():
        rows: dict[str, dict[str, Any]] = {}
        for record in joint:
            found = record[kind] or {}
            named = (
                found
                if isinstance(found, dict)
                else dict(zip(record["spaces"], found, strict=True))
            )
            for name, value in named.items():
                rows.setdefault(name, {"space": name})[record["subject"]] = value
        if rows:
            subjects = [record["subject"] for record in joint]
            print_table(list(rows.values()), ["space", *subjects], title=title)


def _print_layer_choices(choices: Sequence[Mapping[str, Any]]) -> None:
    """On a terminal, what each way to choose a layer gives; a pipe gets one table, the results."""
    if not choices or not sys.stdout.isatty():
        return
    said = {
        ("training", "model"): "in training",
        ("training", "voxel"): "each voxel",
        ("test", "model"): "on test*",
        ("test", "voxel"): "each voxel*",
    }
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for choice in choices:
        of = choice["model"], choice["subject"]
        row = rows.setdefault(of, {"model": of[0], "subject": of[1]})
        name = said[choice["chosen_on"], choice["per"]]
        layer = "" if choice["layer"] is None else f" (layer {choice['layer']})"
        row[name] = f"{choice['mean_r']:.3f}{layer}"
    print_table(
        list(rows.values()),
        [
            "model",
            "subject",
            *(name for name in said.values() if name in next(iter(rows.values()))),
        ],
        title="mean r by how the layer is chosen (*optimistic: the test stories chose it)",
    )
