"""Scores every alpha by exact cross-validation, without refits on the design.

One eigendecomposition serves every alpha, fold and voxel, and every subject who heard the same
stories. Held-out predictions come from it in closed form
(:mod:`voxelzoo_regressors.closed_form`), or by a small fit for each fold in its basis
(:mod:`voxelzoo_regressors.fold_refits`), whichever takes fewer operations.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxelzoo_regressors.arrays import Floats, Rows
from voxelzoo_regressors.blocks import row_index
from voxelzoo_regressors.closed_form import ClosedForm
from voxelzoo_regressors.decomposition import Decomposition, ProjectedResponses
from voxelzoo_regressors.fold_refits import FoldRefits
from voxelzoo_regressors.folds import Fold
from voxelzoo_regressors.scoring import HeldOutSums, Score, sums_of

log = logging.getLogger("voxelzoo.ridge")


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
    n_voxels : int, default 1
        Number of voxels to be fitted. Decides what is cheaper, not the results.
    """

    def __init__(
        self,
        decomposition: Decomposition,
        folds: Sequence[Fold],
        alphas: Sequence[float],
        dtype: torch.dtype,
        n_voxels: int = 1,
    ) -> None:
        self.decomposition = decomposition
        self.folds = folds
        self.alphas = list(alphas)
        self.dtype = dtype
        self.device = decomposition.Q.device
        self._Q = decomposition.Q.to(dtype)
        self._refits = refits_are_cheaper(decomposition, folds, len(self.alphas), n_voxels)
        self._defined = [self._varies(fold) for fold in folds]
        self.reduce(False)

    def _varies(self, fold: Fold) -> bool:
        """Whether the design varies over a fold's scored rows, so that its predictions do."""
        rows = self.decomposition.Q[row_index(fold.scored, self.device)]
        if len(rows) < 2 or not rows.shape[1]:
            return False
        scaled = (rows - rows.mean(0)) * self.decomposition.s.sqrt()
        return bool(scaled.square().sum() > 1e-20 * self.decomposition.s.sum())

    def reduce(self, reduced: bool) -> None:
        """Chooses the precision of the large products from now on.

        Parameters
        ----------
        reduced : bool
            Whether it is bfloat16, else ``dtype``. Fits for each fold are small: they stay in
            ``dtype``.
        """
        self._margin = 0.0
        self._held_out: FoldRefits | ClosedForm
        self._product_dtype = torch.bfloat16 if reduced and not self._refits else self.dtype
        design = self.decomposition, self.folds, self.alphas, self._Q
        if self._refits:
            self._held_out = FoldRefits(*design)
        else:
            self._held_out = ClosedForm(*design, self._product_dtype)

    def settle_precision(self, y: ProjectedResponses, score: Score, always: bool) -> None:
        """Tries products in bfloat16 on a few voxels, and uses them if that saves time.

        From then on, :meth:`scores` repeats in ``dtype`` each voxel's alphas whose scores, as far
        as these voxels tell, could be the best. Results are thus those of ``dtype``.

        Parameters
        ----------
        y : ProjectedResponses
            The voxels to try.
        score : Score
            The score that decides.
        always : bool
            Whether to use bfloat16 even if it saves nothing.
        """
        self.reduce(False)
        if self._refits:
            return
        exact = self.scores(y, score)
        self.reduce(True)
        reduced = self.scores(y, score)
        margin = 2 * float((exact - reduced).abs().max())
        repeated = float((reduced[0] >= reduced[0].amax(0) - margin).sum(0).double().mean())
        assert isinstance(self._held_out, ClosedForm)
        # bfloat16 takes at most half the time of the products; a repetition is one product.
        saved = self._held_out.profiles.n_columns / 2
        log.info("ridge: bfloat16 changes scores by %.1e; %.1f alphas repeated", margin, repeated)
        if always or repeated * len(self.decomposition.s) < saved:
            self._margin = margin
        else:
            self.reduce(False)

    @property
    def precision(self) -> str:
        """Precision of the fit, and of its large products if that differs."""
        names = [str(d).removeprefix("torch.") for d in (self.dtype, self._product_dtype)]
        return names[0] if names[0] == names[1] else f"{names[0]} ({names[1]} sweep)"

    def forget_folds(self) -> None:
        """Frees what only scores and held-out predictions need; it is made again on demand."""
        self._held_out.forget()

    # Of a block of voxels --------------------------------------------------------------------

    def project(self, Y: Tensor) -> ProjectedResponses:
        """Centres responses (row, voxel) and computes their coordinates."""
        mean = Y.mean(0, dtype=torch.float64)
        if not self.decomposition.intercept:
            mean = torch.zeros_like(mean)
        centred = (Y - mean).to(self.dtype)
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
        with_bias = any(score.needs_bias for score in scores)
        table = y.centred.new_zeros((len(scores), len(self.alphas), y.centred.shape[1]))
        for sums, defined in zip(self._held_out.sums(y, with_bias), self._defined, strict=True):
            table += _fold_scores(sums, scores, defined)
        table /= len(self.folds)
        if self._margin:
            self._repeat_best(y, table, scores)
        return table

    def _repeat_best(self, y: ProjectedResponses, table: Tensor, scores: Sequence[Score]) -> None:
        """Replaces scores in ``table`` that could be a voxel's best by those of ``dtype``."""
        best_first = table[0].argsort(0, descending=True)
        sorted_scores = table[0].gather(0, best_first)
        n_close = (sorted_scores >= sorted_scores[0] - self._margin).sum(0)
        for rank in range(int(n_close.max())):
            voxels = torch.nonzero(n_close > rank).squeeze(1)
            choice = best_first[rank, voxels]
            some = y.of_voxels(voxels)
            predictions = self._held_out.predict(some, choice)
            total = table.new_zeros((len(scores), len(voxels)))
            for fold, defined in zip(self.folds, self._defined, strict=True):
                rows = row_index(fold.scored, self.device)
                sums = sums_of(predictions[rows], some.centred[rows])
                total += _fold_scores(sums, scores, defined)[:, 0].to(total)
            table[:, choice, voxels] = total / len(self.folds)

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
        Tensor of shape (row, voxel), float64
            Equal to those of explicit refits. NaN for rows that no fold scores; if several folds
            score a row, the prediction is that of the last one.
        """
        predictions: Tensor = self._held_out.predict(y, choice) + y.mean
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
        s = self.decomposition.s[:, None]
        alpha = torch.tensor(self.alphas, dtype=s.dtype, device=s.device)
        return (s / (s + alpha)).to(self.dtype)[:, choice] * Z


def _fold_scores(sums: HeldOutSums, scores: Sequence[Score], defined: bool) -> Tensor:
    """A fold's scores (score, alpha, voxel); 0 where undefined."""
    values = torch.stack([score.formula(sums) for score in scores])
    for i, score in enumerate(scores):
        if not (defined or score.needs_bias):
            values[i] = 0
    return torch.nan_to_num_(values, nan=0.0, posinf=0.0, neginf=0.0)


_PRODUCTS = 4
"""Passes over the eigenvectors that the alphas' products take (see the profiles)."""

_EIGENDECOMPOSITION, _INVERSE = 25, 10
"""Operations of an eigendecomposition in float64, and of the closed form's inverse and product,
times the cube of their size, in units of those of a large matrix product in float32."""


def refits_are_cheaper(
    decomposition: Decomposition, folds: Sequence[Fold], n_alphas: int, n_voxels: int
) -> bool:
    """Whether a small fit for each fold takes fewer operations than the closed form.

    Parameters
    ----------
    decomposition : Decomposition
        Of the training design.
    folds : sequence of Fold
        Rows to hold out.
    n_alphas, n_voxels : int
        Numbers of alphas and voxels.

    Returns
    -------
    bool
        Never for more than a gigabyte of matrices.
    """
    n, rank = decomposition.Q.shape
    held = np.array([len(fold.held) for fold in folds], dtype=float)
    scored = np.array([len(fold.scored) for fold in folds], dtype=float)
    rows = np.minimum(scored, rank)
    if 8 * rank * (2 * rank * len(folds) + n) > 2**30:
        return False
    # Operations of products, for each voxel; a pass over an array costs as much as ten of them.
    products = 2 * min(n_alphas, _PRODUCTS) * rank
    passes = 60 * n_alphas
    closed = (products + passes) * n + 2 * n_alphas * (held * scored).sum()
    refits = ((products + passes) * rows + 4 * rank * held + 2 * rank**2).sum()
    # What is prepared once.
    closed_once = n_alphas * (2 * held**2 * rank + _INVERSE * held**3).sum()
    refits_once = (4 * held * rank**2 + _EIGENDECOMPOSITION * rank**3).sum()
    return bool(refits * n_voxels + refits_once < closed * n_voxels + closed_once)


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
