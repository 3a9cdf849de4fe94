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


@dataclass(frozen=True)
class ShrinkageProfiles:
    """A small basis of shrinkage profiles for all alphas.

    With profiles ``rows[i]``, alpha number ``a`` leaves the residual
    ``e Y + sum_i mix[a, i] Q diag(rows[i]) Q' Y``, where ``e`` is 0 or 1.

    Parameters
    ----------
    rows : list of Tensor, each of shape (reach,)
        Profiles. Beyond its first ``reach`` eigenvalues a profile is zero, so that its product
        needs only those eigenvectors.
    mix : Tensor of shape (alpha, profile + 1)
        Weights of the profiles. The last column is ``e``, the weight of the responses themselves.
    """

    rows: list[Tensor]
    mix: Tensor

    @property
    def n_columns(self) -> int:
        """Number of eigenvectors in all products together."""
        return sum(len(row) for row in self.rows)


def shrinkage_profiles(
    s: Tensor, alphas: Sequence[float], tolerance: float, n_outside: int
) -> ShrinkageProfiles:
    """Finds a basis for the shrinkage of every alpha.

    The profiles of different alphas are most alike where many eigenvalues lie within a decade or
    two: in the long tail of the spectrum. So the basis is built from the tail towards the head.
    Each stretch of the spectrum adds the profiles that it needs beyond those of the stretches
    behind it.

    Every alpha is approximated to ``tolerance`` relative to what it keeps of the responses or to
    what it leaves, whichever is smaller. If the design spans all rows, small alphas leave next to
    nothing. Their residual is then modelled instead of their fit, so that it is not lost in
    rounding, and to a tenth of ``tolerance``, because leaving rows out divides by it.

    Parameters
    ----------
    s : Tensor of shape (rank,)
        Eigenvalues, descending.
    alphas : sequence of float
        Penalties.
    tolerance : float
        Largest relative error.
    n_outside : int
        Dimensions of the responses that the design does not span.

    Returns
    -------
    ShrinkageProfiles
    """
    spans_rows = n_outside <= 0
    alpha = torch.tensor(alphas, dtype=torch.float64, device=s.device)[:, None]
    kept, removed = s / (s + alpha), alpha / (s + alpha)
    left = (removed.square().sum(1) + max(n_outside, 0)).sqrt()
    size = torch.minimum(kept.norm(dim=1), left).clamp_min(1e-300)[:, None]
    use_removed = (left < kept.norm(dim=1)) & spans_rows
    targets = torch.where(use_removed[:, None], removed, -kept) / size
    if spans_rows:
        tolerance /= 10
    edges = _stretches(len(s))
    basis, reaches = targets.new_empty((len(alpha), 0)), []
    for start, stop in itertools.pairwise(edges) if len(s) else ():
        rest = targets[:, stop:start]
        rest = rest - basis @ (basis.T @ rest)
        U, S, _ = torch.linalg.svd(rest, full_matrices=False)
        # A stretch's share of the error is its share of the spectrum: the head is met best.
        allowed = tolerance * ((start - stop) / len(s)) ** 0.5
        missed = (U * S).square().flip(1).cumsum(1).flip(1).amax(0).sqrt()
        n_new = min(int((missed > allowed).sum()), len(alpha) - basis.shape[1])
        basis = torch.linalg.qr(torch.cat([basis, U[:, :n_new]], 1))[0]
        reaches += [start] * n_new
    rows = [row[:reach] for row, reach in zip(basis.T @ targets, reaches, strict=True)]
    mix = torch.cat([size * basis, (~use_removed[:, None]).to(basis)], 1)
    return ShrinkageProfiles(rows, mix)


def _stretches(rank: int) -> list[int]:
    """Edges of stretches of the spectrum, each half of what is before it, from the tail to 0."""
    edges = [rank]
    while edges[-1] > 32:
        edges.append(edges[-1] // 2)
    return [*edges, 0]
