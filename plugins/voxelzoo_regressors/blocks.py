"""Exact cross-validation of ridge from one decomposition.

With an unpenalised intercept, ridge is a linear smoother ``Yhat = H Y`` with
``H = 11'/n + Q diag(s / (s + alpha)) Q'``, where ``Xc = Q diag(sqrt(s)) V'`` is the centred
design. Leaving the rows ``B`` out and fitting again changes their residual to
``(I - H_BB)^-1 (Y_B - (H Y)_B)``, exactly: a small solve a fold stands for a refit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Decomposition:
    """Thin singular value decomposition of a centred design X (row, feature)."""

    mean: Floats
    """(feature,) what was subtracted; zero without an intercept."""
    left: Floats
    """Q, (row, rank)."""
    spectrum: Floats
    """s, (rank,): eigenvalues of the Gram matrix, descending."""
    right: Floats
    """V, (feature, rank)."""
    intercept: bool

    @classmethod
    def of(cls, X: Floats, intercept: bool = True) -> Decomposition:
        """Decomposes ``X`` by the smaller of its two Gram matrices, in float64.

        Directions with less than ``eps * max(shape)`` of the largest eigenvalue are dropped: X
        says nothing along them.
        """
        n, p = X.shape
        mean = X.mean(axis=0, dtype=np.float64) if intercept else np.zeros(p)
        centred = X - mean.astype(X.dtype)
        wide = centred.astype(np.float64)
        gram = wide @ wide.T if n <= p else wide.T @ wide
        spectrum, vectors = scipy.linalg.eigh(gram, overwrite_a=True, check_finite=False)
        spectrum, vectors = spectrum[::-1], vectors[:, ::-1]
        keep = spectrum > max(spectrum[0], 0.0) * np.finfo(X.dtype).eps * max(n, p)
        spectrum, vectors = spectrum[keep], vectors[:, keep]
        other = (wide.T if n <= p else wide) @ vectors / np.sqrt(spectrum)
        left, right = (vectors, other) if n <= p else (other, vectors)
        return cls(mean, left.astype(X.dtype), spectrum, right.astype(X.dtype), intercept)

    def shrinkage(self, alpha: float) -> Floats:
        """``s / (s + alpha)``, (rank,)."""
        kept: Floats = (self.spectrum / (self.spectrum + alpha)).astype(self.left.dtype)
        return kept


def held_out_predictions(
    decomposition: Decomposition, Y: Floats, blocks: Sequence[Rows], alpha: float
) -> Floats:
    """Predictions (row, target) of each block by ridge fitted on all other blocks.

    Blocks are disjoint row indices; rows in none stay NaN. Equal to explicit refits.
    """
    found = np.full_like(Y, np.nan)
    projected = decomposition.left.T @ Y
    mean = Y.mean(axis=0) if decomposition.intercept else np.zeros(Y.shape[1], Y.dtype)
    solvers = block_solvers(decomposition, blocks, alpha)
    for rows, prediction in _predict_blocks(decomposition, Y, projected, mean, solvers, alpha):
        found[rows] = prediction
    return found


Solver = tuple[Rows, Floats]


def block_solvers(
    decomposition: Decomposition, blocks: Sequence[Rows], alpha: float
) -> list[Solver]:
    """(rows, ``(I - H_BB)^-1``) of each block: shared by every target."""
    shrinkage = decomposition.shrinkage(alpha)
    offset = 1 / len(decomposition.left) if decomposition.intercept else 0.0
    solvers = []
    for rows in blocks:
        left = decomposition.left[rows]
        kept = (
            np.eye(len(rows), dtype=left.dtype)
            - (left * shrinkage) @ left.T
            - left.dtype.type(offset)
        )
        inverse = scipy.linalg.cho_solve(
            scipy.linalg.cho_factor(kept, check_finite=False),
            np.eye(len(rows), dtype=left.dtype),
            check_finite=False,
        )
        solvers.append((rows, inverse))
    return solvers


def _predict_blocks(
    decomposition: Decomposition,
    Y: Floats,
    projected: Floats,
    mean: Floats,
    solvers: Sequence[Solver],
    alpha: float,
) -> Iterator[tuple[Rows, Floats]]:
    shrunk = decomposition.shrinkage(alpha)[:, None] * projected
    for rows, inverse in solvers:
        residual = Y[rows] - mean - decomposition.left[rows] @ shrunk
        yield rows, Y[rows] - inverse @ residual


def cross_validated_scores(
    decomposition: Decomposition,
    Y: Floats,
    blocks: Sequence[Rows],
    alphas: Sequence[float],
    score: Any,
    targets_at_once: int,
) -> Floats:
    """Score (alpha, target) of held-out predictions, averaged over blocks.

    ``score(prediction, response)`` gives (target,). Targets pass in slices, so memory holds one
    slice of responses, whatever their number.
    """
    found = np.zeros((len(alphas), Y.shape[1]))
    solvers = [block_solvers(decomposition, blocks, alpha) for alpha in alphas]
    for start in range(0, Y.shape[1], targets_at_once):
        part = slice(start, start + targets_at_once)
        y = np.ascontiguousarray(Y[:, part])
        projected = decomposition.left.T @ y
        mean = y.mean(axis=0) if decomposition.intercept else np.zeros(y.shape[1], y.dtype)
        for i, alpha in enumerate(alphas):
            for rows, prediction in _predict_blocks(
                decomposition, y, projected, mean, solvers[i], alpha
            ):
                found[i, part] += score(prediction, y[rows]) / len(blocks)
    return found
