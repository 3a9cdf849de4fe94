"""One subject's responses: checked, standardised, and held, or laid on disk to be read by voxel."""

from __future__ import annotations

import shutil
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
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

CHUNK = 1024
"""Voxels of a chunk on disk: a regressor reads some of them from every story."""


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
    """Voxels of a block, of which each has an array ``rows``; whole chunks, if it has one."""
    width = max(1, BLOCK_BYTES // max(1, int(np.prod(rows)) * dtype.itemsize))
    return width // CHUNK * CHUNK or width


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
    try:
        return _laid(values, standardise, folder)
    except OSError as error:
        raise ZooError(
            f"{folder}: cannot keep responses there while they are fitted "
            f"({error.strerror or error}); choose another with --store"
        ) from error


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
        chunks = (*shape[:-1], min(width, CHUNK))
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
    """Responses of one dataset, read once for all that is fitted to them.

    A subject's responses of up to ``HELD_BYTES`` are held, as many subjects as fit in twice that.
    Larger ones lie in ``folder``, which goes when the shelf is no longer used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()
        self._boards: OrderedDict[tuple[str, bool], _Board] = OrderedDict()
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def take(
        self, dataset: Dataset, subject: str, n_trs: Mapping[str, int], standardise: bool
    ) -> Mapping[str, Responses]:
        """The subject's responses to every story of ``n_trs``, whose rows they must have."""
        known = subject, standardise
        if known not in self._boards:
            self._boards[known] = _Board(self._folder / str(next(self._numbers)))
        board = self._boards[known]
        self._boards.move_to_end(known)
        for i, (story, n) in enumerate(n_trs.items()):
            if story not in board.stories:
                board.add(story, partial(read_responses, dataset, subject, story, n, standardise))
            if i == 0:
                board.expect(story, n, sum(n_trs.values()))
        self._make_room()
        return {story: board.stories[story] for story in n_trs}

    def _make_room(self) -> None:
        """Forgets what has not been used for longest, of what is held."""
        held = [known for known, board in self._boards.items() if not board.on_disk]
        sizes = [self._boards[known].n_bytes for known in held]
        while len(held) > 1 and sum(sizes) > 2 * HELD_BYTES:
            del self._boards[held.pop(0)], sizes[0]


@dataclass
class _Board:
    """One subject's stories."""

    folder: Path
    stories: dict[str, Responses] = field(default_factory=dict)
    on_disk: bool = False

    @property
    def n_bytes(self) -> int:
        return sum(each.n_bytes for each in self.stories.values())

    def expect(self, story: str, n_trs: int, all_trs: int) -> None:
        """From here on to disk, where so many rows like the story's would be too many."""
        self.on_disk |= self.stories[story].n_bytes * all_trs > HELD_BYTES * n_trs

    def add(self, story: str, read: Callable[..., Responses]) -> None:
        self.stories[story] = read(
            folder=self.folder / str(len(self.stories)) if self.on_disk else None
        )


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
