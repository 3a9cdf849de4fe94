"""Which voxels: regions by label, voxels that can be fitted, and means over those defined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


EVERYWHERE = "all voxels"
"""Name of the region of all voxels."""


def label_masks(labels: Sequence[str] | None) -> dict[str, NDArray[np.bool_]]:
    """Voxels of each label.

    Parameters
    ----------
    labels : sequence of str or None
        One label for each voxel; ``None`` if the dataset has no labels.

    Returns
    -------
    dict of str to (voxel,) bool
        In the order in which labels first appear; empty without labels.

    Examples
    --------
    >>> {name: mask.tolist() for name, mask in label_masks(["left", "right", "left"]).items()}
    {'left': [True, False, True], 'right': [False, True, False]}
    """
    names = np.asarray(labels or [])
    return {str(name): names == name for name in dict.fromkeys(labels or ())}


def region_masks(labels: Sequence[str] | None, n_voxels: int) -> dict[str, NDArray[np.bool_]]:
    """All voxels under the name :data:`EVERYWHERE`, then the voxels of each label.

    Parameters
    ----------
    labels : sequence of str or None
        One label for each voxel, if there are labels.
    n_voxels : int
        Number of voxels.

    Returns
    -------
    dict of str to (voxel,) bool
    """
    return {EVERYWHERE: np.ones(n_voxels, dtype=np.bool_)} | label_masks(labels)


def usable_voxels(rows: Floats) -> NDArray[np.bool_]:
    """Voxels that are finite throughout and vary over time.

    Parameters
    ----------
    rows : (..., TR, voxel)
        Responses, of several repeats if there are more axes.

    Returns
    -------
    (..., voxel) bool
    """
    with np.errstate(invalid="ignore"):
        usable: NDArray[np.bool_] = np.isfinite(rows).all(axis=-2) & (np.ptp(rows, axis=-2) > 0)
    return usable


def finite_mean(values: Floats) -> float:
    """Mean of the finite values, whatever the shape; NaN if there are none.

    Parameters
    ----------
    values : ndarray
        Of any shape.

    Returns
    -------
    float

    Examples
    --------
    >>> finite_mean(np.array([1.0, np.nan, 2.0]))
    1.5
    """
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def region_mean(values: Floats, mask: NDArray[np.bool_]) -> float:
    """Mean of ``values`` (voxel,) over the finite voxels of a region; NaN if there are none."""
    return finite_mean(values[mask])


class RegionMeans:
    """Means over each region of many maps at once, summed one block of voxels at a time.

    Parameters
    ----------
    regions : mapping of str to (voxel,) bool
        The first is the region of all voxels.
    r : (voxel,)
        Only voxels with a finite ``r`` count.
    """

    def __init__(self, regions: Mapping[str, NDArray[np.bool_]], r: Floats) -> None:
        self._names = list(regions)
        self._members = np.array([mask & np.isfinite(r) for mask in regions.values()], dtype=float)
        self._sums: Any = 0.0

    def sums(self, voxels: slice, maps: Floats) -> Floats:
        """Sums over the voxels of one block.

        Parameters
        ----------
        voxels : slice
            The block.
        maps : (draw, voxel)
            Values of the voxels of the block.

        Returns
        -------
        (draw, region)
        """
        counted = self._members[0, voxels] > 0  # all voxels are the first region
        if not counted.all():  # an undefined value times zero is not zero
            maps = np.where(counted, maps, 0)
        sums: Floats = maps @ self._members[:, voxels].T
        return sums

    def add(self, sums: Floats) -> None:
        """Add what :meth:`sums` returned for one block."""
        self._sums = self._sums + sums

    def means(self) -> dict[str, Floats]:
        """Mean of every map over each region, (draw,); NaN for a region without voxels."""
        with np.errstate(invalid="ignore", divide="ignore"):
            means = self._sums / self._members.sum(axis=1)
        return dict(zip(self._names, means.T, strict=True))
