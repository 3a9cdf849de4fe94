"""Banded ridge: each feature space has a penalty of its own, on himalaya's solvers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from voxelzoo.api import MissingError, blocks
from voxelzoo_regressors.arrays import (
    Floats,
    Rows,
    as_numpy,
    defined_voxels,
    like,
    validate_fit,
    validate_groups,
    validate_rows,
)
from voxelzoo_regressors.errors import FitError
from voxelzoo_regressors.folds import make_folds
from voxelzoo_regressors.ridge import ALPHAS
from voxelzoo_regressors.settings import require_count
from voxelzoo_regressors.spaces import SpaceColumns, named_spaces

_READ_BYTES = 1 << 30
"""Responses that are read for one search."""


class BandedRidge(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge regression with one penalty per feature space and voxel.

    A linear model following the scikit-learn API. For each voxel with responses ``y``, the
    weights ``b_k`` of the spaces ``k`` and the constant ``c`` minimise ::

        ||y - sum_k X_k b_k - c||^2 + sum_k alpha_k ||b_k||^2

    The penalties are found by random search [1]_: ``n_iter`` ratios between the spaces are drawn
    from Dirichlet distributions, each is tried with every alpha, and each voxel keeps those with
    the best mean held-out correlation.

    Parameters
    ----------
    spaces : mapping, sequence of int, or None, default None
        Columns of each feature space: name to slice (or column indices), or the widths of
        consecutive spaces. None: all columns are one space.
    alphas : sequence of float, default 10^0, 10^0.5, ..., 10^8
        Penalties tried for each ratio. A space with share ``g`` in the ratio has the penalty
        ``alpha / g``.
    n_iter : int, default 20
        Ratios to try. Many spaces need more.
    cv : {"groups", "blocks"}, int, splitter, or iterable of (train, test), default "groups"
        Folds, as for :class:`Ridge`.
    block_length : int, default 50
        Rows (TRs) per block for ``cv="blocks"``.
    gap : int, default 5
        Rows (TRs) on both sides of a contiguous block that do not train the model scored on it.
    voxel_block : int, default 2000
        Voxels to search at once.
    seed : int, default 0
        Seed of the ratios.

    Attributes
    ----------
    penalties_ : ndarray of shape (space, voxel)
        Penalty of each space, ``alpha_k``. NaN for a voxel whose responses are constant or not
        finite.
    names_ : list of str
        Names of the spaces.
    cv_score_ : ndarray of shape (voxel,)
        Mean held-out Pearson correlation at the chosen penalties.
    n_features_in_ : int
        Number of columns of ``X``.

    Raises
    ------
    MissingError
        By :meth:`fit`, if himalaya is not installed.
    UsageError
        By :meth:`fit`, for a setting that is not one of those above.

    See Also
    --------
    Stacking : Separate ridge regressions, combined for each voxel.
    VariancePartition : What each space explains alone and shares with others.

    References
    ----------
    .. [1] Dupré la Tour, T., Eickenberg, M., Nunez-Elizalde, A. O., & Gallant, J. L. (2022).
       Feature-space selection with banded ridge regression. NeuroImage 264, 119728.

    Examples
    --------
    >>> import numpy as np
    >>> from voxelzoo_regressors import BandedRidge
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((120, 6))
    >>> Y = X[:, [0, 1]] + 0.1 * rng.standard_normal((120, 2))
    >>> model = BandedRidge({"text": slice(0, 3), "speech": slice(3, 6)}, n_iter=5)
    >>> model = model.fit(X, Y, groups=np.repeat(np.arange(4), 30))
    >>> model.penalties_.shape
    (2, 2)
    >>> bool((model.penalties_[0] < model.penalties_[1]).all())
    True
    """

    def __init__(
        self,
        spaces: SpaceColumns = None,
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
        """Fits every voxel.

        Parameters
        ----------
        X : array of shape (row, feature)
            Features of all spaces.
        Y : array of shape (row, voxel) or (row,)
            Responses. A lazy array (Zarr, HDF5) is read a GiB at a time; the weights that are
            kept are as large as ``Y``.
        groups : array of shape (row,) or None, default None
            Group (story) of each row.

        Returns
        -------
        BandedRidge
            The fitted estimator itself.

        Raises
        ------
        MissingError
            If himalaya is not installed.
        UsageError
            If a setting is not valid.
        FitError
            If the data cannot be fitted.
        """
        require_count("banded-ridge", "n_iter", self.n_iter, 1)
        require_count("banded-ridge", "voxel_block", self.voxel_block, 1)
        X, Y, self._one_target = validate_fit(self, X, Y)
        self._columns = named_spaces(self.spaces, X.shape[1])
        self.names_ = list(self._columns)
        stories = validate_groups(groups, len(X))
        folds = make_folds(self.cv, len(X), stories, self.gap, self.block_length)
        every = np.arange(len(X))
        splits = [(np.setdiff1d(every, fold.held), fold.scored) for fold in folds]
        self._X = X
        self._search(Y, splits)
        if np.isnan(self.penalties_).all():
            raise FitError("no voxel has finite, varying responses")
        return self

    def _search(self, Y: Any, splits: Sequence[tuple[Rows, Rows]]) -> None:
        """Finds each voxel's penalties and dual weights."""
        X, n_voxels = self._X, Y.shape[1]
        kernels = np.stack([X[:, columns] @ X[:, columns].T for columns in self._columns.values()])
        self.penalties_ = np.full((len(kernels), n_voxels), np.nan)
        self.cv_score_ = np.full(n_voxels, np.nan)
        self._dual = np.full((len(X), n_voxels), np.nan, dtype=X.dtype)
        self._intercept = np.full(n_voxels, np.nan)
        # Every search decomposes its kernels, so few large searches are best.
        width = max(self.voxel_block, _READ_BYTES // (len(X) * X.itemsize))
        with _himalaya() as (solve, correlation):
            for block in blocks(n_voxels, width):
                y = np.asarray(Y[:, block])
                usable = defined_voxels(y)
                if not usable.any():
                    continue
                # In float32 a prediction can vary by less than the rounding error of a large mean.
                mean = y[:, usable].mean(axis=0, dtype=np.float64)
                centred = (y[:, usable] - mean).astype(X.dtype)
                deltas, dual, scores, intercept = solve(
                    kernels,
                    centred,
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
                voxels = block.start + np.flatnonzero(usable)
                self.penalties_[:, voxels] = np.exp(-np.asarray(deltas, dtype=np.float64))
                self.cv_score_[voxels] = np.asarray(scores).max(axis=0)
                self._dual[:, voxels] = np.asarray(dual)
                self._intercept[voxels] = mean + np.asarray(intercept)

    def predict_split(self, X: Any) -> Floats:
        """Each space's part of the predictions, without the constant.

        Parameters
        ----------
        X : array of shape (row, feature)
            Features of all spaces.

        Returns
        -------
        ndarray of shape (space, row, voxel)
        """
        check_is_fitted(self)
        X = validate_rows(self, X)
        parts = [
            X[:, columns] @ (self._X[:, columns].T @ self._dual / self.penalties_[i])
            for i, columns in enumerate(self._columns.values())
        ]
        return np.stack(parts).astype(self._dual.dtype)

    def predict(self, X: Any) -> Any:
        """Predicts the responses of every voxel.

        Parameters
        ----------
        X : array of shape (row, feature)
            Features of all spaces.

        Returns
        -------
        array of shape (row, voxel) or (row,)
            An array of the kind of ``X``. NaN for undefined voxels.
        """
        predictions = self.predict_split(X).sum(axis=0) + self._intercept
        return like(predictions[:, 0] if self._one_target else predictions, X)

    def score_split(self, X: Any, Y: Any) -> Floats:
        """Share of each space in the correlation of the joint prediction with the responses.

        The product measure: with a joint prediction ``p = sum_k p_k``, all centred, the share of
        space ``k`` is ``p_k'y / (|p| |y|)``. The shares of a voxel add up to its correlation.

        Parameters
        ----------
        X : array of shape (row, feature)
            Features of rows that were not fitted.
        Y : array of shape (row, voxel)
            Their responses.

        Returns
        -------
        ndarray of shape (space, voxel)
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
    """Himalaya's search and its score, on NumPy; its global backend is restored afterwards."""
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
