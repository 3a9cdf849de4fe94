"""Noise ceilings from repeats: responses of one subject to the same stimulus, heard again.

References
----------
Hsu, A., Borst, A., & Theunissen, F. E. (2004). Quantifying variability in neural responses and its
application for the validation of model predictions. Network 15(2), 91-109.

LeBel, A., et al. (2023). A natural language fMRI dataset for voxelwise encoding models.
Scientific Data 10, 555.

Sahani, M., & Linden, J. F. (2003). How linear are auditory cortical responses? NIPS 15.

Schoppe, O., et al. (2016). Measuring the performance of neural models. Frontiers in Computational
Neuroscience 10, 10.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import comb

import numpy as np

from voxelzoo.api import DataError
from voxelzoo.science.arrays import Floats, Mask

MAX_SPLITS = 200
"""If there are more splits into halves, a seeded sample of this many is used (10 repeats have
126 splits)."""


def require_several(responses: Floats, what: str = "repeats") -> None:
    """Checks that there are several repeats or subjects.

    Parameters
    ----------
    responses : ndarray of shape (repeat or subject, TR, voxel)
        What to check.
    what : str, default "repeats"
        What the first axis is, for the message.

    Raises
    ------
    DataError
        If there are fewer than two.
    """
    if responses.ndim != 3 or len(responses) < 2:
        n = len(responses) if responses.ndim == 3 else 1
        raise DataError(f"a ceiling needs at least two {what}, not {n}")


def covariances(repeats: Floats) -> Floats:
    """Covariance in time between repeats. Every ceiling from repeats follows from it.

    Parameters
    ----------
    repeats : ndarray of shape (repeat, TR, voxel)
        Responses to the same stimulus.

    Returns
    -------
    ndarray of shape (repeat, repeat, voxel)
        Divided by the number of TRs.
    """
    centred = repeats - repeats.mean(axis=1, keepdims=True, dtype=np.float64)
    products: Floats = np.einsum("itv,jtv->ijv", centred, centred, optimize=True)
    return np.asarray(products / repeats.shape[1])


def powers(repeats: Floats) -> tuple[Floats, Floats]:
    """Total power and signal power of each voxel (Schoppe et al. 2016).

    With n repeats ``y_i`` and variances in time (divided by TR - 1) ::

        total  = mean_i var(y_i)
        signal = (var(sum_i y_i) / n - total) / (n - 1)

    Parameters
    ----------
    repeats : ndarray of shape (repeat, TR, voxel)
        Responses, two repeats or more.

    Returns
    -------
    total : ndarray of shape (voxel,)
        Mean power of single repeats.
    signal : ndarray of shape (voxel,)
        Power that the repeats share. Negative if the noise happens to be anticorrelated.
    """
    n_trs = repeats.shape[1]
    return _powers(covariances(repeats) * (n_trs / (n_trs - 1)))


def _powers(between: Floats) -> tuple[Floats, Floats]:
    n = len(between)
    total: Floats = np.einsum("ii...->...", between) / n
    signal: Floats = (between.sum(axis=(0, 1)) / n - total) / (n - 1)
    return total, signal


def released_cc_max_of_covariances(between: Floats) -> Floats:
    """:func:`released_ceiling` without a floor, (...), from covariances (repeat, repeat, ...)."""
    n = len(between)
    signal = (between.sum(axis=(0, 1)) / n - 1) / (n - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cc_max: Floats = 1 / np.sqrt(1 + (1 / signal - 1) / n)
    return np.where(signal > 0, cc_max, np.nan)


def cc_max_of_covariances(between: Floats) -> Floats:
    """:func:`ceiling` without a floor, (...), from covariances (repeat, repeat, ...)."""
    total, signal = _powers(between)
    with np.errstate(invalid="ignore", divide="ignore"):
        cc_max: Floats = 1 / np.sqrt(1 + (total / signal - 1) / len(between))
    return np.where(signal > 0, cc_max, np.nan)


def ceiling(repeats: Floats, floor: float | None = 0.25) -> Floats:
    """CCmax: the r of the true signal with the mean over repeats (Schoppe et al. 2016).

    With n repeats and the :func:`powers` of signal and total ::

        CCmax = 1 / sqrt(1 + (total / signal - 1) / n)

    Parameters
    ----------
    repeats : ndarray of shape (repeat, TR, voxel)
        Responses, two repeats or more.
    floor : float or None, default 0.25
        Lower limit, as in Antonello et al. (2023), section 2.5. Voxels without signal power get
        it too. None: no limit; such voxels are NaN.

    Returns
    -------
    ndarray of shape (voxel,)
        NaN where responses are not finite, or vary in no repeat.

    Raises
    ------
    DataError
        If there are fewer than two repeats.
    """
    return _from_repeats(repeats, cc_max_of_covariances, floor)


def released_ceiling(repeats: Floats, floor: float | None = None) -> Floats:
    """CCmax as the code released with Antonello et al. (2023) computes it: total power is 1.

    As :func:`ceiling`, with ``total = 1`` where the total power is measured there. Responses are
    taken to have been z-scored; of rows without a story's start, or means over runs, that is not
    exact.

    Parameters
    ----------
    repeats : ndarray of shape (repeat, TR, voxel)
        Responses to the same stimulus.
    floor : float or None, default None
        Lower limit.

    Returns
    -------
    ndarray of shape (voxel,)
        NaN where responses are not finite, vary in no repeat, or have no signal power.

    Raises
    ------
    DataError
        If there are fewer than two repeats.
    """
    n_trs = repeats.shape[1]

    def of_covariances(between: Floats) -> Floats:
        return released_cc_max_of_covariances(between * (n_trs / (n_trs - 1)))

    return _from_repeats(repeats, of_covariances, floor)


def split_half_r(repeats: Floats, seed: int = 0) -> Floats:
    """Mean correlation between the means of two halves of the repeats.

    Parameters
    ----------
    repeats : ndarray of shape (repeat, TR, voxel)
        Responses, two repeats or more.
    seed : int, default 0
        Seed of the sample of splits, if there are more than :data:`MAX_SPLITS`.

    Returns
    -------
    ndarray of shape (voxel,)
        Mean over all splits (or a sample of them). NaN where undefined.

    Raises
    ------
    DataError
        If there are fewer than two repeats.
    """
    require_several(repeats)
    return np.where(_varies(repeats), _split_half_r(covariances(repeats), seed), np.nan)


def _split_half_r(between: Floats, seed: int = 0) -> Floats:
    first = _halves(len(between), seed)
    second = 1 - first
    aa, bb, ab = (
        np.einsum("si,sj,ij...->s...", one, other, between, optimize=True)
        for one, other in ((first, first), (second, second), (first, second))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = (ab / np.sqrt(aa * bb)).mean(axis=0)
    return mean


def split_half_of_covariances(between: Floats) -> Floats:
    """:func:`split_half` without a floor, (...), from covariances (repeat, repeat, ...)."""
    half = _split_half_r(between)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(2 * half / (1 + half))
    return np.where(half > 0, root, np.nan)


def split_half(repeats: Floats, floor: float | None = 0.3) -> Floats:
    """Ceiling from halves of the repeats, stepped up to all of them (Spearman-Brown).

    With ``r`` from :func:`split_half_r`, the square root of the reliability of the mean over
    repeats (Hsu, Borst & Theunissen 2004) ::

        ceiling = sqrt(2 r / (1 + r))

    Parameters
    ----------
    repeats : ndarray of shape (repeat, TR, voxel)
        Responses, two repeats or more.
    floor : float or None, default 0.3
        Lower limit, as in LeBel et al. (2023). None: no limit; where ``r <= 0`` the ceiling is
        NaN.

    Returns
    -------
    ndarray of shape (voxel,)
        NaN where undefined.

    Raises
    ------
    DataError
        If there are fewer than two repeats.
    """
    return _from_repeats(repeats, split_half_of_covariances, floor)


def explainable_variance(repeats: Floats, bias_correction: bool = True) -> Floats:
    """Share of a single response's variance that the repeats have in common.

    Each of n repeats ``y_i`` is z-scored here ::

        ev           = var(mean_i y_i)
        ev corrected = ev - (1 - ev) / (n - 1)

    Without the correction, noise that survives averaging counts as signal: on noise alone, the
    share is 1/n. Corrected, it is 0 on average and can be negative (Sahani & Linden 2003; Hsu et
    al. 2004).

    Parameters
    ----------
    repeats : ndarray of shape (repeat, TR, voxel)
        Responses, two repeats or more.
    bias_correction : bool, default True
        Whether to correct.

    Returns
    -------
    ndarray of shape (voxel,)
        NaN where undefined.

    Raises
    ------
    DataError
        If there are fewer than two repeats.
    """
    require_several(repeats)
    shared = _explainable_variance(covariances(repeats), bias_correction)
    return np.where(_varies(repeats), shared, np.nan)


def _explainable_variance(between: Floats, bias_correction: bool = True) -> Floats:
    n = len(between)
    deviation = np.sqrt(np.einsum("ii...->i...", between))
    with np.errstate(invalid="ignore", divide="ignore"):
        shared: Floats = (between / (deviation[:, None] * deviation[None])).sum(axis=(0, 1)) / n**2
    return shared - (1 - shared) / (n - 1) if bias_correction else shared


def explainable_of_covariances(between: Floats) -> Floats:
    """:func:`explainable_ceiling` without a floor, from covariances (repeat, repeat, ...)."""
    n, share = len(between), _explainable_variance(between)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(n * share / (1 + (n - 1) * share))
    return np.where(share > 0, root, np.nan)


def explainable_ceiling(repeats: Floats, floor: float | None = 0.25) -> Floats:
    """Ceiling from the corrected explainable variance of z-scored repeats.

    With ``ev`` from :func:`explainable_variance`, the square root of the reliability of the mean
    over n repeats ::

        ceiling = sqrt(n ev / (1 + (n - 1) ev))

    Parameters
    ----------
    repeats : ndarray of shape (repeat, TR, voxel)
        Responses, two repeats or more.
    floor : float or None, default 0.25
        Lower limit. None: no limit; where ``ev <= 0`` the ceiling is NaN.

    Returns
    -------
    ndarray of shape (voxel,)
        NaN where undefined.

    Raises
    ------
    DataError
        If there are fewer than two repeats.
    """
    return _from_repeats(repeats, explainable_of_covariances, floor)


def _from_repeats(
    repeats: Floats, of_covariances: Callable[[Floats], Floats], floor: float | None
) -> Floats:
    require_several(repeats)
    values = of_covariances(covariances(repeats))
    if floor is not None:
        values = np.fmax(values, floor)
    return np.where(_varies(repeats), values, np.nan)


def _varies(repeats: Floats) -> Mask:
    """Voxels that are finite throughout and vary in some repeat."""
    with np.errstate(invalid="ignore"):
        spread = np.ptp(repeats, axis=1)
    varies: Mask = np.isfinite(spread).all(axis=0) & (spread > 0).any(axis=0)
    return varies


def _halves(n: int, seed: int) -> Floats:
    """Which repeats are in the first half, (split, repeat), 0 or 1; if odd, the smaller half."""
    size = n // 2
    if comb(n, size) <= 2 * MAX_SPLITS:
        chosen = [c for c in combinations(range(n), size) if n % 2 or 0 in c]
    else:
        rng = np.random.default_rng(seed)
        chosen = [tuple(rng.permutation(n)[:size]) for _ in range(MAX_SPLITS)]
    rows = np.zeros((len(chosen), n))
    for row, members in zip(rows, chosen, strict=True):
        row[list(members)] = 1
    return rows
