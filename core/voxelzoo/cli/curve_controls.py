"""Controls beside the curves of ``zoo scaling``, as records and as tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from voxelzoo.cli.output import print_table
from voxelzoo.text import number

if TYPE_CHECKING:
    from voxelzoo.host.zoo import Zoo
    from voxelzoo.reports.controls import Control
    from voxelzoo.reports.curves import Chosen, Setting

SizeOf = Callable[["Setting"], float | None]


def control_records(
    found: Sequence[Control],
    points: Sequence[Chosen],
    unit: str,
    metric: str,
    size_of: SizeOf,
    zoo: Zoo,
) -> dict[str, Any]:
    """``controls``, a row a point, and ``absent_controls`` with the commands that make them."""
    from voxelzoo.reports.controls import absent_controls
    from voxelzoo.reports.curves import mean_score

    rows = [
        {
            "control": control.name,
            unit: number(size_of(point.setting)),
            "subset_seed": point.setting.subset_seed,
            "projection_seed": control.seed,
            "layer": point.layer,
            "layer_chosen_by": point.by,
            "n_subjects": len(point.results),
            metric: number(mean_score(point.results, f"mean_{metric}")),
        }
        for control in found
        for point in control.points
    ]
    absent = [
        {
            "control": each.kind,
            "command": each.commands[0],
            "more_commands": list(each.commands[1:]),
        }
        for each in absent_controls(points, found, zoo)
    ]
    return {"controls": rows, "absent_controls": absent}


def control_slopes(
    series: Mapping[str, Sequence[Chosen]], metric: str, size_of: SizeOf, draws: int, seed: int
) -> list[dict[str, Any]]:
    """The slope of every control that has two sizes or more, as the curve's is fitted."""
    rows = []
    for name, points in series.items():
        sized = [(point, size) for point in points if (size := size_of(point.setting))]
        if len({size for _, size in sized}) > 1:
            some, sizes = zip(*sized, strict=True)
            rows.append({"control": name, **slope_record(some, sizes, metric, draws, seed)})
    return rows


def slope_record(
    points: Sequence[Chosen], sizes: Sequence[float], metric: str, draws: int, seed: int
) -> dict[str, Any]:
    """Slope per decade, absolute and in percent, and its interval from every source of chance;
    ``None`` of one size."""
    import numpy as np

    from voxelzoo.reports.curves import make_curve
    from voxelzoo.science.scaling import fit_line, slope_intervals

    none: dict[str, Any] = dict.fromkeys(["slope", "low", "high", "percent", "r"])
    if len(set(sizes)) < 2:
        return {"n_points": len(points), **none}
    curve = make_curve(points, [float(np.log10(size)) for size in sizes], metric)  # type: ignore[arg-type]
    line = fit_line(curve.measured.x, curve.measured.performance)
    interval = slope_intervals(curve.measured, draws, seed=seed)["all"]
    low, high = (None, None) if interval is None else interval.slope
    found = {"slope": line.slope, "low": low, "high": high, "percent": line.percent, "r": line.r}
    return {"n_points": len(points), **{name: number(value) for name, value in found.items()}}


def by_kind(found: Sequence[Control]) -> dict[str, Sequence[Chosen]]:
    """A curve of size for each kind of control: the points of all its models."""
    series: dict[str, list[Chosen]] = {}
    for control in found:
        series.setdefault(control.kind, []).extend(control.points)
    return dict(series)


def by_model(found: Sequence[Control]) -> dict[str, Sequence[Chosen]]:
    """A curve of data for each control of each model; seeds of a projection are one curve."""
    series: dict[str, list[Chosen]] = {}
    for control in found:
        series.setdefault(control.name, []).extend(control.points)
    return dict(series)


def print_controls(records: Mapping[str, Any], hidden: Sequence[str] = ()) -> None:
    """Tables of what there is, without the ``hidden`` columns; a line on stderr for what is not."""
    if rows := records["controls"]:
        there = [c for c in rows[0] if any(row[c] is not None for row in rows)]
        columns = [column for column in there if column not in hidden]
        print_table(rows, columns, title="controls")
    if slopes := records.get("control_slopes"):
        print_table(slopes, list(slopes[0]), title="controls: slopes, with 95 % intervals of all")
    for absent in records["absent_controls"]:
        n = len(absent["more_commands"])
        more = f" (and {n} more training sets: --json)" if n else ""
        print(f"zoo: no control {absent['control']!r}: {absent['command']}{more}", file=sys.stderr)
