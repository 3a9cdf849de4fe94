"""``zoo scaling``: performance against model size, training data, both, and depth."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxelzoo.api import DataError, UsageError
from voxelzoo.cli.curve_controls import (
    by_kind,
    by_model,
    control_records,
    control_slopes,
    print_controls,
)
from voxelzoo.cli.output import human_count, number, print_json, print_table
from voxelzoo.cli.results import StoreOption, open_store
from voxelzoo.cli.session import JsonOption

if TYPE_CHECKING:
    from voxelzoo.curves import Cell, Chosen, Curve, Setting
    from voxelzoo.store import Artefact

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
    from voxelzoo.controls import controls

    _check_options(by, metric, draws, out)
    every = list(open_store(store).all("results"))
    chosen = _select(every, family, model, dataset, subject, protocol, untrained)
    found, notes = _cells([a for a in chosen if a.summary.get("subset_seed") is None])
    _one_family(chosen, family, model)
    _same_training(found)
    points = _choose([cell for cell in found if cell.setting.n_parameters], layer, by)
    sizes = [float(point.setting.n_parameters or 0) for point in points]
    law = _law(points, sizes, "parameters", metric, draws, seed, out)
    beside = controls(every, points, partial(_choose, layer=layer, by=by))
    law |= control_records(beside, points, "parameters", metric, _n_parameters)
    law["control_slopes"] = control_slopes(by_kind(beside), metric, _n_parameters, draws, seed)
    _say(notes)
    _finish(law, as_json)


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
    from voxelzoo.controls import controls

    _check_options(by, metric, draws, out)
    every = list(open_store(store).all("results"))
    chosen = _select(every, None, [model], dataset, subject, protocol, untrained)
    found, notes = _cells(chosen)
    points = _choose_one_layer(found, layer, by)
    law = _law(points, _amounts(points, against), against, metric, draws, seed, out)
    law["amounts"] = _by_amount(law["points"], against, metric)
    beside = controls(every, points, partial(_choose_one_layer, layer=layer, by=by))
    law |= control_records(beside, points, against, metric, partial(_amount, against=against))
    law["control_slopes"] = control_slopes(
        by_model(beside), metric, partial(_amount, against=against), draws, seed
    )
    _say(notes)
    _finish(law, as_json)


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
    import numpy as np

    from voxelzoo.controls import controls
    from voxelzoo.curves import make_curve
    from voxelzoo.scaling import fit_interaction, interaction_intervals

    _check_options(by, metric, draws, None)
    every = list(open_store(store).all("results"))
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
    amounts = np.log10(_amounts(points, against))
    by_point = {id(p): a for p, a in zip(points, amounts, strict=True)}
    curve = make_curve(points, list(amounts), metric)  # type: ignore[arg-type]
    y = curve.measured.performance
    sizes = np.log10([float(point.setting.n_parameters or 1) for point in curve.points])
    data_x = np.array([by_point[id(point)] for point in curve.points])
    joint = fit_interaction(sizes, data_x, y)
    intervals = interaction_intervals(curve.measured, sizes, data_x, draws, seed=seed)
    of_joint = intervals["all"] or {}
    gains = [
        {
            "gain": name,
            "per_decade": number(getattr(joint, name)),
            "low": number(of_joint[name][0]) if name in of_joint else None,
            "high": number(of_joint[name][1]) if name in of_joint else None,
        }
        for name in ("size", "data", "interaction")
    ]
    amount = partial(_amount, against=against)
    names = sorted({p.setting.model for p in curve.points}, key=lambda n: _n(curve, n))
    own_points = {n: [p for p in curve.points if p.setting.model == n] for n in names}
    slopes = {
        row["control"]: row for row in control_slopes(own_points, metric, amount, draws, seed)
    }
    rows = []
    for name in names:
        row = slopes.get(name, {})
        rows.append(
            {
                "model": name,
                "n_parameters": _n(curve, name),
                "n_points": len(own_points[name]),
                **{
                    to: row.get(of)
                    for of, to in (
                        ("per_decade", "slope"),
                        ("low", "low"),
                        ("high", "high"),
                        ("percent_per_decade", "percent"),
                        ("r", "r"),
                    )
                },
            }
        )
    beside = controls(every, points, partial(_choose_one_layer, layer=layer, by=by))
    records = control_records(beside, points, against, metric, amount)
    records["control_slopes"] = control_slopes(by_model(beside), metric, amount, draws, seed)
    _say(notes)
    if as_json:
        print_json(
            against=against,
            models=rows,
            interaction={
                "size": number(joint.size),
                "data": number(joint.data),
                "interaction": number(joint.interaction),
                "r": number(joint.r),
                "intervals": {
                    source: found
                    and {name: [number(v) for v in span] for name, span in found.items()}
                    for source, found in intervals.items()
                },
            },
            **records,
        )
        return
    print_table(rows, list(rows[0]), title=f"gain per decade of training {against}")
    title = f"per decade of size, of data, and of both; r of the fit {joint.r:.3f}"
    print_table(gains, list(gains[0]), title=title)
    print_controls(records)


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
    from voxelzoo.controls import controls

    every = list(open_store(store).all("results"))
    chosen = _select(every, family, model, dataset, subject, protocol, untrained)
    found, notes = _cells([a for a in chosen if a.summary.get("subset_seed") is None])
    rows = [row for cell in found for row in _layer_rows(cell)]
    points = _every_layer(found)
    beside = controls(every, points, _every_layer)
    records = control_records(beside, points, "stories", "r", partial(_amount, against="stories"))
    _say(notes)
    best = [row for cell in found if len(cell.layers) > 1 for row in _best_rows(cell)]
    if as_json:
        print_json(layers=rows, best=best, **records)
        return
    print_table(rows, list(rows[0]))
    if best:
        shown = [row | {"may_be_best": _listed(row["may_be_best"])} for row in best]
        print_table(shown, list(shown[0]), title="best layer of each region")
    print_controls(records, hidden=("stories", "layer_chosen_by"))


# ------------------------------------------------------------------------------- choosing points


def _check_options(by: str, metric: str, draws: int, out: Path | None) -> None:
    if by not in ("auto", "cv_r", "r") or metric not in ("r", "signed_r2"):
        raise UsageError("--by is auto, cv_r or r; --metric is r or signed_r2")
    if draws < 1:
        raise UsageError("--draws: 1 or more")
    if out is not None and (out.suffix != ".npz" or not out.absolute().parent.is_dir()):
        raise UsageError(f"{out}: --out is a .npz in a folder that exists")


def _select(
    every: Sequence[Artefact],
    family: str | None,
    models: Sequence[str] | None,
    dataset: str | None,
    subjects: Sequence[str] | None,
    protocol: str | None,
    untrained: bool,
) -> list[Artefact]:
    """Results that fit: of trained models unless only untrained ones are there, or are asked for;
    of all their features unless only width controls are there."""
    from voxelzoo.controls import is_reduced
    from voxelzoo.curves import check_comparable, select

    found = select(
        every,
        family=family,
        models=models or (),
        dataset=dataset,
        subjects=subjects or (),
        protocol=protocol,
        untrained=True if untrained else None,
    )
    trained = [artefact for artefact in found if not artefact.summary["untrained"]]
    found = found if untrained else trained or found
    found = [artefact for artefact in found if not is_reduced(artefact.summary)] or found
    check_comparable(found)
    return found


def _one_family(
    chosen: Sequence[Artefact], family: str | None, models: Sequence[str] | None
) -> None:
    families = sorted({artefact.summary["family"] for artefact in chosen})
    if len(families) > 1 and not family and not models:
        raise UsageError(f"the store has several families ({', '.join(families)}): say --family")


def _cells(artefacts: Sequence[Artefact]) -> tuple[list[Cell], list[str]]:
    from voxelzoo.curves import cells

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
    from voxelzoo.curves import Chosen

    return [
        Chosen(cell.setting, layer, "each", results)
        for cell in found
        for layer, results in cell.layers.items()
    ]


def _choose(found: Sequence[Cell], layer: int | None, by: str) -> list[Chosen]:
    from voxelzoo.curves import choose_layer

    if not found:
        raise DataError("none of these models says how many parameters it has")
    return [choose_layer(cell, layer, by) for cell in found]  # type: ignore[arg-type]


def _one_layer(found: Sequence[Cell], layer: int | None, by: str) -> int | None:
    """A curve over data keeps to one layer: the one chosen with the most data."""
    from voxelzoo.curves import choose_layer

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


def _by_amount(points: Sequence[Mapping[str, Any]], unit: str, metric: str) -> list[dict[str, Any]]:
    """A row an amount of data: its training subsets' mean, and their standard deviation."""
    import numpy as np

    found: dict[float, list[float]] = {}
    for point in points:
        found.setdefault(point[unit], []).append(point[metric])
    return [
        {
            unit: amount,
            "n_subsets": len(values),
            metric: number(np.mean(values)),
            "sd": number(np.std(values, ddof=1)) if len(values) > 1 else None,
        }
        for amount, values in sorted(found.items())
    ]


def _n(curve: Curve, model: str) -> int:
    return next(p.setting.n_parameters or 0 for p in curve.points if p.setting.model == model)


# ------------------------------------------------------------------------------------ what is said


def _law(
    points: Sequence[Chosen],
    sizes: Sequence[float],
    unit: str,
    metric: str,
    draws: int,
    seed: int,
    out: Path | None,
) -> dict[str, Any]:
    """Everything that is said of one curve, as JSON values."""
    import numpy as np

    from voxelzoo.curves import make_curve
    from voxelzoo.scaling import (
        by_size,
        compare_forms,
        fit_line,
        gain_per_doubling,
        slope_intervals,
    )

    if len(set(sizes)) < 2:
        raise DataError(
            f"a scaling law needs two sizes or more, and there is one ({sizes[0]:g} {unit})"
        )
    curve = make_curve(points, [float(np.log10(s)) for s in sizes], metric)  # type: ignore[arg-type]
    x, y = curve.measured.x, curve.measured.performance
    smallest = float(y[x == x.min()].mean())
    line = fit_line(x, y)
    intervals = slope_intervals(curve.measured, draws, seed=seed)
    forms = compare_forms(*by_size(x, y))
    gains = [gain_per_doubling(x, r) for r in curve.measured.r]
    if out is not None:
        maps: dict[str, Any] = {
            name: curve.whole(i, gains[i]) for i, name in enumerate(curve.subjects)
        }
        np.savez(out, **maps)
    regions = []
    for name, masks in curve.regions.items():
        own = fit_line(x, curve.of_region(name))
        chosen = np.concatenate([g[mask] for g, mask in zip(gains, masks, strict=True)])
        regions.append(
            {
                "region": name,
                "n_voxels": len(chosen),
                "slope": number(own.slope),
                "percent": number(own.percent),
                "r": number(own.r),
                "gain_per_doubling": number(chosen.mean()),
                "share_gaining": number((chosen > 0).mean()),
            }
        )
    undefined = [n - len(v) for n, v in zip(curve.n_voxels, curve.voxels, strict=True)]
    return {
        "unit": unit,
        "metric": metric,
        "subjects": list(curve.subjects),
        "n_undefined_voxels": undefined,
        "points": [
            {
                "model": point.setting.model,
                unit: number(10**size),
                "subset_seed": point.setting.subset_seed,
                "layer": point.layer,
                "layer_chosen_by": point.by,
                metric: number(value),
                "percent_over_smallest": number(100 * (value / smallest - 1))
                if smallest > 0
                else None,
            }
            for point, size, value in zip(curve.points, x, y, strict=True)
        ],
        "slope": {
            "per_decade": number(line.slope),
            "percent_per_decade": number(line.percent),
            "r": number(line.r),
            "intervals": {
                source: None
                if found is None
                else {
                    "per_decade": [number(v) for v in found.slope],
                    "percent_per_decade": [number(v) for v in found.percent],
                }
                for source, found in intervals.items()
            },
        },
        "forms": [
            {
                "form": name,
                "slope_per_decade": number(fit.scale) if name != "saturating" else None,
                "plateau_at": number(10**fit.shape) if name == "plateau" else None,
                "exponent": number(fit.shape) if name == "saturating" else None,
                "rmse": number(fit.rmse),
                "out_of_sample": number(fit.out_of_sample),
                "extrapolation": number(fit.extrapolation),
            }
            for name, fit in forms.items()
        ],
        "regions": regions,
    }


def _layer_rows(cell: Cell) -> list[dict[str, Any]]:
    import numpy as np

    from voxelzoo.curves import mean_score

    n_layers = max(cell.layers)
    r = {layer: mean_score(results) for layer, results in cell.layers.items()}
    inner = {layer: mean_score(results, "mean_cv_r") for layer, results in cell.layers.items()}
    rows = []
    for layer, results in cell.layers.items():
        own = np.array([a.summary["mean_r"] for a in results.values()], dtype=float)
        several = len(own) > 1
        rows.append(
            {
                "model": cell.setting.model,
                "layer": layer,
                "depth": number(layer / n_layers) if n_layers else 0.0,
                "n_subjects": len(own),
                "mean_r": number(r[layer]),
                "se": number(own.std(ddof=1) / np.sqrt(len(own))) if several else None,
                "mean_cv_r": number(inner[layer]),
                "best_r": layer == _best(r),
                "best_cv_r": layer == _best(inner),
            }
        )
    return rows


def _best_rows(cell: Cell) -> list[dict[str, Any]]:
    """The best layer of each region, and those that may be it where predictions were kept."""
    from voxelzoo.curves import best_layers
    from voxelzoo.held_out import read_held_out
    from voxelzoo.layers import layer_sets
    from voxelzoo.pipeline import kept_with

    results = [each for of_layer in cell.layers.values() for each in of_layer.values()]
    sets = {}
    if all("predictions" in kept_with(each) for each in results):
        sets = layer_sets(
            {n: [read_held_out(each) for each in of.values()] for n, of in cell.layers.items()}
        )
    return [
        _numbers(row) | {"may_be_best": list(sets[region].layers) if region in sets else None}
        for row in best_layers(cell)
        for region in [row["region"]]
    ]


def _listed(layers: Sequence[int] | None) -> str:
    return "-" if layers is None else ", ".join(map(str, layers))


def _best(scores: Mapping[int, float]) -> int | None:
    """The layer with the highest score; one without a score is none."""
    import numpy as np

    defined = {layer: score for layer, score in scores.items() if np.isfinite(score)}
    return max(defined, key=lambda layer: defined[layer]) if defined else None


def _say(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"zoo: {note}", file=sys.stderr)


def _finish(law: Mapping[str, Any], as_json: bool) -> None:
    """The curve, its slope with intervals, forms, regions and controls."""
    if as_json:
        print_json(**law)
        return
    unit, metric = law["unit"], law["metric"]
    columns: tuple[str, ...] = (
        "model",
        unit,
        "subset_seed",
        "layer",
        metric,
        "percent_over_smallest",
    )
    chosen = sorted({point["layer_chosen_by"] for point in law["points"]})
    subjects = len(law["subjects"])
    title = (
        f"{metric} against log10 {unit}: mean over voxels, then {subjects} subject"
        f"{'s' if subjects > 1 else ''}; layer: {', '.join(chosen)}"
    )
    points = law["points"]
    if all(point["subset_seed"] is None for point in points):
        columns = tuple(column for column in columns if column != "subset_seed")
    print_table([_readable(point, unit) for point in points], columns, title=title)
    slope = law["slope"]
    rows = []
    for source, interval in slope["intervals"].items():
        spans = [None, None] if interval is None else list(interval.values())
        rows.append(
            {
                "drawn": source,
                "per decade": _span(spans[0], 4),
                "percent per decade": _span(spans[1], 1),
            }
        )
    said = f"{slope['per_decade']:+.4f} {metric} per decade"
    if slope["percent_per_decade"] is not None:
        said += f", {slope['percent_per_decade']:+.1f} %"
    if slope["r"] is not None:
        said += f"; r of the fit {slope['r']:.3f}"
    print(said)
    print_table(rows, list(rows[0]), title="95 % intervals")
    titles = {"amounts": f"by amount of {unit}", "forms": "forms", "regions": "regions"}
    for name, title in titles.items():
        if law.get(name):
            rows = [_readable(row, "plateau_at") for row in law[name]]
            print_table(rows, list(rows[0]), title=title)
    print_controls(law)


def _readable(row: Mapping[str, Any], size: str) -> dict[str, Any]:
    """On a terminal, a row with its size as people say it: 125M."""
    value = row.get(size)
    if not sys.stdout.isatty() or value is None or value < 1000:
        return dict(row)
    return {**row, size: human_count(round(value))}


def _span(interval: Sequence[float | None] | None, digits: int) -> str:
    if interval is None or None in interval:
        return "-"
    low, high = interval
    return f"{low:+.{digits}f} to {high:+.{digits}f}"


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {n: number(value) if isinstance(value, float) else value for n, value in row.items()}
