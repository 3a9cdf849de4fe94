"""Do two models differ? Tests on the same held-out rows, and across subjects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError
from voxelzoo.science.arrays import Floats
from voxelzoo.science.block_draws import block_sums, n_whole_blocks
from voxelzoo.science.bootstrap import TRS_PER_BLOCK, check_paired
from voxelzoo.science.held_out import HeldOut, over_voxels
from voxelzoo.science.regions import RegionMeans, region_mean
from voxelzoo.science.significance import (
    N_PERMUTATIONS,
    TIE,
    false_discovery_rate,
    permutation_p,
)


@dataclass(frozen=True)
class PairedDifference:
    """Whether one model predicts better than another on the same rows (two-sided).

    Parameters
    ----------
    r : ndarray of shape (voxel,)
        r of the first minus r of the second.
    p : ndarray of shape (voxel,)
        Uncorrected p. NaN where the difference is undefined.
    p_fwer : ndarray of shape (voxel,)
        p corrected for the family-wise error rate: against each permutation's largest absolute
        difference over all voxels.
    regions : mapping of str to float
        p of the mean difference over each region's defined voxels.
    n_permutations : int
        Number of permutations.
    """

    r: Floats
    p: Floats
    p_fwer: Floats
    regions: Mapping[str, float]
    n_permutations: int

    @property
    def q(self) -> Floats:
        """p corrected for the false discovery rate over all voxels, (voxel,)."""
        return false_discovery_rate(self.p)


def paired_test(
    first: HeldOut,
    second: HeldOut,
    *,
    block: int = TRS_PER_BLOCK,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> PairedDifference:
    """Tests whether two models differ, by swapping their predictions in random blocks of time.

    If both models are equally good, it does not matter which of them predicted a block of TRs.
    Predictions are standardised first (in each part, if r is the mean over parts), so that a
    model's scale and offset make no difference. Blocks that are shorter than the responses'
    autocorrelation make the test liberal: a nominal 5 % is 6 % for AR(1) noise of 0.5.

    Parameters
    ----------
    first, second : HeldOut
        Two predictions of the same responses.
    block : int, default 10
        TRs per block.
    n_permutations : int, default 1000
        Number of permutations.
    seed : int, default 0
        Seed of the permutations.

    Returns
    -------
    PairedDifference
        Of ``first.r - second.r``.

    Raises
    ------
    UsageError
        If the two do not have the same held-out responses.
    """
    check_paired(first, second)
    second = second.answered_by(first)
    rng = np.random.default_rng(seed)
    swaps = [rng.integers(0, 2, (n_permutations, n_whole_blocks(n, block))) for n in first.n_trs]
    return _paired_difference(first, second, block, swaps)


def _paired_difference(
    first: HeldOut, second: HeldOut, block: int, swaps: list[NDArray[np.int64]]
) -> PairedDifference:
    """Compares the difference with its values under swaps (permutation, block) of each part."""
    n = len(swaps[0])
    r = first.r - second.r
    n_as_far = np.zeros(first.n_voxels)
    maximum = np.zeros(n)
    means = RegionMeans(first.regions, r)

    def count(voxels: slice) -> tuple[Floats, Floats, Floats]:
        """Permutations that differ as much, their largest differences, and sums over regions."""
        sums = [block_sums(each, voxels, block) for each in (first, second)]
        chance = _swapped(sums[0], sums[1], swaps, first.joined)
        of_regions = means.sums(voxels, chance)
        size = np.abs(chance, out=chance)
        as_far = (size >= np.abs(r[voxels]) - TIE).sum(axis=0)
        greatest = np.fmax.reduce(size, axis=1, initial=0, where=np.isfinite(r[voxels]))
        return as_far, greatest, of_regions

    for voxels, (as_far, greatest, sums) in over_voxels(first.n_voxels, count):
        n_as_far[voxels] = as_far
        maximum = np.fmax(maximum, greatest)
        means.add(sums)
    defined = np.isfinite(r)
    exceeding = n - np.searchsorted(np.sort(maximum), np.abs(r) - TIE)
    chance_means = means.means()
    return PairedDifference(
        r=r,
        p=np.where(defined, (1 + n_as_far) / (1 + n), np.nan),
        p_fwer=np.where(defined, (1 + exceeding) / (1 + n), np.nan),
        regions={
            name: permutation_p(np.abs(chance_means[name]), abs(region_mean(r, mask)))
            for name, mask in first.regions.items()
        },
        n_permutations=n,
    )


def _swapped(
    first: list[NDArray[np.float64]],
    second: list[NDArray[np.float64]],
    swaps: list[NDArray[np.int64]],
    joined: bool,
) -> NDArray[np.float64]:
    """Difference of r under each permutation, (permutation, voxel), from block sums."""
    if joined:
        first, second = [np.concatenate(first, axis=1)], [np.concatenate(second, axis=1)]
        swaps = [np.concatenate(swaps, axis=1)]
    of_parts = [
        _r_difference(a, b, w.astype(np.float64))
        for a, b, w in zip(first, second, swaps, strict=True)
    ]
    return of_parts[0] if len(of_parts) == 1 else np.asarray(np.mean(of_parts, axis=0))


def _r_difference(
    first: NDArray[np.float64], second: NDArray[np.float64], swaps: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The same for rows that are scored together, from their sums (6, block, voxel).

    A swap adds to the sums of one prediction what it takes from those of the other, and the
    response does not change. So three sums (x, xx and xy) under every permutation give both r.
    """
    n, _, y, _, yy, _ = first.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        sides = [_unit_sums(each, y / n) for each in (first, second)]
        gained = swaps @ (sides[1] - sides[0])
        totals = [side.sum(axis=1)[:, None] for side in sides]
        length = yy - y * y / n
        difference = _r_of_unit(totals[0] + gained, n, length)
        difference -= _r_of_unit(totals[1] - gained, n, length)
    return difference


def _unit_sums(sums: NDArray[np.float64], mean_y: Floats) -> NDArray[np.float64]:
    """x, xx and xy of each block, (3, block, voxel), with x standardised and y centred."""
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
    """r from sums x, xx and xy, (3, permutation, voxel), which are overwritten."""
    x, xx, xy = sums
    np.multiply(x, x, out=x)
    x /= n
    xx -= x
    xx *= length
    np.sqrt(xx, out=xx)
    r: NDArray[np.float64] = np.divide(xy, xx, out=xy)
    return r


@dataclass(frozen=True)
class GroupTest:
    """Whether the mean difference over a population of subjects is zero (two-sided).

    Parameters
    ----------
    mean : float
        Mean over subjects.
    p : float
        With n subjects it cannot be below ``2 / 2**n``: 0.25 for three.
    n_subjects : int
        Number of subjects with a defined value.
    """

    mean: float
    p: float
    n_subjects: int


def subjects_test(differences: Floats, n_permutations: int = 10_000) -> GroupTest:
    """Sign-flip test of the mean over subjects.

    Parameters
    ----------
    differences : ndarray of shape (subject,)
        One value per subject. NaN is skipped.
    n_permutations : int, default 10,000
        Random sign flips, for more than 12 subjects. For fewer, all flips are used.

    Returns
    -------
    GroupTest

    Raises
    ------
    DataError
        If there are fewer than two defined values.

    Examples
    --------
    >>> import numpy as np
    >>> subjects_test(np.array([0.1, 0.2, 0.3])).p
    0.25
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[np.isfinite(values)]
    n = len(values)
    if n < 2:
        raise DataError(f"a test across subjects needs at least two subjects, not {n}")
    if n <= 12:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        extra = 0  # the observed signs are one of them
    else:
        signs = np.random.default_rng(0).choice([-1, 1], size=(n_permutations, n))
        extra = 1
    size = np.abs(signs @ values)
    as_far = (size >= abs(values.sum()) * (1 - TIE)).sum()
    return GroupTest(
        mean=float(values.mean()), p=float((extra + as_far) / (extra + len(signs))), n_subjects=n
    )
