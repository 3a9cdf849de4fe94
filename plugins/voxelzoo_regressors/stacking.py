"""Stacked regression: one convex combination of feature spaces for each voxel.

After Antonello et al. (2023), section 2.4: the weights of voxel ``v`` minimise ``w' R_v w`` over
the simplex, where ``R_v`` holds the products of the spaces' held-out residuals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from voxelzoo.api import UsageError
from voxelzoo_regressors.arrays import Kind, checked_fit, checked_rows, some_rows, story_names
from voxelzoo_regressors.ridge import Ridge

Floats = NDArray[np.floating[Any]]


_BLOCK = 256
"""Voxels at once: their matrices stay in cache."""

_DRAWN = 1 << 23
"""Numbers in the matrices of all draws at once."""


def residual_products(predictions: Sequence[Floats], Y: Floats) -> Floats:
    """R, (voxel, space, space): mean over rows of the products of two spaces' residuals.

    ``predictions`` are held out, each (row, voxel), as is ``Y``. Rows in which a space predicts
    nothing (in a gap) are left out by all. NaN where a voxel is undefined.
    """
    defined = [~np.isnan(prediction).all(axis=1) for prediction in predictions]
    rows = np.logical_and.reduce(defined)
    found = np.full((Y.shape[1], len(predictions), len(predictions)), np.nan)
    if not rows.any():
        return found
    for start in range(0, Y.shape[1], _BLOCK):
        part = slice(start, start + _BLOCK)
        # (voxel, space, row): each voxel's rows lie together for its small product.
        residuals = np.stack([(Y[rows, part] - p[rows, part]).T for p in predictions], axis=1)
        found[part] = residuals @ residuals.transpose(0, 2, 1) / rows.sum()
    return found


def simplex_weights(R: Floats, tolerance: float = 1e-10) -> Floats:
    """Weights (voxel, space), each at least 0, summing to 1, that minimise ``w' R_v w``.

    ``R`` is (voxel, space, space), symmetric and positive semidefinite. An active-set method runs
    on all voxels at once: minimise over the spaces in use; where a weight would turn negative go
    only as far as the first that vanishes, and drop it; else take in the space whose gradient
    promises most, until none does. Taking one in or dropping it pivots the voxel's matrix once,
    so that no system is solved anew. Optimal to ``tolerance`` of ``R``'s size. NaN where R is.
    """
    if not len(R):
        return np.empty(R.shape[:2])
    parts = [R[start : start + _BLOCK] for start in range(0, len(R), _BLOCK)]
    # NumPy lets go of the interpreter within its loops: blocks run side by side.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        found = pool.map(lambda part: _simplex_weights(part, tolerance), parts)
        return np.concatenate(list(found))


def _simplex_weights(R: Floats, tolerance: float) -> Floats:
    n_voxels, m = R.shape[:2]
    weights = np.full((n_voxels, m), np.nan)
    voxels = np.flatnonzero(np.isfinite(R).all(axis=(1, 2)))
    R = np.asarray(R[voxels], dtype=np.float64)
    scale = np.maximum(np.trace(R, axis1=1, axis2=2) / m, np.finfo(np.float64).tiny)
    # R bordered by ones. Pivoted on the spaces in use its last column holds u, the solution of
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
        promise = np.where(used, 0.0, u / total)
        best = promise.argmax(axis=1)
        pivot = np.where(blocked, first, best)
        w[every[blocked], first[blocked]] = 0.0
        used[every, pivot] = ~blocked
        going = blocked | (promise[every, best] > tolerance)
        if not going.all():
            weights[voxels[~going]] = w[~going]
            T, w, used, voxels, pivot = (x[going] for x in (T, w, used, voxels, pivot))
    weights[voxels] = w  # rounding alone keeps these moving between equals
    return weights


_RIDGE = 1e-12
"""Identical spaces make R singular; this much more of each tells them apart."""


def _pivot(T: Floats, at: NDArray[np.intp], entering: NDArray[np.bool_]) -> None:
    """Sweeps each matrix (voxel, i, i) in place on its row ``at``; in or, if swept, out again."""
    every = np.arange(len(T))
    column = T[every, :, at]
    pivot = column[every, at]
    sign = np.where(entering, 1.0, -1.0)
    scaled = column / pivot[:, None]
    T -= scaled[:, :, None] * column[:, None, :]
    T[every, :, at] = T[every, at, :] = scaled * sign[:, None]
    T[every, at, at] = -1 / pivot


def centre_of_mass(weights: Floats, positions: Sequence[float] | None = None) -> Floats:
    """Attribution of each voxel to layers, (voxel,): the sum of ``position * weight``.

    ``weights`` (voxel, layer) are those of the layers in order; they are not normalised again
    where other spaces share the simplex. Positions are 1, 2, ... unless given (Antonello et al.
    2023, section 3.3).
    """
    at = np.arange(1, weights.shape[1] + 1) if positions is None else np.asarray(positions)
    centre: Floats = weights @ at
    return centre


class Stacking(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge on each feature space, combined for each voxel by weights on the simplex.

    Weights come from held-out predictions, so that a space that fits noise gets none. The stack
    is kept for a voxel only where it predicts data that nothing was fitted on better than the
    single space does.

    Parameters
    ----------
    spaces
        Columns of each space: name to slice (or indices), or widths in order of the columns.
    regressor
        A :class:`voxelzoo_regressors.Ridge`, a copy of which is fitted on each space. ``None``:
        one whose alphas are chosen by R2. Correlation does not mind how large predictions are,
        and the weights of a stack do.
    single
        Space (its name, or number) that the stack must beat; ``None``: the stack is always used.
    validation
        Share of the groups (stories) kept from all fitting to decide between stack and single
        space, at least one; rows at the end where there is one group.
    voxel_block
        Voxels stacked at once: all spaces' held-out predictions of so many are in memory.
    draws
        Draws of blocks of held-out rows for an interval of the weights; 0 for none.
    seed
        Of the draws.

    Attributes
    ----------
    weights_ : (voxel, space)
        Simplex weights; NaN where a voxel is undefined.
    weights_low_, weights_high_ : (voxel, space)
        Their 95 percent interval, each weight by itself, where ``draws`` are asked for.
    stacked_ : (voxel,)
        Where the stack is used; elsewhere, ``single`` is.
    cv_score_ : (voxel,)
        Mean held-out correlation of the stack, each fold's by the weights of the other folds.
    regressors_ : list
        Each space's regressor, fitted on all rows.
    names_ : list
        Names of the spaces.
    """

    def __init__(
        self,
        spaces: Mapping[str, Any] | Sequence[int] | None = None,
        *,
        regressor: Any = None,
        single: str | int | None = None,
        validation: float = 0.2,
        voxel_block: int = 1024,
        draws: int = 0,
        seed: int = 0,
    ) -> None:
        self.spaces = spaces
        self.regressor = regressor
        self.single = single
        self.validation = validation
        self.voxel_block = voxel_block
        self.draws = draws
        self.seed = seed

    def fit(self, X: Any, Y: Any, groups: Any = None) -> Stacking:
        """Fits ``Y`` (row, voxel) from ``X`` (row, feature); ``groups`` (row,) names stories.

        ``Y`` may be a Zarr array, read a block of voxels at a time; the spaces' weights, as large
        each as ``Y``, are then not kept but made again to predict.
        """
        if self.voxel_block < 1:
            raise UsageError(f"stacking: voxel_block={self.voxel_block!r}; say 1 or more")
        if isinstance(self.draws, bool) or not isinstance(self.draws, int) or self.draws < 0:
            raise UsageError(f"stacking: draws={self.draws!r}; say a whole number, 0 or more")
        if not isinstance(self.regressor, Ridge | None):
            raise UsageError(f"stacking: regressor={self.regressor!r}; say a Ridge")
        X, Y, self._one_target = checked_fit(self, X, Y)
        names = story_names(groups, len(X))
        self._columns = named_spaces(self.spaces, X.shape[1])
        self.names_ = list(self._columns)
        self._single = None if self.single is None else self._space(self.single)
        self.stacked_ = np.ones(Y.shape[1], dtype=bool)
        if self._single is not None:
            self.stacked_ = self._stack_wins(X, Y, names, self._single)
        self.regressors_ = self._fitted(X, Y, names)
        if self.draws:
            self.weights_low_, self.weights_high_ = np.empty((2, Y.shape[1], len(self.names_)))
        self.weights_, self.cv_score_ = self._weights(self.regressors_, Y, self.draws)
        return self

    def predict(self, X: Any) -> Any:
        """Predictions (row, voxel)."""
        check_is_fitted(self)
        kind, X = Kind.of(X), checked_rows(self, X)
        found = self._combined(self.regressors_, self.weights_, X)
        if self._single is not None:
            columns = list(self._columns.values())[self._single]
            alone = self.regressors_[self._single].predict(X[:, columns])
            found = np.where(self.stacked_, found, alone)
        return kind.give(found[:, 0] if self._one_target else found)

    def _fitted(self, X: Floats, Y: Any, names: NDArray[Any] | None) -> list[Ridge]:
        """A regressor for each space."""
        prototype = Ridge(scoring="r2") if self.regressor is None else self.regressor
        return [
            clone(prototype).fit(X[:, columns], Y, groups=names)
            for columns in self._columns.values()
        ]

    def _weights(self, models: Sequence[Ridge], Y: Any, draws: int = 0) -> tuple[Floats, Floats]:
        """Simplex weights (voxel, space), and the stack's held-out correlation (voxel,)."""
        n_voxels = Y.shape[1]
        weights, scores = np.empty((n_voxels, len(models))), np.empty(n_voxels)
        for start in range(0, n_voxels, self.voxel_block):
            block = slice(start, min(n_voxels, start + self.voxel_block))
            y = np.asarray(Y[:, block])
            parts = [model.cv_predictions_block(Y, block) for model in models]
            folds = [fold.scored for fold in models[0].folds_]
            weights[block], scores[block] = stack(parts, y, folds)
            if draws:
                self.weights_low_[block], self.weights_high_[block] = weights_interval(
                    parts, y, folds, draws, seed=self.seed
                )
        for model in models:
            model.forget_folds()
        return weights, scores

    def _combined(self, models: Sequence[Ridge], weights: Floats, X: Floats) -> Floats:
        """Weighted sum of the spaces' predictions (row, voxel), one space in memory at a time."""
        spaces = zip(models, self._columns.values(), strict=True)
        return combine(weights, (model.predict(X[:, columns]) for model, columns in spaces))

    def _stack_wins(
        self, X: Floats, Y: Any, names: NDArray[Any] | None, single: int
    ) -> NDArray[np.bool_]:
        """Where the stack predicts the stories not fitted better than one space, (voxel,)."""
        kept = self._training_rows(np.zeros(len(X)) if names is None else names)
        Y_kept, Y_left = some_rows(Y, kept), some_rows(Y, ~kept)
        models = self._fitted(X[kept], Y_kept, None if names is None else names[kept])
        weights, _ = self._weights(models, Y_kept)
        columns = list(self._columns.values())[single]
        stacked = self._combined(models, weights, X[~kept])
        alone = models[single].predict(X[~kept][:, columns])
        wins = np.zeros(Y.shape[1], dtype=bool)
        for start in range(0, len(wins), self.voxel_block):
            block = slice(start, min(len(wins), start + self.voxel_block))
            left = Y_left[:, block]
            error, error_alone = (((left - p[:, block]) ** 2).sum(axis=0) for p in (stacked, alone))
            wins[block] = error < error_alone
        return wins

    def _training_rows(self, names: NDArray[Any]) -> NDArray[np.bool_]:
        """Rows for fitting; the rest, whole stories where there are several, decide."""
        if not 0 < self.validation < 1:
            raise UsageError(f"stacking: validation={self.validation!r}; say a share below 1")
        labels = names[np.sort(np.unique(names, return_index=True)[1])]
        if len(labels) < 2:
            return np.arange(len(names)) < round(len(names) * (1 - self.validation))
        n_kept = max(1, len(labels) - max(1, round(len(labels) * self.validation)))
        return np.isin(names, labels[:n_kept])

    def _space(self, name: str | int) -> int:
        if isinstance(name, int) and 0 <= name < len(self.names_):
            return name
        if name in self.names_:
            return self.names_.index(str(name))
        raise UsageError(f"stacking: no space {name!r}; there are {', '.join(self.names_)}")


def stack(
    predictions: Sequence[Floats], Y: Floats, folds: Sequence[NDArray[np.intp]]
) -> tuple[Floats, Floats]:
    """Simplex weights (voxel, space), and an honest score of the stack (voxel,): the mean over
    folds of the correlation of ``Y`` (row, voxel) with the spaces' held-out predictions, combined
    by the weights that the other folds give."""
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
    folds: Sequence[NDArray[np.intp]],
    n_draws: int = 200,
    *,
    block: int = 10,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Lower and upper ends (voxel, space) of each weight's percentile interval.

    Blocks of ``block`` neighbouring held-out rows, within folds, are drawn with replacement, and
    the weights found anew; the spaces' own fits stay as they are.
    """
    blocks = [
        part for rows in folds for part in np.array_split(rows, max(1, round(len(rows) / block)))
    ]
    products = np.stack(
        [residual_products([p[rows] for p in predictions], Y[rows]) * len(rows) for rows in blocks]
    )
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=n_draws)
    n_voxels, m = Y.shape[1], len(predictions)
    low, high = np.empty((2, n_voxels, m))
    width = max(1, _DRAWN // (n_draws * m * m))
    tails = [(1 - level) / 2, (1 + level) / 2]
    for start in range(0, n_voxels, width):
        part = slice(start, min(n_voxels, start + width))
        R = np.tensordot(drawn.astype(np.float64), products[:, part], axes=1)
        weights = simplex_weights(R.reshape(-1, m, m)).reshape(n_draws, -1, m)
        low[part], high[part] = np.quantile(weights, tails, axis=0)
    return low, high


def correlation(prediction: Floats, response: Floats) -> Floats:
    """Pearson correlation of each column, (voxel,); NaN where one does not vary."""
    p, y = prediction - prediction.mean(axis=0), response - response.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r: Floats = (p * y).sum(axis=0) / np.sqrt((p**2).sum(axis=0) * (y**2).sum(axis=0))
    return r


def combine(weights: Floats, predictions: Iterable[Floats]) -> Floats:
    """Weighted sum of predictions (row, voxel) by weights (voxel, space)."""
    total: Floats | None = None
    for weight, prediction in zip(weights.T, predictions, strict=True):
        part = weight.astype(prediction.dtype) * prediction
        total = part if total is None else np.add(total, part, out=total)
    assert total is not None
    return total


def named_spaces(spaces: Mapping[str, Any] | Sequence[int] | None, n: int) -> dict[str, Any]:
    """Columns of each space by name, from a mapping or from widths; ``None``: one space."""
    if spaces is None:
        return {"0": slice(0, n)}
    if isinstance(spaces, Mapping):
        if not spaces:
            raise UsageError("spaces: none are named")
        return {str(name): columns for name, columns in spaces.items()}
    edges = np.cumsum([0, *spaces])
    if not len(spaces) or edges[-1] != n or min(spaces) < 1:
        raise UsageError(f"spaces: widths {list(spaces)} do not make up {n} columns")
    return {str(i): slice(int(edges[i]), int(edges[i + 1])) for i in range(len(spaces))}
