"""``zoo run`` and ``zoo extract``: the main job."""

from __future__ import annotations

import ast
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxelzoo.api import ExtractorRequest, ModelEntry, UsageError, ZooError
from voxelzoo.cli.output import TerminalProgress, fail, print_json, print_table
from voxelzoo.cli.session import (
    DisableOption,
    JsonOption,
    NoPluginsOption,
    RegistryOption,
    Session,
    open_session,
)

if TYPE_CHECKING:
    from voxelzoo.pipeline import Result, RunReport

PluginOption = Annotated[
    list[str],
    typer.Option(
        "--plugin",
        "--model",
        "-p",
        metavar="NAME",
        help="A model: whisper-tiny, whisper/whisper-tiny, features/NAME or hf:ORG/NAME. "
        "Repeatable.",
    ),
]
DatasetOption = Annotated[
    str,
    typer.Option(
        "--dataset", "-d", metavar="D", help="simulated, NAME:PATH, or the path of a folder."
    ),
]
DatasetOptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset-option", metavar="KEY=VALUE", help="A setting of the dataset. Repeatable."
    ),
]
LayerOption = Annotated[
    str, typer.Option("--layer", "-l", help="all, last, 9, 0,4,8 or 0-12, as hidden_states.")
]
UntrainedOption = Annotated[
    bool,
    typer.Option("--untrained", help="The true architecture with random weights; no download."),
]
SeedOption = Annotated[int, typer.Option(help="Seed of untrained weights.")]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or mps.")]
DtypeOption = Annotated[str, typer.Option(help="float32, bfloat16 or float16.")]
WindowOption = Annotated[
    float | None, typer.Option(help="Speech: seconds of sound a state may hear (16.1).")
]
StrideOption = Annotated[float | None, typer.Option(help="Speech: seconds between states (0.1).")]
ContextOption = Annotated[
    str | None,
    typer.Option(
        help="Text: sawtooth:512:256, sliding:64, full or none; add :words to count words."
    ),
]
ModelOptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model-option", metavar="KEY=VALUE", help="A setting of the models. Repeatable."
    ),
]
AllowPickleOption = Annotated[
    bool, typer.Option("--allow-pickle", help="Load weights that exist as pickles only.")
]
DTYPES = ("float32", "bfloat16", "float16")
KEEP = ("aligned", "states", "predictions")


def run(
    plugin: PluginOption,
    dataset: DatasetOption = "simulated",
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
    folds: Annotated[int, typer.Option(help="Folds, where there is but one story.")] = 6,
    gap: Annotated[int, typer.Option(help="TRs left out around a held-out fold.")] = 5,
    shift: Annotated[
        float,
        typer.Option(help="Control: pretend the stimulus came so many seconds later; r must fall."),
    ] = 0.0,
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
            "model's own rate; predictions of what was held out, for zoo test."
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
    session = open_session(registry, disable_plugin, no_plugins)
    entries = _entries(session, plugin)
    request = _request(
        untrained, seed, device, dtype, protocol, window, stride, context, allow_pickle
    )
    request = _with_options(session, entries, request, model_option or ())

    from voxelzoo.datasets import choose_subjects, open_dataset, plan_evaluation
    from voxelzoo.extraction import Alignment
    from voxelzoo.pipeline import Plan
    from voxelzoo.protocols import find_protocol
    from voxelzoo.store import Store

    chosen = find_protocol(protocol)
    aligner_name, aligner_options = _tool(aligner or chosen.aligner)
    regressor_name, regressor_options = _tool(regressor or chosen.regressor)
    data = open_dataset(session.host, dataset, _pairs("--dataset-option", dataset_option or ()))
    plan = Plan(
        dataset=data,
        subjects=choose_subjects(data, subject or ()),
        evaluation=plan_evaluation(data, folds, gap),
        protocol=chosen,
        delays=_delays(delays) if delays is not None else chosen.delays,
        alignment=Alignment.open(session.host.aligner(aligner_name), aligner_options),
        regressor=session.host.regressor(regressor_name),
        regressor_options=regressor_options,
        store=Store(store),
        keep=_keep(keep),
        shift=shift,
    )
    with TerminalProgress(quiet) as progress:
        report = _run_all(session, plan, entries, request, layer, progress)
        kept = sum(not result.computed for result in report.results)
        if report.results and kept == len(report.results):
            progress.say(f"nothing computed: all {kept} results were in {store}")
        elif kept:
            progress.say(f"{kept} of {len(report.results)} results were in {store}")
    records = [result.record() for result in report.results]
    if as_json:
        print_json(
            results=records,
            failures=[
                {"model": entry.name, "error": str(error), "exit_code": error.exit_code}
                for entry, error in report.failures
            ],
        )
    elif records:
        _print_results(report.results)
    for _, error in report.failures:
        fail(error, as_json=False)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _run_all(
    session: Session,
    plan: Any,
    entries: Sequence[ModelEntry],
    request: ExtractorRequest,
    layer: str,
    progress: TerminalProgress,
) -> RunReport:
    """Every model in turn; one that fails does not stop the others."""
    from voxelzoo.extraction import choose_layers
    from voxelzoo.pipeline import RunReport, open_model, run_model, with_layers

    report = RunReport()
    for entry in entries:
        try:
            model = open_model(
                session.host,
                with_layers(entry, plan.dataset),
                replace(request, notify=progress.say),
            )
            for result in run_model(plan, model, choose_layers(model, layer), progress):
                report.results.append(result)
        except ZooError as error:
            report.failures.append((entry, error))
    return report


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
    records = [result.record() for result in results]
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


def extract(
    plugin: PluginOption,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.npz", help="Where to write.")],
    dataset: DatasetOption = "simulated",
    layer: LayerOption = "all",
    story: Annotated[
        list[str] | None, typer.Option("--story", help="A story; all if none. Repeatable.")
    ] = None,
    untrained: UntrainedOption = False,
    protocol: Annotated[str, typer.Option(help="clean or antonello2023.")] = "clean",
    window: WindowOption = None,
    stride: StrideOption = None,
    context: ContextOption = None,
    model_option: ModelOptionOption = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    seed: SeedOption = 0,
    allow_pickle: AllowPickleOption = False,
    dataset_option: DatasetOptionOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    registry: RegistryOption = None,
    disable_plugin: DisableOption = None,
    no_plugins: NoPluginsOption = False,
) -> None:
    """Write a model's states for use elsewhere: STORY/LAYER (time, unit) and STORY/times (s).

    Example:  zoo extract --plugin whisper-tiny --untrained --layer 4 --out states.npz
    """
    session = open_session(registry, disable_plugin, no_plugins)
    if len(plugin) != 1:
        raise UsageError("zoo extract takes one --plugin")
    (entry,) = _entries(session, plugin)
    if out.suffix != ".npz":
        raise UsageError(f"--out {out}: the file is a .npz")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out}: no folder {out.absolute().parent}")
    request = _request(
        untrained, seed, device, dtype, protocol, window, stride, context, allow_pickle
    )
    request = _with_options(session, [entry], request, model_option or ())

    import numpy as np

    from voxelzoo.datasets import open_dataset, plan_evaluation
    from voxelzoo.extraction import choose_layers, raw_states
    from voxelzoo.pipeline import open_model, with_layers

    data = open_dataset(session.host, dataset, _pairs("--dataset-option", dataset_option or ()))
    known = plan_evaluation(data).stories
    if unknown := [name for name in story or () if name not in known]:
        raise UsageError(f"no story {unknown[0]!r}; there are {', '.join(known)}")
    arrays: dict[str, Any] = {}
    with TerminalProgress(quiet) as progress:
        model = open_model(
            session.host, with_layers(entry, data), replace(request, notify=progress.say)
        )
        layers = choose_layers(model, layer)
        for name in story or known:
            times, states = raw_states(model, data.story(name), layers, progress)
            arrays[f"{name}/times"] = times
            arrays |= {f"{name}/{which}": states[i] for i, which in enumerate(layers)}
        draft = out.with_name(f".{out.name}.{os.getpid()}.npz")
        try:
            np.savez(draft, **arrays)
            draft.replace(out)
        finally:
            draft.unlink(missing_ok=True)
        progress.say(f"wrote {len(story or known)} stories x {len(layers)} layers to {out}")


# ------------------------------------------------------------------------------- reading options


def _entries(session: Session, names: Sequence[str]) -> list[ModelEntry]:
    from voxelzoo.pipeline import find_model

    found = [find_model(session.host, session.catalogue, name) for name in names]
    for entry in found:
        session.host.extractor(entry.plugin, entry.extractor)  # a missing plugin is said now
    return list({entry.id: entry for entry in found}.values())


def _request(
    untrained: bool,
    seed: int,
    device: str,
    dtype: str,
    protocol: str,
    window: float | None,
    stride: float | None,
    context: str | None,
    allow_pickle: bool,
) -> ExtractorRequest:
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype!r}: say {', '.join(DTYPES)}")
    options = {"window": window, "stride": stride, "context": context}
    return ExtractorRequest(
        model=ModelEntry(name="", plugin="", modality="any"),
        untrained=untrained,
        seed=seed,
        device=device,
        dtype=dtype,
        protocol=protocol,
        options={name: str(value) for name, value in options.items() if value is not None},
        allow_pickle=allow_pickle,
    )


def _with_options(
    session: Session, entries: Sequence[ModelEntry], request: ExtractorRequest, typed: Sequence[str]
) -> ExtractorRequest:
    """The request with ``--model-option``; one that none of the models reads is refused."""
    options = _pairs("--model-option", typed)
    specs = [session.host.extractor(entry.plugin, entry.extractor).spec for entry in entries]
    known = sorted({name for spec in specs for name in spec.options})
    if unknown := [name for name in options if name not in known]:
        raise UsageError(
            f"--model-option {unknown[0]}: none of these models reads it; "
            f"they read {', '.join(known) or 'none'}"
        )
    return replace(request, options={**request.options, **options})


def _keep(text: str) -> frozenset[str]:
    asked = frozenset(part.strip() for part in text.split(","))
    if unknown := sorted(asked - set(KEEP)):
        raise UsageError(f"--keep {unknown[0]!r}: say {', '.join(KEEP)}, divided by commas")
    return asked


def _tool(text: str) -> tuple[str, dict[str, Any]]:
    """A name and its settings: ``ridge:alphas=[1,10],scoring=r2`` reads as a call would."""
    name, _, settings = text.partition(":")
    try:
        call = ast.parse(f"_({settings})", mode="eval").body
        assert isinstance(call, ast.Call)
        assert not call.args
        return name, {str(setting.arg): _literal(setting.value) for setting in call.keywords}
    except (SyntaxError, ValueError, AssertionError):
        raise UsageError(f"{text!r}: settings are KEY=VALUE, divided by commas") from None


def _literal(value: ast.expr) -> Any:
    return value.id if isinstance(value, ast.Name) else ast.literal_eval(value)


def _pairs(where: str, settings: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{where} {setting!r}: settings are KEY=VALUE")
        pairs[key.strip()] = value.strip()
    return pairs


def _delays(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--delays {text!r}: whole TRs, such as 1,2,3,4") from None
