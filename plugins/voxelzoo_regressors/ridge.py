"""Ridge regression for many targets, its alphas chosen by exact blocked cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from voxelzoo.api import DataError, UsageError
from voxelzoo_regressors.blocks import (
    Decomposition,
    Floats,
    Rows,
    cross_validated_scores,
    held_out_predictions,
)

ALPHAS = tuple(float(alpha) for alpha in np.logspace(0, 8, 17))
"""Penalties tried by default: designs are z-scored, so a feature's Gram entry is the row count."""


def correlation_score(prediction: Floats, response: Floats) -> Floats:
    """Pearson r of each target; zero where either side is constant."""
    x, y = prediction - prediction.mean(axis=0), response - response.mean(axis=0)
    size = np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))
    score: Floats = (x * y).sum(axis=0) / np.where(size > 0, size, 1)
    return score


def r2_score(prediction: Floats, response: Floats) -> Floats:
    """Coefficient of determination of each target; zero where the response is constant."""
    total = ((response - response.mean(axis=0)) ** 2).sum(axis=0)
    residual = ((response - prediction) ** 2).sum(axis=0)
    return np.where(total > 0, 1 - residual / np.where(total > 0, total, 1), 0)


def signed_root_r2_score(prediction: Floats, response: Floats) -> Floats:
    """``sign(R2) sqrt(|R2|)``, the released code's score: ``R2 = 1 - var(residual) / d``.

    ``d = (1 + var(response)) / 2``, and variances drop the mean error, as that code has it
    (Antonello et al. 2023).
    """
    r2 = 1 - (response - prediction).var(axis=0) / ((1 + response.var(axis=0)) / 2)
    score: Floats = np.sqrt(np.abs(r2)) * np.sign(r2)
    return score


SCORES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "correlation": correlation_score,
    "r2": r2_score,
    "signed_root_r2": signed_root_r2_score,
}


class Ridge(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge with one penalty a target, chosen by leave-one-group-out cross-validation.

    Held-out predictions come in closed form from one decomposition (:mod:`.blocks`) and equal
    explicit refits.

    Parameters
    ----------
    alphas
        Penalties to try, as added to the Gram matrix's diagonal. (The paper's code squares its
        alphas: its 10..10^4 are 10^2..10^8 here.)
    cv
        ``"groups"`` holds each group out in turn; where there is but one group, or for a number,
        rows are cut into so many (5) contiguous blocks.
    scoring
        ``"correlation"``, ``"r2"`` or ``"signed_root_r2"``, averaged over blocks.
    alpha_scope
        ``"target"``: one penalty each; ``"shared"``: the one with the best mean score for all.
    fit_intercept
        Fit an unpenalised constant.
    store_cv_predictions
        Keep the held-out predictions at the chosen penalties as ``cv_predictions_``.
    targets_at_once
        Targets per slice: bounds memory, changes no value.

    Attributes
    ----------
    alpha_ : (target,)
        Chosen penalty of each target.
    cv_scores_ : (alpha, target)
        Mean held-out score.
    coef_ : (target, feature)
        Weights.
    intercept_ : (target,)
        Constants.
    """

    def __init__(
        self,
        alphas: Sequence[float] = ALPHAS,
        cv: Literal["groups"] | int = "groups",
        scoring: str = "correlation",
        alpha_scope: Literal["target", "shared"] = "target",
        fit_intercept: bool = True,
        store_cv_predictions: bool = False,
        targets_at_once: int = 4096,
    ) -> None:
        self.alphas = alphas
        self.cv = cv
        self.scoring = scoring
        self.alpha_scope = alpha_scope
        self.fit_intercept = fit_intercept
        self.store_cv_predictions = store_cv_predictions
        self.targets_at_once = targets_at_once

    def fit(self, X: Any, Y: Any, groups: Any = None) -> Ridge:
        """Fits ``Y`` (row, target) from ``X`` (row, feature); ``groups`` (row,) names each story.

        Raises :class:`UsageError` for parameters that make no sense, :class:`DataError` where
        there are too few rows to hold any out.
        """
        alphas = self._alphas()
        X, Y = validate_data(
            self,
            X,
            Y,
            multi_output=True,
            y_numeric=True,
            dtype=(np.float64, np.float32),
            ensure_min_samples=2,
        )
        Y = np.asarray(Y, dtype=X.dtype)
        self._one_target = Y.ndim == 1
        Y = Y.reshape(len(Y), -1)
        blocks = self._blocks(len(X), groups)
        decomposition = Decomposition.of(X, self.fit_intercept)
        if len(alphas) > 1:
            self.cv_scores_ = cross_validated_scores(
                decomposition, Y, blocks, alphas, SCORES[self.scoring], self.targets_at_once
            )
            if self.alpha_scope == "shared":
                best = np.full(Y.shape[1], self.cv_scores_.mean(axis=1).argmax())
            else:
                best = self.cv_scores_.argmax(axis=0)
        else:
            best = np.zeros(Y.shape[1], dtype=np.intp)
        self.alpha_ = np.asarray(alphas)[best]
        if self.store_cv_predictions:
            self.cv_predictions_ = np.empty_like(Y)
            for i in np.unique(best):
                chosen = best == i
                self.cv_predictions_[:, chosen] = held_out_predictions(
                    decomposition, Y[:, chosen], blocks, alphas[i]
                )
        self._fit_weights(decomposition, Y)
        return self

    def predict(self, X: Any) -> Any:
        """Predictions (row, target)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        prediction = (X - self._mean) @ self._basis @ self._weights + self._target_mean
        return prediction[:, 0] if self._one_target else prediction

    @property
    def coef_(self) -> NDArray[Any]:
        """Weights (target, feature), or (feature,) for one target."""
        coefficients = (self._basis @ self._weights).T
        return coefficients[0] if self._one_target else coefficients

    @property
    def intercept_(self) -> Any:
        """Constants (target,)."""
        constants = self._target_mean - self._mean @ self._basis @ self._weights
        return constants[0] if self._one_target else constants

    def _fit_weights(self, decomposition: Decomposition, Y: Floats) -> None:
        """Weights in the basis of right singular vectors: no (feature, target) matrix is made."""
        dtype = Y.dtype
        self._mean = decomposition.mean.astype(dtype)
        self._basis = decomposition.right
        root = np.sqrt(decomposition.spectrum)[:, None]
        shrinkage = root / (decomposition.spectrum[:, None] + self.alpha_[None])
        self._weights = (shrinkage * (decomposition.left.T @ Y)).astype(dtype)
        zero = np.zeros(Y.shape[1], dtype)
        self._target_mean = Y.mean(axis=0) if self.fit_intercept else zero

    def _alphas(self) -> list[float]:
        alphas = np.atleast_1d(np.asarray(self.alphas, dtype=np.float64))
        if not alphas.size or not (np.isfinite(alphas) & (alphas > 0)).all():
            raise UsageError(f"ridge: alphas must be positive numbers, not {self.alphas!r}")
        if self.scoring not in SCORES:
            raise UsageError(f"ridge: scoring={self.scoring!r}; say one of {', '.join(SCORES)}")
        if self.alpha_scope not in ("target", "shared"):
            raise UsageError(f"ridge: alpha_scope={self.alpha_scope!r}; say 'target' or 'shared'")
        if self.cv != "groups" and not isinstance(self.cv, int):
            raise UsageError(f"ridge: cv={self.cv!r}; say 'groups' or a number of blocks")
        return [float(alpha) for alpha in alphas]

    def _blocks(self, n: int, groups: Any) -> list[Rows]:
        """Row indices held out together."""
        if self.cv == "groups" and groups is not None:
            names = np.asarray(groups)
            if names.shape != (n,):
                raise DataError(f"groups of shape {names.shape} for {n} rows")
            unique = np.unique(names)
            if len(unique) > 1:
                return [np.flatnonzero(names == name) for name in unique]
        count = 5 if self.cv == "groups" else int(self.cv)
        if not 2 <= count <= n:
            raise DataError(f"ridge: {n} rows cannot be cut into {count} blocks")
        return list(np.array_split(np.arange(n), count))
