"""One subject's responses: checked, standardised, and kept in memory or spilled to disk."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from voxelzoo.api import DataError, Dataset, ZooError
from voxelzoo.disk.drafts import Draft
from voxelzoo.science.responses import Responses
from voxelzoo.science.traces import ResponseTrace
from voxelzoo.science.voxel_arrays import CHUNK, Floats, block_width

HELD_BYTES = 1 << 29
"""Bytes of one subject's responses that are kept in memory; more are spilled to disk."""


def read_responses(
    dataset: Dataset,
    subject: str,
    story: str,
    n_trs: int,
    standardise: bool,
    folder: Path | None = None,
) -> Responses:
    """Read a subject's responses to one story, and check them against its clock.

    Parameters
    ----------
    dataset : Dataset
        The dataset.
    subject, story : str
        Whose responses, and to what.
    n_trs : int
        Rows that they must have.
    standardise : bool
        Whether each repeat is z-scored over time. A constant voxel becomes NaN.
    folder : Path, optional
        Where they are spilled to disk, to be read in blocks of voxels; kept in memory if None.

    Returns
    -------
    Responses
        The mean over repeats (TR, voxel), and the repeats (repeat, TR, voxel) if there are several.

    Raises
    ------
    DataError
        If they have the wrong number of axes or rows.
    ZooError
        If they cannot be written to the folder.
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
        return _spilled(values, standardise, folder)
    except OSError as error:
        raise ZooError(
            f"{folder}: cannot keep responses there while they are fitted "
            f"({error.strerror or error}); choose another with --store"
        ) from error


def _prepared(values: Floats, standardise: bool) -> tuple[Floats, Floats | None]:
    """Mean (TR, voxel) and, if there are several, repeats (repeat, TR, voxel)."""
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


def _spilled(values: Floats, standardise: bool, folder: Path) -> Responses:
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


class ResponseCache:
    """Responses of one dataset, each read once for all that is fitted to them.

    Up to ``HELD_BYTES`` of a subject's responses are kept in memory, for as many subjects as fit
    into twice that; those used longest ago are dropped. Larger ones are spilled to disk.

    Parameters
    ----------
    draft : Draft
        Where they are spilled. It is released together with the cache.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._numbers = count()
        self._subjects: OrderedDict[tuple[str, bool], _CachedSubject] = OrderedDict()
        weakref.finalize(self, draft.release)

    def take(
        self, dataset: Dataset, subject: str, n_trs: Mapping[str, int], standardise: bool
    ) -> Mapping[str, Responses]:
        """A subject's responses by story.

        Parameters
        ----------
        dataset : Dataset
            The dataset; always the same.
        subject : str
            The subject.
        n_trs : mapping of str to int
            The stories, and the rows that each must have.
        standardise : bool
            Whether each repeat is z-scored over time.

        Returns
        -------
        mapping of str to Responses
        """
        key = subject, standardise
        if key not in self._subjects:
            self._subjects[key] = _CachedSubject(self._draft, next(self._numbers))
        cached = self._subjects[key]
        self._subjects.move_to_end(key)
        for i, (story, n) in enumerate(n_trs.items()):
            if story not in cached.stories:
                cached.add(story, partial(read_responses, dataset, subject, story, n, standardise))
            if i == 0:
                cached.expect(story, n, sum(n_trs.values()))
        self._evict()
        return {story: cached.stories[story] for story in n_trs}

    def _evict(self) -> None:
        """Drops subjects from memory, those used longest ago first, until the rest fit."""
        in_memory = [key for key, cached in self._subjects.items() if not cached.on_disk]
        sizes = [self._subjects[key].n_bytes for key in in_memory]
        while len(in_memory) > 1 and sum(sizes) > 2 * HELD_BYTES:
            del self._subjects[in_memory.pop(0)], sizes[0]


@dataclass
class _CachedSubject:
    """One subject's responses by story."""

    draft: Draft
    number: int
    stories: dict[str, Responses] = field(default_factory=dict)
    on_disk: bool = False

    @property
    def n_bytes(self) -> int:
        return sum(each.n_bytes for each in self.stories.values())

    def expect(self, story: str, n_trs: int, all_trs: int) -> None:
        """Spill from here on, if all stories together will be too large for memory."""
        self.on_disk |= self.stories[story].n_bytes * all_trs > HELD_BYTES * n_trs

    def add(self, story: str, read: Callable[..., Responses]) -> None:
        folder = None
        if self.on_disk:
            folder = self.draft.path / str(self.number) / str(len(self.stories))
        self.stories[story] = read(folder=folder)
