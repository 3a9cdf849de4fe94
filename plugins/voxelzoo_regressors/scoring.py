"""Scores of held-out predictions: correlation, R2, and the paper's signed root of R2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from voxelzoo_regressors.arrays import Floats


@dataclass(frozen=True)
class Score:
    """A score computed from sums over a fold's scored rows.

    Parameters
    ----------
    formula : callable
        Takes ``yy, pp, py, ee`` and ``n``, and returns the score, (voxel,). The first four are
        (voxel,): the sums of squares and products of response ``y``, prediction ``p`` and
        residual ``e``. ``n`` is the number of rows.
    centred : bool
        Whether means over the fold's rows are removed before the sums are taken.
    needs : {"prediction", "residual"}
        Which sums the formula reads beside ``yy``: ``pp`` and ``py``, or ``ee``.
    """

    formula: Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
    centred: bool
    needs: Literal["prediction", "residual"]


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
"""``signed_root_r2`` is that of the code released with Antonello et al. (2023):
``sign(R2) sqrt(|R2|)`` with ``R2 = 1 - var(residual) / ((1 + var(response)) / 2)``."""


def fold_scores(score: Score, solvers: Tensor, residuals: Tensor, y: Tensor) -> Tensor:
    """Scores of one fold's held-out predictions, for every alpha.

    Parameters
    ----------
    score : Score
        Which score.
    solvers : Tensor of shape (alpha, scored, held)
        Rows of ``(I - H_BB)^-1``.
    residuals : Tensor of shape (alpha, held, voxel)
        Residuals of the fit on all rows.
    y : Tensor of shape (scored, voxel)
        Responses of the scored rows.

    Returns
    -------
    Tensor of shape (alpha, voxel)
        0 where a score is undefined.
    """
    n = len(y)
    if score.centred:
        y = y - y.mean(0)
        solvers = solvers - solvers.mean(1, keepdim=True)
    yy = (y if score.centred else y - y.mean(0)).square().sum(0)
    work, unused = torch.empty_like(y), yy.new_zeros(())
    scores = yy.new_empty((len(residuals), y.shape[1]))
    for i, (solver, residual) in enumerate(zip(solvers, residuals, strict=True)):
        # One alpha at a time, so that its block stays in cache between passes.
        if score.needs == "residual":
            error = torch.mm(solver, residual, out=work)
            scores[i] = score.formula(yy, unused, unused, _squares(error), n)
        else:
            prediction = torch.addmm(y, solver, residual, alpha=-1)
            py = torch.mul(prediction, y, out=work).sum(0)
            scores[i] = score.formula(yy, _squares(prediction), py, unused, n)
    return torch.nan_to_num_(scores, nan=0.0, posinf=0.0, neginf=0.0)


def _squares(values: Tensor) -> Tensor:
    """Sum of squares over rows; overwrites ``values``."""
    return torch.mul(values, values, out=values).sum(0)


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
