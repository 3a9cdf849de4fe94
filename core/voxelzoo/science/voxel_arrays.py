"""Arrays whose last axis is voxels, in memory or on disk, stacked and selected without reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


BLOCK_BYTES = 1 << 26
"""About how much is read from disk at once."""


CHUNK = 1024
"""Voxels of a chunk on disk. A regressor reads the same voxels of every story."""


class VoxelArray(Protocol):
    """An array whose last axis is voxels, or an object that reads such an array when sliced."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(..., voxel)``."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        ...

    def __getitem__(self, key: Any, /) -> Any:
        """Some voxels, ``[..., first:stop]``."""
        ...


def voxel_blocks(columns: VoxelArray) -> Iterator[slice]:
    """Slices that cover the voxels of an array, each as wide as is read at once."""
    n, width = columns.shape[-1], block_width(columns.shape[:-1], columns.dtype)
    for first in range(0, n, width):
        yield slice(first, min(n, first + width))


def block_width(rows: Sequence[int], dtype: np.dtype[Any]) -> int:
    """Number of voxels that are read at once.

    Parameters
    ----------
    rows : sequence of int
        Shape of the values of one voxel.
    dtype : dtype
        Type of the values.

    Returns
    -------
    int
        About :data:`BLOCK_BYTES` of voxels; a whole number of chunks if that is a chunk or more.

    Examples
    --------
    >>> block_width((300,), np.dtype(np.float32))
    55296
    """
    width = max(1, BLOCK_BYTES // max(1, int(np.prod(rows)) * dtype.itemsize))
    return width // CHUNK * CHUNK or width


@dataclass(frozen=True)
class StackedResponses:
    """Stories one below the other, (..., TR, voxel), read from disk when sliced.

    A regressor that streams takes it in place of a Zarr array.

    Parameters
    ----------
    stories : tuple of (..., TR, voxel)
        Responses to each story.
    rows : (row,) int
        Which rows of the stacked stories, in rising order.
    voxels : (voxel,) int
        Which voxels, in rising order.
    """

    stories: tuple[VoxelArray, ...]
    rows: NDArray[np.intp]
    voxels: NDArray[np.intp]

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., row, voxel)."""
        return (*self.stories[0].shape[:-2], len(self.rows), len(self.voxels))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.stories[0].dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape that is best read at once: every row of some voxels."""
        return (*self.shape[:-1], min(len(self.voxels), block_width(self.shape[:-1], self.dtype)))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Floats:
        """Some voxels, ``[..., first:stop]``, with everything on the other axes."""
        key = key if isinstance(key, tuple) else (key, slice(None))
        *others, voxels = key
        if any(other is not Ellipsis and other != slice(None) for other in others):
            raise IndexError(f"{key}: responses on disk can be sliced by voxel only")
        wanted = self.voxels[voxels]
        low, high = (int(wanted[0]), int(wanted[-1]) + 1) if len(wanted) else (0, 0)
        whole = np.concatenate([story[..., low:high] for story in self.stories], axis=-2)
        values: Floats = whole[..., self.rows, :]
        return values if len(wanted) == high - low else values[..., wanted - low]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[...].astype(dtype or self.dtype)


def stack_responses(stories: Sequence[VoxelArray], skip: int = 0) -> Floats | StackedResponses:
    """Stack the responses to several stories.

    Parameters
    ----------
    stories : sequence of (..., TR, voxel)
        Responses to each story.
    skip : int
        TRs that are dropped from the start of each story.

    Returns
    -------
    (..., TR, voxel)
        An array if all stories are in memory; otherwise nothing is read yet.
    """
    if all(isinstance(story, np.ndarray) for story in stories):
        return np.concatenate([story[..., skip:, :] for story in stories], axis=-2)
    lengths = [story.shape[-2] for story in stories]
    kept = np.concatenate([np.arange(n) >= skip for n in lengths])
    return StackedResponses(tuple(stories), np.flatnonzero(kept), np.arange(stories[0].shape[-1]))


def select(
    columns: VoxelArray,
    rows: NDArray[np.intp] | None = None,
    voxels: NDArray[np.intp] | None = None,
) -> Floats | StackedResponses:
    """Select rows and voxels.

    Parameters
    ----------
    columns : (..., TR, voxel)
        Responses. If they are on disk, nothing is read yet.
    rows, voxels : (n,) int, optional
        Which rows and voxels, in rising order; all by default.
    """
    whole: Floats | StackedResponses = (
        columns
        if isinstance(columns, np.ndarray | StackedResponses)
        else stack_responses([columns])
    )
    if isinstance(whole, StackedResponses):
        return replace(
            whole,
            rows=whole.rows if rows is None else whole.rows[rows],
            voxels=whole.voxels if voxels is None else whole.voxels[voxels],
        )
    some = whole if rows is None else whole[..., rows, :]
    return some if voxels is None else some[..., voxels]
