"""Scores of predictions, a value a voxel; what is undefined is NaN, never zero."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def correlation(prediction: Floats, response: Floats) -> Floats:
    """Pearson r over time of each voxel: (TR, voxel) and (TR, voxel) give (voxel,) float64.

    NaN where either side is constant or not finite.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        x = prediction - prediction.mean(axis=0, dtype=np.float64)
        y = response - response.mean(axis=0, dtype=np.float64)
        r: Floats = (x * y).sum(axis=0) / np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))
    varies = (np.ptp(prediction, axis=0) > 0) & (np.ptp(response, axis=0) > 0)
    return np.where(varies, np.clip(r, -1.0, 1.0), np.nan)


def explained_variance(prediction: Floats, response: Floats) -> Floats:
    """R2 of each voxel: 1 less the squared error over the response's variance, (voxel,).

    NaN where the response is constant or either side not finite.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.square(response - prediction, dtype=np.float64).sum(axis=0)
        size = np.square(response - response.mean(axis=0, dtype=np.float64)).sum(axis=0)
        found: Floats = 1 - error / size
    return np.where(np.ptp(response, axis=0) > 0, found, np.nan)


def signed_square(r: Floats) -> Floats:
    """``|r| r``, the paper's r squared (Antonello et al. 2023, Figure 1)."""
    squared: Floats = np.abs(r) * r
    return squared
