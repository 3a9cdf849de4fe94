"""Is r above chance? Permutation tests that respect autocorrelation.

Shuffling single TRs would make the null distribution too narrow, because predictions and
responses are both smooth in time. Instead, the response is shifted circularly against the
prediction, or cut into blocks whose order is permuted. Neither changes means and variances. So,
for standardised series, null values are inner products: all shifts at once by Fourier transform,
all block orders by one matrix product. All voxels share each permutation, as the maximum over
voxels (family-wise error) and the mean over a region need.

References
----------
Benjamini, Y., & Hochberg, Y. (1995). Controlling the false discovery rate: a practical and
powerful approach to multiple testing. Journal of the Royal Statistical Society B 57(1), 289-300.

Nichols, T. E., & Holmes, A. P. (2002). Nonparametric permutation tests for functional
neuroimaging: a primer with examples. Human Brain Mapping 15(1), 1-25.

Phipson, B., & Smyth, G. K. (2010). Permutation p-values should never be zero. Statistical
Applications in Genetics and Molecular Biology 9(1), 39.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.fft import irfft, rfft

from voxelzoo.api import DataError, UsageError
from voxelzoo.science.arrays import Floats
from voxelzoo.science.bootstrap import TRS_PER_BLOCK
from voxelzoo.science.held_out import HeldOut, over_voxels
from voxelzoo.science.regions import RegionMeans, region_mean

Null = Literal["circular-shift", "blocks"]
"""How the null distribution is made."""

N_PERMUTATIONS = 1000
"""Permutations, where not all are used."""

LEAST_SHIFT = 1
"""Smallest circular shift in either direction, in TRs.

Excluding more of the small shifts is not safer. In smooth noise, r at one shift is much like r at
the next. Without the small shifts, a chance peak at shift 0 therefore stands out too much: with a
least shift of 10 TRs, 8 % of voxels of AR(1) noise (0.8, 120 + 90 TRs) have p < .05; with 1 TR,
5 %.
"""

TIE = 1e-6
"""Values of r that differ by less tie, and ties count against significance. Larger than the
rounding error of float32."""

NullValues = Callable[[list[tuple[Floats, Floats]]], Floats]
"""Takes the standardised series of each part, and gives r (permutation, voxel)."""


@dataclass(frozen=True)
class Significance:
    """Whether each voxel, and each region's mean, is predicted above chance (one-sided).

    Parameters
    ----------
    r : ndarray of shape (voxel,)
        Correlation of predictions with responses.
    p : ndarray of shape (voxel,)
        Uncorrected p. NaN where r is undefined.
    p_fwer : ndarray of shape (voxel,)
        p corrected for the family-wise error rate: against each permutation's maximum over all
        voxels (Nichols & Holmes 2002).
    regions : mapping of str to float
        p of the mean r over each region's defined voxels.
    null : {"circular-shift", "blocks"}
        How the null distribution was made.
    n_permutations : int
        Number of permutations.
    """

    r: Floats
    p: Floats
    p_fwer: Floats
    regions: Mapping[str, float]
    null: Null
    n_permutations: int

    @property
    def q(self) -> Floats:
        """p corrected for the false discovery rate over all voxels, (voxel,)."""
        return false_discovery_rate(self.p)


def permutation_test(
    held_out: HeldOut,
    null: Null = "circular-shift",
    *,
    least_shift: int = LEAST_SHIFT,
    block: int = TRS_PER_BLOCK,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> Significance:
    """Tests whether r is above chance, for each voxel and for each region's mean r.

    With ``b`` of ``n`` permutations at least as good as the observed r (Phipson & Smyth 2010) ::

        p = (1 + b) / (1 + n)

    Parameters
    ----------
    held_out : HeldOut
        Predictions and responses of each held-out part.
    null : {"circular-shift", "blocks"}, default "circular-shift"
        ``"circular-shift"``: shifts the response of each part circularly, each part by a shift of
        its own. With one part, every allowed shift is used; with several, ``n_permutations``
        random combinations. ``"blocks"``: permutes blocks of TRs within each part; rows at the
        end that fill no block are dropped. Correlations across the borders of blocks are lost,
        which makes this test slightly liberal: a nominal 5 % is 5.1 % for AR(1) noise of 0.5,
        and 7 % for 0.8.
    least_shift : int, default 1
        Smallest shift in either direction, in TRs.
    block : int, default 10
        TRs per block.
    n_permutations : int, default 1000
        Number of permutations.
    seed : int, default 0
        Seed of the permutations.

    Returns
    -------
    Significance

    Raises
    ------
    DataError
        If a part is too short to be permuted.
    UsageError
        If ``least_shift`` or ``block`` is below 1.
    """
    rng = np.random.default_rng(seed)
    if null == "blocks":
        held_out = _whole_blocks(held_out, block)
        null_values, n = _block_orders(held_out, block, n_permutations, rng)
    else:
        null_values, n = _circular_shifts(held_out, least_shift, n_permutations, rng)
    return _significance(held_out, null, null_values, n)


def _significance(held_out: HeldOut, null: Null, null_values: NullValues, n: int) -> Significance:
    """Compares r with its values under ``n`` permutations."""
    r = held_out.r
    n_as_good = np.zeros(held_out.n_voxels)
    maximum = np.full(n, -np.inf)
    means = RegionMeans(held_out.regions, r)

    def count(voxels: slice) -> tuple[Floats, Floats, Floats]:
        """Permutations as good as each voxel, their maxima, and their sums over regions."""
        chance = null_values(held_out.standardised(voxels))
        as_good = (chance >= r[voxels] - TIE).sum(axis=0)
        return as_good, np.fmax.reduce(chance, axis=1), means.sums(voxels, chance)

    for voxels, (as_good, greatest, sums) in over_voxels(held_out.n_voxels, count):
        n_as_good[voxels] = as_good
        maximum = np.fmax(maximum, greatest)
        means.add(sums)
    defined = np.isfinite(r)
    exceeding = n - np.searchsorted(np.sort(maximum), r - TIE)
    chance_means = means.means()
    return Significance(
        r=r,
        p=np.where(defined, (1 + n_as_good) / (1 + n), np.nan),
        p_fwer=np.where(defined, (1 + exceeding) / (1 + n), np.nan),
        regions={
            name: permutation_p(chance_means[name], region_mean(r, mask))
            for name, mask in held_out.regions.items()
        },
        null=null,
        n_permutations=n,
    )


def permutation_p(null: Floats, observed: float) -> float:
    """One-sided p of an observed value among its values under permutations.

    Parameters
    ----------
    null : ndarray of shape (permutation,)
        Values under permutations.
    observed : float
        Observed value.

    Returns
    -------
    float
        ``(1 + b) / (1 + n)``, with ``b`` of ``n`` values at least as large; NaN if ``observed`` is
        not finite.
    """
    if not np.isfinite(observed):
        return float("nan")
    return float((1 + (null >= observed - TIE).sum()) / (1 + len(null)))


def _circular_shifts(
    held_out: HeldOut, least: int, n_permutations: int, rng: np.random.Generator
) -> tuple[NullValues, int]:
    """r under circular shifts, and the number of those."""
    if least < 1:
        raise UsageError(f"the least shift is {least} TRs; it must be 1 or more")
    for name, n_trs in zip(held_out.parts, held_out.n_trs, strict=True):
        if n_trs - 2 * least + 1 < 20:
            raise DataError(
                f"held-out part {name!r} has {n_trs} TRs: shifts of {least} or more allow only "
                f"{max(0, n_trs - 2 * least + 1)} permutations; use a smaller least shift"
            )
    allowed = [np.arange(least, n - least + 1) for n in held_out.n_trs]
    if len(allowed) == 1:
        shifts = allowed[0][:, None]
    else:
        shifts = np.stack([rng.choice(each, size=n_permutations) for each in allowed], axis=1)

    def null_values(sides: list[tuple[Floats, Floats]]) -> Floats:
        total: Any = 0.0
        for part, (x, y) in enumerate(sides):
            total = total + circular_products(x, y)[shifts[:, part]]
        return np.asarray(total)

    return null_values, len(shifts)


def circular_products(x: Floats, y: Floats) -> Floats:
    """Inner products of x with every circular shift of y, by Fourier transform.

    Parameters
    ----------
    x, y : ndarray of shape (TR, voxel)
        Two series for each voxel.

    Returns
    -------
    ndarray of shape (shift, voxel)
        Row ``s`` is the sum over ``t`` of ``x[t] y[t + s]``, with ``t + s`` modulo the length.

    Examples
    --------
    >>> import numpy as np
    >>> circular_products(np.array([[1.0], [0.0], [0.0]]), np.array([[1.0], [2.0], [3.0]])).ravel()
    array([1., 2., 3.])
    """
    products: Floats = irfft(rfft(x, axis=0).conj() * rfft(y, axis=0), len(x), axis=0)
    return products


def _whole_blocks(held_out: HeldOut, block: int) -> HeldOut:
    """The same without the rows at the end of each part that fill no block."""
    if block < 1:
        raise UsageError(f"blocks have {block} TRs; they must have 1 or more")
    for name, n_trs in zip(held_out.parts, held_out.n_trs, strict=True):
        if n_trs // block < 4:
            raise DataError(
                f"held-out part {name!r} has {n_trs} TRs, {n_trs // block} blocks of {block}; "
                "permuting needs 4 or more"
            )
    return held_out.first_rows([n // block * block for n in held_out.n_trs])


def _block_orders(
    held_out: HeldOut, block: int, n_permutations: int, rng: np.random.Generator
) -> tuple[NullValues, int]:
    """r under permutations of blocks, and the number of those."""
    choices = []
    for n_trs in held_out.n_trs:
        n = n_trs // block
        orders = np.stack([rng.permutation(n) for _ in range(n_permutations)])
        choice = np.zeros((n_permutations, n, n), dtype=np.float32)
        choice[np.arange(n_permutations)[:, None], np.arange(n), orders] = 1
        choices.append(choice.reshape(n_permutations, -1))

    def null_values(sides: list[tuple[Floats, Floats]]) -> Floats:
        total: Any = 0.0
        for choice, (x, y) in zip(choices, sides, strict=True):
            n, n_voxels = len(x) // block, x.shape[1]
            # (voxel, block, TR) @ (voxel, TR, block): every block with every other.
            one = x.reshape(n, block, n_voxels).transpose(2, 0, 1)
            other = y.reshape(n, block, n_voxels).transpose(2, 1, 0)
            between = (one @ other).reshape(n_voxels, -1).astype(np.float32)
            total = total + choice @ between.T
        return np.asarray(total, dtype=np.float64)

    return null_values, n_permutations


def false_discovery_rate(p: Floats) -> Floats:
    """Adjusts p for the false discovery rate (Benjamini & Hochberg 1995).

    With the p of m tests in ascending order ::

        q_(i) = min_{j >= i} min(1, m p_(j) / j)

    Parameters
    ----------
    p : ndarray of shape (test,)
        Uncorrected p. NaN does not count as a test.

    Returns
    -------
    ndarray of shape (test,)
        NaN where p is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> false_discovery_rate(np.array([0.01, 0.04, np.nan, 0.02]))
    array([0.03, 0.04,  nan, 0.03])
    """
    adjusted = np.full(np.shape(p), np.nan)
    defined = np.flatnonzero(np.isfinite(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    n = len(order)
    scaled = p[order] * n / np.arange(1, n + 1)
    adjusted[order] = np.minimum(1, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted
