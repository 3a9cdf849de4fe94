"""Convex combinations of feature spaces: weights, scores and intervals for many voxels at once.

After Antonello et al. (2023), section 2.4. The weights of voxel ``v`` minimise ``w' R_v w`` over
the simplex, where ``R_v`` holds the products of the spaces' held-out residuals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from voxelzoo.api import blocks
from voxelzoo_regressors.arrays import Floats, Rows
from voxelzoo_regressors.scoring import correlation

_BLOCK = 256
"""Voxels at once: their matrices stay in cache."""

_MAX_NUMBERS = 1 << 23
"""Numbers in the matrices of all draws at once."""

_RIDGE = 1e-12
"""Added to the diagonal of R: identical spaces make it singular."""


def residual_products(predictions: Sequence[Floats], Y: Floats) -> Floats:
    """Mean products of the residuals of each pair of spaces.

    Parameters
    ----------
    predictions : sequence of ndarray, each of shape (row, voxel)
        Held-out predictions of each space. Rows in which a space predicts nothing (NaN in every
        voxel, as in a gap) are skipped for all spaces.
    Y : ndarray of shape (row, voxel)
        Responses.

    Returns
    -------
    ndarray of shape (voxel, space, space)
        NaN for undefined voxels.
    """
    defined = [~np.isnan(prediction).all(axis=1) for prediction in predictions]
    rows = np.logical_and.reduce(defined)
    products = np.full((Y.shape[1], len(predictions), len(predictions)), np.nan)
    if not rows.any():
        return products
    for voxels in blocks(Y.shape[1], _BLOCK):
        # (voxel, space, row): each voxel's rows lie together for its small product.
        residuals = np.stack([(Y[rows, voxels] - p[rows, voxels]).T for p in predictions], axis=1)
        products[voxels] = residuals @ residuals.transpose(0, 2, 1) / rows.sum()
    return products


def simplex_weights(R: Floats, tolerance: float = 1e-10) -> Floats:
    """Weights that minimise a quadratic form over the simplex, for each voxel.

    Solves ::

        minimise  w' R_v w   subject to  w >= 0,  sum(w) = 1

    with an active-set method that runs on all voxels at once. It minimises over the spaces in
    use. If a weight would turn negative, it goes only as far as the first weight that vanishes,
    and drops that space. Otherwise it adds the space with the steepest descent, until there is
    none. Adding or dropping a space pivots the voxel's matrix once, so no system is solved again.

    Parameters
    ----------
    R : ndarray of shape (voxel, space, space)
        Symmetric positive semidefinite matrices.
    tolerance : float, default 1e-10
        Largest descent that may remain, relative to the size of ``R``.

    Returns
    -------
    ndarray of shape (voxel, space), float64
        NaN where ``R`` is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> simplex_weights(np.array([[[1.0, 0.0], [0.0, 3.0]]])).round(3)
    array([[0.75, 0.25]])
    """
    if not len(R):
        return np.empty(R.shape[:2])
    parts = [R[voxels] for voxels in blocks(len(R), _BLOCK)]
    # NumPy releases the interpreter lock in its loops, so blocks run side by side.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return np.concatenate(list(pool.map(lambda part: _simplex_weights(part, tolerance), parts)))


def _simplex_weights(R: Floats, tolerance: float) -> Floats:
    n_voxels, m = R.shape[:2]
    weights = np.full((n_voxels, m), np.nan)
    voxels = np.flatnonzero(np.isfinite(R).all(axis=(1, 2)))
    R = np.asarray(R[voxels], dtype=np.float64)
    scale = np.maximum(np.trace(R, axis1=1, axis2=2) / m, np.finfo(np.float64).tiny)
    # R bordered by ones. Pivoted on the spaces in use, its last column holds u, the solution of
    # R u = 1 over them, and 1 - R u for the others.
    T = np.zeros((len(voxels), m + 1, m + 1))
    T[:, :m, :m] = R / scale[:, None, None]
    T[:, m, :m] = T[:, :m, m] = 1
    diagonal = np.einsum("vii->vi", T)[:, :m]
    diagonal += _RIDGE
    pivot = diagonal.argmin(axis=1)
    w = np.eye(m)[pivot]
    used = w > 0
    for _ in range(20 * m):
        if not len(voxels):
            break
        every = np.arange(len(voxels))
        _pivot(T, pivot, used[every, pivot])
        u = T[:, :m, m]
        total = (u * used).sum(axis=1, keepdims=True)
        target = np.where(used, u / total, 0.0)
        falling = used & (target < 0)
        blocked = falling.any(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(falling, w / (w - target), np.inf)
        first = reach.argmin(axis=1)
        step = np.where(blocked, reach[every, first], 1.0)[:, None]
        w += step * (target - w)
        descent = np.where(used, 0.0, u / total)
        steepest = descent.argmax(axis=1)
        pivot = np.where(blocked, first, steepest)
        w[every[blocked], first[blocked]] = 0.0
        used[every, pivot] = ~blocked
        active = blocked | (descent[every, steepest] > tolerance)
        if not active.all():
            weights[voxels[~active]] = w[~active]
            T, w, used, voxels, pivot = (x[active] for x in (T, w, used, voxels, pivot))
    weights[voxels] = w  # these differ from the optimum by rounding only
    return weights


def _pivot(T: Floats, at: NDArray[np.intp], entering: NDArray[np.bool_]) -> None:
    """Sweeps each matrix (voxel, i, i) in place on row ``at``; in, or out again if swept."""
    every = np.arange(len(T))
    column = T[every, :, at]
    pivot = column[every, at]
    sign = np.where(entering, 1.0, -1.0)
    scaled = column / pivot[:, None]
    T -= scaled[:, :, None] * column[:, None, :]
    T[every, :, at] = T[every, at, :] = scaled * sign[:, None]
    T[every, at, at] = -1 / pivot


def combine(weights: Floats, predictions: Iterable[Floats]) -> Floats:
    """Weighted sum of the spaces' predictions.

    Parameters
    ----------
    weights : ndarray of shape (voxel, space)
        Weight of each space.
    predictions : iterable of ndarray, each of shape (row, voxel)
        Predictions of each space, in order; one is in memory at a time.

    Returns
    -------
    ndarray of shape (row, voxel)
        In the precision of the predictions.
    """
    total: Floats | None = None
    for weight, prediction in zip(weights.T, predictions, strict=True):
        weighted = weight.astype(prediction.dtype) * prediction
        total = weighted if total is None else np.add(total, weighted, out=total)
    assert total is not None
    return total


def stack(predictions: Sequence[Floats], Y: Floats, folds: Sequence[Rows]) -> tuple[Floats, Floats]:
    """Stacks feature spaces, and scores the stack on folds that its weights have not seen.

    Parameters
    ----------
    predictions : sequence of ndarray, each of shape (row, voxel)
        Held-out predictions of each space.
    Y : ndarray of shape (row, voxel)
        Responses.
    folds : sequence of ndarray of int
        Scored rows of each fold.

    Returns
    -------
    weights : ndarray of shape (voxel, space)
        Simplex weights from all folds.
    score : ndarray of shape (voxel,)
        Mean over folds of the correlation of the stack with ``Y``, where each fold's stack has
        the weights that the other folds give.
    """
    products = [
        residual_products([p[rows] for p in predictions], Y[rows]) * len(rows) for rows in folds
    ]
    total = np.sum(products, axis=0)
    score = np.zeros(Y.shape[1])
    for rows, own in zip(folds, products, strict=True):
        weights = simplex_weights(total - own)
        r = correlation(combine(weights, (p[rows] for p in predictions)), Y[rows])
        score += np.where(np.isnan(weights[:, 0]), np.nan, np.nan_to_num(r)) / len(folds)
    return simplex_weights(total), score


def weights_interval(
    predictions: Sequence[Floats],
    Y: Floats,
    folds: Sequence[Rows],
    n_draws: int = 200,
    *,
    block: int = 10,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Percentile interval of each stacking weight, by a block bootstrap over held-out rows.

    The spaces' own fits stay as they are; only the weights are computed again in each draw.

    Parameters
    ----------
    predictions : sequence of ndarray, each of shape (row, voxel)
        Held-out predictions of each space.
    Y : ndarray of shape (row, voxel)
        Responses.
    folds : sequence of ndarray of int
        Scored rows of each fold.
    n_draws : int, default 200
        Number of draws.
    block : int, default 10
        Rows (TRs) per block. Blocks lie within folds and are drawn with replacement.
    level : float, default 0.95
        Coverage of each weight's interval by itself.
    seed : int, default 0
        Seed of the draws.

    Returns
    -------
    low, high : ndarray of shape (voxel, space)
        Ends of the intervals.
    """
    parts = [
        part for rows in folds for part in np.array_split(rows, max(1, round(len(rows) / block)))
    ]
    products = np.stack(
        [residual_products([p[rows] for p in predictions], Y[rows]) * len(rows) for rows in parts]
    )
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(parts), np.full(len(parts), 1 / len(parts)), size=n_draws)
    n_voxels, m = Y.shape[1], len(predictions)
    low, high = np.empty((2, n_voxels, m))
    tails = [(1 - level) / 2, (1 + level) / 2]
    for voxels in blocks(n_voxels, max(1, _MAX_NUMBERS // (n_draws * m * m))):
        R = np.tensordot(counts.astype(np.float64), products[:, voxels], axes=1)
        weights = simplex_weights(R.reshape(-1, m, m)).reshape(n_draws, -1, m)
        low[voxels], high[voxels] = np.quantile(weights, tails, axis=0)
    return low, high


def centre_of_mass(weights: Floats, positions: Sequence[float] | None = None) -> Floats:
    """Mean layer of each voxel, weighted by its stacking weights.

    Antonello et al. (2023), section 3.3: the sum of ``position * weight`` over layers. If other
    spaces share the simplex, so that the layers' weights do not sum to 1, they are not
    normalised again.

    Parameters
    ----------
    weights : ndarray of shape (voxel, layer)
        Stacking weights of the layers, in order.
    positions : sequence of float or None, default None
        Position of each layer. None: 1, 2, ...

    Returns
    -------
    ndarray of shape (voxel,)

    Examples
    --------
    >>> import numpy as np
    >>> centre_of_mass(np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]))
    array([1. , 2.5])
    """
    at = np.arange(1, weights.shape[1] + 1) if positions is None else np.asarray(positions)
    centre: Floats = weights @ at
    return centre
