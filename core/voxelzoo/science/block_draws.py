"""Blocks of time drawn with replacement: r in each draw, from sums over the blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, UsageError
from voxelzoo.science.arrays import Floats
from voxelzoo.science.held_out import HeldOut

Over = Literal["time", "stories"]
"""What is drawn: blocks of TRs within each part, or whole parts."""


def n_whole_blocks(n_trs: int, block: int) -> int:
    """Number of blocks of about ``block`` TRs in ``n_trs`` TRs; at least one."""
    return max(1, round(n_trs / block))


def block_edges(n_trs: int, block: int) -> NDArray[np.intp]:
    """Edges (block + 1,) of blocks of nearly equal length."""
    edges: NDArray[np.intp] = (
        np.linspace(0, n_trs, n_whole_blocks(n_trs, block) + 1).round().astype(np.intp)
    )
    return edges


def block_weights(
    held_out: HeldOut, over: Over, block: int, n_draws: int, seed: int
) -> list[NDArray[np.float64]]:
    """How often each draw takes each block.

    Parameters
    ----------
    held_out : HeldOut
        What was held out.
    over : {"time", "stories"}
        What to draw with replacement: blocks of TRs within each part, or whole parts.
    block : int
        TRs per block.
    n_draws : int
        Number of draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    list of ndarray, each of shape (draw, block)
        One for each part. Over stories, all blocks of a part are taken together: (draw, 1).

    Raises
    ------
    DataError
        If there are fewer than two blocks or parts to draw from.
    UsageError
        If ``block`` or ``n_draws`` is below 1.
    """
    if block < 1 or n_draws < 1:
        raise UsageError(f"blocks of {block} TRs and {n_draws} draws: both must be 1 or more")
    rng = np.random.default_rng(seed)
    if over == "stories":
        n = len(held_out.parts)
        if n < 2:
            raise DataError("an interval over stories needs at least two held-out stories, not 1")
        counts = rng.multinomial(n, np.full(n, 1 / n), size=n_draws)
        return [counts[:, [part]].astype(float) for part in range(n)]
    n_blocks = [n_whole_blocks(n, block) for n in held_out.n_trs]
    if sum(n_blocks) < 2:
        raise DataError(
            f"{sum(held_out.n_trs)} held-out TRs make only {sum(n_blocks)} block of {block}; "
            "an interval needs at least two"
        )
    return [rng.multinomial(n, np.full(n, 1 / n), size=n_draws).astype(float) for n in n_blocks]


def block_sums(held_out: HeldOut, voxels: slice, block: int) -> list[NDArray[np.float64]]:
    """Six sums over each block of each part: rows, x, y, xx, yy, xy.

    Blocks are of nearly equal length. Values are centred first, so that no precision is lost in
    differences of large sums.

    Parameters
    ----------
    held_out : HeldOut
        Predictions x and responses y.
    voxels : slice
        Which voxels.
    block : int
        TRs per block.

    Returns
    -------
    list of ndarray, each of shape (6, block, voxel)
        One for each part.
    """
    sides = [[pair[i][:, voxels] for pair in held_out.parts.values()] for i in (0, 1)]
    centres = [np.concatenate(side).mean(axis=0, dtype=np.float64) for side in sides]
    of_parts = []
    for prediction, response in zip(*sides, strict=True):
        x, y = prediction - centres[0], response - centres[1]
        starts = block_edges(len(x), block)[:-1]
        rows = np.broadcast_to(1.0, x.shape)
        sums = [np.add.reduceat(each, starts) for each in (rows, x, y, x * x, y * y, x * y)]
        of_parts.append(np.stack(sums))
    return of_parts


def drawn_r(
    sums: Sequence[NDArray[np.float64]],
    weights: Sequence[NDArray[np.float64]],
    over: Over,
    joined: bool,
) -> Floats:
    """r in each draw.

    Parameters
    ----------
    sums : sequence of ndarray, each of shape (6, block, voxel)
        Block sums of each part (:func:`block_sums`).
    weights : sequence of ndarray, each of shape (draw, block), or (draw, 1) over stories
        How often each draw takes each block of each part, or each part.
    over : {"time", "stories"}
        What is drawn.
    joined : bool
        Whether r is over the concatenated parts; otherwise it is the mean over parts.

    Returns
    -------
    ndarray of shape (draw, voxel)
    """
    if over == "stories":
        sums = [each.sum(axis=1, keepdims=True) for each in sums]
    if joined:
        return _weighted_r(np.concatenate(sums, axis=1), np.concatenate(weights, axis=1))
    if over == "stories":
        of_parts = [r_of_sums(each[:, 0]) for each in sums]
        total = sum(w * r for w, r in zip(weights, of_parts, strict=True))
        return np.asarray(total / len(sums))
    return np.asarray(
        np.mean([_weighted_r(s, w) for w, s in zip(weights, sums, strict=True)], axis=0)
    )


def _weighted_r(sums: NDArray[np.float64], weights: NDArray[np.float64]) -> Floats:
    """(draw, voxel) from sums (6, block, voxel) and weights (draw, block)."""
    rows, *others = sums
    return r_of_sums([weights @ rows[:, :1], *(weights @ each for each in others)])


def r_of_sums(sums: Sequence[Floats] | NDArray[np.float64]) -> Floats:
    """Pearson correlation from six sums.

    ::

        r = (xy - x y / n) / sqrt((xx - x x / n) (yy - y y / n))

    Parameters
    ----------
    sums : sequence of six ndarray, each of shape (...)
        Sums of rows (n), x, y, xx, yy and xy. That of rows may have shape (..., 1).

    Returns
    -------
    ndarray of shape (...)
        Clipped to -1 and 1. NaN where either side does not vary.
    """
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
