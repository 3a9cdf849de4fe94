"""A small basis of shrinkage profiles, so that trying every alpha takes few matrix products.

Ridge keeps the share ``s / (s + alpha)`` of a response's component along an eigenvector with
eigenvalue ``s``. As a function of ``s`` that share changes slowly with alpha. The profiles of all
alphas therefore lie close to a space of low dimension.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

TOLERANCE = {torch.float64: 1e-13, torch.float32: 3e-4, torch.bfloat16: 2e-3}
"""Relative error of the shrinkage profiles, by the precision of the large products."""

_FEW = 2048
"""Numbers (alphas times eigenvalues) below which finding a basis costs more than it saves."""


@dataclass(frozen=True)
class ShrinkageProfiles:
    """A small basis of the shrinkage of all alphas.

    Alpha number ``a`` multiplies component ``j`` by ``sum_i mix[a, i] rows[i][j]``.

    Parameters
    ----------
    rows : sequence of Tensor, each of shape (reach,)
        Profiles. Beyond its first ``reach`` eigenvalues a profile is zero, so that its product
        needs only those eigenvectors. One tensor if all reach equally far.
    mix : Tensor of shape (alpha, profile) or None
        Weights of the profiles. None: the profiles are those of the alphas themselves.
    """

    rows: Sequence[Tensor] | Tensor
    mix: Tensor | None

    @property
    def n_columns(self) -> int:
        """Number of eigenvectors in all products together."""
        return sum(len(row) for row in self.rows)

    def to(self, dtype: torch.dtype) -> ShrinkageProfiles:
        """The same profiles in another precision."""
        if isinstance(self.rows, Tensor):
            return ShrinkageProfiles(self.rows.to(dtype), self.mix)
        mix = None if self.mix is None else self.mix.to(dtype)
        return ShrinkageProfiles([row.to(dtype) for row in self.rows], mix)

    def products(self, left: Tensor, right: Tensor) -> Tensor:
        """Products of matrices with each profile between them.

        Parameters
        ----------
        left : Tensor of shape (row, rank)
        right : Tensor of shape (rank, voxel)

        Returns
        -------
        Tensor of shape (profile, row, voxel)
        """
        if isinstance(self.rows, Tensor):
            scaled = self.rows.T[:, :, None] * right[:, None]
            shape = (len(left), len(self.rows), right.shape[1])
            return (left @ scaled.flatten(1)).view(shape).transpose(0, 1)
        return torch.stack(
            [left[:, : len(row)] @ (row[:, None] * right[: len(row)]) for row in self.rows]
        )


def shrinkage_profiles(shares: Tensor, sizes: Tensor, tolerance: float) -> ShrinkageProfiles:
    """Finds a small basis for the shrinkage of every alpha.

    The profiles of different alphas are most alike where many eigenvalues lie within a decade or
    two: in the long tail of the spectrum. So the basis is built from the tail towards the head.
    Each stretch of the spectrum adds the profiles that it needs beyond those of the stretches
    behind it.

    Parameters
    ----------
    shares : Tensor of shape (alpha, rank)
        By how much each alpha multiplies each component, for eigenvalues in descending order.
    sizes : Tensor of shape (alpha,)
        What the errors of an alpha's shares are compared with.
    tolerance : float
        Largest norm of an alpha's errors, as a share of its size.

    Returns
    -------
    ShrinkageProfiles
    """
    n_alphas, rank = shares.shape
    if shares.numel() <= _FEW or n_alphas < 3:
        return ShrinkageProfiles(shares, None)
    targets = shares / sizes[:, None]
    basis, reaches = targets.new_empty((n_alphas, 0)), []
    for start, stop in itertools.pairwise(_stretches(rank)):
        rest = targets[:, stop:start]
        rest = rest - basis @ (basis.T @ rest)
        U, S, _ = torch.linalg.svd(rest, full_matrices=False)
        # A stretch's share of the error is its share of the spectrum: the head is met best.
        allowed = tolerance * ((start - stop) / rank) ** 0.5
        missed = (U * S).square().flip(1).cumsum(1).flip(1).amax(0).sqrt()
        n_new = min(int((missed > allowed).sum()), n_alphas - basis.shape[1])
        basis = torch.linalg.qr(torch.cat([basis, U[:, :n_new]], 1))[0]
        reaches += [start] * n_new
    rows = [row[:reach] for row, reach in zip(basis.T @ targets, reaches, strict=True)]
    return ShrinkageProfiles(rows, sizes[:, None] * basis)


def _stretches(rank: int) -> list[int]:
    """Edges of stretches of the spectrum, each half of what is before it, from the tail to 0."""
    edges = [rank]
    while edges[-1] > 32:
        edges.append(edges[-1] // 2)
    return [*edges, 0]
