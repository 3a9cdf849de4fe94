"""Scaling laws fitted to the points of a curve, as typed values and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from voxelzoo.api import DataError
from voxelzoo.reports.control_table import ControlTable
from voxelzoo.reports.curves import Chosen, Curve, make_curve
from voxelzoo.reports.options import Metric
from voxelzoo.reports.report import Report, Row
from voxelzoo.reports.slopes import Slope, fit_slope, log10_sizes
from voxelzoo.science.arrays import Floats
from voxelzoo.science.scaling import (
    Interaction,
    ScalingLine,
    SlopeInterval,
    Source,
    by_size,
    fit_interaction,
    fit_line,
    gain_per_doubling,
    interaction_intervals,
    slope_intervals,
)
from voxelzoo.science.scaling_forms import Form, FormFit, compare_forms
from voxelzoo.text import number


@dataclass(frozen=True)
class RegionLaw:
    """The scaling law of one region."""

    region: str
    n_voxels: int
    """Voxels of all subjects that are defined at every point."""
    line: ScalingLine
    gain_per_doubling: float
    """Mean over voxels of the gain for each doubling of size."""
    share_gaining: float
    """Share of voxels with a gain above zero."""

    def record(self) -> Row:
        """As JSON values."""
        return {
            "region": self.region,
            "n_voxels": self.n_voxels,
            "slope": number(self.line.slope),
            "percent": number(self.line.percent),
            "r": number(self.line.r),
            "gain_per_doubling": number(self.gain_per_doubling),
            "share_gaining": number(self.share_gaining),
        }


@dataclass(frozen=True)
class ScalingLaw(Report):
    """Performance against the logarithm of model size, or of the amount of training data.

    Performance is the mean over voxels, then over subjects.
    """

    unit: str
    """``parameters``, ``stories`` or ``hours``."""
    metric: Metric
    curve: Curve
    line: ScalingLine
    """Least-squares line in ``log10`` of size."""
    intervals: Mapping[Source, SlopeInterval | None]
    """95 % interval of the slope for each source of chance; ``None``: nothing to resample."""
    forms: Mapping[Form, FormFit]
    """Log-linear, plateau and saturating form, best first by out-of-sample error."""
    regions: Sequence[RegionLaw]
    gains: Mapping[str, Floats]
    """Gain per doubling of each voxel (voxel,), by subject; NaN where undefined."""
    with_amounts: bool = False
    """Whether there is a table of amounts of data, over training subsets."""
    controls: ControlTable | None = None
    notes: Sequence[str] = ()
    """What was skipped, in words."""

    @property
    def maps(self) -> Mapping[str, Floats]:
        """:attr:`gains`."""
        return self.gains

    def record(self) -> dict[str, Any]:
        """The law as JSON values."""
        points = self._points()
        record: dict[str, Any] = {
            "unit": self.unit,
            "metric": self.metric,
            "subjects": list(self.curve.subjects),
            "n_undefined_voxels": self.curve.n_undefined,
            "points": points,
            "slope": {
                "per_decade": number(self.line.slope),
                "percent_per_decade": number(self.line.percent),
                "r": number(self.line.r),
                "intervals": {
                    source: interval
                    and {
                        "per_decade": [number(end) for end in interval.slope],
                        "percent_per_decade": [number(end) for end in interval.percent],
                    }
                    for source, interval in self.intervals.items()
                },
            },
            "forms": [_form(name, fit) for name, fit in self.forms.items()],
            "regions": [region.record() for region in self.regions],
        }
        if self.with_amounts:
            record["amounts"] = _by_amount(points, self.unit, self.metric)
        return record | (self.controls.record() if self.controls else {})

    def _points(self) -> list[Row]:
        x, y = self.curve.measured.x, self.curve.measured.performance
        smallest = float(y[x == x.min()].mean())
        return [
            {
                "model": point.setting.model,
                self.unit: number(10**size),
                "subset_seed": point.setting.subset_seed,
                "layer": point.layer,
                "layer_chosen_by": point.by,
                self.metric: number(value),
                "percent_over_smallest": number(100 * (value / smallest - 1))
                if smallest > 0
                else None,
            }
            for point, size, value in zip(self.curve.points, x, y, strict=True)
        ]


def _form(name: Form, fit: FormFit) -> Row:
    return {
        "form": name,
        "slope_per_decade": number(fit.scale) if name != "saturating" else None,
        "plateau_at": number(10**fit.shape) if name == "plateau" else None,
        "exponent": number(fit.shape) if name == "saturating" else None,
        "rmse": number(fit.rmse),
        "out_of_sample": number(fit.out_of_sample),
        "extrapolation": number(fit.extrapolation),
    }


def _by_amount(points: Sequence[Row], unit: str, metric: Metric) -> list[Row]:
    """For each amount of data: the mean over training subsets, and their standard deviation."""
    by_amount: dict[float, list[float]] = {}
    for point in points:
        by_amount.setdefault(point[unit], []).append(point[metric])
    return [
        {
            unit: amount,
            "n_subsets": len(values),
            metric: number(np.mean(values)),
            "sd": number(np.std(values, ddof=1)) if len(values) > 1 else None,
        }
        for amount, values in sorted(by_amount.items())
    ]


def fit_law(
    points: Sequence[Chosen],
    sizes: Sequence[float],
    unit: str,
    metric: Metric,
    n_draws: int,
    seed: int,
) -> ScalingLaw:
    """Fit a scaling law to the points of a curve.

    Parameters
    ----------
    points : sequence of Chosen
        Points of the curve.
    sizes : sequence of float
        Size of each point, in ``unit``.
    unit : str
        ``parameters``, ``stories`` or ``hours``.
    metric, n_draws, seed
        As for :class:`~voxelzoo.reports.options.ScalingOptions`.

    Raises
    ------
    DataError
        If all points have one size.
    """
    if len(set(sizes)) < 2:
        raise DataError(
            f"a scaling law needs two sizes or more, and there is only one ({sizes[0]:g} {unit})"
        )
    curve = make_curve(points, log10_sizes(sizes), metric)
    x, y = curve.measured.x, curve.measured.performance
    gains = [gain_per_doubling(x, r) for r in curve.measured.r]
    return ScalingLaw(
        unit=unit,
        metric=metric,
        curve=curve,
        line=fit_line(x, y),
        intervals=slope_intervals(curve.measured, n_draws, seed=seed),
        forms=compare_forms(*by_size(x, y)),
        regions=[_region_law(curve, name, gains) for name in curve.regions],
        gains={name: curve.whole(i, gains[i]) for i, name in enumerate(curve.subjects)},
    )


def _region_law(curve: Curve, region: str, gains: Sequence[Floats]) -> RegionLaw:
    masks = curve.regions[region]
    own = np.concatenate([each[mask] for each, mask in zip(gains, masks, strict=True)])
    line = fit_line(curve.measured.x, curve.of_region(region))
    return RegionLaw(region, len(own), line, float(own.mean()), float((own > 0).mean()))


@dataclass(frozen=True)
class ModelGain:
    """The gain of one model from more training data."""

    model: str
    n_parameters: int
    slope: Slope
    """Per decade of data."""


@dataclass(frozen=True)
class GridLaw(Report):
    """How the gain from more training data changes with the size of the model."""

    unit: str
    """``stories`` or ``hours``."""
    models: Sequence[ModelGain]
    """In order of size."""
    interaction: Interaction
    """Gains per decade of size, of data, and of both."""
    intervals: Mapping[Source, Mapping[str, tuple[float, float]] | None]
    """95 % intervals of those gains for each source of chance; ``None``: nothing to resample."""
    controls: ControlTable | None = None
    notes: Sequence[str] = ()
    """What was skipped, in words."""

    def record(self) -> dict[str, Any]:
        """The law as JSON values."""
        names = ("size", "data", "interaction", "r")
        return {
            "against": self.unit,
            "models": [
                {"model": each.model, "n_parameters": each.n_parameters, **each.slope.record()}
                for each in self.models
            ],
            "interaction": {
                **{name: number(getattr(self.interaction, name)) for name in names},
                "intervals": {
                    source: gains
                    and {name: [number(end) for end in span] for name, span in gains.items()}
                    for source, gains in self.intervals.items()
                },
            },
            **(self.controls.record() if self.controls else {}),
        }


def fit_grid(
    points: Sequence[Chosen],
    amounts: Sequence[float],
    unit: str,
    metric: Metric,
    n_draws: int,
    seed: int,
) -> GridLaw:
    """Fit the gains from size, from data, and their interaction.

    Parameters
    ----------
    points : sequence of Chosen
        Models of several sizes, each trained on several amounts of data.
    amounts : sequence of float
        Amount of training data of each point, in ``unit``.
    unit : str
        ``stories`` or ``hours``.
    metric, n_draws, seed
        As for :class:`~voxelzoo.reports.options.ScalingOptions`.

    Raises
    ------
    DataError
        Unless two sizes each have two amounts of data.
    """
    at = {id(point): x for point, x in zip(points, log10_sizes(amounts), strict=True)}
    curve = make_curve(points, list(at.values()), metric)
    sizes = np.log10([float(point.setting.n_parameters or 1) for point in curve.points])
    data = np.array([at[id(point)] for point in curve.points])
    models = []
    for name in dict.fromkeys(p.setting.model for p in sorted(curve.points, key=_n_parameters)):
        own = [point for point in curve.points if point.setting.model == name]
        slope = fit_slope(own, [10 ** at[id(point)] for point in own], metric, n_draws, seed)
        models.append(ModelGain(name, _n_parameters(own[0]), slope))
    return GridLaw(
        unit=unit,
        models=models,
        interaction=fit_interaction(sizes, data, curve.measured.performance),
        intervals=interaction_intervals(curve.measured, sizes, data, n_draws, seed=seed),
    )


def _n_parameters(point: Chosen) -> int:
    return point.setting.n_parameters or 0
