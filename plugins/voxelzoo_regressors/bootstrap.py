"""Ridge as the code of Antonello, Vaidya and Huth (2023) does it, for exact comparison."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from voxelzoo.api import DataError, blocks
from voxelzoo_regressors.arrays import FLOATS, Floats, Rows, is_lazy
from voxelzoo_regressors.settings import require_alphas

SINGULAR_CUTOFF = 1e-10
"""Singular values up to this are dropped while alphas are chosen, as in that code."""

_READ_BYTES = 1 << 28
"""Responses that are read at once."""

ALPHAS = tuple(float(alpha) for alpha in np.logspace(1, 4, 15))
"""That code's alphas; penalties are their squares."""


def signed_root_r2_score(prediction: Floats, response: Floats) -> Floats:
    """The released code's score, ``sign(R2) sqrt(|R2|)``.

    There, ``R2 = 1 - var(residual) / ((1 + var(response)) / 2)``. Variances ignore the mean
    error, as that code's do.

    Parameters
    ----------
    prediction, response : ndarray of shape (row, target)

    Returns
    -------
    ndarray of shape (target,)
    """
    r2 = 1 - (response - prediction).var(axis=0) / ((1 + response.var(axis=0)) / 2)
    score: Floats = np.sqrt(np.abs(r2)) * np.sign(r2)
    return score


def zscore_correlation(prediction: Floats, response: Floats) -> Floats:
    """The released code's correlation: the mean product of z-scored columns.

    Parameters
    ----------
    prediction, response : ndarray of shape (row, target)

    Returns
    -------
    ndarray of shape (target,)
    """
    x = (prediction - prediction.mean(axis=0)) / prediction.std(axis=0)
    y = (response - response.mean(axis=0)) / response.std(axis=0)
    r: Floats = (x * y).mean(axis=0)
    return r


@dataclass(frozen=True)
class SVD:
    """Thin singular value decomposition of training features, taken as z-scored: no intercept.

    Parameters
    ----------
    U : ndarray of shape (row, rank)
    S : ndarray of shape (rank,)
    Vt : ndarray of shape (rank, feature)
    """

    U: Floats
    S: Floats
    Vt: Floats

    @classmethod
    def of(cls, X: Floats) -> SVD:
        """Decomposes features (row, feature)."""
        return cls(*np.linalg.svd(X, full_matrices=False))

    def above(self, least: float) -> SVD:
        """The same, with only the singular values above ``least``."""
        keep = least < self.S
        return SVD(self.U[:, keep], self.S[keep], self.Vt[keep])

    def coordinates(self, Y: Floats, alphas: Floats) -> Floats:
        """Weights in the basis of ``Vt``.

        Parameters
        ----------
        Y : ndarray of shape (row, target)
            Responses; what is not finite counts as 0.
        alphas : ndarray of shape (target,)
            The penalty of a target is its alpha squared.

        Returns
        -------
        ndarray of shape (rank, target)
        """
        S = self.S[:, None]
        weights: Floats = S / (S**2 + alphas[None] ** 2) * (self.U.T @ np.nan_to_num(Y))
        return weights.astype(self.U.dtype)

    def weights(self, Y: Floats, alphas: Floats) -> Floats:
        """Weights (feature, target); arguments as for :meth:`coordinates`."""
        weights: Floats = self.Vt.T @ self.coordinates(Y, alphas)
        return weights

    def scores(
        self,
        rows: Floats,
        Y: Floats,
        Y_held: Floats,
        alphas: Sequence[float],
        *scores: Callable[[Floats, Floats], Floats],
    ) -> Floats:
        """Scores of held-out rows, for each alpha.

        Parameters
        ----------
        rows : ndarray of shape (held row, rank)
            Held-out features in the basis of ``Vt``.
        Y : ndarray of shape (row, target)
            Responses of the training rows.
        Y_held : ndarray of shape (held row, target)
            Responses of the held-out rows.
        alphas : sequence of float
            Penalties are their squares.
        *scores : callable
            Each takes predictions and responses (row, target) and returns (target,).

        Returns
        -------
        ndarray of shape (score, alpha, target)
            0 where undefined.
        """
        projected, table = self.U.T @ Y, []
        with np.errstate(invalid="ignore", divide="ignore"):
            for alpha in alphas:
                prediction = (rows * (self.S / (self.S**2 + alpha**2))) @ projected
                table.append([score(prediction, Y_held) for score in scores])
        return np.nan_to_num(np.swapaxes(table, 0, 1))


class BootstrapRidge(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge regression with alphas chosen on random chunks of the training rows.

    A linear model following the scikit-learn API that does what the code released with Antonello
    et al. [1]_ does. For each target with responses ``y``, the weights ``b`` minimise ::

        ||y - X b||^2 + alpha^2 ||b||^2

    The penalty is alpha squared, and there is no constant: features and responses are expected to
    be z-scored. Each boot shuffles chunks of ``chunklen`` consecutive rows, holds ``nchunks`` of
    them out, and scores every alpha on them. Each target gets the alpha with the best mean score
    over boots. Chunks may span two stories, and rows that fill no chunk are never held out. The
    defaults are those of the paper's tutorial.

    Parameters
    ----------
    alphas : sequence of float, default 15 from 10 to 10^4, log-spaced
        Alphas to try.
    nboots : int, default 3
        Number of boots.
    chunklen : int, default 20
        Rows (TRs) per chunk.
    nchunks : int or "quarter", default "quarter"
        Chunks to hold out. ``"quarter"``: as many as make a quarter of the rows.
    use_corr : bool, default False
        Whether correlation decides. False: the signed root of R2
        (:func:`voxelzoo_regressors.bootstrap.signed_root_r2_score`).
    single_alpha : bool, default False
        Whether all targets share the alpha with the best mean score over targets.
    seed : int, default 0
        Seed of the shuffles. The paper's code sets none.

    Attributes
    ----------
    alphas_ : ndarray of shape (alpha,)
        Penalties that were tried: the alphas, squared.
    alpha_ : ndarray of shape (target,)
        Penalty of each target, as added to the diagonal of the Gram matrix: the chosen alpha,
        squared.
    boot_scores_ : ndarray of shape (alpha, target)
        Mean held-out score over boots.
    cv_score_ : ndarray of shape (target,)
        Mean held-out Pearson correlation over boots at the chosen alpha, whatever decided.
    coef_ : ndarray of shape (target, feature)
        Weights ``b``, computed on access.
    n_features_in_ : int
        Number of columns of ``X``.

    Raises
    ------
    UsageError
        By :meth:`fit`, for alphas that are not positive numbers.
    DataError
        By :meth:`fit`, if there are too few rows for the chunks.

    See Also
    --------
    Ridge : Exact leave-one-story-out cross-validation, with an intercept.

    References
    ----------
    .. [1] Antonello, R., Vaidya, A., & Huth, A. G. (2023). Scaling laws for language encoding
       models in fMRI. NeurIPS 36.

    Examples
    --------
    >>> import numpy as np
    >>> from voxelzoo_regressors import BootstrapRidge
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 5))
    >>> Y = X[:, :2] + 0.1 * rng.standard_normal((200, 2))
    >>> model = BootstrapRidge(alphas=[1, 10, 100]).fit(X, Y)
    >>> model.alpha_
    array([1., 1.])
    """

    def __init__(
        self,
        alphas: Sequence[float] = ALPHAS,
        nboots: int = 3,
        chunklen: int = 20,
        nchunks: int | Literal["quarter"] = "quarter",
        use_corr: bool = False,
        single_alpha: bool = False,
        seed: int = 0,
    ) -> None:
        self.alphas = alphas
        self.nboots = nboots
        self.chunklen = chunklen
        self.nchunks = nchunks
        self.use_corr = use_corr
        self.single_alpha = single_alpha
        self.seed = seed

    def fit(self, X: Any, Y: Any, groups: Any = None) -> BootstrapRidge:
        """Fits every target.

        Parameters
        ----------
        X : array of shape (row, feature)
            Features, z-scored.
        Y : array of shape (row, target) or (row,)
            Responses, z-scored. A lazy array (Zarr, HDF5) is read a block of targets at a time,
            now and again by :meth:`predict`.
        groups : None
            Ignored: chunks may span stories.

        Returns
        -------
        BootstrapRidge
            The fitted estimator itself.

        Raises
        ------
        UsageError
            If alphas are not positive numbers.
        DataError
            If there are too few rows for the chunks.
        """
        alphas = require_alphas("bootstrap-ridge", self.alphas)
        X, Y, self._one_target = self._validated(X, Y)
        scores = (
            [zscore_correlation] if self.use_corr else [signed_root_r2_score, zscore_correlation]
        )
        boots = self._boots(len(X))
        table = np.zeros((len(scores), len(alphas), Y.shape[1]))
        for kept, held in boots:
            svd = SVD.of(X[kept]).above(SINGULAR_CUTOFF)
            rows = X[held] @ svd.Vt.T
            for targets, y in _target_blocks(Y, X.dtype):
                table[..., targets] += svd.scores(rows, y[kept], y[held], self.alphas, *scores)
        table /= len(boots)
        self.boot_scores_ = table[0]
        if self.single_alpha:
            best = np.full(Y.shape[1], self.boot_scores_.mean(axis=1).argmax())
        else:
            best = self.boot_scores_.argmax(axis=0)
        self.alphas_ = alphas**2
        self.alpha_ = alphas[best] ** 2
        self.cv_score_ = table[-1][best, np.arange(Y.shape[1])]
        self._svd, self._chosen = SVD.of(X), alphas[best]
        self._lazy_responses, self._weights = Y, None
        if not is_lazy(Y):
            self._weights = np.concatenate(list(self._weight_blocks()), axis=1)
            self._lazy_responses = None
        return self

    def predict(self, X: Any) -> Any:
        """Predicts the responses of every target.

        Parameters
        ----------
        X : array of shape (row, feature)
            Features, z-scored.

        Returns
        -------
        ndarray of shape (row, target) or (row,)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        rows = X @ self._svd.Vt.T
        prediction = np.concatenate([rows @ block for block in self._weight_blocks()], axis=1)
        return prediction[:, 0] if self._one_target else prediction

    def coef_block(self, targets: slice) -> NDArray[Any]:
        """Weights of some targets.

        Parameters
        ----------
        targets : slice
            Which targets.

        Returns
        -------
        ndarray of shape (target, feature)
        """
        check_is_fitted(self)
        Vt = self._svd.Vt
        return np.concatenate([(Vt.T @ block).T for block in self._weight_blocks(targets)])

    @property
    def coef_(self) -> NDArray[Any]:
        """Weights (target, feature), or (feature,) for one target."""
        weights = self.coef_block(slice(None))
        return weights[0] if self._one_target else weights

    def _validated(self, X: Any, Y: Any) -> tuple[Floats, Any, bool]:
        """Features, responses (row, target), and whether those had no target axis."""
        if is_lazy(Y):
            X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2)
            return X, Y, False
        X, Y = validate_data(
            self, X, Y, multi_output=True, y_numeric=True, dtype=FLOATS, ensure_min_samples=2
        )
        return X, Y.reshape(len(X), -1), Y.ndim == 1

    def _weight_blocks(self, targets: slice = slice(None)) -> Iterator[Floats]:
        """Weights (rank, target) of blocks of some targets, in order."""
        if self._weights is not None:
            yield self._weights[:, targets]
            return
        for block, y in _target_blocks(self._lazy_responses, self._svd.U.dtype, targets):
            yield self._svd.coordinates(y, self._chosen[block])

    def _boots(self, n: int) -> list[tuple[Rows, Rows]]:
        """(kept rows, held-out rows) of each boot."""
        n_chunks = n // self.chunklen
        n_held = int(n * 0.25 / self.chunklen) if self.nchunks == "quarter" else int(self.nchunks)
        if not 1 <= n_held < n_chunks or self.nboots < 1:
            raise DataError(
                f"bootstrap-ridge: {n} rows make {n_chunks} chunks of {self.chunklen}; "
                f"cannot hold out {n_held} of them in {self.nboots} boots"
            )
        shuffler = random.Random(self.seed)
        boots = []
        for _ in range(self.nboots):
            chunks = [
                list(range(i * self.chunklen, (i + 1) * self.chunklen)) for i in range(n_chunks)
            ]
            shuffler.shuffle(chunks)
            held = np.array(
                sorted(row for chunk in chunks[:n_held] for row in chunk), dtype=np.intp
            )
            boots.append((np.setdiff1d(np.arange(n), held), held))
        return boots


def _target_blocks(
    Y: Any, dtype: np.dtype[Any], targets: slice = slice(None)
) -> Iterator[tuple[slice, Floats]]:
    """Some targets of (row, target), as many at a time as fit in memory together."""
    width = max(1, _READ_BYTES // (Y.shape[0] * dtype.itemsize))
    first, stop, _ = targets.indices(Y.shape[1])
    for part in blocks(stop - first, width):
        block = slice(first + part.start, first + part.stop)
        yield block, np.asarray(Y[:, block], dtype=dtype)
