"""Controls beside a curve as rows: their scores, their slopes, and those that are missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voxelzoo.host.zoo import Zoo
from voxelzoo.reports.controls import Absent, Control, absent_controls, controls
from voxelzoo.reports.curves import Cell, Chosen, Setting, mean_score
from voxelzoo.reports.options import Metric
from voxelzoo.reports.report import Row
from voxelzoo.reports.slopes import Slope, fit_slope
from voxelzoo.store.results import Result
from voxelzoo.text import number

SizeOf = Callable[[Setting], float | None]
"""The size of a point: parameters, stories or hours."""


@dataclass(frozen=True)
class ControlTable:
    """What controls give at the points of a curve."""

    unit: str
    metric: Metric
    size_of: SizeOf
    controls: Sequence[Control]
    absent: Sequence[Absent]
    """Controls that are missing at some points, with the commands that create them."""
    slopes: Mapping[str, Slope] | None = None
    """The slope of every control with two sizes or more; ``None`` for curves over layers."""

    def record(self) -> dict[str, Any]:
        """``controls``, ``absent_controls`` and ``control_slopes`` as JSON values."""
        absent: list[Row] = [
            {
                "control": each.kind,
                "command": each.commands[0],
                "more_commands": list(each.commands[1:]),
            }
            for each in self.absent
        ]
        record: dict[str, Any] = {"controls": self._rows(), "absent_controls": absent}
        if self.slopes is not None:
            record["control_slopes"] = [
                {"control": name, **slope.record()} for name, slope in self.slopes.items()
            ]
        return record

    def _rows(self) -> list[Row]:
        return [
            {
                "control": control.name,
                self.unit: number(self.size_of(point.setting)),
                "subset_seed": point.setting.subset_seed,
                "projection_seed": control.seed,
                "layer": point.layer,
                "layer_chosen_by": point.by,
                "n_subjects": len(point.results),
                self.metric: number(mean_score(point.results, f"mean_{self.metric}")),
            }
            for control in self.controls
            for point in control.points
        ]


def find_controls(
    results: Sequence[Result],
    points: Sequence[Chosen],
    choose: Callable[[Sequence[Cell]], Sequence[Chosen]],
    zoo: Zoo,
    *,
    unit: str,
    metric: Metric,
    size_of: SizeOf,
) -> ControlTable:
    """The controls of a curve that the store has, and those that it has not.

    Parameters
    ----------
    results : sequence of Result
        All results of the store, oldest first.
    points : sequence of Chosen
        Points of the curve.
    choose : callable
        Chooses the layers of controls, as those of the curve were chosen.
    zoo : Zoo
        Its catalogue tells which models are baselines.
    unit : str
        Name of the size: ``parameters``, ``stories`` or ``hours``.
    metric : {"r", "signed_r2"}
        Score of a control.
    size_of : callable
        Size of a point.
    """
    there = controls(results, points, choose, zoo)
    return ControlTable(unit, metric, size_of, there, absent_controls(points, there, zoo))


def control_slopes(
    series: Mapping[str, Sequence[Chosen]],
    size_of: SizeOf,
    metric: Metric,
    n_draws: int,
    seed: int,
) -> dict[str, Slope]:
    """The slope of every series with two sizes or more, fitted as the curve's is.

    Parameters
    ----------
    series : mapping of str to sequence of Chosen
        Points of controls, from :func:`by_kind` or :func:`by_model`.
    size_of : callable
        Size of a point; points without one are not used.
    metric, n_draws, seed
        As for the curve.
    """
    slopes = {}
    for name, points in series.items():
        sized = [(point, size) for point in points if (size := size_of(point.setting))]
        if len({size for _, size in sized}) > 1:
            some, sizes = zip(*sized, strict=True)
            slopes[name] = fit_slope(some, sizes, metric, n_draws, seed)
    return slopes


def by_kind(controls: Sequence[Control]) -> dict[str, Sequence[Chosen]]:
    """A curve of size for each kind of control: the points of all its models."""
    series: dict[str, list[Chosen]] = {}
    for control in controls:
        series.setdefault(control.kind, []).extend(control.points)
    return dict(series)


def by_model(controls: Sequence[Control]) -> dict[str, Sequence[Chosen]]:
    """A curve of data for each control of each model; seeds of a projection are one curve."""
    series: dict[str, list[Chosen]] = {}
    for control in controls:
        series.setdefault(control.name, []).extend(control.points)
    return dict(series)
