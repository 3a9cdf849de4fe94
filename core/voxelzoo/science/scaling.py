"""Scaling laws: performance against the logarithm of a model's size or of its training data.

Everything here works on arrays. Sizes come as ``log10`` of parameters, stories or hours; a slope
is per decade (a factor of ten), a gain per doubling is ``log10(2)`` of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError
from voxelzoo.science.bootstrap import tails

Floats = NDArray[np.floating[Any]]


Source = Literal["stories", "voxels", "subjects", "subsets", "all"]


SOURCES: tuple[Source, ...] = ("stories", "voxels", "subjects", "subsets", "all")


N_DRAWS = 1000


LEVEL = 0.95


@dataclass(frozen=True)
class Line:
    """Performance as a line in ``log10`` of size."""

    slope: float
    """Gain per decade, in units of performance."""
    intercept: float
    r: float
    """Correlation of performance with ``log10`` of size; NaN with two sizes."""
    percent: float
    """Gain per decade as percent of the mean performance at the smallest size."""


def fit_line(x: Floats, y: Floats) -> Line:
    """Least squares of performance ``y`` (point,) on ``x`` (point,), ``log10`` of size.

    Points of one size count as their mean: a size with more training subsets weighs no more.
    Raises :class:`DataError` for fewer than two sizes or a value that is not finite.
    """
    _check(x, y)
    slope = float(_slopes(x) @ y)
    sizes, means = by_size(x, y)
    return Line(
        slope=slope,
        intercept=float(means.mean() - slope * sizes.mean()),
        r=float(np.corrcoef(sizes, means)[0, 1])
        if len(sizes) > 2 and np.ptp(means) > 0
        else np.nan,
        percent=float(_percent(slope, _base(x) @ y)),
    )


def by_size(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Sizes, and the mean performance of each."""
    sizes, where, counts = np.unique(x, return_inverse=True, return_counts=True)
    return sizes, np.bincount(where, weights=y) / counts


def _check(x: Floats, y: Floats) -> None:
    if len(np.unique(x)) < 2:
        raise DataError("a scaling law needs two sizes or more")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("a scaling law needs a finite size and performance of every point")


def _slopes(x: Floats) -> Floats:
    """(point,): weights that turn performance into the slope of its line."""
    sizes, where, counts = np.unique(x, return_inverse=True, return_counts=True)
    centred = sizes - sizes.mean()
    weights: Floats = (centred / (centred @ centred) / counts)[where]
    return weights


def _base(x: Floats) -> Floats:
    """(point,): weights that average over the points of the smallest size."""
    first = (x == x.min()).astype(float)
    return np.asarray(first / first.sum())


def _percent(slope: Any, base: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(base) > 0, 100 * np.asarray(slope) / base, np.nan)[()]


def slope_map(x: Floats, maps: Floats) -> Floats:
    """Slope per decade of each voxel, (voxel,), from maps (point, voxel) of its performance."""
    slopes: Floats = _slopes(x) @ maps
    return slopes


def gain_per_doubling(x: Floats, maps: Floats) -> Floats:
    """Gain for each doubling of size, (voxel,) (Antonello et al. 2023, appendix A)."""
    return np.asarray(np.log10(2) * slope_map(x, maps))


Form = Literal["log-linear", "plateau", "saturating"]


@dataclass(frozen=True)
class FormFit:
    """A form fitted to performance: ``offset + scale * basis(x, shape)``."""

    form: Form
    offset: float
    scale: float
    shape: float
    """``log10`` of the size at which the plateau begins; the exponent of the saturating form."""
    rmse: float
    """Root mean squared error on the points it was fitted to."""
    out_of_sample: float | None
    """The same on sizes left out one at a time; ``None`` with too few sizes to say."""
    extrapolation: float | None
    """Error at the largest size, predicted from the others (predicted less observed)."""

    def predict(self, x: Floats) -> Floats:
        """Performance at ``x``, ``log10`` of size."""
        return np.asarray(self.offset + self.scale * _BASES[self.form](x, self.shape))


_BASES: Mapping[Form, Callable[[Floats, float], Floats]] = {
    "log-linear": lambda x, _: x,
    "plateau": lambda x, start: np.minimum(x, start),
    "saturating": lambda x, exponent: -(10.0 ** (-exponent * x)),
}


_PARAMETERS: Mapping[Form, int] = {"log-linear": 2, "plateau": 3, "saturating": 3}


def _shapes(form: Form, x: Floats) -> Floats:
    """Values of the one parameter that least squares cannot give."""
    sizes = np.unique(x)
    if form == "plateau":
        # It begins between the second and the last size: below it, two sizes say how steep.
        return np.linspace(sizes[1], sizes[-1], 60)
    return np.geomspace(0.05, 5, 60) if form == "saturating" else np.zeros(1)


def fit_form(x: Floats, y: Floats, form: Form) -> FormFit:
    """Least squares of one form, its out-of-sample error by leaving out every size in turn."""
    _check(x, y)
    sizes = np.unique(x)
    offset, scale, shape = _fit(x, y, form)
    residual = y - (offset + scale * _BASES[form](x, shape))
    errors = []
    if len(sizes) > _PARAMETERS[form]:
        for size in sizes:
            held = x == size
            a, b, c = _fit(x[~held], y[~held], form)
            errors.append((a + b * _BASES[form](x[held], c) - y[held]).mean())
    return FormFit(
        form=form,
        offset=offset,
        scale=scale,
        shape=shape,
        rmse=float(np.sqrt(np.mean(residual**2))),
        out_of_sample=float(np.sqrt(np.mean(np.square(errors)))) if errors else None,
        extrapolation=float(errors[-1]) if errors else None,
    )


def _fit(x: Floats, y: Floats, form: Form) -> tuple[float, float, float]:
    """Offset, scale and shape of least squared error; a size with more points weighs no more."""
    x, y = by_size(x, y)
    best = (np.inf, 0.0, 0.0, 0.0)
    for shape in _shapes(form, x):
        basis = _BASES[form](x, float(shape))
        # Sizes beyond a plateau share a value of the basis, yet each counts.
        centred = basis - basis.mean()
        scale = float(centred @ y / (centred @ centred)) if np.ptp(basis) > 0 else 0.0
        offset = float(y.mean() - scale * basis.mean())
        error = float(np.square(y - offset - scale * basis).sum())
        if error < best[0] * (1 - 1e-9):
            best = (error, offset, scale, float(shape))
    return best[1:]


def compare_forms(x: Floats, y: Floats) -> dict[Form, FormFit]:
    """Every form that the number of sizes allows, best first: by out-of-sample error."""
    n = len(np.unique(x))
    fits = [fit_form(x, y, form) for form in _BASES if n >= _PARAMETERS[form]]
    fits.sort(key=lambda fit: np.inf if fit.out_of_sample is None else fit.out_of_sample)
    return {fit.form: fit for fit in fits}


@dataclass(frozen=True)
class Measured:
    """Performance of every point (a size, or a size and a training subset) in every subject."""

    x: Floats
    """(point,): ``log10`` of size."""
    r: Sequence[Floats]
    """For each subject: (point, voxel), of voxels that are defined at every point."""
    parts: Sequence[Floats] | None = None
    """For each subject: (point, part), mean over voxels in each held-out part."""
    groups: NDArray[np.intp] | None = None
    """(point,): points of a group differ in their training subset alone; ``None``: those of a
    size."""

    @property
    def by_subject(self) -> Floats:
        """(point, subject): mean over voxels."""
        return np.stack([each.mean(axis=1, dtype=np.float64) for each in self.r], axis=1)

    @property
    def performance(self) -> Floats:
        """(point,): mean over voxels, then over subjects, as the paper averages."""
        return np.asarray(self.by_subject.mean(axis=1))


def draw_performance(
    measured: Measured, source: Source, n_draws: int = N_DRAWS, seed: int = 0
) -> Floats | None:
    """Performance (draw, point) with one source of chance drawn again, or with all of them.

    Held-out stories, voxels (within a subject; neighbours are taken as independent, which is
    generous), subjects, or training subsets of one size are drawn with replacement, the same for
    all points. ``None`` where there are fewer than two of them.
    """
    rng = np.random.default_rng([seed, SOURCES.index(source)])
    drawn = {source} if source != "all" else set(SOURCES)
    values = np.broadcast_to(measured.by_subject, (n_draws, *measured.by_subject.shape))
    moved = False
    if "voxels" in drawn and min(each.shape[1] for each in measured.r) > 1:
        values = np.stack([_over_voxels(each, n_draws, rng) for each in measured.r], axis=2)
        moved = True
    if "stories" in drawn and measured.parts and measured.parts[0].shape[1] > 1:
        n = measured.parts[0].shape[1]
        weights = rng.multinomial(n, np.full(n, 1 / n), size=n_draws) / n - 1 / n
        values = values + np.stack([weights @ each.T for each in measured.parts], axis=2)
        moved = True
    n = len(measured.r)
    mean: Floats = values.mean(axis=2)
    if "subjects" in drawn and n > 1:
        weights = rng.multinomial(n, np.full(n, 1 / n), size=n_draws) / n
        mean = np.einsum("dps,ds->dp", values, weights)
        moved = True
    groups = measured.x if measured.groups is None else measured.groups
    alike = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    if "subsets" in drawn and any(len(rows) > 1 for rows in alike):
        # Training subsets of one size stand for each other; a point is where it was.
        order = np.empty((n_draws, len(measured.x)), dtype=np.intp)
        for rows in alike:
            order[:, rows] = rng.choice(rows, size=(n_draws, len(rows)))
        mean = np.take_along_axis(mean, order, axis=1)
        moved = True
    return mean if moved else None


def _over_voxels(r: Floats, n_draws: int, rng: np.random.Generator) -> Floats:
    """(draw, point): means over voxels drawn with replacement, by Poisson weights."""
    found = []
    step = max(1, 4_000_000 // r.shape[1])
    for first in range(0, n_draws, step):
        n = min(step, n_draws - first)
        weights = rng.poisson(1.0, size=(n, r.shape[1])).astype(np.float32)
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1)
        found.append(weights @ r.T)
    return np.concatenate(found)


@dataclass(frozen=True)
class SlopeInterval:
    """Percentile interval of the slope per decade, absolute and in percent."""

    slope: tuple[float, float]
    percent: tuple[float, float]


def slope_intervals(
    measured: Measured, n_draws: int = N_DRAWS, level: float = LEVEL, seed: int = 0
) -> dict[Source, SlopeInterval | None]:
    """Interval of the slope for each source of chance, and for all together.

    ``None`` where a source has nothing to draw from. Percentiles are expanded for few stories,
    voxels or subjects (:func:`voxelzoo.science.bootstrap.tails`).
    """
    found: dict[Source, SlopeInterval | None] = {}
    for source in SOURCES:
        drawn = draw_performance(measured, source, n_draws, seed)
        if drawn is None:
            found[source] = None
            continue
        slopes = drawn @ _slopes(measured.x)
        percent = _percent(slopes, drawn @ _base(measured.x))
        ends_at = _ends_at(measured, source, level)
        found[source] = SlopeInterval(_between(slopes, ends_at), _between(percent, ends_at))
    return found


def _ends_at(measured: Measured, source: Source, level: float) -> tuple[float, float]:
    n = {
        "stories": measured.parts[0].shape[1] if measured.parts else 0,
        "voxels": min(each.shape[1] for each in measured.r),
        "subjects": len(measured.r),
    }.get(source)
    return ((1 - level) / 2, (1 + level) / 2) if n is None else tails(level, n)


def _between(values: Floats, ends_at: tuple[float, float]) -> tuple[float, float]:
    low, high = np.nanquantile(values, ends_at)
    return float(low), float(high)


@dataclass(frozen=True)
class Interaction:
    """``a + size * log10 N + data * log10 D + interaction * log10 N * log10 D``, centred."""

    size: float
    """Gain per decade of parameters, at the mean amount of data."""
    data: float
    """Gain per decade of data, at the mean size."""
    interaction: float
    """By how much a decade of parameters changes the gain per decade of data."""
    r: float
    """Correlation of fitted and observed."""


def fit_interaction(size: Floats, data: Floats, y: Floats) -> Interaction:
    """Least squares over points (point,) of ``log10`` size, ``log10`` data and performance.

    Points of one size and amount count as their mean. Raises :class:`DataError` unless two sizes
    each have two amounts of data.
    """
    design, weights = _interaction(size, data)
    found = weights @ y
    _, where = np.unique(np.stack([size, data]), axis=1, return_inverse=True)
    means, fitted = (
        np.bincount(where.ravel(), weights=values) / np.bincount(where.ravel())
        for values in (y, design @ found)
    )
    r = float(np.corrcoef(fitted, means)[0, 1]) if np.ptp(means) > 0 else np.nan
    return Interaction(float(found[1]), float(found[2]), float(found[3]), r)


def interaction_intervals(
    measured: Measured,
    size: Floats,
    data: Floats,
    n_draws: int = N_DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[Source, dict[str, tuple[float, float]] | None]:
    """Intervals of the three gains of :func:`fit_interaction` for each source of chance.

    ``measured.groups`` says which points differ in their training subset alone. ``None`` where a
    source has nothing to draw from.
    """
    _, weights = _interaction(size, data)
    found: dict[Source, dict[str, tuple[float, float]] | None] = {}
    for source in SOURCES:
        drawn = draw_performance(measured, source, n_draws, seed)
        ends_at = _ends_at(measured, source, level)
        found[source] = (
            drawn
            if drawn is None
            else {
                name: _between(drawn @ weights[i], ends_at)
                for i, name in enumerate(("size", "data", "interaction"), start=1)
            }
        )
    return found


def _interaction(size: Floats, data: Floats) -> tuple[Floats, Floats]:
    """Design (point, 4), and weights (4, point) that turn performance into its coefficients."""
    cells, where = np.unique(np.stack([size, data]), axis=1, return_inverse=True)
    where = where.ravel()
    n, d = cells - cells.mean(axis=1, keepdims=True)
    design = np.stack([np.ones_like(n), n, d, n * d], axis=1)
    if np.linalg.matrix_rank(design) < 4:
        raise DataError("an interaction needs two sizes or more, each with two amounts of data")
    weights = np.linalg.pinv(design)[:, where] / np.bincount(where)[where]
    return design[where], weights
