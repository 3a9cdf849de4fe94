"""Confidence intervals of r by bootstrap over blocks of time, or over whole stories.

Neighbouring TRs are not independent evidence, so blocks of them are drawn with replacement
(Carlstein 1986). Percentiles of draws of ``n`` blocks are too narrow for small ``n``, as a normal
interval with an estimated variance is. They are expanded as Student's t expands that interval
(Hesterberg 2015).

r needs six sums over each block (rows, x, y, xx, yy, xy), and a draw weights the blocks' sums. So
all draws of all voxels are one matrix product. All voxels share the same draws, so that intervals
of a region keep the correlation between its voxels.

References
----------
Carlstein, E. (1986). The use of subseries values for estimating the variance of a general
statistic from a stationary sequence. Annals of Statistics 14(3), 1171-1179.

Hesterberg, T. C. (2015). What teachers should know about the bootstrap: resampling in the
undergraduate statistics curriculum. The American Statistician 69(4), 371-386.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from voxelzoo.api import UsageError
from voxelzoo.science.arrays import Floats
from voxelzoo.science.block_draws import Over as Over, block_sums, block_weights, drawn_r
from voxelzoo.science.held_out import HeldOut, over_voxels, voxel_blocks
from voxelzoo.science.protocols import TRS_PER_BLOCK as TRS_PER_BLOCK
from voxelzoo.science.regions import RegionMeans

N_DRAWS = 1000
"""Draws for an interval of r."""

LEVEL = 0.95
"""Coverage of an interval."""


@dataclass(frozen=True)
class Interval:
    """Percentile interval of r, of a difference of r, or of a noise ceiling.

    Parameters
    ----------
    low, high : ndarray of shape (voxel,)
        Ends of each voxel's interval; NaN where the estimate is undefined.
    regions : mapping of str to (low, high)
        Interval of the mean over each region's defined voxels.
    over : {"time", "stories"}
        What was drawn.
    level : float
        Coverage, such as 0.95.
    n_draws : int
        Number of draws.
    """

    low: Floats
    high: Floats
    regions: Mapping[str, tuple[float, float]]
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
    """Interval of each voxel's r, and of each region's mean r.

    Parameters
    ----------
    held_out : HeldOut
        Predictions and responses of each held-out part.
    over : {"time", "stories"}, default "time"
        What to draw with replacement: blocks of TRs within each part, or whole parts.
    block : int, default 10
        TRs per block.
    n_draws : int, default 1000
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
    DataError
        If there are fewer than two blocks or parts to draw from.
    UsageError
        If ``block`` or ``n_draws`` is below 1.
    """
    return _interval([held_out], over, block, n_draws, level, seed)


def difference_interval(
    first: HeldOut,
    second: HeldOut,
    over: Over = "time",
    *,
    block: int = TRS_PER_BLOCK,
    n_draws: int = N_DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Interval of ``first.r - second.r``, with the same draws for both.

    Parameters
    ----------
    first, second : HeldOut
        Two predictions of the same responses.
    over, block, n_draws, level, seed
        As for :func:`r_interval`.

    Returns
    -------
    Interval

    Raises
    ------
    UsageError
        If the two do not have the same held-out responses.
    DataError
        If there are fewer than two blocks or parts to draw from.
    """
    check_paired(first, second)
    return _interval([first, second], over, block, n_draws, level, seed)


def tails(level: float, n: int) -> tuple[float, float]:
    """Percentiles at which to cut the draws of ``n`` blocks for a central interval.

    The tail ``(1 - level) / 2`` is expanded by Student's t, and by the bootstrap's own
    narrowness: its variance is smaller by ``(n - 1) / n`` (Hesterberg 2015, section 3.2) ::

        low = Phi(-sqrt(n / (n - 1)) t_{(1 + level) / 2, n - 1}),   high = 1 - low

    Parameters
    ----------
    level : float
        Coverage.
    n : int
        Number of blocks (or stories, voxels, subjects) that are drawn from.

    Returns
    -------
    low, high : float
        Between 0 and 1.

    Examples
    --------
    >>> [round(tail, 4) for tail in tails(0.95, 10)]
    [0.0086, 0.9914]
    """
    if n < 2:
        return 0.0, 1.0
    from scipy.stats import norm, t  # slow to import

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
    """Mean r of each region in each draw.

    Results with the same held-out rows have the same draws, so that their differences are paired.

    Parameters
    ----------
    held_out, over, block, n_draws, seed
        As for :func:`r_interval`.

    Returns
    -------
    dict of str to ndarray of shape (draw,)
    """
    weights = block_weights(held_out, over, block, n_draws, seed)
    means = RegionMeans(held_out.regions, held_out.r)

    def sums(voxels: slice) -> Floats:
        draws = drawn_r(block_sums(held_out, voxels, block), weights, over, held_out.joined)
        return means.sums(voxels, draws)

    for _, of_block in over_voxels(held_out.n_voxels, sums):
        means.add(of_block)
    return means.means()


def _interval(
    results: Sequence[HeldOut], over: Over, block: int, n_draws: int, level: float, seed: int
) -> Interval:
    """Interval of the r of one result, or of the difference between two."""
    first = results[0]
    weights = block_weights(first, over, block, n_draws, seed)
    r = first.r if len(results) == 1 else first.r - results[1].r
    low, high = np.full((2, first.n_voxels), np.nan)
    means = RegionMeans(first.regions, r)
    n = len(weights) if over == "stories" else sum(each.shape[1] for each in weights)
    percentiles = tails(level, n)

    def ends(voxels: slice) -> tuple[Floats, Floats]:
        """Interval (2, voxel), and the sums over regions of each draw."""
        of_results = [
            drawn_r(block_sums(each, voxels, block), weights, over, each.joined) for each in results
        ]
        draws = of_results[0] if len(results) == 1 else of_results[0] - of_results[1]
        sums = means.sums(voxels, draws)
        # A quantile along contiguous rows is twice as fast as down columns.
        by_voxel = np.ascontiguousarray(draws.T)
        return np.quantile(by_voxel, percentiles, axis=1, overwrite_input=True), sums

    for voxels, (interval, sums) in over_voxels(first.n_voxels, ends):
        low[voxels], high[voxels] = np.where(np.isfinite(r[voxels]), interval, np.nan)
        means.add(sums)
    regions = {
        name: (float(np.quantile(draws, percentiles[0])), float(np.quantile(draws, percentiles[1])))
        for name, draws in means.means().items()
    }
    return Interval(low, high, regions, over, level, n_draws)


def check_paired(first: HeldOut, second: HeldOut) -> None:
    """Checks that two results predict the same responses.

    Parameters
    ----------
    first, second : HeldOut
        The results.

    Raises
    ------
    UsageError
        If they do not.
    """
    same = (
        list(first.parts) == list(second.parts)
        and first.joined == second.joined
        and all(
            a.shape == b.shape and _equal_responses(a, b)
            for (_, a), (_, b) in zip(first.parts.values(), second.parts.values(), strict=True)
        )
    )
    if not same:
        raise UsageError(
            "the two results have different held-out responses, so they cannot be paired: compare "
            "the same subject, stories and protocol"
        )


def _equal_responses(a: Floats, b: Floats) -> bool:
    return all(
        np.allclose(a[:, v], b[:, v], rtol=1e-4, atol=1e-5, equal_nan=True)
        for v in voxel_blocks(a.shape[1])
    )
