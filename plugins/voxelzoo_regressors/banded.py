"""Banded ridge: each feature space has a penalty of its own, on himalaya's solvers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from voxelzoo.api import MissingError, UsageError
from voxelzoo_regressors.arrays import (
    Kind,
    as_numpy,
    checked_fit,
    checked_rows,
    defined_voxels,
    story_names,
)
from voxelzoo_regressors.errors import FitError
from voxelzoo_regressors.folds import make_folds
from voxelzoo_regressors.ridge import ALPHAS
from voxelzoo_regressors.stacking import named_spaces

Floats = NDArray[np.floating[Any]]

_READ_BYTES = 1 << 30
"""Responses that are read for one search."""


class BandedRidge(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge with a penalty for each space and voxel, found by random search.

    The search (Dupré la Tour et al. 2022) tries ``n_iter`` ratios between the spaces, each with
    every alpha, and keeps each voxel's best by cross-validated correlation.

    Parameters
    ----------
    spaces
        Columns of each space: name to slice (or indices), or widths in order of the columns.
    alphas
        Penalties tried for each ratio.
    n_iter
        Ratios tried, drawn from Dirichlet distributions.
    cv, block_length, gap
        As for :class:`voxelzoo_regressors.Ridge`; rows in a gap train nothing.
    voxel_block
        Voxels searched at once.
    seed
        Of the ratios.

    Attributes
    ----------
    penalties_ : (space, voxel)
        Penalty of each space, on the diagonal of its block of the Gram matrix; NaN where a
        voxel's responses are not finite or do not vary.
    names_ : list
        Names of the spaces.
    cv_score_ : (voxel,)
        Mean held-out correlation at the chosen penalties.
    """

    def __init__(
        self,
        spaces: Mapping[str, Any] | Sequence[int] | None = None,
        *,
        alphas: Sequence[float] = ALPHAS,
        n_iter: int = 20,
        cv: Any = "groups",
        block_length: int = 50,
        gap: int = 5,
        voxel_block: int = 2000,
        seed: int = 0,
    ) -> None:
        self.spaces = spaces
        self.alphas = alphas
        self.n_iter = n_iter
        self.cv = cv
        self.block_length = block_length
        self.gap = gap
        self.voxel_block = voxel_block
        self.seed = seed

    def fit(self, X: Any, Y: Any, groups: Any = None) -> BandedRidge:
        """Fits ``Y`` (row, voxel) from ``X`` (row, feature); ``groups`` (row,) names stories.

        ``Y`` may be a Zarr array, read a GiB at a time; the weights kept are as large as ``Y``.
        Raises :class:`MissingError` where himalaya is not installed.
        """
        if self.n_iter < 1 or self.voxel_block < 1:
            raise UsageError("banded-ridge: n_iter and voxel_block must be 1 or more")
        X, Y, self._one_target = checked_fit(self, X, Y)
        self._columns = named_spaces(self.spaces, X.shape[1])
        self.names_ = list(self._columns)
        folds = make_folds(
            self.cv, len(X), story_names(groups, len(X)), self.gap, self.block_length
        )
        every = np.arange(len(X))
        splits = [(np.setdiff1d(every, fold.held), fold.scored) for fold in folds]

        self._X = X
        kernels = np.stack([X[:, columns] @ X[:, columns].T for columns in self._columns.values()])
        n_voxels = Y.shape[1]
        self.penalties_ = np.full((len(kernels), n_voxels), np.nan)
        self.cv_score_ = np.full(n_voxels, np.nan)
        self._dual = np.full((len(X), n_voxels), np.nan, dtype=X.dtype)
        self._intercept = np.full(n_voxels, np.nan, dtype=X.dtype)
        # Every search decomposes its kernels, so that few and large ones are best.
        width = max(self.voxel_block, _READ_BYTES // (len(X) * X.itemsize))
        with _himalaya() as (solve, correlation):
            for start in range(0, n_voxels, width):
                y = np.asarray(Y[:, start : start + width], dtype=X.dtype)
                usable = defined_voxels(y)
                if not usable.any():
                    continue
                deltas, dual, scores, intercept = solve(
                    kernels,
                    y[:, usable],
                    n_iter=self.n_iter,
                    alphas=np.asarray(self.alphas, dtype=X.dtype),
                    score_func=correlation,
                    cv=splits,
                    fit_intercept=True,
                    return_weights="dual",
                    random_state=self.seed,
                    n_targets_batch=self.voxel_block,
                    n_targets_batch_refit=self.voxel_block,
                    n_alphas_batch=5,
                    progress_bar=False,
                )
                voxels = start + np.flatnonzero(usable)
                self.penalties_[:, voxels] = np.exp(-np.asarray(deltas, dtype=np.float64))
                self.cv_score_[voxels] = np.asarray(scores).max(axis=0)
                self._dual[:, voxels] = np.asarray(dual)
                self._intercept[voxels] = np.asarray(intercept)
        if np.isnan(self.penalties_).all():
            raise FitError("no voxel has finite, varying responses")
        return self

    def predict_split(self, X: Any) -> Floats:
        """Each space's part of the predictions, (space, row, voxel); the constant is in none."""
        check_is_fitted(self)
        X = checked_rows(self, X)
        parts = [
            X[:, columns] @ (self._X[:, columns].T @ self._dual / self.penalties_[i])
            for i, columns in enumerate(self._columns.values())
        ]
        return np.stack(parts).astype(self._dual.dtype)

    def predict(self, X: Any) -> Any:
        """Predictions (row, voxel)."""
        found = self.predict_split(X).sum(axis=0) + self._intercept
        return Kind.of(X).give(found[:, 0] if self._one_target else found)

    def score_split(self, X: Any, Y: Any) -> Floats:
        """Product-measure share of each space in the joint correlation, (space, voxel).

        The shares of a voxel sum to the correlation of its joint prediction with ``Y``.
        """
        parts = self.predict_split(X)
        Y = np.asarray(as_numpy(Y)).reshape(parts.shape[1], -1)
        parts = parts - parts.mean(axis=1, keepdims=True)
        y = Y - Y.mean(axis=0)
        size = np.linalg.norm(parts.sum(axis=0), axis=0) * np.linalg.norm(y, axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            shares: Floats = (parts * y).sum(axis=1) / size
        return shares


@contextmanager
def _himalaya() -> Iterator[tuple[Any, Any]]:
    """Himalaya's search and its score, on NumPy; its global backend is put back after."""
    try:
        from himalaya.backend import get_backend, set_backend
        from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search
        from himalaya.scoring import correlation_score
    except ImportError as error:
        raise MissingError(
            f"banded-ridge needs himalaya ({error}); run: pip install 'voxelzoo[banded]'"
        ) from error
    before = get_backend().name
    set_backend("numpy")
    try:
        yield solve_multiple_kernel_ridge_random_search, correlation_score
    finally:
        set_backend(before)
