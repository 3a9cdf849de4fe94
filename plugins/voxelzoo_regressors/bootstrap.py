"""Ridge as the code of Antonello, Vaidya and Huth (2023) does it, for exact comparison."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from voxelzoo.api import DataError, UsageError

Floats = NDArray[np.floating[Any]]

ALPHAS = tuple(float(alpha) for alpha in np.logspace(1, 4, 15))


def signed_root_r2_score(prediction: Floats, response: Floats) -> Floats:
    """``sign(R2) sqrt(|R2|)``, the released code's score: ``R2 = 1 - var(residual) / d``.

    ``d = (1 + var(response)) / 2``, and variances drop the mean error, as that code has it.
    """
    r2 = 1 - (response - prediction).var(axis=0) / ((1 + response.var(axis=0)) / 2)
    score: Floats = np.sqrt(np.abs(r2)) * np.sign(r2)
    return score


def ridge_weights(X: Floats, Y: Floats, alphas: Floats) -> Floats:
    """Weights (feature, target), the penalty of target ``v`` being ``alphas[v] ** 2``.

    No intercept: X (row, feature) and Y (row, target) are taken as z-scored.
    """
    U, S, Vt = np.linalg.svd(X, full_matrices=False)
    projected = U.T @ np.nan_to_num(Y)
    weights: Floats = Vt.T @ (S[:, None] / (S[:, None] ** 2 + alphas[None] ** 2) * projected)
    return weights


def zscore_correlation(prediction: Floats, response: Floats) -> Floats:
    """Mean product of z-scored columns, (target,)."""
    x = (prediction - prediction.mean(axis=0)) / prediction.std(axis=0)
    y = (response - response.mean(axis=0)) / response.std(axis=0)
    r: Floats = (x * y).mean(axis=0)
    return r


def ridge_predictions(
    X: Floats,
    X_held: Floats,
    Y: Floats,
    alphas: Sequence[float],
    singcutoff: float = 1e-10,
) -> Iterator[Floats]:
    """Predictions (row, target) of held-out rows by the fit on (X, Y) with each alpha.

    Singular values up to ``singcutoff`` are dropped.
    """
    U, S, Vt = np.linalg.svd(X, full_matrices=False)
    keep = singcutoff < S
    U, S, Vt = U[:, keep], S[keep], Vt[keep]
    projected, basis = U.T @ Y, X_held @ Vt.T
    for alpha in alphas:
        yield (basis * (S / (S**2 + alpha**2))) @ projected


def ridge_scores(
    X: Floats,
    X_held: Floats,
    Y: Floats,
    Y_held: Floats,
    alphas: Sequence[float],
    *scores: Callable[[Floats, Floats], Floats],
) -> Floats:
    """Scores (score, alpha, target) of fits on (X, Y) for held-out rows; zero where undefined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = [
            [score(prediction, Y_held) for score in scores]
            for prediction in ridge_predictions(X, X_held, Y, alphas)
        ]
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
        """Fits ``Y`` (row, target) from ``X`` (row, feature); ``groups`` are not heeded."""
        alphas = np.asarray(self.alphas, dtype=np.float64)
        if not alphas.size or not (np.isfinite(alphas) & (alphas > 0)).all():
            raise UsageError(
                f"bootstrap-ridge: alphas must be positive numbers, not {self.alphas!r}"
            )
        X, Y = validate_data(
            self,
            X,
            Y,
            multi_output=True,
            y_numeric=True,
            dtype=(np.float64, np.float32),
            ensure_min_samples=2,
        )
        self._one_target = Y.ndim == 1
        Y = np.asarray(Y, dtype=X.dtype).reshape(len(X), -1)
        wanted = (
            [zscore_correlation] if self.use_corr else [signed_root_r2_score, zscore_correlation]
        )
        boots = [
            ridge_scores(X[kept], X[held], Y[kept], Y[held], self.alphas, *wanted)
            for kept, held in self._boots(len(X))
        ]
        scores: Floats = np.asarray(boots, dtype=np.float64).mean(axis=0)
        self.boot_scores_ = scores[0]
        if self.single_alpha:
            best = np.full(Y.shape[1], self.boot_scores_.mean(axis=1).argmax())
        else:
            best = self.boot_scores_.argmax(axis=0)
        self.alpha_ = alphas[best] ** 2
        self.cv_score_ = scores[-1][best, np.arange(Y.shape[1])]
        self._weights = ridge_weights(X, Y, alphas[best])
        return self

    def predict(self, X: Any) -> Any:
        """Predictions (row, target)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        prediction = X @ self._weights
        return prediction[:, 0] if self._one_target else prediction

    @property
    def coef_(self) -> NDArray[Any]:
        """Weights (target, feature), or (feature,) for one target."""
        return self._weights[:, 0] if self._one_target else self._weights.T

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
