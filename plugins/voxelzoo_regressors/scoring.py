"""Scores of held-out predictions: correlation, R2, and the paper's signed root of R2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from voxelzoo_regressors.arrays import Floats


@dataclass(frozen=True)
class HeldOutSums:
    """Sums over a fold's scored rows, from which its scores are computed.

    Predictions may be in units of their own (``units``), one for each alpha: where shrinkage is
    strong they are too small to be squared in float32.

    Parameters
    ----------
    yy : Tensor of shape (voxel,)
        Squares of the responses, minus their mean.
    pp : Tensor of shape (alpha, voxel)
        Squares of the predictions, minus their mean, in their units.
    py : Tensor of shape (alpha, voxel)
        Products of the two, in the predictions' units.
    bias : Tensor of shape (alpha, voxel)
        Mean response minus mean prediction, in units of the responses.
    units : Tensor of shape (alpha, 1)
        Units of the predictions, in units of the responses.
    n : int
        Number of scored rows.
    """

    yy: Tensor
    pp: Tensor
    py: Tensor
    bias: Tensor
    units: Tensor
    n: int

    @property
    def ee(self) -> Tensor:
        """Squares of the errors, minus their mean, (alpha, voxel)."""
        return (self.yy - 2 * self.units * self.py + self.units**2 * self.pp).clamp_min(0)


@dataclass(frozen=True)
class Score:
    """A score computed from a fold's sums.

    Parameters
    ----------
    formula : callable
        Takes :class:`HeldOutSums` and returns the score, (alpha, voxel). Not finite where it is
        undefined.
    needs_bias : bool, default False
        Whether the formula reads ``bias``.
    """

    formula: Callable[[HeldOutSums], Tensor]
    needs_bias: bool = False


def _correlation(sums: HeldOutSums) -> Tensor:
    return sums.py / (sums.pp.sqrt() * sums.yy.sqrt())


def _r2(sums: HeldOutSums) -> Tensor:
    return 1 - (sums.ee + sums.n * sums.bias**2) / sums.yy


def _signed_root_r2(sums: HeldOutSums) -> Tensor:
    r2 = 1 - (sums.ee / sums.n) / ((1 + sums.yy / sums.n) / 2)
    return r2.sign() * r2.abs().sqrt()


SCORES = {
    "correlation": Score(_correlation),
    "r2": Score(_r2, needs_bias=True),
    "signed_root_r2": Score(_signed_root_r2),
}
"""``signed_root_r2`` is that of the code released with Antonello et al. (2023):
``sign(R2) sqrt(|R2|)`` with ``R2 = 1 - var(residual) / ((1 + var(response)) / 2)``."""


def products_with(prediction: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over rows of squared predictions, and of predictions times responses.

    Parameters
    ----------
    prediction : Tensor of shape (alpha, row, voxel)
        Predictions minus their mean. Overwritten.
    y : Tensor of shape (row, voxel)
        Responses minus their mean.

    Returns
    -------
    pp, py : Tensor of shape (alpha, voxel)
    """
    py = (prediction * y).sum(1)
    return prediction.square_().sum(1), py


def sums_of(prediction: Tensor, y: Tensor) -> HeldOutSums:
    """Sums of predictions at one alpha a voxel.

    Parameters
    ----------
    prediction : Tensor of shape (scored, voxel), float64
        Predictions.
    y : Tensor of shape (scored, voxel)
        Responses.

    Returns
    -------
    HeldOutSums
        Of one alpha.
    """
    response = y.double()
    bias = (response - prediction).mean(0)
    response = response - response.mean(0)
    pp, py = products_with((prediction - prediction.mean(0))[None], response)
    units = torch.ones((1, 1)).to(pp)
    return HeldOutSums(response.square().sum(0), pp, py, bias[None], units, len(y))


def correlation(prediction: Floats, response: Floats) -> Floats:
    """Pearson correlation of each column.

    Parameters
    ----------
    prediction, response : ndarray of shape (row, voxel)
        What to correlate, in the precision that is used throughout.

    Returns
    -------
    ndarray of shape (voxel,)
        NaN where either does not vary.
    """
    p, y = prediction - prediction.mean(axis=0), response - response.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r: Floats = (p * y).sum(axis=0) / np.sqrt((p**2).sum(axis=0) * (y**2).sum(axis=0))
    return r
