"""Held-out predictions by a fit for each fold, in the eigenbasis of all rows.

A design of few columns has many rows to a fold. Then a fit of its own for each fold costs less
than the closed form (:mod:`voxelzoo_regressors.closed_form`), whose matrices have the size of the
rows held out. In the basis ``Q`` of all rows, a fold's training rows ``T`` have the Gram matrix
``Q_T' Q_T = I - Q_B' Q_B``, so that a fold costs one eigendecomposition of the size of the rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from voxelzoo_regressors.blocks import CACHE_NUMBERS, index_chunks, row_index
from voxelzoo_regressors.decomposition import Decomposition, ProjectedResponses
from voxelzoo_regressors.folds import Fold
from voxelzoo_regressors.profiles import TOLERANCE, ShrinkageProfiles, shrinkage_profiles
from voxelzoo_regressors.scoring import HeldOutSums, products_with


@dataclass(frozen=True)
class _Refit:
    """One fold's fit. Its components are eigenvectors of its training Gram matrix.

    Parameters
    ----------
    held, scored : Tensor of int, or slice
        Rows of the design: all held-out rows, and those of them that are scored.
    basis : Tensor of shape (component, rank)
        Times the training rows' cross-products with the responses: components of the weights.
    eigenvalues : Tensor of shape (component,)
        Of the training Gram matrix, descending, float64.
    rows : Tensor of shape (row, component)
        Scored rows minus their mean, or a rotation of them into fewer rows.
    rotation : Tensor of shape (scored, row) or None
        That rotation: what responses are multiplied with to be compared with ``rows``.
    offset : Tensor of shape (component,)
        Mean of the scored rows, minus that of the training rows.
    train_mean : Tensor of shape (rank,)
        Mean of the training rows of ``Q``; zero without an intercept.
    profiles : ShrinkageProfiles
        Basis of the shrinkage of all alphas.
    """

    held: Tensor | slice
    scored: Tensor | slice
    basis: Tensor
    eigenvalues: Tensor
    rows: Tensor
    rotation: Tensor | None
    offset: Tensor
    train_mean: Tensor
    profiles: ShrinkageProfiles


class FoldRefits:
    """Held-out predictions of every fold and alpha, by a fit for each fold.

    Parameters
    ----------
    decomposition : Decomposition
        Of the training design.
    folds : sequence of Fold
        Rows to hold out.
    alphas : sequence of float
        Penalties to try, on the diagonal of the Gram matrix.
    Q : Tensor of shape (row, rank)
        The decomposition's left singular vectors in the precision of scores and predictions.
    """

    def __init__(
        self,
        decomposition: Decomposition,
        folds: Sequence[Fold],
        alphas: Sequence[float],
        Q: Tensor,
    ) -> None:
        self.decomposition, self.folds, self._Q = decomposition, folds, Q
        self.dtype, self.device = Q.dtype, Q.device
        s = decomposition.s
        self._alpha = torch.tensor(alphas, dtype=torch.float64, device=self.device)[:, None]
        largest = s[0] if len(s) else s.new_ones(())
        self._units = largest / (largest + self._alpha)
        self.units = self._units.to(Q)

    @cached_property
    def refits(self) -> list[_Refit]:
        """Fits of all folds."""
        return [self._refit(fold) for fold in self.folds]

    def forget(self) -> None:
        """Frees what only scores and held-out predictions need; it is made again on demand."""
        self.__dict__.pop("refits", None)

    def _refit(self, fold: Fold) -> _Refit:
        """One fold's fit; in float64 until it is done."""
        Q, s, intercept = self.decomposition.Q, self.decomposition.s, self.decomposition.intercept
        held = row_index(fold.held, self.device)
        scored = row_index(fold.scored, self.device)
        Q_held, Q_scored = Q[held], Q[scored]
        gram = torch.eye(len(s)).to(s) - Q_held.T @ Q_held
        total, n_train = Q_held.sum(0), len(Q) - len(Q_held)
        train_mean = -total / n_train if intercept else torch.zeros_like(total)
        gram -= n_train * torch.outer(train_mean, train_mean)
        root = s.sqrt()
        eigenvalues, vectors = torch.linalg.eigh(root[:, None] * gram * root)
        eigenvalues, vectors = eigenvalues.flip(0).clamp_min(0), vectors.flip(1)
        back = root[:, None] * vectors  # (rank, component)
        mean = Q_scored.mean(0)
        rows = (Q_scored - mean) @ back
        rotation = None
        if len(rows) > len(s):
            rotation, upper = torch.linalg.qr(Q_scored - mean)
            rows = upper @ back
        profiles = self._profiles(rows, eigenvalues)
        return _Refit(
            held=held,
            scored=scored,
            basis=back.T.to(self.dtype),
            eigenvalues=eigenvalues,
            rows=rows.to(self.dtype),
            rotation=None if rotation is None else rotation.to(self.dtype),
            offset=((mean - train_mean) @ back).to(self.dtype),
            train_mean=train_mean.to(self.dtype),
            profiles=profiles.to(self.dtype),
        )

    def _profiles(self, rows: Tensor, eigenvalues: Tensor) -> ShrinkageProfiles:
        """Basis of ``1 / (eigenvalue + alpha)``, accurate where predictions are large."""
        shares = 1 / (eigenvalues + self._alpha) / self._units
        # A component of the weights varies by about the root of its eigenvalue.
        size = rows.norm(dim=0) * eigenvalues.sqrt()
        size = size.clamp_min(1e-12 * float(size.max()) if len(size) else 0).clamp_min(1e-300)
        weighted = shares * size
        basis = shrinkage_profiles(
            weighted, weighted.norm(dim=1).clamp_min(1e-300), TOLERANCE[self.dtype]
        )
        if isinstance(basis.rows, Tensor):
            return ShrinkageProfiles(shares, basis.mix)
        reaches = [row / size[: len(row)] for row in basis.rows]
        return ShrinkageProfiles(reaches, basis.mix)

    # Of a block of voxels ----------------------------------------------------------------------

    def sums(self, y: ProjectedResponses, with_bias: bool) -> Iterator[HeldOutSums]:
        """Sums of each fold's held-out predictions; as of the closed form."""
        for fold in self.refits:
            response = y.centred[fold.scored]
            mean = response.mean(0)
            centred = response - mean
            components = self._components(fold, y)
            bias = mean.expand(len(self._alpha), -1)
            if with_bias:
                shares = (1 / (fold.eigenvalues + self._alpha)).to(self.dtype)
                bias = bias - self._train_mean(fold, y) - (shares * fold.offset) @ components
            yy = centred.square().sum(0)
            if fold.rotation is not None:
                centred = fold.rotation.T @ centred
            pp, py = self._products(fold, components, centred)
            yield HeldOutSums(yy, pp, py, bias, self.units, len(response))

    def _products(self, fold: _Refit, components: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of squared predictions, and of predictions times ``y``: (alpha, voxel) each."""
        mix, products = fold.profiles.mix, fold.profiles.products(fold.rows, components)
        if mix is None:
            return products_with(products, y)
        pp = y.new_empty((len(mix), y.shape[1]))
        py = torch.empty_like(pp)
        for some in index_chunks(len(mix), CACHE_NUMBERS // max(1, products[0].numel())):
            pp[some], py[some] = products_with(torch.tensordot(mix[some], products, dims=1), y)
        return pp, py

    def _components(self, fold: _Refit, y: ProjectedResponses) -> Tensor:
        """Training rows' cross-products with the responses, (component, voxel)."""
        response = y.centred[fold.held]
        cross = y.Z - self._Q[fold.held].T @ response
        if self.decomposition.intercept:
            cross += fold.train_mean[:, None] * response.sum(0)
        return fold.basis @ cross

    def _train_mean(self, fold: _Refit, y: ProjectedResponses) -> Tensor:
        """Mean response of a fold's training rows, (voxel,); zero without an intercept."""
        held = y.centred[fold.held]
        if not self.decomposition.intercept:
            return torch.zeros_like(held[0])
        return -held.sum(0) / (len(y.centred) - len(held))

    def predict(self, y: ProjectedResponses, choice: Tensor) -> Tensor:
        """Held-out predictions at one alpha a voxel; as of the closed form."""
        predictions = torch.full_like(y.centred, torch.nan, dtype=torch.float64)
        alpha = self._alpha[:, 0][choice]
        for fold in self.refits:
            shares = (1 / (fold.eigenvalues[:, None] + alpha)).to(self.dtype)
            weights = fold.basis.T @ (shares * self._components(fold, y))
            rows = self._Q[fold.scored] - fold.train_mean
            mean = self._train_mean(fold, y).double()
            predictions[fold.scored] = (rows @ weights).double() + mean
        return predictions
