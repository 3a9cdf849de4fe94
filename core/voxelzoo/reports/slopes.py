"""The slope of a curve: one row for each model or control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from voxelzoo.reports.curves import Chosen, make_curve
from voxelzoo.reports.options import Metric
from voxelzoo.reports.report import Row
from voxelzoo.science.scaling import ScalingLine, SlopeInterval, fit_line, slope_intervals
from voxelzoo.text import number


@dataclass(frozen=True)
class Slope:
    """The slope of a curve, with its interval from all sources of chance together."""

    n_points: int
    line: ScalingLine | None
    """``None`` if all points have one size."""
    interval: SlopeInterval | None
    """95 % interval; ``None`` if there is nothing to resample."""

    def record(self) -> Row:
        """As JSON values: ``slope``, ``low`` and ``high`` per decade, ``percent``, ``r``."""
        low, high = (None, None) if self.interval is None else self.interval.slope
        line = self.line
        return {
            "n_points": self.n_points,
            "slope": line and number(line.slope),
            "low": number(low),
            "high": number(high),
            "percent": line and number(line.percent),
            "r": line and number(line.r),
        }


def fit_slope(
    points: Sequence[Chosen], sizes: Sequence[float], metric: Metric, n_draws: int, seed: int
) -> Slope:
    """The slope of performance on ``log10`` of size.

    Parameters
    ----------
    points : sequence of Chosen
        Points of the curve.
    sizes : sequence of float
        Size of each point.
    metric, n_draws, seed
        As for :class:`~voxelzoo.reports.options.ScalingOptions`.
    """
    if len(set(sizes)) < 2:
        return Slope(len(points), None, None)
    measured = make_curve(points, log10_sizes(sizes), metric).measured
    line = fit_line(measured.x, measured.performance)
    return Slope(len(points), line, slope_intervals(measured, n_draws, seed=seed)["all"])


def log10_sizes(sizes: Sequence[float]) -> list[float]:
    """``log10`` of each size."""
    return [float(np.log10(size)) for size in sizes]
