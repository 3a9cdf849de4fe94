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


def powers(repeats: Floats) -> tuple[Floats, Floats]:
    """Total and signal power of each voxel from (repeat, TR, voxel): Schoppe et al. (2016).

    Total power is the mean over repeats of the variance in time; signal power is what repeats
    share. Signal power is negative where noise happens to be anticorrelated.
    """
    n = len(repeats)
    total: Floats = repeats.var(axis=1, ddof=1, dtype=np.float64).mean(axis=0)
    mean = repeats.mean(axis=0, dtype=np.float64).var(axis=0, ddof=1)
    signal: Floats = (n * mean - total) / (n - 1)
    return total, signal


def ceiling(repeats: Floats, floor: float | None = 0.25) -> Floats:
    """CCmax: r that the true signal would have with the mean over repeats, (voxel,).

    ``repeats`` is (repeat, TR, voxel), two repeats or more. Values below ``floor`` become the
    floor, as does a voxel without signal power; with ``floor=None`` such a voxel is NaN (Schoppe
    et al. 2016; Antonello et al. 2023, section 2.5). NaN where responses are not finite or vary
    in no repeat.
    """
    n = len(repeats)
    if n < 2:
        raise ValueError(f"a ceiling needs two repeats or more, not {n}")
    total, signal = powers(repeats)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = 1 / np.sqrt(1 + (total / signal - 1) / n)
    found = np.where(signal > 0, found, np.nan)
    if floor is not None:
        found = np.where(np.isfinite(total) & (total > 0), np.fmax(found, floor), np.nan)
    return found
