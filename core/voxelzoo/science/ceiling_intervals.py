"""Confidence intervals of noise ceilings, by bootstrap over blocks of time.

References
----------
Efron, B. (1981). Nonparametric standard errors and confidence intervals. Canadian Journal of
Statistics 9(2), 139-158.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import UsageError
from voxelzoo.science.arrays import Floats, Mask
from voxelzoo.science.block_draws import block_edges, n_whole_blocks
from voxelzoo.science.bootstrap import LEVEL, TRS_PER_BLOCK, Interval, tails
from voxelzoo.science.ceilings import Method, by_repeats, estimate_ceiling, find_method
from voxelzoo.science.held_out import over_voxels
from voxelzoo.science.regions import RegionMeans, region_mean

N_DRAWS = 200
"""Draws for an interval of a noise ceiling."""

_BLOCK = 64
"""Voxels whose covariances between repeats are drawn at once, so that they stay in cache."""


def ceiling_interval(
    stories: Sequence[Floats],
    method: str | Method,
    regions: Mapping[str, Mask],
    *,
    floor: float | Literal["default"] | None = "default",
    block: int = TRS_PER_BLOCK,
    n_draws: int = N_DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Interval of each voxel's noise ceiling, and of each region's mean, over blocks of time.

    All repeats of a block are drawn together. Every ceiling from repeats follows from the
    covariances between repeats, which are sums over blocks, as for r. The ends are bias-corrected
    percentiles (Efron 1981), because a ceiling is concave in the signal's power: estimates are too
    low on average, and draws even lower.

    Parameters
    ----------
    stories : sequence of ndarray, each of shape (repeat, TR, voxel)
        Responses to each story.
    method : str or Method
        A ceiling from repeats (:data:`voxelzoo.science.ceilings.METHODS`).
    regions : mapping of str to ndarray of bool, shape (voxel,)
        Voxels of each region; the first has all voxels.
    floor : float, "default" or None, default "default"
        As for :func:`voxelzoo.science.ceilings.estimate_ceiling`.
    block : int, default 10
        TRs per block.
    n_draws : int, default 200
        Number of draws.
    level : float, default 0.95
        Coverage.
    seed : int, default 0
        Seed of the draws.

    Returns
    -------
    Interval

    Raises
    ------
    UsageError
        If the method is not one from repeats.
    """
    chosen = find_method(method) if isinstance(method, str) else method
    if chosen.of_covariances is None:
        raise UsageError(f"ceiling {chosen.name!r} is not made from repeats, so it has no interval")
    least = chosen.floor if floor == "default" else floor
    top = estimate_ceiling(stories, chosen, least).values
    draws = _CeilingDraws.of(stories, chosen.of_covariances, least, block, n_draws, seed)
    return _interval(draws, top, regions, n_draws, level)


def _interval(
    draws: _CeilingDraws, top: Floats, regions: Mapping[str, Mask], n_draws: int, level: float
) -> Interval:
    """Interval of ceilings ``top`` (voxel,) and of their means over regions."""
    percentiles = tails(level, draws.n_blocks)
    low, high = np.full((2, len(top)), np.nan)
    means = RegionMeans(regions, top)

    def ends(voxels: slice) -> tuple[Floats, Floats]:
        """Interval (2, voxel), and the sums over regions of each draw."""
        values = draws.ceilings(voxels)
        interval = _bias_corrected(values, top[voxels], percentiles)
        return interval, means.sums(voxels, np.nan_to_num(values))

    for voxels, (interval, sums) in over_voxels(len(top), ends):
        low[voxels], high[voxels] = np.where(np.isfinite(top[voxels]), interval, np.nan)
        means.add(sums)
    of_regions = {}
    for name, values in means.means().items():
        interval = _bias_corrected(values[:, None], region_mean(top, regions[name]), percentiles)
        of_regions[name] = (float(interval[0, 0]), float(interval[1, 0]))
    return Interval(low, high, of_regions, "time", level, n_draws)


@dataclass(frozen=True)
class _CeilingDraws:
    """Draws of noise ceilings.

    Parameters
    ----------
    groups : list of list of ndarray, each of shape (repeat, TR, voxel)
        Stories with the same number of repeats.
    weights : list of ndarray, each of shape (draw, block)
        How often each draw takes each block of a group.
    of_covariances : callable
        Ceilings (draw, voxel) from covariances (repeat, repeat, draw, voxel).
    floor : float or None
        Lower limit of a ceiling.
    block : int
        TRs per block.
    """

    groups: list[list[Floats]]
    weights: list[NDArray[np.float64]]
    of_covariances: Callable[[Floats], Floats]
    floor: float | None
    block: int

    @classmethod
    def of(
        cls,
        stories: Sequence[Floats],
        of_covariances: Callable[[Floats], Floats],
        floor: float | None,
        block: int,
        n_draws: int,
        seed: int,
    ) -> _CeilingDraws:
        """Draws the blocks of each story."""
        rng = np.random.default_rng(seed)
        groups, weights = list(by_repeats(stories).values()), []
        for group in groups:
            n_blocks = [n_whole_blocks(story.shape[1], block) for story in group]
            counts = [rng.multinomial(n, np.full(n, 1 / n), size=n_draws) for n in n_blocks]
            weights.append(np.concatenate(counts, axis=1).astype(float))
        return cls(groups, weights, of_covariances, floor, block)

    @property
    def n_blocks(self) -> int:
        """Number of blocks that are drawn from."""
        return sum(each.shape[1] for each in self.weights)

    def ceilings(self, voxels: slice) -> Floats:
        """Ceilings (draw, voxel) of some voxels."""
        n_rows = [sum(story.shape[1] for story in group) for group in self.groups]
        of_blocks = []
        for start in range(voxels.start, voxels.stop, _BLOCK):
            block = slice(start, min(start + _BLOCK, voxels.stop))
            squares = [
                self._squares(group, weights, block)
                for group, weights in zip(self.groups, self.weights, strict=True)
            ]
            of_blocks.append(np.sqrt(np.average(squares, axis=0, weights=n_rows)))
        return np.concatenate(of_blocks, axis=1)

    def _squares(
        self, group: Sequence[Floats], weights: NDArray[np.float64], voxels: slice
    ) -> Floats:
        """Squared ceilings (draw, voxel) of stories with the same number of repeats."""
        rows = [np.asarray(story[..., voxels], dtype=np.float64) for story in group]
        values = self.of_covariances(_drawn_covariances(rows, weights, self.block))
        return np.square(values if self.floor is None else np.fmax(values, self.floor))


def _drawn_covariances(
    stories: Sequence[NDArray[np.float64]], weights: NDArray[np.float64], block: int
) -> NDArray[np.float64]:
    """Covariances (repeat, repeat, draw, voxel) of concatenated stories (repeat, TR, voxel)."""
    centre = np.concatenate(stories, axis=1).mean(axis=1, keepdims=True)
    first, second = np.triu_indices(len(centre))
    sums = []  # of each repeat, then of each pair's products: (repeat and pair, block, voxel)
    n_rows: list[int] = []
    for story in stories:
        rows = story - centre
        edges = block_edges(rows.shape[1], block)
        values = np.concatenate([rows, rows[first] * rows[second]])
        sums.append(np.add.reduceat(values, edges[:-1], axis=1))
        n_rows += np.diff(edges).tolist()
    by_block = np.concatenate(sums, axis=1)
    draws = weights @ by_block / (weights @ np.array(n_rows, dtype=np.float64))[:, None]
    means, products = draws[: len(centre)], draws[len(centre) :]
    covariances = np.empty((len(centre), len(centre), *draws.shape[1:]))
    between = products - means[first] * means[second]
    covariances[first, second] = covariances[second, first] = between
    return covariances


def _bias_corrected(draws: Floats, estimate: Any, percentiles: tuple[float, float]) -> Floats:
    """Bias-corrected percentiles (2, column) of draws (draw, column) about their estimates."""
    from scipy.stats import norm  # slow to import

    n = len(draws)
    below = (draws < estimate).mean(axis=0) + (draws == estimate).mean(axis=0) / 2
    shift = 2 * norm.ppf(np.clip(below, 0.5 / n, 1 - 0.5 / n))
    ordered = np.sort(draws, axis=0)  # NaN last
    ends = []
    for percentile in percentiles:
        at = norm.cdf(shift + norm.ppf(percentile)) * (n - 1)
        first = np.floor(at).astype(np.intp)
        lower, upper = (
            np.take_along_axis(ordered, np.minimum(i, n - 1)[None], axis=0)[0]
            for i in (first, first + 1)
        )
        ends.append(lower + (at - first) * (upper - lower))
    return np.stack(ends)
