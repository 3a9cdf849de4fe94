"""At which shift of the stimulus does word rate predict best? One regressor, no fit.

Word rate is convolved with a canonical haemodynamic response, so that the shift is the only thing
that is free: delays that are fitted would absorb a shift of a few seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from voxelzoo.api import ScanClock
from voxelzoo.science.arrays import Floats

STEP = 0.1
"""Seconds between samples of the convolved word rate."""

BLOCK_SECONDS = 20.0
"""Length of the blocks of time that are compared, and drawn."""

DRIFT_SECONDS = 150.0
"""Drifts slower than this are removed."""

Kernel = Callable[[Floats], Floats]
"""Response (time,) to a word, at seconds after it."""


def canonical_response(seconds: Floats) -> Floats:
    """The canonical haemodynamic response: it peaks after 5 s and undershoots after 15 s.

    Difference of two gamma densities of shape 6 and 16 and scale 1 s, the second divided by 6
    (Glover 1999; the default of SPM).

    Parameters
    ----------
    seconds : ndarray of shape (time,)
        Seconds after the stimulus.

    Returns
    -------
    ndarray of shape (time,)
        0 before the stimulus.
    """
    from scipy.stats import gamma

    response: Floats = gamma.pdf(seconds, 6) - gamma.pdf(seconds, 16) / 6
    return response


def within(first: float, last: float) -> Kernel:
    """A response that is 1 from ``first`` to ``last`` seconds after a word, and 0 elsewhere."""
    return lambda seconds: ((seconds >= first) & (seconds <= last)).astype(np.float64)


def rate_at_shifts(
    times: Floats, clock: ScanClock, shifts: Sequence[float], kernel: Kernel
) -> Floats:
    """Convolved word rate at scan times, with the words moved later by each shift.

    Parameters
    ----------
    times : ndarray of shape (word,)
        Seconds on the story's clock.
    clock : ScanClock
        When responses were acquired.
    shifts : sequence of float
        Seconds by which words are moved later.
    kernel : callable
        Response to one word.

    Returns
    -------
    ndarray of shape (shift, TR)
        Without drifts; each row has mean 0 and variance 1, or is 0 if word rate does not vary.
    """
    scans = clock.times
    first = min(times.min(), scans[0] - max(shifts)) - STEP
    last = max(times.max(), scans[-1] - min(shifts)) + STEP
    grid = np.arange(first, last + STEP, STEP)
    rate = np.histogram(times, np.append(grid, grid[-1] + STEP) - STEP / 2)[0].astype(np.float64)
    response = kernel(np.arange(0, 32, STEP))
    n = 1 << int(np.ceil(np.log2(len(grid) + len(response))))
    spectrum = np.fft.rfft(rate, n) * np.fft.rfft(response, n)
    convolved = np.fft.irfft(spectrum, n)[: len(grid)]
    rows = np.stack([np.interp(scans - shift, grid, convolved) for shift in shifts])
    return standardised(rows.T, clock.tr).T


def standardised(rows: Floats, tr: float) -> Floats:
    """Columns without drifts, of mean 0 and variance 1; 0 if a column is constant or not finite.

    Parameters
    ----------
    rows : ndarray of shape (TR, column)
    tr : float
        Seconds per TR.

    Returns
    -------
    ndarray of shape (TR, column)
    """
    values = np.asarray(rows, dtype=np.float64)
    n_drifts = min(len(values) // 4, max(1, int(len(values) * tr / DRIFT_SECONDS)))
    drifts = np.polynomial.legendre.legvander(np.linspace(-1, 1, len(values)), n_drifts)
    basis, _ = np.linalg.qr(drifts)
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.abs(values).max(axis=0)
        values = values - basis @ (basis.T @ values)
        deviation = values.std(axis=0)
        varies = np.isfinite(deviation) & (deviation > 1e-6 * size)
        return np.where(varies, values / np.where(varies, deviation, 1.0), 0.0)


@dataclass(frozen=True)
class ShiftCurve:
    """How well word rate predicts at each shift.

    Parameters
    ----------
    r : ndarray of shape (shift,)
        Root of the mean over voxels of r squared, estimated without bias: negative where it is
        below 0.
    draws : ndarray of shape (draw, shift)
        The same in bootstrap draws over blocks of time.
    """

    r: Floats
    draws: Floats


def shift_curve(
    rates: Sequence[Floats],
    responses: Sequence[Floats],
    trs: Sequence[float],
    *,
    n_draws: int = 200,
    seed: int = 0,
) -> ShiftCurve:
    """Squared correlation of word rate and responses at each shift, over voxels of either sign.

    With ``c_b`` the part of a voxel's r that comes from block ``b`` of time, r squared is the mean
    of ``c_a c_b`` over pairs of different blocks, times the number of blocks squared. Noise, which
    blocks do not share, adds nothing, and a voxel's sign need not be known.

    Parameters
    ----------
    rates : sequence of ndarray, each of shape (shift, TR)
        Of each story, from :func:`rate_at_shifts`.
    responses : sequence of ndarray, each of shape (TR, voxel)
        To each story, from :func:`standardised`.
    trs : sequence of float
        Seconds per TR of each story.
    n_draws : int, default 200
        Bootstrap draws.
    seed : int, default 0
        Seed of the draws.

    Returns
    -------
    ShiftCurve
    """
    sums, sizes = [], []
    for rate, response, tr in zip(rates, responses, trs, strict=True):
        length = max(1, round(BLOCK_SECONDS / tr))
        edges = np.arange(0, max(1, response.shape[0] - length // 2), length)
        for first, stop in zip(edges, [*edges[1:], response.shape[0]], strict=True):
            sums.append(rate[:, first:stop] @ response[first:stop])
            sizes.append(stop - first)
    blocks = np.stack(sums) / sum(sizes)  # (block, shift, voxel): parts of r
    n = len(blocks)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=n_draws)
    weights = np.concatenate([np.ones((1, n)), drawn]).astype(np.float64)
    curves = np.empty((len(weights), blocks.shape[1]))
    for shift in range(blocks.shape[1]):
        parts = blocks[:, shift]
        whole = weights @ parts
        # A block that is drawn twice is no independent evidence of itself.
        alone = np.square(weights) @ np.square(parts)
        pairs = np.square(weights.sum(axis=1)) - np.square(weights).sum(axis=1)
        curves[:, shift] = (np.square(whole) - alone).mean(axis=1) * n * n / pairs
    roots = np.sign(curves) * np.sqrt(np.abs(curves))
    return ShiftCurve(roots[0], roots[1:])
