"""Confidence intervals of r by bootstrap over blocks of time, or over whole stories.

Neighbouring TRs are no independent evidence, so what is drawn with replacement is blocks of them.
Percentiles of the draws of n blocks are too narrow for small n, as a normal interval with an
estimated variance is; theirs are expanded as Student's t expands that (Hesterberg 2015).

r needs six sums of each block (rows, x, y, xx, yy, xy); a draw weighs the blocks' sums, so that
all draws of all voxels are one matrix product. The same draws serve every voxel: intervals of a
region keep the correlation between its voxels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from voxelzoo.api import DataError, UsageError
from voxelzoo.science.ceilings import estimate_ceiling, find_method
from voxelzoo.science.held_out import HeldOut, over_voxels, voxel_blocks
from voxelzoo.science.regions import RegionMeans, region_mean

Floats = NDArray[np.floating[Any]]


Over = Literal["time", "stories"]


TRS_PER_BLOCK = 10
"""Rows of a block: at a TR of 2 s longer than the haemodynamic response."""


FEW = 64
"""Voxels whose covariances between repeats are drawn at a time."""


N_DRAWS = 1000


CEILING_DRAWS = 200


LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """Percentile interval of r, or of a difference of r."""

    low: Floats
    """(voxel,); NaN where r is undefined."""
    high: Floats
    regions: Mapping[str, tuple[float, float]]
    """Interval of the mean over each region's defined voxels."""
    over: Over
    level: float
    n_draws: int


def r_interval(
    held_out: HeldOut,
    over: Over = "time",
    *,
    block: int = TRS_PER_BLOCK,
    n_draws: int = N_DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Interval of each voxel's r and of each region's mean r.

    ``over="time"`` draws blocks of ``block`` TRs within each part; ``over="stories"`` draws whole
    parts. Raises :class:`DataError` where there are fewer than two blocks or parts.
    """
    return _interval([held_out], over, block, n_draws, level, seed)


def difference_interval(
    one: HeldOut,
    other: HeldOut,
    over: Over = "time",
    *,
    block: int = TRS_PER_BLOCK,
    n_draws: int = N_DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Interval of ``one.r - other.r``, both under the same draws; arguments as in r_interval.

    Raises :class:`UsageError` where the two are not of the same held-out rows.
    """
    check_paired(one, other)
    return _interval([one, other], over, block, n_draws, level, seed)


def tails(level: float, n: int) -> tuple[float, float]:
    """Percentiles between which ``level`` of what ``n`` blocks could have been lies.

    Expanded from ``(1 - level) / 2`` by Student's t and the bootstrap's own narrowness, a variance
    smaller by ``(n - 1) / n`` (Hesterberg 2015, section 3.2).
    """
    if n < 2:
        return 0.0, 1.0
    low = float(norm.cdf(-np.sqrt(n / (n - 1)) * t.ppf((1 + level) / 2, n - 1)))
    return low, 1 - low


def region_draws(
    held_out: HeldOut,
    over: Over = "time",
    *,
    block: int = TRS_PER_BLOCK,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> dict[str, Floats]:
    """Mean r of each region in each draw, (draw,).

    Results on the same held-out rows have the same draws, so that their differences are paired.
    """
    weights = _weights(held_out, over, block, n_draws, seed)
    means = RegionMeans(held_out.regions, held_out.r)

    def sums(voxels: slice) -> Floats:
        drawn = drawn_r(block_sums(held_out, voxels, block), weights, over, held_out.joined)
        return means.sums(voxels, drawn)

    for _, found in over_voxels(held_out.n_voxels, sums):
        means.add(found)
    return means.means()


def ceiling_interval(
    stories: Sequence[Floats],
    method: str,
    regions: Mapping[str, NDArray[np.bool_]],
    *,
    floor: float | Literal["default"] | None = "default",
    block: int = TRS_PER_BLOCK,
    n_draws: int = CEILING_DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Interval of each voxel's noise ceiling and of each region's mean, over blocks of time.

    ``stories`` are (repeat, TR, voxel); all repeats of a block are drawn together. Covariances
    between repeats, which every ceiling from repeats follows from, are sums over blocks, as for r.
    Ends are bias-corrected percentiles (Efron 1981): a ceiling is concave in the signal's power, so
    that estimates lie low, and draws lower still. Raises :class:`UsageError` for a method that is
    not from repeats.
    """
    chosen = find_method(method)
    if (of := chosen.of_covariances) is None:
        raise UsageError(f"ceiling {method!r} is not made from repeats, so it has no interval")
    least = chosen.floor if floor == "default" else floor
    top = estimate_ceiling(stories, method, least).values
    rng = np.random.default_rng(seed)
    alike: dict[int, list[Floats]] = {}
    for story in stories:
        alike.setdefault(len(story), []).append(story)
    weights = []
    for group in alike.values():
        n_blocks = [n_whole_blocks(story.shape[1], block) for story in group]
        weights.append(
            np.concatenate(
                [rng.multinomial(n, np.full(n, 1 / n), size=n_draws) for n in n_blocks], axis=1
            ).astype(float)
        )
    n_rows = [sum(story.shape[1] for story in group) for group in alike.values()]
    ends_at = tails(level, sum(each.shape[1] for each in weights))
    low, high = np.full((2, len(top)), np.nan)
    means = RegionMeans(regions, top)

    def drawn(voxels: slice) -> Floats:
        """Ceilings (draw, voxel)."""
        squares = []
        for group, weight in zip(alike.values(), weights, strict=True):
            rows = [np.asarray(story[..., voxels], dtype=np.float64) for story in group]
            found = of(_drawn_covariances(rows, weight, block))
            squares.append(np.square(found if least is None else np.fmax(found, least)))
        return np.asarray(np.sqrt(np.average(squares, axis=0, weights=n_rows)))

    def ends(voxels: slice) -> tuple[Floats, Floats]:
        """Interval (2, voxel), and the sums over regions of each draw."""
        # Covariances are many: of a few voxels at a time they stay in cache.
        few = [
            drawn(slice(start, min(start + FEW, voxels.stop)))
            for start in range(voxels.start, voxels.stop, FEW)
        ]
        values = np.concatenate(few, axis=1)
        return _corrected(values, top[voxels], ends_at), means.sums(voxels, np.nan_to_num(values))

    for voxels, (found, sums) in over_voxels(len(top), ends):
        low[voxels], high[voxels] = np.where(np.isfinite(top[voxels]), found, np.nan)
        means.add(sums)
    of_regions = {}
    for name, draws in means.means().items():
        ends_of = _corrected(draws[:, None], region_mean(top, regions[name]), ends_at)
        of_regions[name] = (float(ends_of[0, 0]), float(ends_of[1, 0]))
    return Interval(low, high, of_regions, "time", level, n_draws)


def _corrected(drawn: Floats, estimate: Any, ends_at: tuple[float, float]) -> Floats:
    """Bias-corrected percentiles (2, column) of draws (draw, column) about their estimates."""
    n = len(drawn)
    below = (drawn < estimate).mean(axis=0) + (drawn == estimate).mean(axis=0) / 2
    shift = 2 * norm.ppf(np.clip(below, 0.5 / n, 1 - 0.5 / n))
    ordered = np.sort(drawn, axis=0)  # NaN last
    found = []
    for tail in ends_at:
        at = norm.cdf(shift + norm.ppf(tail)) * (n - 1)
        first = np.floor(at).astype(np.intp)
        lower, upper = (
            np.take_along_axis(ordered, np.minimum(i, n - 1)[None], axis=0)[0]
            for i in (first, first + 1)
        )
        found.append(lower + (at - first) * (upper - lower))
    return np.stack(found)


def _drawn_covariances(
    stories: Sequence[NDArray[np.float64]], weights: NDArray[np.float64], block: int
) -> NDArray[np.float64]:
    """Covariances (repeat, repeat, draw, voxel) of stories (repeat, TR, voxel) end to end."""
    centre = np.concatenate(stories, axis=1).mean(axis=1, keepdims=True)
    one, other = np.triu_indices(len(centre))
    sums = []  # of each repeat, then of each pair's products: (repeat and pair, block, voxel)
    n_rows: list[int] = []
    for story in stories:
        rows = story - centre
        edges = np.linspace(0, rows.shape[1], n_whole_blocks(rows.shape[1], block) + 1)
        edges = edges.round().astype(int)
        every = np.concatenate([rows, rows[one] * rows[other]])
        sums.append(np.add.reduceat(every, edges[:-1], axis=1))
        n_rows += np.diff(edges).tolist()
    by_block = np.concatenate(sums, axis=1)
    drawn = weights @ by_block / (weights @ np.array(n_rows, dtype=np.float64))[:, None]
    means, products = drawn[: len(centre)], drawn[len(centre) :]
    found = np.empty((len(centre), len(centre), *drawn.shape[1:]))
    found[one, other] = found[other, one] = products - means[one] * means[other]
    return found


def check_paired(one: HeldOut, other: HeldOut) -> None:
    """:class:`UsageError` unless both predict the same responses."""
    same = (
        list(one.parts) == list(other.parts)
        and one.joined == other.joined
        and all(
            a.shape == b.shape and _alike(a, b)
            for (_, a), (_, b) in zip(one.parts.values(), other.parts.values(), strict=True)
        )
    )
    if not same:
        raise UsageError(
            "the two results have different held-out responses, so they cannot be paired: compare "
            "the same subject, stories and protocol"
        )


def _alike(one: Floats, other: Floats) -> bool:
    return all(
        np.allclose(one[:, v], other[:, v], rtol=1e-4, atol=1e-5, equal_nan=True)
        for v in voxel_blocks(one.shape[1])
    )


def _interval(
    compared: Sequence[HeldOut], over: Over, block: int, n_draws: int, level: float, seed: int
) -> Interval:
    first = compared[0]
    weights = _weights(first, over, block, n_draws, seed)
    r = first.r if len(compared) == 1 else first.r - compared[1].r
    low, high = np.full((2, first.n_voxels), np.nan)
    means = RegionMeans(first.regions, r)
    n = len(weights) if over == "stories" else sum(each.shape[1] for each in weights)
    ends_at = tails(level, n)

    def ends(voxels: slice) -> tuple[Floats, Floats]:
        """Interval (2, voxel), and the sums over regions of each draw."""
        draws = [
            drawn_r(block_sums(each, voxels, block), weights, over, each.joined)
            for each in compared
        ]
        found = draws[0] if len(draws) == 1 else draws[0] - draws[1]
        sums = means.sums(voxels, found)
        # Of rows in memory: a quantile down columns is half as fast.
        by_voxel = np.ascontiguousarray(found.T)
        return np.quantile(by_voxel, ends_at, axis=1, overwrite_input=True), sums

    for voxels, (found, sums) in over_voxels(first.n_voxels, ends):
        low[voxels], high[voxels] = np.where(np.isfinite(r[voxels]), found, np.nan)
        means.add(sums)
    regions = {
        name: (float(np.quantile(drawn, ends_at[0])), float(np.quantile(drawn, ends_at[1])))
        for name, drawn in means.means().items()
    }
    return Interval(low, high, regions, over, level, n_draws)


def _weights(
    held_out: HeldOut, over: Over, block: int, n_draws: int, seed: int
) -> list[NDArray[np.float64]]:
    """How often each draw takes each block: (draw, block) for each part.

    Over stories, a part's blocks are taken together: (draw, 1) for each part.
    """
    if block < 1 or n_draws < 1:
        raise UsageError(f"blocks of {block} TRs, {n_draws} draws: need 1 or more of both")
    rng = np.random.default_rng(seed)
    if over == "stories":
        n = len(held_out.parts)
        if n < 2:
            raise DataError("an interval over stories needs two held-out stories or more, not 1")
        counts = rng.multinomial(n, np.full(n, 1 / n), size=n_draws)
        return [counts[:, [part]].astype(float) for part in range(n)]
    n_blocks = [n_whole_blocks(n, block) for n in held_out.n_trs]
    if sum(n_blocks) < 2:
        raise DataError(
            f"{sum(held_out.n_trs)} held-out TRs make {sum(n_blocks)} block of {block}: need two"
        )
    return [rng.multinomial(n, np.full(n, 1 / n), size=n_draws).astype(float) for n in n_blocks]


def n_whole_blocks(n_trs: int, block: int) -> int:
    """Blocks of about ``block`` TRs that ``n_trs`` rows make: at least one."""
    return max(1, round(n_trs / block))


def block_sums(held_out: HeldOut, voxels: slice, block: int) -> list[NDArray[np.float64]]:
    """Six sums over each block of each part's rows: rows, x, y, xx, yy, xy; (6, block, voxel).

    Blocks are of nearly equal length. Values are centred first, so that nothing is lost in the
    difference of large sums.
    """
    sides = [[pair[i][:, voxels] for pair in held_out.parts.values()] for i in (0, 1)]
    centres = [np.concatenate(side).mean(axis=0, dtype=np.float64) for side in sides]
    found = []
    for prediction, response in zip(*sides, strict=True):
        x, y = prediction - centres[0], response - centres[1]
        edges = np.linspace(0, len(x), n_whole_blocks(len(x), block) + 1).round().astype(int)
        rows = np.broadcast_to(1.0, x.shape)
        sums = [np.add.reduceat(each, edges[:-1]) for each in (rows, x, y, x * x, y * y, x * y)]
        found.append(np.stack(sums))
    return found


def drawn_r(
    sums: Sequence[NDArray[np.float64]],
    weights: Sequence[NDArray[np.float64]],
    over: Over,
    joined: bool,
) -> Floats:
    """r of each draw, (draw, voxel), from the block sums of each part and their weights."""
    if over == "stories":
        sums = [each.sum(axis=1, keepdims=True) for each in sums]
    if joined:
        return _weighted_r(np.concatenate(sums, axis=1), np.concatenate(weights, axis=1))
    if over == "stories":
        own = [r_of_sums(each[:, 0]) for each in sums]
        total = sum(w * r for w, r in zip(weights, own, strict=True))
        return np.asarray(total / len(sums))
    return np.asarray(
        np.mean([_weighted_r(s, w) for w, s in zip(weights, sums, strict=True)], axis=0)
    )


def _weighted_r(sums: NDArray[np.float64], weights: NDArray[np.float64]) -> Floats:
    """(draw, voxel) from sums (6, block, voxel) and weights (draw, block)."""
    rows, *others = sums
    return r_of_sums([weights @ rows[:, :1], *(weights @ each for each in others)])


def r_of_sums(sums: Sequence[Floats] | NDArray[np.float64]) -> Floats:
    """Correlation from sums of rows, x, y, xx, yy and xy, each (...); rows may be (..., 1)."""
    n, x, y, xx, yy, xy = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = x / n
        covariance = xy - mean * y
        mean *= x
        variances = np.subtract(xx, mean, out=mean)
        variances *= yy - y * y / n
        covariance /= np.sqrt(variances, out=variances)
    clipped: Floats = np.clip(covariance, -1, 1, out=covariance)
    return clipped
