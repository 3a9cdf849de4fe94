"""Arrays whose last axis is voxels, in memory or on disk, joined and selected without reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from voxelzoo.science.traces import ResponseTrace

Floats = NDArray[np.floating[Any]]


BLOCK_BYTES = 1 << 26
"""About what is read at once of what lies on disk."""


CHUNK = 1024
"""Voxels of a chunk on disk: a regressor reads some of them from every story."""


class VoxelArray(Protocol):
    """Numbers whose last axis is voxels: an array, or what reads one when it is sliced."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(..., voxel)``."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers."""
        ...

    def __getitem__(self, key: Any, /) -> Any:
        """Some voxels, ``[..., first:stop]``."""
        ...


@dataclass(frozen=True)
class Responses:
    """One subject's responses to one story: ``mean`` (TR, voxel), ``repeats`` (repeat, TR, voxel)
    where there are."""

    mean: VoxelArray
    repeats: VoxelArray | None
    trace: ResponseTrace
    """What guards against leaks keep."""

    @property
    def n_bytes(self) -> int:
        """Size of all."""
        arrays = [self.mean] if self.repeats is None else [self.mean, self.repeats]
        return sum(int(np.prod(each.shape)) * each.dtype.itemsize for each in arrays)


def voxel_blocks(columns: VoxelArray) -> Iterator[slice]:
    """Voxels in order, as many at a time as are read at once."""
    n, width = columns.shape[-1], block_width(columns.shape[:-1], columns.dtype)
    for first in range(0, n, width):
        yield slice(first, min(n, first + width))


def block_width(rows: Sequence[int], dtype: np.dtype[Any]) -> int:
    """Voxels of a block, of which each has an array ``rows``; whole chunks, if it has one."""
    width = max(1, BLOCK_BYTES // max(1, int(np.prod(rows)) * dtype.itemsize))
    return width // CHUNK * CHUNK or width


@dataclass(frozen=True)
class StackedResponses:
    """Stories one below the other, (..., row, voxel), read from disk when voxels are asked for.

    A regressor that streams takes it as it takes a Zarr array.
    """

    stories: tuple[VoxelArray, ...]
    rows: NDArray[np.intp]
    """Which of the stories' rows."""
    voxels: NDArray[np.intp]
    """Which voxels, in rising order."""

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
        """Of the numbers."""
        return self.stories[0].dtype

    @property
    def chunks(self) -> tuple[int, ...]:
        """What is best read at once: every row of some voxels."""
        return (*self.shape[:-1], min(len(self.voxels), block_width(self.shape[:-1], self.dtype)))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Floats:
        """Some voxels, ``[..., first:stop]``; of other axes, all."""
        key = key if isinstance(key, tuple) else (key, slice(None))
        *others, voxels = key
        if any(other is not Ellipsis and other != slice(None) for other in others):
            raise IndexError(f"{key}: responses on disk are sliced by voxels alone")
        wanted = self.voxels[voxels]
        low, high = (int(wanted[0]), int(wanted[-1]) + 1) if len(wanted) else (0, 0)
        whole = np.concatenate([story[..., low:high] for story in self.stories], axis=-2)
        found: Floats = whole[..., self.rows, :]
        return found if len(wanted) == high - low else found[..., wanted - low]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[...].astype(dtype or self.dtype)


def stack_responses(stories: Sequence[VoxelArray], skip: int = 0) -> Floats | StackedResponses:
    """Stories' responses one below the other, each without its first ``skip`` rows."""
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
    """Some rows and voxels, by their numbers in rising order; of what is on disk, unread."""
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
