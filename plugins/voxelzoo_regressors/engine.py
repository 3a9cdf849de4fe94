"""Ridge for many voxels from one decomposition.

With an unpenalised intercept, ridge is a linear smoother ``Yhat = H Y``, where
``H = 11'/n + Q diag(s / (s + alpha)) Q'`` and ``Q diag(sqrt(s)) V'`` is the centred design.
Leaving rows ``B`` out and fitting again makes their residuals ``(I - H_BB)^-1 (Y - H Y)_B``,
exactly. So one eigendecomposition serves every alpha, fold and voxel, and every subject who heard
the same stories; a fold costs one small inverse, and the sweep over alphas is a matrix product.

All alphas need even fewer products than one each: ``s / (s + alpha)`` as a function of ``s``
changes slowly with alpha, so a few orthonormal profiles span them (:func:`profiles`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxelzoo_regressors.design import Design
from voxelzoo_regressors.errors import FitError
from voxelzoo_regressors.folds import Fold

log = logging.getLogger("voxelzoo.ridge")


# --------------------------------------------------------------------------------- decomposition


@dataclass(frozen=True)
class Decomposition:
    """Thin singular value decomposition of a centred design, ``Q diag(sqrt(s)) V'``, in float64.

    ``path`` says which Gram matrix it came from: ``primal`` (of features) or ``dual`` (of rows).
    """

    design: Design
    Q: Tensor
    """(row, rank) float64."""
    s: Tensor
    """(rank,) float64: eigenvalues of the Gram matrix, descending."""
    V: Tensor | None
    """(feature, rank) float64 on the primal path; on the dual one it is never formed."""
    intercept: bool
    path: str

    @property
    def mean(self) -> Tensor:
        """What was subtracted from the design's columns, (feature,), float64."""
        mean = self.design.mean
        return mean if self.intercept else torch.zeros_like(mean)

    @property
    def spans_rows(self) -> bool:
        """Whether nothing of a (centred) response is outside the design's span."""
        return len(self.s) >= len(self.Q) - self.intercept

    def coordinates(self, new: Design, dtype: torch.dtype) -> Tensor:
        """Rows of another design in the basis where the training rows are ``Q``: (row, rank)."""
        root = self.s.sqrt()
        if self.V is not None:
            V = self.V / root
            return (new.to(torch.float64).times(V) - self.mean @ V).to(dtype)
        # (x - m)'(X - m)' Q = x X' Q - m' X' Q, since Q's columns sum to zero.
        train = self.design.to(torch.float64)
        product = new.to(torch.float64).row_gram(train) @ self.Q
        if self.intercept:
            product -= self.mean @ train.transpose_times(self.Q)
        return (product / self.s).to(dtype)

    def weights(self, scaled: Tensor) -> Tensor:
        """Weights (feature, voxel) for predictions ``coordinates @ scaled``."""
        scaled = scaled.to(torch.float64) / self.s.sqrt()[:, None]
        if self.V is not None:
            return self.V @ scaled
        inner = self.Q @ (scaled / self.s.sqrt()[:, None])
        return self.design.to(torch.float64).transpose_times(inner)


def decompose(design: Design, intercept: bool = True) -> Decomposition:
    """Decomposes the smaller of the design's two Gram matrices.

    Directions with less than ``eps * max(shape)`` of the largest eigenvalue are dropped: the
    design says nothing along them.
    """
    n, p = design.n_rows, design.n_features
    exact = design.to(torch.float64)
    path = "dual" if n <= p else "primal"
    gram = exact.row_gram(exact) if path == "dual" else exact.feature_gram()
    if intercept and path == "dual":
        gram -= gram.mean(0)
        gram -= gram.mean(1, keepdim=True)
    elif intercept:
        gram.addr_(design.mean, design.mean, alpha=-n)
    s, vectors = _eigh(gram)
    least = torch.finfo(torch.float64).eps * max(n, p) * max(float(s[-1]), 0.0)
    keep = s > least
    s, vectors = s[keep].flip(0), vectors[:, keep].flip(1)
    log.debug("decomposed %d x %d, rank %d, %s path", n, p, len(s), path)
    if path == "dual":
        return Decomposition(design, vectors, s, None, intercept, path)
    V = vectors / s.sqrt()
    Q = exact.times(V)
    if intercept:
        Q -= design.mean @ V
    return Decomposition(design, Q, s, vectors, intercept, path)


def _eigh(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (ascending) and vectors. LAPACK through scipy on CPU, in place."""
    if gram.device.type != "cpu":
        s, vectors = torch.linalg.eigh(gram)
        return s, vectors
    found = scipy.linalg.eigh(gram.numpy(), overwrite_a=True, check_finite=False, driver="evd")
    return torch.from_numpy(found[0]), torch.from_numpy(np.ascontiguousarray(found[1]))


# ----------------------------------------------------------------------------------------- sweep


def profiles(s: Tensor, alphas: Sequence[float], tolerance: float) -> tuple[Tensor, Tensor, Tensor]:
    """Few shrinkage profiles that span those of every alpha.

    Returns (profile, rank) rows, (alpha, profile) coefficients, and for each alpha whether they
    give the kept part ``s / (s + alpha)`` (false) or the removed part ``alpha / (s + alpha)``
    (true). The smaller part is modelled, each alpha to ``tolerance`` of its own size, so that
    neither a prediction that is nearly zero nor one that is nearly the response drowns in the
    rounding of the others.
    """
    alpha = torch.tensor(alphas, dtype=torch.float64, device=s.device)[:, None]
    kept, removed = s / (s + alpha), alpha / (s + alpha)
    use_removed = removed.norm(dim=1) < kept.norm(dim=1)
    parts = torch.where(use_removed[:, None], removed, kept)
    size = parts.norm(dim=1, keepdim=True).clamp_min(1e-300)
    U, S, Vt = torch.linalg.svd(parts / size, full_matrices=False)
    left_out = (U * S).square().flip(1).cumsum(1).flip(1).amax(0).sqrt()
    k = max(1, int((left_out > tolerance).sum()))
    return Vt[:k], size * (U * S)[:, :k], use_removed


@dataclass(frozen=True)
class Score:
    """How held-out predictions are judged: sums over a fold's scored rows into a score.

    ``of`` takes ``yy, pp, py, ee`` (voxel,): sums of squares and products of response,
    prediction and residual, with means removed where ``centred``, and the number of rows.
    """

    of: Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
    centred: bool
    needs: str
    """``prediction`` (``pp`` and ``py``) or ``residual`` (``ee``): the sums it reads."""


def _correlation(yy: Tensor, pp: Tensor, py: Tensor, ee: Tensor, n: int) -> Tensor:
    return py / (pp * yy).sqrt()


def _r2(yy: Tensor, pp: Tensor, py: Tensor, ee: Tensor, n: int) -> Tensor:
    return 1 - ee / yy


def _signed_root_r2(yy: Tensor, pp: Tensor, py: Tensor, ee: Tensor, n: int) -> Tensor:
    r2 = 1 - (ee / n) / ((1 + yy / n) / 2)
    return r2.sign() * r2.abs().sqrt()


SCORES = {
    "correlation": Score(_correlation, centred=True, needs="prediction"),
    "r2": Score(_r2, centred=False, needs="residual"),
    "signed_root_r2": Score(_signed_root_r2, centred=True, needs="residual"),
}
"""``signed_root_r2`` is the released code's: ``R2 = 1 - var(residual) / ((1 + var(response)) / 2)``
with its sign and the root of its size (Antonello et al. 2023)."""


class Sweep:
    """Scores and held-out predictions of every alpha, prepared once for all voxels.

    ``reduced`` makes the large products in bfloat16; everything that amplifies rounding, the
    small solves above all, stays in ``dtype``.
    """

    def __init__(
        self,
        decomposition: Decomposition,
        folds: Sequence[Fold],
        alphas: Sequence[float],
        dtype: torch.dtype,
        reduced: bool = False,
    ) -> None:
        self.decomposition = decomposition
        self.folds = folds
        self.alphas = list(alphas)
        self.dtype = dtype
        self.device = decomposition.Q.device
        self._Q = decomposition.Q.to(dtype)
        self._product_dtype = torch.bfloat16 if reduced else dtype
        self._held = [torch.as_tensor(fold.held, device=self.device) for fold in folds]
        self._scored = [
            torch.as_tensor(fold.scored_within_held(), device=self.device) for fold in folds
        ]

    @cached_property
    def _product_basis(self) -> Tensor:
        return self._Q.to(self._product_dtype)

    @cached_property
    def _profiles(self) -> tuple[Tensor, Tensor]:
        """(profile, rank) in ``dtype``, and (alpha, profile + 2) coefficients of a residual in
        terms of the profiles' products, the response, and what is outside the design's span."""
        tolerance = 1e-13 if self.dtype == torch.float64 else 1e-4
        if self._product_dtype == torch.bfloat16:
            tolerance = 1e-3
        rows, mix, removed = profiles(self.decomposition.s, self.alphas, tolerance)
        extra = torch.stack([~removed, removed], 1).to(mix)
        mix = torch.cat([torch.where(removed[:, None], mix, -mix), extra], 1)
        log.debug("%d alphas by %d products", len(self.alphas), len(rows))
        return rows.to(self.dtype), mix.to(self.dtype)

    def _solver(self, fold: int, alpha: float) -> Tensor:
        """``(I - H_BB)^-1``, its scored rows, (scored, held), float64."""
        rows = self._held[fold]
        Q, s = self.decomposition.Q[rows], self.decomposition.s
        # In float64, and from what is left where it can be: little of the identity may be.
        if self.decomposition.spans_rows:
            left = (Q * (alpha / (s + alpha))) @ Q.T
        else:
            left = -(Q * (s / (s + alpha))) @ Q.T
            left.diagonal().add_(1)
            if self.decomposition.intercept:
                left -= 1 / len(self._Q)
        factor, failed = torch.linalg.cholesky_ex(left)
        least = factor.diagonal().square().min()
        if failed or least < 1e-12 * left.diagonal().max():
            raise FitError(
                f"alpha {alpha:g} is too small for this design: what leaving rows out changes is "
                "lost in rounding; use larger alphas, or z-score the design"
            )
        return torch.cholesky_inverse(factor)[self._scored[fold]]

    def forget_folds(self) -> None:
        """Frees what only :meth:`scores` uses; it is made again when asked for."""
        for name in ("_solvers", "_product_basis"):
            self.__dict__.pop(name, None)

    @cached_property
    def _solvers(self) -> list[Tensor]:
        """For each fold (alpha, scored, held)."""
        return [
            torch.stack([self._solver(i, alpha).to(self.dtype) for alpha in self.alphas])
            for i in range(len(self.folds))
        ]

    def project(self, Y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Centred responses (row, voxel), their coordinates ``Q' Y`` (rank, voxel), and means."""
        mean = Y.mean(0) if self.decomposition.intercept else Y.new_zeros(Y.shape[1])
        centred = Y - mean
        return centred, self._Q.T @ centred, mean

    def scores(self, Y: Tensor, score: Score) -> Tensor:
        """Mean score over folds, (alpha, voxel); a fold where it is undefined counts as zero."""
        rows, mix = self._profiles
        n_products, n_voxels = len(rows), Y.shape[1]
        Y, Z, _ = self.project(Y)
        # Columns of `parts` in the order of the coefficients.
        parts = Y.new_empty((n_products + 2, len(Y), n_voxels))
        for i, row in enumerate(rows):
            scaled = (row[:, None] * Z).to(self._product_dtype)
            if self._product_dtype == self.dtype:
                torch.mm(self._product_basis, scaled, out=parts[i])
            else:
                parts[i] = self._product_basis @ scaled
        parts[-2] = Y
        parts[-1] = self._outside(Y, Z)
        total = Y.new_zeros((len(self.alphas), n_voxels))
        for fold, held, scored, solvers in zip(
            self.folds, self._held, self._scored, self._solvers, strict=True
        ):
            n = len(fold.scored)
            y = Y[held[scored]]
            if score.centred:
                y = y - y.mean(0)
                solvers = solvers - solvers.mean(1, keepdim=True)
            yy = y.square().sum(0)
            yy_centred = yy if score.centred else (y - y.mean(0)).square().sum(0)
            within = parts[:, _as_slice(held)].reshape(n_products + 2, -1)
            residuals = (mix @ within).view(-1, len(held), n_voxels)
            work = torch.empty_like(y)
            none = yy.new_zeros(())
            for i, residual in enumerate(residuals):
                # One alpha at a time, so that its block stays in cache between passes.
                if score.needs == "residual":
                    error = solvers[i] @ residual
                    found = score.of(yy_centred, none, none, _squares(error), n)
                else:
                    prediction = torch.addmm(y, solvers[i], residual, alpha=-1)
                    py = torch.mul(prediction, y, out=work).sum(0)
                    found = score.of(yy, _squares(prediction), py, none, n)
                total[i] += torch.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)
        return total / len(self.folds)

    def held_out(self, Y: Tensor, choice: Tensor) -> Tensor:
        """Predictions (row, voxel) of every scored row from the folds that do not train on it.

        ``choice`` (voxel,) is each voxel's index into ``alphas``; equal to explicit refits. Rows
        that no fold scores are NaN; of several predictions for a row, the last fold's is kept.
        """
        centred, Z, mean = self.project(Y)
        kept, removed = self._shrinkage(choice)
        fitted = self._Q @ (kept * Z)
        residual = self._outside(centred, Z) + self._Q @ (removed * Z)
        found = torch.full_like(Y, torch.nan)
        for i, (held, scored) in enumerate(zip(self._held, self._scored, strict=True)):
            rows = held[scored]
            for a in choice.unique().tolist():
                voxels = torch.nonzero(choice == a).squeeze(1)
                # Y - S r = H Y - (S - I) r, without the difference of two large numbers.
                change = self._solver(i, self.alphas[a])
                change[torch.arange(len(scored), device=self.device), scored] -= 1
                error = change.to(self.dtype) @ residual[held][:, voxels]
                found[rows[:, None], voxels] = fitted[rows][:, voxels] + mean[voxels] - error
        return found

    def weights(self, Y: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
        """Final fit on all rows: weights (rank, voxel) for the design's coordinates, and
        constants (voxel,)."""
        _, Z, mean = self.project(Y)
        return self._shrinkage(choice)[0] * Z, mean

    def _outside(self, centred: Tensor, Z: Tensor) -> Tensor:
        """What of the responses is outside the design's span, (row, voxel)."""
        if self.decomposition.spans_rows:
            return torch.zeros_like(centred)
        return centred - self._Q @ Z

    def _shrinkage(self, choice: Tensor) -> tuple[Tensor, Tensor]:
        """``s / (s + alpha)`` at each voxel's alpha, (rank, voxel), and what it takes from one."""
        s = self.decomposition.s[:, None]
        alpha = torch.tensor(self.alphas, dtype=s.dtype, device=s.device)
        kept, removed = s / (s + alpha), alpha / (s + alpha)
        return kept.to(self.dtype)[:, choice], removed.to(self.dtype)[:, choice]


def _squares(values: Tensor) -> Tensor:
    """Sum of squares over rows; overwrites ``values``."""
    return torch.mul(values, values, out=values).sum(0)


def _as_slice(rows: Tensor) -> Tensor | slice:
    """Consecutive rows as a slice, which needs no copy."""
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows) and bool((rows.diff() == 1).all()):
        return slice(first, last + 1)
    return rows


# ---------------------------------------------------------------------------------------- blocks


def block_width(n_rows: int, n_products: int, itemsize: int) -> int:
    """Voxels per block: a work space of about 256 MiB, 64 to 2,048 voxels."""
    return int(np.clip(2**28 // (n_rows * (n_products + 2) * itemsize), 64, 2048))


def best_alpha(scores: NDArray[np.floating], scope: str | NDArray[np.generic]) -> NDArray[np.intp]:
    """Index of the alpha with the best score, (voxel,), from scores (alpha, voxel).

    ``scope`` is ``"voxel"``, ``"shared"``, or labels (voxel,) of groups that share one. The first
    of equal scores is taken.
    """
    if isinstance(scope, str) and scope == "voxel":
        best: NDArray[np.intp] = scores.argmax(axis=0)
        return best
    labels = np.zeros(scores.shape[1]) if isinstance(scope, str) else np.asarray(scope)
    best = np.empty(scores.shape[1], dtype=np.intp)
    for label in np.unique(labels):
        best[labels == label] = scores[:, labels == label].mean(axis=1).argmax()
    return best
