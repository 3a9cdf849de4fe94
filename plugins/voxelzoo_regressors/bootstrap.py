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

from voxelzoo.api import DataError, UsageError
from voxelzoo_regressors.arrays import is_lazy

Floats = NDArray[np.floating[Any]]

SINGULAR_CUTOFF = 1e-10
"""Singular values up to it are dropped when alphas are chosen."""

_READ_BYTES = 1 << 28
"""Responses that are read at once."""

ALPHAS = tuple(float(alpha) for alpha in np.logspace(1, 4, 15))


def signed_root_r2_score(prediction: Floats, response: Floats) -> Floats:
    """``sign(R2) sqrt(|R2|)``, the released code's score: ``R2 = 1 - var(residual) / d``.

    ``d = (1 + var(response)) / 2``, and variances drop the mean error, as that code has it.
    """
    r2 = 1 - (response - prediction).var(axis=0) / ((1 + response.var(axis=0)) / 2)
    score: Floats = np.sqrt(np.abs(r2)) * np.sign(r2)
    return score


def zscore_correlation(prediction: Floats, response: Floats) -> Floats:
    """Mean product of z-scored columns, (target,)."""
    x = (prediction - prediction.mean(axis=0)) / prediction.std(axis=0)
    y = (response - response.mean(axis=0)) / response.std(axis=0)
    r: Floats = (x * y).mean(axis=0)
    return r


@dataclass(frozen=True)
class Decomposition:
    """Singular vectors and values of training rows (row, feature), taken as z-scored: no intercept.

    Targets are ``Y`` (row, target). The penalty of target ``v`` is ``alphas[v] ** 2``.
    """

    U: Floats
    S: Floats
    Vt: Floats

    @classmethod
    def of(cls, X: Floats) -> Decomposition:
        """Of rows (row, feature)."""
        return cls(*np.linalg.svd(X, full_matrices=False))

    def above(self, least: float) -> Decomposition:
        """With the singular values above ``least`` alone."""
        keep = least < self.S
        return Decomposition(self.U[:, keep], self.S[keep], self.Vt[keep])

    def coordinates(self, Y: Floats, alphas: Floats) -> Floats:
        """Weights (rank, target) in the basis of ``Vt``."""
        S = self.S[:, None]
        found: Floats = S / (S**2 + alphas[None] ** 2) * (self.U.T @ np.nan_to_num(Y))
        return found.astype(self.U.dtype)

    def weights(self, Y: Floats, alphas: Floats) -> Floats:
        """Weights (feature, target)."""
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
        """Scores (score, alpha, target) of the fit with each alpha; zero where undefined.

        ``rows`` are the held-out rows in the basis of ``Vt``, (row, rank), ``Y_held`` theirs.
        """
        projected, found = self.U.T @ Y, []
        with np.errstate(invalid="ignore", divide="ignore"):
            for alpha in alphas:
                prediction = (rows * (self.S / (self.S**2 + alpha**2))) @ projected
                found.append([score(prediction, Y_held) for score in scores])
        return np.nan_to_num(np.swapaxes(found, 0, 1))


class BootstrapRidge(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge with alphas chosen on random chunks of the training rows.

    Each boot shuffles consecutive chunks of ``chunklen`` rows (what is left over is never held
    out; chunks may straddle stories), holds ``nchunks`` of them out, and scores every alpha; the
    best mean over boots is taken for each target. The defaults are those of the paper's tutorial.

    Parameters
    ----------
    alphas
        In the paper's convention: the penalty is ``alpha ** 2``.
    nboots, chunklen
        Boots, and rows per chunk.
    nchunks
        Chunks held out; by default a quarter of the rows.
    use_corr
        Select by correlation; else by the signed root of R2.
    single_alpha
        One alpha for all targets.
    seed
        Of the shuffles. (The paper's code has none.)

    Attributes
    ----------
    alpha_ : (target,)
        The penalty added to the Gram matrix's diagonal: the chosen alpha, squared.
    boot_scores_ : (alpha, target)
        Mean score over boots.
    cv_score_ : (target,)
        Mean held-out correlation over boots at the chosen alpha, whatever it was chosen by.
    coef_ : (target, feature)
        Weights.
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
        """Fits ``Y`` (row, target) from ``X`` (row, feature); ``groups`` are not heeded.

        ``Y`` may be a Zarr array, read a block of targets at a time, now and to predict.
        """
        alphas = np.asarray(self.alphas, dtype=np.float64)
        if not alphas.size or not (np.isfinite(alphas) & (alphas > 0)).all():
            raise UsageError(
                f"bootstrap-ridge: alphas must be positive numbers, not {self.alphas!r}"
            )
        X, Y, self._one_target = self._checked(X, Y)
        wanted = (
            [zscore_correlation] if self.use_corr else [signed_root_r2_score, zscore_correlation]
        )
        boots = self._boots(len(X))
        scores = np.zeros((len(wanted), len(alphas), Y.shape[1]))
        for kept, held in boots:
            decomposition = Decomposition.of(X[kept]).above(SINGULAR_CUTOFF)
            rows = X[held] @ decomposition.Vt.T
            for block, y in _blocks(Y, X.dtype):
                scores[..., block] += decomposition.scores(
                    rows, y[kept], y[held], self.alphas, *wanted
                )
        scores /= len(boots)
        self.boot_scores_ = scores[0]
        if self.single_alpha:
            best = np.full(Y.shape[1], self.boot_scores_.mean(axis=1).argmax())
        else:
            best = self.boot_scores_.argmax(axis=0)
        self.alpha_ = alphas[best] ** 2
        self.cv_score_ = scores[-1][best, np.arange(Y.shape[1])]
        self._decomposition, self._chosen = Decomposition.of(X), alphas[best]
        self._lazy_responses, self._weights = Y, None
        if not is_lazy(Y):
            self._weights = np.concatenate(list(self._parts()), axis=1)
            self._lazy_responses = None
        return self

    def predict(self, X: Any) -> Any:
        """Predictions (row, target)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        rows = X @ self._decomposition.Vt.T
        prediction = np.concatenate([rows @ part for part in self._parts()], axis=1)
        return prediction[:, 0] if self._one_target else prediction

    def coef_block(self, targets: slice) -> NDArray[Any]:
        """Weights (target, feature) of some targets."""
        check_is_fitted(self)
        Vt = self._decomposition.Vt
        return np.concatenate([(Vt.T @ part).T for part in self._parts(targets)])

    @property
    def coef_(self) -> NDArray[Any]:
        """Weights (target, feature), or (feature,) for one target."""
        weights = self.coef_block(slice(None))
        return weights[0] if self._one_target else weights

    def _checked(self, X: Any, Y: Any) -> tuple[Floats, Any, bool]:
        """Features, responses (row, target), and whether there was but one target."""
        floats = (np.float64, np.float32)
        if is_lazy(Y):
            X = validate_data(self, X, dtype=floats, ensure_min_samples=2)
            return X, Y, False
        X, Y = validate_data(
            self, X, Y, multi_output=True, y_numeric=True, dtype=floats, ensure_min_samples=2
        )
        return X, Y.reshape(len(X), -1), Y.ndim == 1

    def _parts(self, targets: slice = slice(None)) -> Iterator[Floats]:
        """Weights (rank, target) of blocks of some targets, in order."""
        if self._weights is not None:
            yield self._weights[:, targets]
            return
        Y, dtype = self._lazy_responses, self._decomposition.U.dtype
        for block, y in _blocks(Y, dtype, targets):
            yield self._decomposition.coordinates(y, self._chosen[block])

    def _boots(self, n: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """(kept rows, held-out rows) of each boot."""
        n_chunks = n // self.chunklen
        n_held = int(n * 0.25 / self.chunklen) if self.nchunks == "quarter" else int(self.nchunks)
        if not 1 <= n_held < n_chunks or self.nboots < 1:
            raise DataError(
                f"bootstrap-ridge: {n} rows make {n_chunks} chunks of {self.chunklen}; "
                f"cannot hold {n_held} out in {self.nboots} boots"
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


def _blocks(
    Y: Any, dtype: np.dtype[Any], targets: slice = slice(None)
) -> Iterator[tuple[slice, Floats]]:
    """Some targets of (row, target), as many at a time as fit in memory together."""
    width = max(1, _READ_BYTES // (Y.shape[0] * dtype.itemsize))
    first, stop, _ = targets.indices(Y.shape[1])
    for start in range(first, stop, width):
        block = slice(start, min(stop, start + width))
        yield block, np.asarray(Y[:, block], dtype=dtype)
