"""Brain images in miniature, written as the published ones are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

nibabel = pytest.importorskip("nibabel", reason="pip install 'voxelzoo[bids]'")
pytest.importorskip("nilearn", reason="pip install 'voxelzoo[bids]'")

AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])


def volume(
    path: Path, rows: NDArray[np.floating], tr: float, affine: NDArray[np.floating] = AFFINE
) -> None:
    """(TR, voxel) as a NIfTI volume: voxels fill a column of a 3 x 3 x n grid."""
    n_trs, n_voxels = rows.shape
    grid = np.zeros((3, 3, n_voxels, n_trs), dtype=np.float32)
    grid[1, 1] = rows.T
    image = nibabel.Nifti1Image(grid, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((3, 3, 3, tr))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)


def labelled(path: Path, labels: list[int]) -> None:
    """A volume of numbers on that grid: a mask of ones, or a parcellation."""
    grid = np.zeros((3, 3, len(labels)), dtype=np.int16)
    grid[1, 1] = labels
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(grid, AFFINE), path)


def surface(path: Path, rows: NDArray[np.floating]) -> None:
    """(TR, vertex) as GIFTI: an array a volume."""
    arrays = [
        nibabel.gifti.GiftiDataArray(row.astype(np.float32), intent="NIFTI_INTENT_TIME_SERIES")
        for row in rows
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), path)


def cifti(path: Path, rows: NDArray[np.floating], tr: float) -> None:
    """(TR, grayordinate) as CIFTI: half of the left cortex, half of the right."""
    half = rows.shape[1] // 2
    left, right = (
        nibabel.cifti2.BrainModelAxis.from_mask(np.ones(n, dtype=bool), f"Cortex{side}")
        for side, n in (("Left", half), ("Right", rows.shape[1] - half))
    )
    series = nibabel.cifti2.SeriesAxis(start=0, step=tr, size=len(rows))
    header = nibabel.cifti2.Cifti2Header.from_axes((series, left + right))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.cifti2.Cifti2Image(rows.astype(np.float32), header), path)
