"""Controls beside the curves of ``zoo scaling``, as records and as tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from voxelzoo.cli.output import number, print_table

if TYPE_CHECKING:
    from voxelzoo.controls import Control
    from voxelzoo.curves import Chosen, Setting

SizeOf = Callable[["Setting"], float | None]


def control_records(
    found: Sequence[Control], points: Sequence[Chosen], unit: str, metric: str, size_of: SizeOf
) -> dict[str, Any]:
    """``controls``, a row a point, and ``absent_controls`` with the commands that make them."""
    from voxelzoo.controls import absent_controls
    from voxelzoo.curves import mean_score

    rows = [
        {
            "control": control.name,
            unit: number(size_of(point.setting)),
            "subset_seed": point.setting.subset_seed,
            "layer": point.layer,
            "layer_chosen_by": point.by,
            "n_subjects": len(point.results),
            metric: number(mean_score(point.results, f"mean_{metric}")),
        }
        for control in found
        for point in control.points
    ]
    absent = [
        {"control": each.kind, "command": each.command} for each in absent_controls(points, found)
    ]
    return {"controls": rows, "absent_controls": absent}


def control_slopes(
    series: Mapping[str, Sequence[Chosen]], metric: str, size_of: SizeOf, draws: int, seed: int
) -> list[dict[str, Any]]:
    """The slope of every control that has two sizes or more, as the curve's is fitted."""
    import numpy as np

    from voxelzoo.curves import make_curve
    from voxelzoo.scaling import fit_line, slope_intervals

    rows = []
    for name, points in series.items():
        sized = [(p, size) for p in points if (size := size_of(p.setting))]
        if len({size for _, size in sized}) < 2:
            continue
        curve = make_curve(
            [point for point, _ in sized],
            [float(np.log10(size)) for _, size in sized],
            metric,  # type: ignore[arg-type]
        )
        line = fit_line(curve.measured.x, curve.measured.performance)
        interval = slope_intervals(curve.measured, draws, seed=seed)["all"]
        rows.append(
            {
                "control": name,
                "n_points": len(sized),
                "per_decade": number(line.slope),
                "low": None if interval is None else number(interval.slope[0]),
                "high": None if interval is None else number(interval.slope[1]),
                "percent_per_decade": number(line.percent),
                "r": number(line.r),
            }
        )
    return rows


def by_kind(found: Sequence[Control]) -> dict[str, Sequence[Chosen]]:
    """A curve of size for each kind of control: the points of all its models."""
    series: dict[str, list[Chosen]] = {}
    for control in found:
        series.setdefault(control.kind, []).extend(control.points)
    return dict(series)


def by_model(found: Sequence[Control]) -> dict[str, Sequence[Chosen]]:
    """A curve of data for each control of each model."""
    return {control.name: control.points for control in found}


def print_controls(records: Mapping[str, Any], hidden: Sequence[str] = ()) -> None:
    """Tables of what there is, without the ``hidden`` columns; a line on stderr for what is not."""
    if rows := records["controls"]:
        there = [c for c in rows[0] if any(row[c] is not None for row in rows)]
        columns = [column for column in there if column not in hidden]
        print_table(rows, columns, title="controls")
    if slopes := records.get("control_slopes"):
        print_table(slopes, list(slopes[0]), title="controls: slopes, with 95 % intervals of all")
    for absent in records["absent_controls"]:
        print(f"zoo: no control {absent['control']!r}: {absent['command']}", file=sys.stderr)
