"""Is r above chance, and do two models differ? Tests that respect autocorrelation.

A shuffle of single TRs would make chance look narrower than it is, because both sides are smooth
in time. Here the response is shifted round a circle against the prediction, or cut into blocks
whose order is permuted. Either leaves means and variances alone, so that on standardised sides the
null is made of inner products: all shifts at once by Fourier transform, all orders of blocks by one
matrix product. A permutation is the same for every voxel, which is what the maximum over voxels
(family-wise error) and the mean over a region need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

from voxelzoo.api import DataError, UsageError
from voxelzoo.science.bootstrap import TRS_PER_BLOCK, block_sums, check_paired, n_whole_blocks
from voxelzoo.science.held_out import HeldOut, over_voxels
from voxelzoo.science.regions import RegionMeans, region_mean

Floats = NDArray[np.floating[Any]]


Null = Literal["circular-shift", "blocks"]


N_PERMUTATIONS = 1000


LEAST_SHIFT = 1
"""TRs that a shift is at least, either way.

To leave out more of the shifts near none is no caution. On smooth noise r at one shift is much like
r at the next, so without them a chance peak at no shift stands out too well: at 10 TRs, 8 % of
voxels of AR(1) noise (0.8, 120 + 90 TRs) have p < .05; at 1 TR, 5 %.
"""


TIE = 1e-6
"""What r must differ by not to tie, and a tie counts: more than the rounding of float32."""


Products = Callable[[list[tuple[Floats, Floats]]], Floats]
"""Standardised sides of each part to r under each permutation, (permutation, voxel)."""


@dataclass(frozen=True)
class Significance:
    """Whether each voxel, and each region's mean, is predicted above chance (one-sided)."""

    r: Floats
    """(voxel,), as scored."""
    p: Floats
    """(voxel,); NaN where r is undefined."""
    p_fwer: Floats
    """(voxel,): against the permutations' maximum over all voxels."""
    regions: Mapping[str, float]
    """p of the mean r over each region's defined voxels."""
    null: Null
    n_permutations: int

    @property
    def q(self) -> Floats:
        """(voxel,): p adjusted for the false discovery rate over all voxels."""
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
    """p of each voxel's r, of its place under the maximum over voxels, and of each region's mean r.

    ``circular-shift`` moves the response of each part round by ``least_shift`` TRs or more, each
    part by its own shift: every shift where one part was held out, ``n_permutations`` random
    combinations where several were. ``blocks`` permutes blocks of ``block`` TRs within each part;
    a part's last rows that fill no block take no part. What blocks lose at their seams makes them
    a little liberal: 5 % becomes 5.1 % on AR(1) noise of 0.5 and 7 % of 0.8.

    p is ``(1 + b) / (1 + n)``, with ``b`` of ``n`` permutations doing as well (Phipson & Smyth
    2010). Raises :class:`DataError` where parts are too short to be permuted.
    """
    rng = np.random.default_rng(seed)
    if null == "blocks":
        held_out = _whole_blocks(held_out, block)
        products, n = _block_orders(held_out, block, n_permutations, rng)
    else:
        products, n = _circular_shifts(held_out, least_shift, n_permutations, rng)
    r = held_out.r
    beaten = np.zeros(held_out.n_voxels)
    maximum = np.full(n, -np.inf)
    means = RegionMeans(held_out.regions, r)

    def count(voxels: slice) -> tuple[Floats, Floats, Floats]:
        """Permutations that beat each voxel, the maximum of each, and its sums over regions."""
        chance = products(held_out.standardised(voxels))
        as_good = (chance >= r[voxels] - TIE).sum(axis=0)
        return as_good, np.fmax.reduce(chance, axis=1), means.sums(voxels, chance)

    for voxels, (as_good, greatest, sums) in over_voxels(held_out.n_voxels, count):
        beaten[voxels] = as_good
        maximum = np.fmax(maximum, greatest)
        means.add(sums)
    defined = np.isfinite(r)
    exceeding = n - np.searchsorted(np.sort(maximum), r - TIE)
    chance_means = means.means()
    return Significance(
        r=r,
        p=np.where(defined, (1 + beaten) / (1 + n), np.nan),
        p_fwer=np.where(defined, (1 + exceeding) / (1 + n), np.nan),
        regions={
            name: _p(chance_means[name], region_mean(r, mask))
            for name, mask in held_out.regions.items()
        },
        null=null,
        n_permutations=n,
    )


def _p(chance: Floats, observed: float) -> float:
    """One-sided p of a value among permutations; NaN where it is undefined."""
    if not np.isfinite(observed):
        return float("nan")
    return float((1 + (chance >= observed - TIE).sum()) / (1 + len(chance)))


def _circular_shifts(
    held_out: HeldOut, least: int, n_permutations: int, rng: np.random.Generator
) -> tuple[Products, int]:
    if least < 1:
        raise UsageError(f"a least shift of {least} TRs: need 1 or more")
    for name, n_trs in zip(held_out.parts, held_out.n_trs, strict=True):
        if n_trs - 2 * least + 1 < 20:
            raise DataError(
                f"held-out part {name!r} has {n_trs} TRs: shifts of {least} or more leave "
                f"{max(0, n_trs - 2 * least + 1)} permutations, too few; use a smaller least shift"
            )
    allowed = [np.arange(least, n - least + 1) for n in held_out.n_trs]
    if len(allowed) == 1:
        shifts = allowed[0][:, None]
    else:
        shifts = np.stack([rng.choice(each, size=n_permutations) for each in allowed], axis=1)

    def products(sides: list[tuple[Floats, Floats]]) -> Floats:
        total: Any = 0.0
        for part, (x, y) in enumerate(sides):
            total = total + circular_products(x, y)[shifts[:, part]]
        return np.asarray(total)

    return products, len(shifts)


def circular_products(x: Floats, y: Floats) -> Floats:
    """Inner products of ``x`` with ``y`` shifted round, (shift, voxel): row s pairs t with t + s.

    Both are (TR, voxel).
    """
    found: Floats = irfft(rfft(x, axis=0).conj() * rfft(y, axis=0), len(x), axis=0)
    return found


def _whole_blocks(held_out: HeldOut, block: int) -> HeldOut:
    """Without the last rows of each part that fill no block."""
    if block < 1:
        raise UsageError(f"blocks of {block} TRs: need 1 or more")
    for name, n_trs in zip(held_out.parts, held_out.n_trs, strict=True):
        if n_trs // block < 4:
            raise DataError(
                f"held-out part {name!r} has {n_trs} TRs, {n_trs // block} blocks of {block}: "
                "need 4 or more to permute"
            )
    return held_out.first_rows([n // block * block for n in held_out.n_trs])


def _block_orders(
    held_out: HeldOut, block: int, n_permutations: int, rng: np.random.Generator
) -> tuple[Products, int]:
    choices = []
    for n_trs in held_out.n_trs:
        n = n_trs // block
        orders = np.stack([rng.permutation(n) for _ in range(n_permutations)])
        choice = np.zeros((n_permutations, n, n), dtype=np.float32)
        choice[np.arange(n_permutations)[:, None], np.arange(n), orders] = 1
        choices.append(choice.reshape(n_permutations, -1))

    def products(sides: list[tuple[Floats, Floats]]) -> Floats:
        total: Any = 0.0
        for choice, (x, y) in zip(choices, sides, strict=True):
            n, n_voxels = len(x) // block, x.shape[1]
            # (voxel, block, TR) @ (voxel, TR, block): every block with every other.
            one = x.reshape(n, block, n_voxels).transpose(2, 0, 1)
            other = y.reshape(n, block, n_voxels).transpose(2, 1, 0)
            between = (one @ other).reshape(n_voxels, -1).astype(np.float32)
            total = total + choice @ between.T
        return np.asarray(total, dtype=np.float64)

    return products, n_permutations


def false_discovery_rate(p: Floats) -> Floats:
    """Benjamini and Hochberg's (1995) adjusted p, (test,); NaN stays NaN and is no test."""
    adjusted = np.full(np.shape(p), np.nan)
    defined = np.flatnonzero(np.isfinite(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    n = len(order)
    scaled = p[order] * n / np.arange(1, n + 1)
    adjusted[order] = np.minimum(1, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted


@dataclass(frozen=True)
class Difference:
    """Whether one model predicts better than another on the same rows (two-sided)."""

    r: Floats
    """(voxel,): r of the first less r of the second."""
    p: Floats
    """(voxel,)"""
    p_fwer: Floats
    """(voxel,): against the permutations' greatest absolute difference of all voxels."""
    regions: Mapping[str, float]
    """p of the mean difference over each region's defined voxels."""
    n_permutations: int

    @property
    def q(self) -> Floats:
        """(voxel,): p adjusted for the false discovery rate over all voxels."""
        return false_discovery_rate(self.p)


def paired_test(
    one: HeldOut,
    other: HeldOut,
    *,
    block: int = TRS_PER_BLOCK,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> Difference:
    """p of ``one.r - other.r`` by swapping the two models' predictions in random blocks of time.

    Were both models as good, which of them predicted a block of ``block`` TRs would not matter.
    Predictions are standardised first (in each part, where r is its own), so that a model's scale
    and offset are no difference. Blocks shorter than what responses remember are liberal (on AR(1)
    noise of 0.5, 5 % becomes 6 %). Raises :class:`UsageError` where the two are not of the same
    held-out rows.
    """
    check_paired(one, other)
    other = other.answered_by(one)
    rng = np.random.default_rng(seed)
    r = one.r - other.r
    swaps = [rng.integers(0, 2, (n_permutations, n_whole_blocks(n, block))) for n in one.n_trs]
    beaten = np.zeros(one.n_voxels)
    maximum = np.zeros(n_permutations)
    means = RegionMeans(one.regions, r)

    def count(voxels: slice) -> tuple[Floats, Floats, Floats]:
        """Swaps that differ as much, the greatest difference of each, and its sums over regions."""
        sums = [block_sums(each, voxels, block) for each in (one, other)]
        chance = _swapped(sums[0], sums[1], swaps, one.joined)
        of_regions = means.sums(voxels, chance)
        size = np.abs(chance, out=chance)
        as_far = (size >= np.abs(r[voxels]) - TIE).sum(axis=0)
        greatest = np.fmax.reduce(size, axis=1, initial=0, where=np.isfinite(r[voxels]))
        return as_far, greatest, of_regions

    for voxels, (as_far, greatest, sums) in over_voxels(one.n_voxels, count):
        beaten[voxels] = as_far
        maximum = np.fmax(maximum, greatest)
        means.add(sums)
    defined = np.isfinite(r)
    n = n_permutations
    exceeding = n - np.searchsorted(np.sort(maximum), np.abs(r) - TIE)
    chance_means = means.means()
    return Difference(
        r=r,
        p=np.where(defined, (1 + beaten) / (1 + n), np.nan),
        p_fwer=np.where(defined, (1 + exceeding) / (1 + n), np.nan),
        regions={
            name: _p(np.abs(chance_means[name]), abs(region_mean(r, mask)))
            for name, mask in one.regions.items()
        },
        n_permutations=n,
    )


def _swapped(
    one: list[NDArray[np.float64]],
    other: list[NDArray[np.float64]],
    swaps: list[NDArray[np.int64]],
    joined: bool,
) -> NDArray[np.float64]:
    """Difference of r under each swap, (swap, voxel), from the block sums of each part."""
    if joined:
        one, other = [np.concatenate(one, axis=1)], [np.concatenate(other, axis=1)]
        swaps = [np.concatenate(swaps, axis=1)]
    found = [
        _r_apart(a, b, w.astype(np.float64)) for a, b, w in zip(one, other, swaps, strict=True)
    ]
    return found[0] if len(found) == 1 else np.asarray(np.mean(found, axis=0))


def _r_apart(
    one: NDArray[np.float64], other: NDArray[np.float64], swaps: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The same of rows scored together, (6, block, voxel).

    What one prediction gains by a swap the other loses, and the response stays: three sums (x, xx
    and xy) of one prediction under every swap give both.
    """
    n, _, y, _, yy, _ = one.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        sides = [_unit_sums(each, y / n) for each in (one, other)]
        gained = swaps @ (sides[1] - sides[0])
        first, second = (side.sum(axis=1)[:, None] for side in sides)
        length = yy - y * y / n
        apart = _r_of_unit(first + gained, n, length)
        apart -= _r_of_unit(second - gained, n, length)
    return apart


def _unit_sums(sums: NDArray[np.float64], mean_y: Floats) -> NDArray[np.float64]:
    """x, xx and xy of each block, (3, block, voxel): x of variance one, both of mean zero."""
    rows, x, y, xx, _, xy = sums
    n = rows.sum(axis=0)
    mean = x.sum(axis=0) / n
    centred = [
        x - mean * rows,
        xx - mean * (2 * x - mean * rows),
        xy - mean_y * x - mean * (y - mean_y * rows),
    ]
    scale = 1 / np.sqrt(centred[1].sum(axis=0) / n)
    return np.stack([scale * centred[0], scale**2 * centred[1], scale * centred[2]])


def _r_of_unit(
    sums: NDArray[np.float64], n: NDArray[np.float64], length: NDArray[np.float64]
) -> NDArray[np.float64]:
    """r from sums x, xx and xy, (3, swap, voxel), which are overwritten."""
    x, xx, xy = sums
    np.multiply(x, x, out=x)
    x /= n
    xx -= x
    xx *= length
    np.sqrt(xx, out=xx)
    r: NDArray[np.float64] = np.divide(xy, xx, out=xy)
    return r


@dataclass(frozen=True)
class AcrossSubjects:
    """A mean difference over subjects, as drawn from a population of them."""

    mean: float
    p: float
    """Two-sided. With n subjects it is at least ``2 / 2**n``: 0.25 for three."""
    n_subjects: int


def subjects_test(differences: Floats, n_permutations: int = 10_000) -> AcrossSubjects:
    """Sign-flip test of one value a subject, (subject,); exact up to 12 subjects.

    Undefined values are left out. Raises :class:`DataError` where fewer than two remain.
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[np.isfinite(values)]
    n = len(values)
    if n < 2:
        raise DataError(f"a test across subjects needs two or more, not {n}")
    if n <= 12:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        extra = 0  # what was observed is one of them
    else:
        signs = np.random.default_rng(0).choice([-1, 1], size=(n_permutations, n))
        extra = 1
    size = np.abs(signs @ values)
    as_far = (size >= abs(values.sum()) * (1 - TIE)).sum()
    return AcrossSubjects(
        mean=float(values.mean()), p=float((extra + as_far) / (extra + len(signs))), n_subjects=n
    )
