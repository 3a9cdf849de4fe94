"""``zoo scaling``: performance against model size, training data, both, and depth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxelzoo.api import DataError, UsageError
from voxelzoo.cli.curve_controls import (
    by_kind,
    by_model,
    control_records,
    control_slopes,
)
from voxelzoo.cli.curve_report import (
    best_rows,
    by_amount,
    grid_law,
    law_of,
    layer_rows,
    say,
    show_grid,
    show_law,
    show_layers,
)
from voxelzoo.cli.results import StoreOption, open_store, read_results
from voxelzoo.cli.session import JsonOption
from voxelzoo.host.zoo import open_zoo

if TYPE_CHECKING:
    from voxelzoo.reports.curves import Cell, Chosen, Setting
    from voxelzoo.store.results import Result

app = typer.Typer(
    help="Scaling laws over the results in a store: size, data, grid (both), layers.",
    no_args_is_help=True,
)

FamilyOption = Annotated[str | None, typer.Option(help="Only models of this family.")]
ModelOption = Annotated[
    list[str] | None, typer.Option("--model", help="Only this model. Repeatable.")
]
DatasetOption = Annotated[str | None, typer.Option(help="Only results on this dataset.")]
SubjectOption = Annotated[
    list[str] | None, typer.Option("--subject", help="Only this subject. Repeatable.")
]
ProtocolOption = Annotated[str | None, typer.Option(help="Only results of this protocol.")]
UntrainedOption = Annotated[
    bool, typer.Option("--untrained", help="Models with random weights instead of trained ones.")
]
LayerOption = Annotated[
    int | None, typer.Option(help="This layer of every model, instead of each one's best.")
]
ByOption = Annotated[
    str,
    typer.Option(
        help="What chooses the best layer: cv_r (within training data), r (held out, optimistic), "
        "or auto: cv_r where there is one."
    ),
]
MetricOption = Annotated[str, typer.Option(help="Performance: r, or signed_r2 (|r| r).")]
DrawsOption = Annotated[int, typer.Option(help="Bootstrap draws.")]
SeedOption = Annotated[int, typer.Option(help="Seed of the draws.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Write gains per doubling (voxel,) to this .npz.")
]


@app.command()
def size(
    family: FamilyOption = None,
    model: ModelOption = None,
    dataset: DatasetOption = None,
    subject: SubjectOption = None,
    protocol: ProtocolOption = None,
    untrained: UntrainedOption = False,
    layer: LayerOption = None,
    by: ByOption = "auto",
    metric: MetricOption = "r",
    draws: DrawsOption = 1000,
    seed: SeedOption = 0,
    out: OutOption = None,
    store: StoreOption = Path("zoo-store"),
    as_json: JsonOption = False,
) -> None:
    """Performance against log10 parameters within a family, fitted on all training stories.

    Controls on the same data (baselines, untrained twins) are printed beneath.

    Example:  zoo scaling size --family opt
    """
    from voxelzoo.reports.controls import controls

    _check_options(by, metric, draws, out)
    every, zoo = read_results(open_store(store)), open_zoo(None, None, False)
    chosen = _select(every, family, model, dataset, subject, protocol, untrained)
    found, notes = _cells([a for a in chosen if a.record.subset_seed is None])
    _one_family(chosen, family, model)
    _same_training(found)
    points = _choose([cell for cell in found if cell.setting.n_parameters], layer, by)
    sizes = [float(point.setting.n_parameters or 0) for point in points]
    law = law_of(points, sizes, "parameters", metric, draws, seed, out)
    beside = controls(every, points, partial(_choose, layer=layer, by=by), zoo)
    law |= control_records(beside, points, "parameters", metric, _n_parameters, zoo)
    law["control_slopes"] = control_slopes(by_kind(beside), metric, _n_parameters, draws, seed)
    say(notes)
    show_law(law, as_json)


@app.command()
def data(
    model: Annotated[str, typer.Option("--model", help="The model.")],
    against: Annotated[str, typer.Option(help="stories or hours.")] = "stories",
    dataset: DatasetOption = None,
    subject: SubjectOption = None,
    protocol: ProtocolOption = None,
    untrained: UntrainedOption = False,
    layer: LayerOption = None,
    by: ByOption = "auto",
    metric: MetricOption = "r",
    draws: DrawsOption = 1000,
    seed: SeedOption = 0,
    out: OutOption = None,
    store: StoreOption = Path("zoo-store"),
    as_json: JsonOption = False,
) -> None:
    """Performance of a model against log10 training stories, or hours.

    Make the points with zoo run --train-stories N --subset-seed S.

    Example:  zoo scaling data --model opt-125m --layer 9
    """
    from voxelzoo.reports.controls import controls

    _check_options(by, metric, draws, out)
    every, zoo = read_results(open_store(store)), open_zoo(None, None, False)
    chosen = _select(every, None, [model], dataset, subject, protocol, untrained)
    found, notes = _cells(chosen)
    points = _choose_one_layer(found, layer, by)
    law = law_of(points, _amounts(points, against), against, metric, draws, seed, out)
    law["amounts"] = by_amount(law["points"], against, metric)
    beside = controls(every, points, partial(_choose_one_layer, layer=layer, by=by), zoo)
    amount = partial(_amount, against=against)
    law |= control_records(beside, points, against, metric, amount, zoo)
    law["control_slopes"] = control_slopes(by_model(beside), metric, amount, draws, seed)
    say(notes)
    show_law(law, as_json)


@app.command()
def grid(
    family: FamilyOption = None,
    model: ModelOption = None,
    against: Annotated[str, typer.Option(help="stories or hours.")] = "stories",
    dataset: DatasetOption = None,
    subject: SubjectOption = None,
    protocol: ProtocolOption = None,
    untrained: UntrainedOption = False,
    layer: LayerOption = None,
    by: ByOption = "auto",
    metric: MetricOption = "r",
    draws: DrawsOption = 1000,
    seed: SeedOption = 0,
    store: StoreOption = Path("zoo-store"),
    as_json: JsonOption = False,
) -> None:
    """Data x size: how the gain from more data grows with the model.

    Example:  zoo scaling grid --family opt
    """
    from voxelzoo.reports.controls import controls

    _check_options(by, metric, draws, None)
    every, zoo = read_results(open_store(store)), open_zoo(None, None, False)
    chosen = _select(every, family, model, dataset, subject, protocol, untrained)
    _one_family(chosen, family, model)
    found, notes = _cells(chosen)
    points = []
    for name in dict.fromkeys(cell.setting.model for cell in found):
        own = [cell for cell in found if cell.setting.model == name]
        points += _choose_one_layer(own, layer, by)
    points = [point for point in points if point.setting.n_parameters]
    if not points:
        raise DataError("none of these models says how many parameters it has")
    law = grid_law(points, _amounts(points, against), against, metric, draws, seed)
    beside = controls(every, points, partial(_choose_one_layer, layer=layer, by=by), zoo)
    amount = partial(_amount, against=against)
    law |= control_records(beside, points, against, metric, amount, zoo)
    law["control_slopes"] = control_slopes(by_model(beside), metric, amount, draws, seed)
    say(notes)
    show_grid(law, as_json)


@app.command()
def layers(
    model: ModelOption = None,
    family: FamilyOption = None,
    dataset: DatasetOption = None,
    subject: SubjectOption = None,
    protocol: ProtocolOption = None,
    untrained: UntrainedOption = False,
    store: StoreOption = Path("zoo-store"),
    as_json: JsonOption = False,
) -> None:
    """The curve over layers of every model: mean r over voxels, then over subjects.

    se is the standard error over subjects. The best layer by held-out r is an optimistic choice;
    the best by cv_r, within the training data, is not. Where predictions were kept, may_be_best
    are the layers of which none is shown to be worse than the best: the best is one of them, at
    95 percent.

    Example:  zoo scaling layers --family opt --json
    """
    from voxelzoo.reports.controls import controls

    every, zoo = read_results(open_store(store)), open_zoo(None, None, False)
    chosen = _select(every, family, model, dataset, subject, protocol, untrained)
    found, notes = _cells([a for a in chosen if a.record.subset_seed is None])
    rows = [row for cell in found for row in layer_rows(cell)]
    points = _every_layer(found)
    beside = controls(every, points, _every_layer, zoo)
    records = control_records(
        beside, points, "stories", "r", partial(_amount, against="stories"), zoo
    )
    say(notes)
    best = [row for cell in found if len(cell.layers) > 1 for row in best_rows(cell)]
    show_layers(rows, best, records, as_json)


# ------------------------------------------------------------------------------- choosing points


def _check_options(by: str, metric: str, draws: int, out: Path | None) -> None:
    if by not in ("auto", "cv_r", "r") or metric not in ("r", "signed_r2"):
        raise UsageError("--by is auto, cv_r or r; --metric is r or signed_r2")
    if draws < 1:
        raise UsageError("--draws: 1 or more")
    if out is not None and (out.suffix != ".npz" or not out.absolute().parent.is_dir()):
        raise UsageError(f"{out}: --out is a .npz in a folder that exists")


def _select(
    every: Sequence[Result],
    family: str | None,
    models: Sequence[str] | None,
    dataset: str | None,
    subjects: Sequence[str] | None,
    protocol: str | None,
    untrained: bool,
) -> list[Result]:
    """Results that fit: of trained models unless only untrained ones are there, or are asked for;
    of all their features unless only width controls are there."""
    from voxelzoo.reports.controls import is_reduced
    from voxelzoo.reports.curves import check_comparable, select

    found = select(
        every,
        family=family,
        models=models or (),
        dataset=dataset,
        subjects=subjects or (),
        protocol=protocol,
        untrained=True if untrained else None,
    )
    trained = [artefact for artefact in found if not artefact.record.untrained]
    found = found if untrained else trained or found
    found = [artefact for artefact in found if not is_reduced(artefact.record)] or found
    check_comparable(found)
    return found


def _one_family(chosen: Sequence[Result], family: str | None, models: Sequence[str] | None) -> None:
    families = sorted({artefact.record.family for artefact in chosen})
    if len(families) > 1 and not family and not models:
        raise UsageError(f"the store has several families ({', '.join(families)}): say --family")


def _cells(artefacts: Sequence[Result]) -> tuple[list[Cell], list[str]]:
    from voxelzoo.reports.curves import cells

    if not artefacts:
        raise DataError("the store has results of training subsets only; see zoo scaling data")
    return cells(artefacts)


def _same_training(found: Sequence[Cell]) -> None:
    amounts = sorted({str(cell.setting.n_stories) for cell in found})
    if len(amounts) > 1:
        raise UsageError(
            f"these results were trained on {' and '.join(amounts)} stories, so they are not one "
            "curve of size; see zoo scaling grid"
        )


def _choose_one_layer(found: Sequence[Cell], layer: int | None, by: str) -> list[Chosen]:
    """A curve over data keeps to one layer."""
    return _choose(found, _one_layer(found, layer, by), by)


def _every_layer(found: Sequence[Cell]) -> list[Chosen]:
    """Each layer for itself."""
    from voxelzoo.reports.curves import Chosen

    return [
        Chosen(cell.setting, layer, "each", results)
        for cell in found
        for layer, results in cell.layers.items()
    ]


def _choose(found: Sequence[Cell], layer: int | None, by: str) -> list[Chosen]:
    from voxelzoo.reports.curves import choose_layer

    if not found:
        raise DataError("none of these models says how many parameters it has")
    return [choose_layer(cell, layer, by) for cell in found]  # type: ignore[arg-type]


def _one_layer(found: Sequence[Cell], layer: int | None, by: str) -> int | None:
    """A curve over data keeps to one layer: the one chosen with the most data."""
    from voxelzoo.reports.curves import choose_layer

    if layer is not None:
        return layer
    most = max(found, key=lambda cell: (cell.setting.hours or 0, cell.setting.n_stories or 0))
    return choose_layer(most, None, by).layer  # type: ignore[arg-type]


def _amounts(points: Sequence[Chosen], against: str) -> list[float]:
    if against not in ("stories", "hours"):
        raise UsageError("--against is stories or hours")
    amounts = [_amount(point.setting, against) for point in points]
    if any(not amount for amount in amounts):
        raise DataError(f"a result does not say on how many {against} it was trained; run it again")
    return [float(amount or 0) for amount in amounts]


def _amount(setting: Setting, against: str) -> float | None:
    return setting.n_stories if against == "stories" else setting.hours


def _n_parameters(setting: Setting) -> float | None:
    return setting.n_parameters
