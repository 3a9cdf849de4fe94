"""The eigendecomposition that serves every penalty, fold and voxel of a ridge fit."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from voxelzoo_regressors.design import Design

log = logging.getLogger("voxelzoo.ridge")


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
        What was subtracted, float64; zero without an intercept.
    """

    centred: Tensor
    Z: Tensor
    mean: Tensor

    def of_voxels(self, voxels: Tensor) -> ProjectedResponses:
        """Those of some voxels."""
        return ProjectedResponses(self.centred[:, voxels], self.Z[:, voxels], self.mean[voxels])


@dataclass(frozen=True)
class Decomposition:
    """Thin singular value decomposition of a centred design, ``Q diag(sqrt(s)) V'``.

    Always float64, because small eigenvalues of a Gram matrix do not survive float32.

    Parameters
    ----------
    design : Design
        What was decomposed.
    Q : Tensor of shape (row, rank)
        Left singular vectors.
    s : Tensor of shape (rank,)
        Eigenvalues of the Gram matrix (squared singular values), descending.
    V : Tensor of shape (feature, rank) or None
        Right singular vectors on the primal path. None on the dual path, where they are never
        formed.
    intercept : bool
        Whether the design's columns were centred first.
    path : {"primal", "dual"}
        Which Gram matrix was decomposed: that of the features, or that of the rows.
    """

    design: Design
    Q: Tensor
    s: Tensor
    V: Tensor | None
    intercept: bool
    path: Literal["primal", "dual"]

    @property
    def mean(self) -> Tensor:
        """What was subtracted from the design's columns, (feature,), float64."""
        mean = self.design.mean
        return mean if self.intercept else torch.zeros_like(mean)

    @property
    def spans_rows(self) -> bool:
        """Whether the design can fit any (centred) response exactly."""
        return len(self.s) >= len(self.Q) - self.intercept

    @property
    def n_outside(self) -> int:
        """Dimensions of the (centred) responses that the design does not span."""
        return len(self.Q) - self.intercept - len(self.s)

    @property
    def n_bytes(self) -> int:
        """Memory of the tensors, in bytes."""
        tensors = [self.Q, self.s, self.design.X] + ([] if self.V is None else [self.V])
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def coordinates(self, new: Design, dtype: torch.dtype) -> Tensor:
        """Rows of another design, in the basis in which the training rows are ``Q``.

        Parameters
        ----------
        new : Design
            Rows to predict from, with the features of the decomposed design.
        dtype : torch.dtype
            Precision of the result.

        Returns
        -------
        Tensor of shape (row, rank)
        """
        root = self.s.sqrt()
        if self.V is not None:
            V = self.V / root
            return (new.to(torch.float64).times(V) - self.mean @ V).to(dtype)
        # (x - m)'(X - m)' Q = (x X' - (X m)') Q, since Q's columns sum to zero.
        train = self.design.to(torch.float64)
        product = new.to(torch.float64).row_gram(train)
        if self.intercept:
            product -= train.times(self.mean[:, None]).T
        return (product @ self.Q / self.s).to(dtype)

    def coefficients(self, shrunk: Tensor) -> Tensor:
        """Weights on the design's columns, such that they predict ``coordinates @ shrunk``.

        Parameters
        ----------
        shrunk : Tensor of shape (rank, voxel)
            Weights in the eigenbasis.

        Returns
        -------
        Tensor of shape (feature, voxel), float64
        """
        scaled = shrunk.to(torch.float64) / self.s.sqrt()[:, None]
        if self.V is not None:
            return self.V @ scaled
        inner = self.Q @ (scaled / self.s.sqrt()[:, None])
        return self.design.to(torch.float64).transpose_times(inner)


def decompose(design: Design, intercept: bool = True) -> Decomposition:
    """Decomposes the smaller of the design's two Gram matrices.

    Directions whose eigenvalue is below ``eps * max(shape)`` of the largest are dropped: they are
    rounding error, not data.

    Parameters
    ----------
    design : Design
        What to decompose.
    intercept : bool, default True
        Whether to centre the columns first.

    Returns
    -------
    Decomposition
    """
    n, p = design.n_rows, design.n_features
    exact = design.to(torch.float64)
    dual = n <= p
    gram = exact.row_gram(exact) if dual else exact.feature_gram()
    if intercept and dual:
        gram -= gram.mean(0)
        gram -= gram.mean(1, keepdim=True)
    elif intercept:
        gram.addr_(design.mean, design.mean, alpha=-n)
    s, vectors = _eigh(gram)
    least = torch.finfo(torch.float64).eps * max(n, p) * max(float(s[-1]), 0.0)
    keep = s > least
    s, vectors = s[keep].flip(0), vectors[:, keep].flip(1)
    decomposition = from_eigenvectors(design, s, vectors, intercept)
    log.debug("decomposed %d x %d, rank %d, %s path", n, p, len(s), decomposition.path)
    return decomposition


def from_eigenvectors(design: Design, s: Tensor, vectors: Tensor, intercept: bool) -> Decomposition:
    """The decomposition that has these eigenvalues and eigenvectors.

    Parameters
    ----------
    design : Design
        What was decomposed.
    s : Tensor of shape (rank,)
        Eigenvalues, descending, float64.
    vectors : Tensor of shape (row, rank) or (feature, rank)
        Eigenvectors of the smaller Gram matrix, float64.
    intercept : bool
        Whether the columns were centred.

    Returns
    -------
    Decomposition
    """
    if design.n_rows <= design.n_features:
        return Decomposition(design, vectors, s, None, intercept, "dual")
    V = vectors / s.sqrt()
    Q = design.to(torch.float64).times(V)
    if intercept:
        Q -= design.mean @ V
    return Decomposition(design, Q, s, vectors, intercept, "primal")


def _eigh(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (ascending) and eigenvectors. On the CPU by LAPACK through SciPy, in place."""
    if gram.device.type != "cpu":
        s, vectors = torch.linalg.eigh(gram)
        return s, vectors
    values, columns = scipy.linalg.eigh(
        gram.numpy(), overwrite_a=True, check_finite=False, driver="evd"
    )
    return torch.from_numpy(values), torch.from_numpy(np.ascontiguousarray(columns))
