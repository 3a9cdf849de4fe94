"""Stacked regression: one convex combination of feature spaces for each voxel.

After Antonello et al. (2023), section 2.4: the weights of voxel ``v`` minimise ``w' R_v w`` over
the simplex, where ``R_v`` holds the products of the spaces' held-out residuals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from voxelzoo.api import UsageError
from voxelzoo_regressors.errors import FitError
from voxelzoo_regressors.ridge import Ridge

Floats = NDArray[np.floating[Any]]


_BLOCK = 256
"""Voxels at once: their matrices stay in cache."""


def residual_products(predictions: Sequence[Floats], Y: Floats) -> Floats:
    """R, (voxel, space, space): mean over rows of the products of two spaces' residuals.

    ``predictions`` are held out, each (row, voxel), as is ``Y``. Rows in which a space predicts
    nothing (in a gap) are left out by all.
    """
    defined = [~np.isnan(prediction).all(axis=1) for prediction in predictions]
    rows = np.logical_and.reduce(defined)
    found = np.empty((Y.shape[1], len(predictions), len(predictions)))
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
        Fitted on each space; it must store ``cv_predictions_``.
    single
        Space (its name, or number) that the stack must beat; ``None``: the stack is always used.
    validation
        Share of the groups (stories) kept from all fitting to decide between stack and single
        space, at least one; rows at the end where there is one group.

    Attributes
    ----------
    weights_ : (voxel, space)
        Simplex weights.
    stacked_ : (voxel,)
        Where the stack is used; elsewhere, ``single`` is.
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
    ) -> None:
        self.spaces = spaces
        self.regressor = regressor
        self.single = single
        self.validation = validation

    def fit(self, X: Any, Y: Any, groups: Any = None) -> Stacking:
        """Fits ``Y`` (row, voxel) from ``X`` (row, feature); ``groups`` (row,) names stories."""
        X, Y = np.asarray(X), np.asarray(Y)
        if X.ndim != 2 or len(Y) != len(X):
            raise FitError(f"stacking: features {X.shape} and responses {Y.shape} do not match")
        self.n_features_in_ = X.shape[1]
        self._one_target = Y.ndim == 1
        Y = Y.reshape(len(Y), -1)
        names = np.zeros(len(X)) if groups is None else np.asarray(groups)
        self._columns = named_spaces(self.spaces, X.shape[1])
        self.names_ = list(self._columns)
        single = None if self.single is None else self._space(self.single)
        self.stacked_ = np.ones(Y.shape[1], dtype=bool)
        if single is not None:
            kept = self._training_rows(names)
            early, weights = self._fit_spaces(X[kept], Y[kept], names[kept])
            parts = [
                model.predict(X[~kept][:, columns])
                for model, columns in zip(early, self._columns.values(), strict=True)
            ]
            stack = combine(weights, parts)
            error, alone = (((Y[~kept] - p) ** 2).sum(axis=0) for p in (stack, parts[single]))
            self.stacked_ = error < alone
        self.regressors_, self.weights_ = self._fit_spaces(X, Y, names)
        self._single = single
        return self

    def predict(self, X: Any) -> Any:
        """Predictions (row, voxel)."""
        check_is_fitted(self)
        X = np.asarray(X)
        parts = [
            model.predict(X[:, columns])
            for model, columns in zip(self.regressors_, self._columns.values(), strict=True)
        ]
        found = combine(self.weights_, parts)
        if self._single is not None:
            found = np.where(self.stacked_, found, parts[self._single])
        return found[:, 0] if self._one_target else found

    def _fit_spaces(self, X: Floats, Y: Floats, names: NDArray[Any]) -> tuple[list[Any], Floats]:
        """A regressor for each space, and the simplex weights (voxel, space)."""
        models = []
        for columns in self._columns.values():
            model = clone(self.regressor) if self.regressor is not None else Ridge()
            model.set_params(store_cv_predictions=True)
            models.append(model.fit(X[:, columns], Y, groups=names))
        weights = simplex_weights(residual_products([m.cv_predictions_ for m in models], Y))
        return models, weights

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


def combine(weights: Floats, predictions: Sequence[Floats]) -> Floats:
    """Weighted sum of predictions (row, voxel) by weights (voxel, space)."""
    total = np.zeros_like(predictions[0])
    for i, prediction in enumerate(predictions):
        total += weights[:, i].astype(total.dtype) * prediction
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
