"""Scores every alpha by exact leave-block-out cross-validation, without refits.

With an unpenalised intercept, ridge is a linear smoother ``Yhat = H Y``, where
``H = 11'/n + Q diag(s / (s + alpha)) Q'`` and ``Q diag(sqrt(s)) V'`` is the centred design. The
residuals of rows ``B`` under a fit on all other rows are exactly ``(I - H_BB)^-1 (Y - H Y)_B``.
This is the block form of the leave-one-out identity behind PRESS (Allen 1974; Golub, Heath &
Wahba 1979). So one eigendecomposition serves every alpha, fold and voxel, and every subject who
heard the same stories. A fold costs one small inverse, and the search over alphas is a few matrix
products (:mod:`voxelzoo_regressors.profiles`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxelzoo_regressors.arrays import Floats, Rows
from voxelzoo_regressors.blocks import as_slice
from voxelzoo_regressors.decomposition import Decomposition
from voxelzoo_regressors.errors import FitError
from voxelzoo_regressors.folds import Fold
from voxelzoo_regressors.profiles import ShrinkageProfiles, shrinkage_profiles
from voxelzoo_regressors.scoring import Score, fold_scores

log = logging.getLogger("voxelzoo.ridge")

_TOLERANCE = {torch.float64: 1e-13, torch.float32: 3e-4, torch.bfloat16: 2e-3}
"""Relative error of the shrinkage profiles, by the precision of the large products."""


@dataclass(frozen=True)
class ProjectedResponses:
    """A block of voxels, projected onto the design's left singular vectors.

    Parameters
    ----------
    centred : Tensor of shape (row, voxel)
        Responses minus their mean.
    Z : Tensor of shape (rank, voxel)
        Coordinates ``Q' Y``.
    mean : Tensor of shape (voxel,)
        What was subtracted; zero without an intercept.
    """

    centred: Tensor
    Z: Tensor
    mean: Tensor


class AlphaSearch:
    """Held-out scores and predictions for every alpha, prepared once for all voxels.

    Parameters
    ----------
    decomposition : Decomposition
        Of the training design.
    folds : sequence of Fold
        Rows to hold out.
    alphas : sequence of float
        Penalties to try, on the diagonal of the Gram matrix.
    dtype : torch.dtype
        Precision of scores and predictions: float32 or float64.
    reduced : bool, default False
        Whether the large products are made in bfloat16. Whatever amplifies rounding, above all
        the small inverses, stays in ``dtype``.
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
        self._buffers: dict[str, Tensor] = {}
        self._corrections: dict[tuple[int, int], Tensor] = {}
        self._product_dtype = dtype
        self.reduce(reduced)
        self._held = [torch.as_tensor(fold.held, device=self.device) for fold in folds]
        self._scored = [
            torch.as_tensor(fold.scored_within_held(), device=self.device) for fold in folds
        ]

    def reduce(self, reduced: bool) -> None:
        """Makes the large products in bfloat16 (True) or in ``dtype`` (False) from now on."""
        self._product_dtype = torch.bfloat16 if reduced else self.dtype
        for name in ("profiles", "product_basis"):
            self.__dict__.pop(name, None)
        self._buffers.clear()

    @property
    def precision(self) -> str:
        """Precision of the fit, and of its large products if that differs."""
        names = [str(d).removeprefix("torch.") for d in (self.dtype, self._product_dtype)]
        return names[0] if names[0] == names[1] else f"{names[0]} ({names[1]} sweep)"

    # What is prepared once, on first use -----------------------------------------------------

    @cached_property
    def product_basis(self) -> Tensor:
        """Left singular vectors (row, rank) in the precision of the large products."""
        return self._Q.to(self._product_dtype)

    @cached_property
    def profiles(self) -> ShrinkageProfiles:
        """Basis of the shrinkage of all alphas."""
        basis = shrinkage_profiles(
            self.decomposition.s,
            self.alphas,
            _TOLERANCE[self._product_dtype],
            self.decomposition.n_outside,
        )
        log.debug(
            "%d alphas by %d products that cost %.1f",
            len(self.alphas),
            len(basis.rows),
            basis.n_columns / max(1, len(self.decomposition.s)),
        )
        return ShrinkageProfiles(
            [row.to(self.dtype) for row in basis.rows], basis.mix.to(self.dtype)
        )

    @cached_property
    def solvers(self) -> list[Tensor]:
        """Scored rows of ``(I - H_BB)^-1`` for each fold, (alpha, scored, held)."""
        return [
            torch.stack([self._solver(i, alpha, self.dtype) for alpha in self.alphas])
            for i in range(len(self.folds))
        ]

    def forget_folds(self) -> None:
        """Frees what only scores and held-out predictions need; it is made again on demand."""
        for name in ("solvers", "product_basis"):
            self.__dict__.pop(name, None)
        self._buffers.clear()
        self._corrections.clear()

    def _residual_operator(self, Q: Tensor, alpha: float) -> Tensor:
        """``I - H_BB`` (held, held), where ``Q`` are the held-out rows of the basis."""
        s = self.decomposition.s
        # If the design spans all rows, little of the identity may remain: sum what remains.
        if self.decomposition.spans_rows:
            return (Q * (alpha / (s + alpha)).to(Q)) @ Q.T
        operator = -(Q * (s / (s + alpha)).to(Q)) @ Q.T
        operator.diagonal().add_(1)
        if self.decomposition.intercept:
            operator -= 1 / len(self._Q)
        return operator

    def _solver(self, fold: int, alpha: float, dtype: torch.dtype = torch.float64) -> Tensor:
        """Scored rows of ``(I - H_BB)^-1``, (scored, held).

        In ``dtype`` if that loses no more than three digits, else in float64.
        """
        basis = self._Q if dtype == self.dtype else self.decomposition.Q
        operator = self._residual_operator(basis[as_slice(self._held[fold])], alpha)
        factor, failed = torch.linalg.cholesky_ex(operator)
        largest = operator.diagonal().max()
        if dtype != torch.float64:
            if not failed and factor.diagonal().square().min() > 1e-2 * largest:
                inverse = torch.cholesky_inverse(factor)
                if inverse.diagonal().max() * largest < 1e3:
                    return inverse[as_slice(self._scored[fold])]
            return self._solver(fold, alpha).to(dtype)
        if failed or factor.diagonal().square().min() < 1e-12 * largest:
            raise FitError(
                f"alpha {alpha:g} is too small for this design: the held-out predictions are lost "
                "in rounding error; use larger alphas, or z-score the design"
            )
        return torch.cholesky_inverse(factor)[self._scored[fold]]

    def _correction(self, fold: int, a: int) -> Tensor:
        """Scored rows of ``S - I``, with ``S = (I - H_BB)^-1``.

        The prediction ``Y - S r`` is ``H Y - (S - I) r``, without the difference of two large
        numbers.
        """
        correction = self._corrections.get((fold, a))
        if correction is None:
            scored = self._scored[fold]
            solver = self._solver(fold, self.alphas[a])
            solver[torch.arange(len(scored), device=self.device), scored] -= 1
            correction = self._corrections[fold, a] = solver.to(self.dtype)
        return correction

    def _buffer(self, name: str, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
        """Work space that is kept between blocks: fresh pages cost as much as a pass over them."""
        size, dtype = math.prod(shape), dtype or self.dtype
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < size:
            buffer = self._buffers[name] = torch.empty(size, dtype=dtype, device=self.device)
        return buffer[:size].view(*shape)

    # Of a block of voxels --------------------------------------------------------------------

    def project(self, Y: Tensor) -> ProjectedResponses:
        """Centres responses (row, voxel) and computes their coordinates."""
        mean = Y.mean(0) if self.decomposition.intercept else Y.new_zeros(Y.shape[1])
        centred = Y - mean
        return ProjectedResponses(centred, self._Q.T @ centred, mean)

    def scores(self, y: ProjectedResponses, *scores: Score) -> Tensor:
        """Mean held-out scores over folds.

        Parameters
        ----------
        y : ProjectedResponses
            A block of voxels.
        *scores : Score
            Which scores.

        Returns
        -------
        Tensor of shape (score, alpha, voxel)
            A fold in which a score is undefined counts as 0.
        """
        rows, mix = self.profiles.rows, self.profiles.mix
        n_rows, n_voxels = y.centred.shape
        products = self._buffer("products", (len(rows), n_rows, n_voxels), self._product_dtype)
        for i, row in enumerate(rows):
            scaled = (row[:, None] * y.Z[: len(row)]).to(self._product_dtype)
            torch.mm(self.product_basis[:, : len(row)], scaled, out=products[i])
        totals = y.centred.new_zeros((len(scores), len(self.alphas), n_voxels))
        for held, scored, solvers in zip(self._held, self._scored, self.solvers, strict=True):
            block = as_slice(held)
            response = y.centred[block]
            terms = self._buffer("terms", (len(rows) + 1, len(held), n_voxels))
            terms[:-1] = products[:, block]
            terms[-1] = response
            residuals = self._buffer("residuals", (len(mix), len(held), n_voxels))
            torch.mm(mix, terms.flatten(1), out=residuals.flatten(1))
            for score, total in zip(scores, totals, strict=True):
                total += fold_scores(score, solvers, residuals, response[as_slice(scored)])
        return totals / len(self.folds)

    def reduced_loss(self, y: ProjectedResponses, score: Score) -> float:
        """What bfloat16 products cost a block of voxels; uses them from now on.

        Parameters
        ----------
        y : ProjectedResponses
            A block of voxels.
        score : Score
            The score that decides.

        Returns
        -------
        float
            Mean difference between the best score and the score of the alpha chosen with
            bfloat16 products.
        """
        self.reduce(False)
        exact = self.scores(y, score)[0]
        self.reduce(True)
        chosen = self.scores(y, score)[0].argmax(0)
        return float((exact.amax(0) - exact.gather(0, chosen[None])[0]).mean())

    def held_out(self, y: ProjectedResponses, choice: Tensor) -> Tensor:
        """Held-out predictions, each by the fold that does not train on the row.

        Parameters
        ----------
        y : ProjectedResponses
            A block of voxels.
        choice : Tensor of int, shape (voxel,)
            Index into ``alphas`` of each voxel's penalty.

        Returns
        -------
        Tensor of shape (row, voxel)
            Equal to those of explicit refits. NaN for rows that no fold scores; if several folds
            score a row, the prediction is that of the last one.
        """
        kept, removed = self._shrinkage(choice)
        fitted = self._Q @ (kept * y.Z)
        residual = self._outside(y) + self._Q @ (removed * y.Z)
        predictions = torch.full_like(y.centred, torch.nan)
        of_alpha = {a: torch.nonzero(choice == a).squeeze(1) for a in choice.unique().tolist()}
        for i, (held, scored) in enumerate(zip(self._held, self._scored, strict=True)):
            rows, block = held[scored], residual[as_slice(held)]
            error = torch.empty((len(scored), len(choice)), dtype=self.dtype, device=self.device)
            for a, voxels in of_alpha.items():
                error[:, voxels] = self._correction(i, a) @ block[:, voxels]
            predictions[rows] = fitted[rows] + y.mean - error
        return predictions

    def shrink(self, Z: Tensor, choice: Tensor) -> Tensor:
        """Weights of the final fit on all rows, in the eigenbasis.

        Parameters
        ----------
        Z : Tensor of shape (rank, voxel)
            Coordinates of the responses.
        choice : Tensor of int, shape (voxel,)
            Index into ``alphas`` of each voxel's penalty.

        Returns
        -------
        Tensor of shape (rank, voxel)
        """
        return self._shrinkage(choice)[0] * Z

    def _outside(self, y: ProjectedResponses) -> Tensor:
        """The part of the responses outside the design's span, (row, voxel)."""
        if self.decomposition.spans_rows:
            return torch.zeros_like(y.centred)
        return y.centred - self._Q @ y.Z

    def _shrinkage(self, choice: Tensor) -> tuple[Tensor, Tensor]:
        """``s / (s + alpha)`` and ``alpha / (s + alpha)`` at each voxel's alpha, (rank, voxel)."""
        s = self.decomposition.s[:, None]
        alpha = torch.tensor(self.alphas, dtype=s.dtype, device=s.device)
        kept, removed = s / (s + alpha), alpha / (s + alpha)
        return kept.to(self.dtype)[:, choice], removed.to(self.dtype)[:, choice]


def has_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies in bfloat16, so that it saves time and not only memory."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and probe is not None and bool(probe())


def best_alpha(scores: Floats, scope: str | NDArray[np.generic]) -> Rows:
    """Index of the best alpha for each voxel.

    Parameters
    ----------
    scores : ndarray of shape (alpha, voxel)
        Held-out scores.
    scope : {"voxel", "shared"} or array of shape (voxel,)
        One alpha per voxel, one for all voxels, or one per label.

    Returns
    -------
    ndarray of int, shape (voxel,)
        The first of equal scores is taken.
    """
    if isinstance(scope, str) and scope == "voxel":
        best: Rows = scores.argmax(axis=0)
        return best
    labels = np.zeros(scores.shape[1]) if isinstance(scope, str) else np.asarray(scope)
    best = np.empty(scores.shape[1], dtype=np.intp)
    for label in np.unique(labels):
        best[labels == label] = scores[:, labels == label].mean(axis=1).argmax()
    return best
