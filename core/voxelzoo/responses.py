"""One subject's responses: checked, standardised, and held, or laid on disk to be read by voxel."""

from __future__ import annotations

import shutil
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, Dataset, ZooError
from voxelzoo.leaks import ResponseTrace

Floats = NDArray[np.floating[Any]]

HELD_BYTES = 1 << 29
"""Responses of one subject that are held in memory; more are laid on disk."""

BLOCK_BYTES = 1 << 26
"""About what is read at once of what lies on disk."""


class Columns(Protocol):
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

    mean: Columns
    repeats: Columns | None
    trace: ResponseTrace
    """What guards against leaks keep."""

    @property
    def n_bytes(self) -> int:
        """Size of all."""
        arrays = [self.mean] if self.repeats is None else [self.mean, self.repeats]
        return sum(int(np.prod(each.shape)) * each.dtype.itemsize for each in arrays)


def voxel_blocks(columns: Columns) -> Iterator[slice]:
    """Voxels in order, as many at a time as are read at once."""
    n, width = columns.shape[-1], block_width(columns.shape[:-1], columns.dtype)
    for first in range(0, n, width):
        yield slice(first, min(n, first + width))


def block_width(rows: Sequence[int], dtype: np.dtype[Any]) -> int:
    """Voxels of a block, of which each has an array ``rows``."""
    return max(1, BLOCK_BYTES // max(1, int(np.prod(rows)) * dtype.itemsize))


# ------------------------------------------------------------------------------------- reading


def read_responses(
    dataset: Dataset,
    subject: str,
    story: str,
    n_trs: int,
    standardise: bool,
    folder: Path | None = None,
) -> Responses:
    """Responses checked against the clock; each repeat z-scored over time where asked.

    With a ``folder`` they are laid there, and no more of them is held than one story.
    """
    values = np.asarray(dataset.responses(subject, story))
    where = f"{dataset.info().name!r}, subject {subject!r}, story {story!r}"
    if values.ndim not in (2, 3):
        raise DataError(
            f"{where}: responses of shape {values.shape}; expected (TR, voxel) or "
            "(repeat, TR, voxel)"
        )
    if values.shape[-2] != n_trs:
        raise DataError(f"{where}: {values.shape[-2]} response rows, but the clock has {n_trs} TRs")
    if folder is None:
        mean, repeats = _prepared(values, standardise)
        return Responses(mean, repeats, ResponseTrace.of(mean if repeats is None else repeats))
    return _laid(values, standardise, folder)


def _prepared(values: Floats, standardise: bool) -> tuple[Floats, Floats | None]:
    """Mean (TR, voxel) and, where there are several, repeats (repeat, TR, voxel)."""
    if standardise:
        # Undefined voxels stay undefined: a constant one becomes NaN here, not zero.
        with np.errstate(invalid="ignore", divide="ignore"):
            deviation = values.std(axis=-2, keepdims=True)
            values = (values - values.mean(axis=-2, keepdims=True)) / np.where(
                deviation > 0, deviation, np.nan
            )
    if values.ndim == 2:
        return values, None
    return values.mean(axis=0), values if len(values) > 1 else None


def _laid(values: Floats, standardise: bool, folder: Path) -> Responses:
    import zarr

    several = values.ndim == 3 and len(values) > 1
    dtype = values.dtype if values.dtype.kind == "f" else np.dtype(float)
    width = min(values.shape[-1], block_width(values.shape[:-1], dtype))

    def create(name: str, shape: tuple[int, ...]) -> Any:
        chunks = (*shape[:-1], width)
        return zarr.create_array(
            folder / name, shape=shape, chunks=chunks, dtype=dtype, compressors=None
        )

    mean = create("mean", values.shape[-2:])
    repeats = create("repeats", values.shape) if several else None
    sampled = ResponseTrace.sampled(values.shape[-1])
    sample = np.empty((*values.shape[: values.ndim - 1], len(sampled)), dtype)
    sample = sample if several else sample.reshape(-1, len(sampled))
    for first in range(0, values.shape[-1], width):
        block = slice(first, first + width)
        block_mean, block_repeats = _prepared(values[..., block], standardise)
        mean[:, block] = block_mean
        if repeats is not None:
            repeats[..., block] = block_repeats
        here = (sampled >= first) & (sampled < first + width)
        whole = block_mean if block_repeats is None else block_repeats
        sample[..., here] = whole[..., sampled[here] - first]
    return Responses(mean, repeats, ResponseTrace.of(sample))


class Shelf:
    """Subjects' responses, read once for all that is fitted to them.

    A subject's responses of up to ``HELD_BYTES`` are held, as many subjects as fit in twice that.
    Larger ones lie in ``folder``, which goes when the shelf is no longer used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: OrderedDict[str, dict[str, Responses]] = OrderedDict()
        self._on_disk: dict[str, dict[str, Responses]] = {}
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def take(
        self, dataset: Dataset, subject: str, n_trs: Mapping[str, int], standardise: bool
    ) -> Mapping[str, Responses]:
        """The subject's responses to every story of ``n_trs``, whose rows they must have."""
        for shelf in (self._held, self._on_disk):
            if subject in shelf:
                return shelf[subject]
        found: dict[str, Responses] = {}
        folder: Path | None = None
        try:
            for i, (story, n) in enumerate(n_trs.items()):
                found[story] = read_responses(
                    dataset, subject, story, n, standardise, folder and folder / str(i)
                )
                if folder is None and _size(found) * sum(n_trs.values()) > HELD_BYTES * sum(
                    n_trs[name] for name in found
                ):
                    folder = self._folder / str(len(self._on_disk))
        except OSError as error:
            raise ZooError(
                f"{self._folder.parent}: cannot keep responses there while they are fitted "
                f"({error.strerror or error}); choose another with --store"
            ) from error
        if folder is None:
            self._hold(subject, found)
        else:
            self._on_disk[subject] = found
        return found

    def _hold(self, subject: str, found: dict[str, Responses]) -> None:
        self._held[subject] = found
        while len(self._held) > 1 and sum(map(_size, self._held.values())) > 2 * HELD_BYTES:
            self._held.popitem(last=False)


def _size(found: Mapping[str, Responses]) -> int:
    return sum(each.n_bytes for each in found.values())


# ------------------------------------------------------------------------------------- joining


@dataclass(frozen=True)
class Joined:
    """Stories one below the other, (..., row, voxel), read from disk when voxels are asked for.

    A regressor that streams takes it as it takes a Zarr array.
    """

    stories: tuple[Columns, ...]
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


def joined(stories: Sequence[Columns], skip: int = 0) -> Floats | Joined:
    """Stories' responses one below the other, each without its first ``skip`` rows."""
    if all(isinstance(story, np.ndarray) for story in stories):
        return np.concatenate([story[..., skip:, :] for story in stories], axis=-2)
    lengths = [story.shape[-2] for story in stories]
    kept = np.concatenate([np.arange(n) >= skip for n in lengths])
    return Joined(tuple(stories), np.flatnonzero(kept), np.arange(stories[0].shape[-1]))


def select(
    columns: Columns, rows: NDArray[np.intp] | None = None, voxels: NDArray[np.intp] | None = None
) -> Floats | Joined:
    """Some rows and voxels, by their numbers in rising order; of what is on disk, unread."""
    whole: Floats | Joined = (
        columns if isinstance(columns, np.ndarray | Joined) else joined([columns])
    )
    if isinstance(whole, Joined):
        return replace(
            whole,
            rows=whole.rows if rows is None else whole.rows[rows],
            voxels=whole.voxels if voxels is None else whole.voxels[voxels],
        )
    some = whole if rows is None else whole[..., rows, :]
    return some if voxels is None else some[..., voxels]
