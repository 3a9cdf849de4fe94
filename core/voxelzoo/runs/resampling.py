"""States of a story, resampled to scan times block by block while the model runs.

Alignment is linear, so each block of states is added to the scan times that it affects, and then
dropped. Scan times that no later state affects are written to disk at once. So memory holds only
the few scan times that are still open, however many layers and however long the story. What is on
disk outlives the process: an interrupted run continues within the story.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import StateBlock
from voxelzoo.disk.drafts import Draft
from voxelzoo.disk.locks import ProcessLock

if TYPE_CHECKING:
    from scipy.sparse import csc_array

CHECKPOINT_SECONDS = 10.0
"""Seconds of work that are lost at most when a process is killed."""


CHECKPOINT = "checkpoint.npz"
"""File in which the open scan times are saved."""

Floats = NDArray[np.float32]


@contextlib.contextmanager
def workplace(root: Path, key: str) -> Iterator[Path]:
    """A context of the folder in which one piece of work is done.

    It is removed when the work is finished. If the work is interrupted, it stays, and the next run
    with the same key continues there.

    Parameters
    ----------
    root : Path
        The store's folder.
    key : str
        Names the work.

    Yields
    ------
    Path
        The folder; another, temporary one if another process is working in the first.
    """
    folder = root / ".unfinished" / key
    folder.mkdir(parents=True, exist_ok=True)
    lock = ProcessLock(folder.with_suffix(".lock"))
    if not lock.acquire() or not lock.is_enforced:  # without a lock, others may be working there
        lock.release()
        with Draft(root) as draft:
            draft.path.mkdir()
            yield draft.path
        return
    folder.mkdir(exist_ok=True)  # the last holder of the lock may have removed it
    finished = False
    try:
        yield folder
        finished = True
    finally:
        done = finished or not (folder / CHECKPOINT).exists()
        if done:
            shutil.rmtree(folder, ignore_errors=True)
        lock.release(remove=done)


class Resampling:
    """TR-rate states (layer, TR, unit) of one story: ``weights @ states`` of each layer.

    Parameters
    ----------
    folder : Path
        Where finished rows are written.
    weights : (TR, time) sparse array
        The aligner's matrix.
    n_layers : int
        Layers of every block of states.
    keep_states : bool, default False
        Also keep the states themselves, (layer, time, unit).
    resume : bool, default True
        Continue from the checkpoint in the folder, if there is one.

    Attributes
    ----------
    done : int
        States that have been added, those of an earlier process included.
    n_trs, n_times : int
        Shape of ``weights``.
    """

    def __init__(
        self,
        folder: Path,
        weights: csc_array,
        n_layers: int,
        keep_states: bool = False,
        resume: bool = True,
    ) -> None:
        self._folder = folder
        self._weights = weights
        self._n_layers = n_layers
        self._keep_states = keep_states
        self.n_trs, self.n_times = weights.shape
        self.done = 0
        self._first = 0
        self._open: Floats | None = None
        self._settled = _settled(weights)
        self._saved = time.monotonic()
        if resume:
            self._resume()
        if self.done == 0:
            for name in ("aligned", "states"):
                (folder / name).unlink(missing_ok=True)

    @property
    def n_units(self) -> int:
        """Units of a state; known once a state has been added."""
        assert self._open is not None
        return int(self._open.shape[2])

    def add(self, block: StateBlock) -> None:
        """Add the next block of states, (layer, time, unit)."""
        states = block.states
        n = states.shape[1]
        if self._open is None:
            self._open = np.zeros((self._n_layers, 0, states.shape[2]), dtype=np.float32)
        columns = self._weights[:, self.done : self.done + n]
        if columns.nnz:
            first, last = int(columns.indices.min()), int(columns.indices.max())
            self._reach(last + 1)
            dense = columns[first : last + 1].toarray().astype(np.float32)
            self._open[:, first - self._first : last + 1 - self._first] += dense @ states
        if self._keep_states:
            self._write("states", self.done, self.n_times, states)
        self.done += n
        self._settle(int(self._settled[self.done]))
        if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
            self._save()

    def aligned(self, layer: int) -> Floats:
        """Resampled states (TR, unit) of the ``layer``-th layer, once every state is added."""
        assert self.done == self.n_times
        return self._read("aligned", layer, self.n_trs)

    def states(self, layer: int) -> Floats:
        """States (time, unit) of the ``layer``-th layer, if they are kept."""
        return self._read("states", layer, self.n_times)

    # -------------------------------------------------------------------------- open scan times

    def _reach(self, stop: int) -> None:
        """Opens scan times up to ``stop``."""
        assert self._open is not None
        n = stop - self._first - self._open.shape[1]
        if n > 0:
            more = np.zeros((self._n_layers, n, self.n_units), dtype=np.float32)
            self._open = np.concatenate([self._open, more], axis=1)

    def _settle(self, stop: int) -> None:
        """Writes scan times before ``stop``, which no later state affects, and drops them."""
        assert self._open is not None
        n = min(stop - self._first, self._open.shape[1])
        if n > 0:
            self._write("aligned", self._first, self.n_trs, self._open[:, :n])
            self._open = self._open[:, n:].copy()
        if stop > self._first:
            self._first = stop

    # ------------------------------------------------------------------------------------- disk

    def _write(self, name: str, start: int, n_rows: int, rows: Floats) -> None:
        """Writes ``rows`` (layer, row, unit) from row ``start`` of (layer, ``n_rows``, unit)."""
        path = self._folder / name
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(4 * self._n_layers * n_rows * self.n_units)  # unwritten rows are zero
            for layer, values in enumerate(rows):
                file.seek(4 * (layer * n_rows + start) * self.n_units)
                file.write(np.ascontiguousarray(values, dtype=np.float32).data)

    def _read(self, name: str, layer: int, n_rows: int) -> Floats:
        path, size = self._folder / name, n_rows * self.n_units
        if not path.exists():
            return np.zeros((n_rows, self.n_units), dtype=np.float32)
        values = np.fromfile(path, dtype=np.float32, count=size, offset=4 * layer * size)
        return values.reshape(n_rows, self.n_units)

    def _save(self) -> None:
        """Saves a checkpoint, in one step, after the rows that it relies on are on disk."""
        assert self._open is not None
        for name in ("aligned", "states"):
            if (self._folder / name).exists():
                with (self._folder / name).open("rb") as file:
                    os.fsync(file.fileno())
        draft = self._folder / "checkpoint.draft.npz"
        np.savez(draft, open=self._open, done=self.done, first=self._first)
        draft.replace(self._folder / CHECKPOINT)
        self._saved = time.monotonic()

    def _resume(self) -> None:
        """Continues from the last checkpoint; from the beginning if it is missing or damaged."""
        try:
            with np.load(self._folder / CHECKPOINT, allow_pickle=False) as saved:
                rows, done, first = saved["open"], int(saved["done"]), int(saved["first"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return
        self._open, self.done, self._first = rows, done, first


def _settled(weights: csc_array) -> NDArray[np.intp]:
    """(time + 1,): after i states, the first scan time that a later state still affects."""
    n_trs, n_times = weights.shape
    lowest = np.full(n_times + 1, n_trs, dtype=np.intp)
    used = np.flatnonzero(np.diff(weights.indptr))
    lowest[used] = np.minimum.reduceat(weights.indices, weights.indptr[used]) if len(used) else []
    settled: NDArray[np.intp] = np.minimum.accumulate(lowest[::-1])[::-1]
    return settled
