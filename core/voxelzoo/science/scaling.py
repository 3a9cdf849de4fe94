"""Scaling laws: performance against the logarithm of model size or of training data.

Sizes are ``log10`` of parameters, stories or hours. A slope is the gain per decade (a factor of
ten); the gain per doubling is ``log10(2)`` times the slope. Performance is r, or another score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from voxelzoo.api import DataError
from voxelzoo.science.arrays import Floats, Rows
from voxelzoo.science.bootstrap import LEVEL, N_DRAWS, tails

Source = Literal["stories", "voxels", "subjects", "subsets", "all"]
"""A source of uncertainty: held-out stories, voxels, subjects, training subsets of one size, or
all of them together."""

SOURCES: tuple[Source, ...] = ("stories", "voxels", "subjects", "subsets", "all")


@dataclass(frozen=True)
class ScalingLine:
    """Performance as a line in ``log10`` of size.

    Parameters
    ----------
    slope : float
        Gain per decade, in units of performance.
    intercept : float
        Performance where ``log10`` of size is 0.
    r : float
        Correlation of performance with ``log10`` of size. NaN if there are only two sizes.
    percent : float
        Gain per decade, in percent of the mean performance at the smallest size. NaN if that is
        not above 0.
    """

    slope: float
    intercept: float
    r: float
    percent: float


def fit_line(x: Floats, y: Floats) -> ScalingLine:
    """Fits a line by least squares.

    Points of one size count as their mean, so that a size with more training subsets does not
    weigh more.

    Parameters
    ----------
    x : ndarray of shape (point,)
        ``log10`` of size.
    y : ndarray of shape (point,)
        Performance.

    Returns
    -------
    ScalingLine

    Raises
    ------
    DataError
        If there are fewer than two sizes, or a value is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> line = fit_line(np.log10([1e8, 1e9, 1e10]), np.array([0.10, 0.12, 0.14]))
    >>> round(line.slope, 3), round(line.percent, 1)
    (0.02, 20.0)
    """
    require_sizes(x, y)
    slope = float(_slope_weights(x) @ y)
    sizes, means = by_size(x, y)
    return ScalingLine(
        slope=slope,
        intercept=float(means.mean() - slope * sizes.mean()),
        r=float(np.corrcoef(sizes, means)[0, 1])
        if len(sizes) > 2 and np.ptp(means) > 0
        else np.nan,
        percent=float(_percent(slope, _smallest_weights(x) @ y)),
    )


def by_size(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Mean performance of each size.

    Parameters
    ----------
    x : ndarray of shape (point,)
        ``log10`` of size.
    y : ndarray of shape (point,)
        Performance.

    Returns
    -------
    sizes, means : ndarray of shape (size,)
        In ascending order of size.
    """
    sizes, where, counts = np.unique(x, return_inverse=True, return_counts=True)
    return sizes, np.bincount(where, weights=y) / counts


def require_sizes(x: Floats, y: Floats) -> None:
    """Checks the points of a scaling law.

    Parameters
    ----------
    x : ndarray of shape (point,)
        ``log10`` of size.
    y : ndarray of shape (point,)
        Performance.

    Raises
    ------
    DataError
        If there are fewer than two sizes, or a value is not finite.
    """
    if len(np.unique(x)) < 2:
        raise DataError("a scaling law needs at least two sizes")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("a scaling law needs a finite size and performance for every point")


def _slope_weights(x: Floats) -> Floats:
    """(point,): weights that turn performance into the slope of its line."""
    sizes, where, counts = np.unique(x, return_inverse=True, return_counts=True)
    centred = sizes - sizes.mean()
    weights: Floats = (centred / (centred @ centred) / counts)[where]
    return weights


def _smallest_weights(x: Floats) -> Floats:
    """(point,): weights that average over the points of the smallest size."""
    smallest = (x == x.min()).astype(float)
    return np.asarray(smallest / smallest.sum())


def _percent(slope: Any, base: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(base) > 0, 100 * np.asarray(slope) / base, np.nan)[()]


def slope_map(x: Floats, maps: Floats) -> Floats:
    """Slope per decade of each voxel.

    Parameters
    ----------
    x : ndarray of shape (point,)
        ``log10`` of size.
    maps : ndarray of shape (point, voxel)
        Performance of each voxel.

    Returns
    -------
    ndarray of shape (voxel,)
    """
    slopes: Floats = _slope_weights(x) @ maps
    return slopes


def gain_per_doubling(x: Floats, maps: Floats) -> Floats:
    """Gain per doubling of size (Antonello et al. 2023, appendix A): ``log10(2)`` times the slope.

    Parameters
    ----------
    x : ndarray of shape (point,)
        ``log10`` of size.
    maps : ndarray of shape (point, voxel)
        Performance of each voxel.

    Returns
    -------
    ndarray of shape (voxel,)
    """
    return np.asarray(np.log10(2) * slope_map(x, maps))


@dataclass(frozen=True)
class Measured:
    """Performance of every point (a size, or a size and a training subset) in every subject.

    Parameters
    ----------
    x : ndarray of shape (point,)
        ``log10`` of size.
    r : sequence of ndarray, each of shape (point, voxel)
        Performance of each subject's voxels, of those that are defined at every point.
    parts : sequence of ndarray, each of shape (point, held-out part), or None
        Mean over each subject's voxels in each held-out story.
    groups : ndarray of int, shape (point,), or None
        Points of a group differ only in their training subset. None: points of one size are a
        group.
    """

    x: Floats
    r: Sequence[Floats]
    parts: Sequence[Floats] | None = None
    groups: Rows | None = None

    @property
    def by_subject(self) -> Floats:
        """Mean over voxels, (point, subject)."""
        return np.stack([each.mean(axis=1, dtype=np.float64) for each in self.r], axis=1)

    @property
    def performance(self) -> Floats:
        """Mean over voxels, then over subjects, (point,), as in Antonello et al. (2023)."""
        return np.asarray(self.by_subject.mean(axis=1))


def draw_performance(
    measured: Measured, source: Source, n_draws: int = N_DRAWS, seed: int = 0
) -> Floats | None:
    """Draws performance again, by resampling one source of uncertainty or all of them.

    Held-out stories, voxels of each subject, subjects, or training subsets of one size are drawn
    with replacement, the same for all points. Neighbouring voxels are treated as independent,
    which makes that interval too narrow.

    Parameters
    ----------
    measured : Measured
        Performance of every point.
    source : {"stories", "voxels", "subjects", "subsets", "all"}
        What to draw.
    n_draws : int, default 1000
        Number of draws.
    seed : int, default 0
        Seed of the draws.

    Returns
    -------
    ndarray of shape (draw, point) or None
        None if there are fewer than two of the source.
    """
    rng = np.random.default_rng([seed, SOURCES.index(source)])
    sources = {source} if source != "all" else set(SOURCES)
    values = np.broadcast_to(measured.by_subject, (n_draws, *measured.by_subject.shape))
    is_drawn = False
    if "voxels" in sources and min(each.shape[1] for each in measured.r) > 1:
        values = np.stack([_over_voxels(each, n_draws, rng) for each in measured.r], axis=2)
        is_drawn = True
    if "stories" in sources and measured.parts and measured.parts[0].shape[1] > 1:
        n = measured.parts[0].shape[1]
        weights = rng.multinomial(n, np.full(n, 1 / n), size=n_draws) / n - 1 / n
        values = values + np.stack([weights @ each.T for each in measured.parts], axis=2)
        is_drawn = True
    n = len(measured.r)
    mean: Floats = values.mean(axis=2)
    if "subjects" in sources and n > 1:
        weights = rng.multinomial(n, np.full(n, 1 / n), size=n_draws) / n
        mean = np.einsum("dps,ds->dp", values, weights)
        is_drawn = True
    groups = measured.x if measured.groups is None else measured.groups
    interchangeable = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    if "subsets" in sources and any(len(rows) > 1 for rows in interchangeable):
        # Training subsets of one size replace each other; a point keeps its size.
        order = np.empty((n_draws, len(measured.x)), dtype=np.intp)
        for rows in interchangeable:
            order[:, rows] = rng.choice(rows, size=(n_draws, len(rows)))
        mean = np.take_along_axis(mean, order, axis=1)
        is_drawn = True
    return mean if is_drawn else None


def _over_voxels(r: Floats, n_draws: int, rng: np.random.Generator) -> Floats:
    """(draw, point): means over voxels drawn with replacement, by Poisson weights."""
    means = []
    step = max(1, 4_000_000 // r.shape[1])
    for first in range(0, n_draws, step):
        n = min(step, n_draws - first)
        weights = rng.poisson(1.0, size=(n, r.shape[1])).astype(np.float32)
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1)
        means.append(weights @ r.T)
    return np.concatenate(means)


@dataclass(frozen=True)
class SlopeInterval:
    """Percentile interval of the slope per decade.

    Parameters
    ----------
    slope : (low, high)
        In units of performance.
    percent : (low, high)
        In percent of the performance at the smallest size.
    """

    slope: tuple[float, float]
    percent: tuple[float, float]


def slope_intervals(
    measured: Measured, n_draws: int = N_DRAWS, level: float = LEVEL, seed: int = 0
) -> dict[Source, SlopeInterval | None]:
    """Interval of the slope for each source of uncertainty, and for all together.

    Percentiles are expanded if there are few stories, voxels or subjects
    (:func:`voxelzoo.science.bootstrap.tails`).

    Parameters
    ----------
    measured : Measured
        Performance of every point.
    n_draws : int, default 1000
        Number of draws.
    level : float, default 0.95
        Coverage.
    seed : int, default 0
        Seed of the draws.

    Returns
    -------
    dict of str to SlopeInterval or None
        None if there are fewer than two of the source.
    """
    intervals: dict[Source, SlopeInterval | None] = {}
    for source in SOURCES:
        draws = draw_performance(measured, source, n_draws, seed)
        if draws is None:
            intervals[source] = None
            continue
        slopes = draws @ _slope_weights(measured.x)
        percent = _percent(slopes, draws @ _smallest_weights(measured.x))
        percentiles = _percentiles(measured, source, level)
        intervals[source] = SlopeInterval(_ends(slopes, percentiles), _ends(percent, percentiles))
    return intervals


def _percentiles(measured: Measured, source: Source, level: float) -> tuple[float, float]:
    n = {
        "stories": measured.parts[0].shape[1] if measured.parts else 0,
        "voxels": min(each.shape[1] for each in measured.r),
        "subjects": len(measured.r),
    }.get(source)
    return ((1 - level) / 2, (1 + level) / 2) if n is None else tails(level, n)


def _ends(values: Floats, percentiles: tuple[float, float]) -> tuple[float, float]:
    low, high = np.nanquantile(values, percentiles)
    return float(low), float(high)


@dataclass(frozen=True)
class Interaction:
    """Performance as a function of parameters N and data D together.

    With ``n`` and ``d``, the ``log10`` of N and D minus their means ::

        performance = a + size n + data d + interaction n d

    Parameters
    ----------
    size : float
        Gain per decade of parameters, at the mean amount of data.
    data : float
        Gain per decade of data, at the mean size.
    interaction : float
        Change of the gain per decade of data for each decade of parameters.
    r : float
        Correlation of fitted and observed performance.
    """

    size: float
    data: float
    interaction: float
    r: float


def fit_interaction(size: Floats, data: Floats, y: Floats) -> Interaction:
    """Fits performance to size and data together, by least squares.

    Points of one size and amount of data count as their mean.

    Parameters
    ----------
    size, data : ndarray of shape (point,)
        ``log10`` of the model's size, and of the amount of data.
    y : ndarray of shape (point,)
        Performance.

    Returns
    -------
    Interaction

    Raises
    ------
    DataError
        Unless at least two sizes each have two amounts of data.
    """
    design, weights = _interaction(size, data)
    coefficients = weights @ y
    _, where = np.unique(np.stack([size, data]), axis=1, return_inverse=True)
    means, fitted = (
        np.bincount(where.ravel(), weights=values) / np.bincount(where.ravel())
        for values in (y, design @ coefficients)
    )
    r = float(np.corrcoef(fitted, means)[0, 1]) if np.ptp(means) > 0 else np.nan
    _, of_size, of_data, of_both = (float(coefficient) for coefficient in coefficients)
    return Interaction(of_size, of_data, of_both, r)


def interaction_intervals(
    measured: Measured,
    size: Floats,
    data: Floats,
    n_draws: int = N_DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[Source, dict[str, tuple[float, float]] | None]:
    """Intervals of the coefficients of :func:`fit_interaction`, for each source of uncertainty.

    Parameters
    ----------
    measured : Measured
        Performance of every point. Its ``groups`` say which points differ only in their training
        subset.
    size, data : ndarray of shape (point,)
        ``log10`` of the model's size, and of the amount of data.
    n_draws : int, default 1000
        Number of draws.
    level : float, default 0.95
        Coverage.
    seed : int, default 0
        Seed of the draws.

    Returns
    -------
    dict of str to dict of str to (low, high), or None
        By source, then by coefficient: ``size``, ``data`` and ``interaction``. None if there are
        fewer than two of the source.
    """
    _, weights = _interaction(size, data)
    intervals: dict[Source, dict[str, tuple[float, float]] | None] = {}
    for source in SOURCES:
        draws = draw_performance(measured, source, n_draws, seed)
        if draws is None:
            intervals[source] = None
            continue
        percentiles = _percentiles(measured, source, level)
        intervals[source] = {
            name: _ends(draws @ weights[i], percentiles)
            for i, name in enumerate(("size", "data", "interaction"), start=1)
        }
    return intervals


def _interaction(size: Floats, data: Floats) -> tuple[Floats, Floats]:
    """Design (point, 4), and weights (4, point) that turn performance into its coefficients."""
    cells, where = np.unique(np.stack([size, data]), axis=1, return_inverse=True)
    where = where.ravel()
    n, d = cells - cells.mean(axis=1, keepdims=True)
    design = np.stack([np.ones_like(n), n, d, n * d], axis=1)
    if np.linalg.matrix_rank(design) < 4:
        raise DataError("an interaction needs at least two sizes, each with two amounts of data")
    weights = np.linalg.pinv(design)[:, where] / np.bincount(where)[where]
    return design[where], weights
