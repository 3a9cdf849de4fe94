"""``zoo scaling``: performance against model size, training data, both, and depth."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

from voxelzoo.api import DataError, UsageError
from voxelzoo.host.zoo import Zoo, open_zoo
from voxelzoo.reports.control_table import by_kind, by_model, control_slopes, find_controls
from voxelzoo.reports.controls import is_reduced
from voxelzoo.reports.curves import (
    Cell,
    Chosen,
    Setting,
    cells,
    check_comparable,
    choose_layers,
    choose_one_layer,
    every_layer,
    select,
)
from voxelzoo.reports.laws import GridLaw, ScalingLaw, fit_grid, fit_law
from voxelzoo.reports.layers import LayerCurves, best_rows, layer_rows
from voxelzoo.reports.options import ScalingOptions
from voxelzoo.store.results import Result
from voxelzoo.store.store import Store, open_store
from voxelzoo.text import listed

Kind = Literal["size", "data", "grid", "layers"]


@overload
def scaling(
    store: Store | str | Path,
    kind: Literal["size", "data"] = "size",
    options: ScalingOptions | None = None,
    *,
    zoo: Zoo | None = None,
    notify: Callable[[str], None] = warnings.warn,
    **changes: Any,
) -> ScalingLaw: ...


@overload
def scaling(
    store: Store | str | Path,
    kind: Literal["grid"],
    options: ScalingOptions | None = None,
    *,
    zoo: Zoo | None = None,
    notify: Callable[[str], None] = warnings.warn,
    **changes: Any,
) -> GridLaw: ...


@overload
def scaling(
    store: Store | str | Path,
    kind: Literal["layers"],
    options: ScalingOptions | None = None,
    *,
    zoo: Zoo | None = None,
    notify: Callable[[str], None] = warnings.warn,
    **changes: Any,
) -> LayerCurves: ...


def scaling(
    store: Store | str | Path,
    kind: Kind = "size",
    options: ScalingOptions | None = None,
    *,
    zoo: Zoo | None = None,
    notify: Callable[[str], None] = warnings.warn,
    **changes: Any,
) -> ScalingLaw | GridLaw | LayerCurves:
    """Fit a scaling law to the results in a store.

    Performance is the mean score over voxels that are defined at every point, then over subjects.
    Slopes are per decade (a factor of ten). Intervals resample held-out stories, voxels, subjects
    and training subsets.

    Parameters
    ----------
    store : Store, str or Path
        A store, or its folder.
    kind : {"size", "data", "grid", "layers"}, default "size"
        Performance against: ``size``, ``log10`` of parameters within a family, trained on all
        stories; ``data``, ``log10`` of the amount of training data of one model; ``grid``, both
        together; ``layers``, the depth of each model.
    options : ScalingOptions, optional
        Which results, layers and scores.
    zoo : Zoo, optional
        Installed models, which tell which results are controls; opened if not given.
    notify : callable
        Called with a line on results that another version of voxelzoo wrote.
    **changes
        Fields of ``options`` by name.

    Returns
    -------
    ScalingLaw
        For ``size`` and ``data``.
    GridLaw
        For ``grid``.
    LayerCurves
        For ``layers``.

    Raises
    ------
    NotFoundError
        If no result matches.
    UsageError
        If results are not points of one curve; the message says how to choose.
    DataError
        If there are too few points.

    Examples
    --------
    ::

        law = scaling("zoo-store", "size", family="opt")
        law.line.slope, law.intervals["all"].slope
        law.table("points")
        scaling("zoo-store", "layers", models=["opt-125m"]).table("best")
    """
    options = replace(options or ScalingOptions(), **changes)
    opened = store if isinstance(store, Store) else open_store(store)
    fits: Mapping[str, Callable[..., ScalingLaw | GridLaw | LayerCurves]]
    fits = {"size": _size, "data": _data, "grid": _grid, "layers": _layers}
    if kind not in fits:
        raise UsageError(f"kind {kind!r}: use {listed(fits, 'or')}")
    results = list(opened.results(notify=notify))
    selected = _select(results, options)
    return fits[kind](results, selected, options, zoo or open_zoo(None, None, False))


# -------------------------------------------------------------------------------- a curve of a kind


def _size(
    results: Sequence[Result], selected: Sequence[Result], options: ScalingOptions, zoo: Zoo
) -> ScalingLaw:
    grouped, notes = _on_all_stories(selected)
    _check_family(selected, options)
    _check_training(grouped)
    choose = partial(choose_layers, layer=options.layer, by=options.by)
    points = choose(_sized(grouped))
    sizes = [float(point.setting.n_parameters or 0) for point in points]
    metric, draws = options.metric, (options.n_draws, options.seed)
    law = fit_law(points, sizes, "parameters", metric, *draws)
    table = find_controls(
        results, points, choose, zoo, unit="parameters", metric=metric, size_of=_n_parameters
    )
    slopes = control_slopes(by_kind(table.controls), _n_parameters, metric, *draws)
    return replace(law, controls=replace(table, slopes=slopes), notes=notes)


def _data(
    results: Sequence[Result], selected: Sequence[Result], options: ScalingOptions, zoo: Zoo
) -> ScalingLaw:
    if len(options.models) != 1:
        raise UsageError("a curve of training data is of one model: choose it with --model")
    grouped, notes = cells(selected)
    choose = partial(choose_one_layer, layer=options.layer, by=options.by)
    points, unit, amount = choose(grouped), options.against, _amount_of(options)
    metric, draws = options.metric, (options.n_draws, options.seed)
    law = fit_law(points, _amounts(points, options), unit, metric, *draws)
    table = find_controls(results, points, choose, zoo, unit=unit, metric=metric, size_of=amount)
    slopes = control_slopes(by_model(table.controls), amount, metric, *draws)
    return replace(law, with_amounts=True, controls=replace(table, slopes=slopes), notes=notes)


def _grid(
    results: Sequence[Result], selected: Sequence[Result], options: ScalingOptions, zoo: Zoo
) -> GridLaw:
    _check_family(selected, options)
    grouped, notes = cells(selected)
    choose = partial(choose_one_layer, layer=options.layer, by=options.by)
    points: list[Chosen] = []
    for name in dict.fromkeys(cell.setting.model for cell in grouped):
        points += choose([cell for cell in grouped if cell.setting.model == name])
    points = [point for point in points if point.setting.n_parameters]
    if not points:
        raise DataError(NO_SIZES)
    unit, amount = options.against, _amount_of(options)
    metric, draws = options.metric, (options.n_draws, options.seed)
    law = fit_grid(points, _amounts(points, options), unit, metric, *draws)
    table = find_controls(results, points, choose, zoo, unit=unit, metric=metric, size_of=amount)
    slopes = control_slopes(by_model(table.controls), amount, metric, *draws)
    return replace(law, controls=replace(table, slopes=slopes), notes=notes)


def _layers(
    results: Sequence[Result], selected: Sequence[Result], options: ScalingOptions, zoo: Zoo
) -> LayerCurves:
    grouped, notes = _on_all_stories(selected)
    points = every_layer(grouped)
    size_of = partial(_amount, against="stories")
    table = find_controls(
        results, points, every_layer, zoo, unit="stories", metric="r", size_of=size_of
    )
    return LayerCurves(
        layers=[row for cell in grouped for row in layer_rows(cell)],
        best=[row for cell in grouped if len(cell.layers) > 1 for row in best_rows(cell)],
        controls=table,
        notes=notes,
    )


# ---------------------------------------------------------------------------------- choosing points

NO_SIZES = "the number of parameters of these models is not known"


def _select(results: Sequence[Result], options: ScalingOptions) -> list[Result]:
    """Results that match, of trained models and of all their features.

    Untrained models, and models with fewer features (width controls), are used if they are asked
    for or if there is nothing else.
    """
    selected = select(
        results,
        family=options.family,
        models=options.models,
        dataset=options.dataset,
        subjects=options.subjects,
        protocol=options.protocol,
        untrained=True if options.untrained else None,
    )
    if not options.untrained:
        selected = [each for each in selected if not each.record.untrained] or selected
    selected = [each for each in selected if not is_reduced(each.record)] or selected
    check_comparable(selected)
    return selected


def _on_all_stories(selected: Sequence[Result]) -> tuple[list[Cell], list[str]]:
    whole = [result for result in selected if result.record.subset_seed is None]
    if not whole:
        raise DataError("all these results are of training subsets; use zoo scaling data")
    return cells(whole)


def _sized(grouped: Sequence[Cell]) -> list[Cell]:
    sized = [cell for cell in grouped if cell.setting.n_parameters]
    if not sized:
        raise DataError(NO_SIZES)
    return sized


def _check_family(selected: Sequence[Result], options: ScalingOptions) -> None:
    families = sorted({result.record.family for result in selected})
    if len(families) > 1 and not options.family and not options.models:
        raise UsageError(
            f"the store has several families ({', '.join(families)}): choose one with --family"
        )


def _check_training(grouped: Sequence[Cell]) -> None:
    amounts = sorted({str(cell.setting.n_stories) for cell in grouped})
    if len(amounts) > 1:
        raise UsageError(
            f"these results were trained on {listed(amounts)} stories, so they are not one curve "
            "of size; use zoo scaling grid"
        )


def _amounts(points: Sequence[Chosen], options: ScalingOptions) -> list[float]:
    amounts = [_amount(point.setting, options.against) for point in points]
    if not all(amounts):
        raise DataError(f"a result has no record of its training {options.against}; run it again")
    return [float(amount or 0) for amount in amounts]


def _amount_of(options: ScalingOptions) -> Callable[[Setting], float | None]:
    return partial(_amount, against=options.against)


def _amount(setting: Setting, against: str) -> float | None:
    return setting.n_stories if against == "stories" else setting.hours


def _n_parameters(setting: Setting) -> float | None:
    return setting.n_parameters
