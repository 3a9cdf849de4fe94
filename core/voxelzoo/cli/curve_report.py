"""What ``zoo scaling`` says of its curves: JSON values, and tables for people."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxelzoo.api import DataError
from voxelzoo.cli.curve_controls import print_controls, slope_record
from voxelzoo.cli.output import print_json, print_table
from voxelzoo.text import human_count, number

if TYPE_CHECKING:
    from voxelzoo.reports.curves import Cell, Chosen


def law_of(
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

    from voxelzoo.reports.curves import make_curve
    from voxelzoo.science.scaling import (
        by_size,
        fit_line,
        gain_per_doubling,
        slope_intervals,
    )
    from voxelzoo.science.scaling_forms import compare_forms

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


def by_amount(points: Sequence[Mapping[str, Any]], unit: str, metric: str) -> list[dict[str, Any]]:
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


def layer_rows(cell: Cell) -> list[dict[str, Any]]:
    """A row a layer of one model: its depth, and scores over subjects."""
    import numpy as np

    from voxelzoo.reports.curves import mean_score

    n_layers = max(cell.layers)
    r = {layer: mean_score(results) for layer, results in cell.layers.items()}
    inner = {layer: mean_score(results, "mean_cv_r") for layer, results in cell.layers.items()}
    rows = []
    for layer, results in cell.layers.items():
        own = np.array([a.record.scores.mean_r for a in results.values()], dtype=float)
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


def best_rows(cell: Cell) -> list[dict[str, Any]]:
    """The best layer of each region, and those that may be it where predictions were kept."""
    from voxelzoo.reports.curves import best_layers
    from voxelzoo.science.layers import layer_sets

    results = [each for of_layer in cell.layers.values() for each in of_layer.values()]
    sets = {}
    if all("predictions" in each.kept for each in results):
        sets = layer_sets(
            {n: [each.read_held_out() for each in of.values()] for n, of in cell.layers.items()}
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


def say(notes: Sequence[str]) -> None:
    """What was left out, on stderr."""
    for note in notes:
        print(f"zoo: {note}", file=sys.stderr)


def show_law(law: Mapping[str, Any], as_json: bool) -> None:
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


def grid_law(
    points: Sequence[Chosen],
    amounts: Sequence[float],
    unit: str,
    metric: str,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """Gains per decade of data of each model, and of size and data together, as JSON values."""
    import numpy as np

    from voxelzoo.reports.curves import make_curve
    from voxelzoo.science.scaling import fit_interaction, interaction_intervals

    at = {id(point): float(np.log10(n)) for point, n in zip(points, amounts, strict=True)}
    curve = make_curve(points, list(at.values()), metric)  # type: ignore[arg-type]
    sizes = np.log10([float(point.setting.n_parameters or 1) for point in curve.points])
    data = np.array([at[id(point)] for point in curve.points])
    joint = fit_interaction(sizes, data, curve.measured.performance)
    intervals = interaction_intervals(curve.measured, sizes, data, draws, seed=seed)
    rows = []
    for name in dict.fromkeys(p.setting.model for p in sorted(curve.points, key=_n_parameters)):
        own = [point for point in curve.points if point.setting.model == name]
        gain = slope_record(own, [10 ** at[id(point)] for point in own], metric, draws, seed)
        rows.append({"model": name, "n_parameters": int(_n_parameters(own[0])), **gain})
    return {
        "against": unit,
        "models": rows,
        "interaction": {
            **{name: number(getattr(joint, name)) for name in ("size", "data", "interaction", "r")},
            "intervals": {
                source: found and {name: [number(v) for v in span] for name, span in found.items()}
                for source, found in intervals.items()
            },
        },
    }


def _n_parameters(point: Chosen) -> float:
    return float(point.setting.n_parameters or 0)


def show_grid(law: Mapping[str, Any], as_json: bool) -> None:
    """The gains, and the controls beneath."""
    if as_json:
        print_json(**law)
        return
    title = f"gain per decade of training {law['against']}, with 95 % intervals of all"
    print_table(law["models"], list(law["models"][0]), title=title)
    joint = law["interaction"]
    spans = joint["intervals"]["all"] or {}
    rows = [
        {
            "gain": name,
            "per_decade": joint[name],
            "low": spans.get(name, [None, None])[0],
            "high": spans.get(name, [None, None])[1],
        }
        for name in ("size", "data", "interaction")
    ]
    title = f"per decade of size, of data, and of both; r of the fit {joint['r']:.3f}"
    print_table(rows, list(rows[0]), title=title)
    print_controls(law)


def show_layers(
    rows: Sequence[Mapping[str, Any]],
    best: Sequence[Mapping[str, Any]],
    records: Mapping[str, Any],
    as_json: bool,
) -> None:
    """The curve over layers, each region's best, and the controls beneath."""
    if as_json:
        print_json(layers=rows, best=best, **records)
        return
    print_table(rows, list(rows[0]))
    if best:
        shown = [{**row, "may_be_best": _listed(row["may_be_best"])} for row in best]
        print_table(shown, list(shown[0]), title="best layer of each region")
    print_controls(records, hidden=("stories", "layer_chosen_by"))
