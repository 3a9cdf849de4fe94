"""Keeps decompositions of designs, so that the next subject with the same stories needs none."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import zipfile
from collections import OrderedDict
from pathlib import Path
from threading import Lock

import numpy as np
import torch

from voxelzoo_regressors.decomposition import Decomposition, decompose, from_eigenvectors
from voxelzoo_regressors.design import Design

log = logging.getLogger("voxelzoo.ridge")

_LAYOUT = "1"
"""Version of the files. A change makes earlier files be ignored."""

_Key = tuple[str, str]
"""Digest of the design's content, and its device."""


class DecompositionCache:
    """Keeps the decompositions of recent designs in memory, and on disk if asked to.

    May be used from several threads: a design that two threads ask for at once is decomposed
    once.

    Parameters
    ----------
    max_bytes : int, default 1 GiB
        Limit on the memory of all decompositions together. Above it the least recently used ones
        are dropped. The newest one is kept even if it alone is larger, because the next subject
        is about to need it. With 0 nothing is kept in memory.
    """

    def __init__(self, max_bytes: int = 2**30) -> None:
        self.max_bytes = max_bytes
        self._kept: OrderedDict[_Key, Decomposition] = OrderedDict()
        self._pending: dict[_Key, Lock] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        """Number of decompositions in memory."""
        return len(self._kept)

    @property
    def n_bytes(self) -> int:
        """Memory of the decompositions that are kept, in bytes."""
        with self._lock:
            return self._total()

    def clear(self) -> None:
        """Frees all decompositions in memory. Files stay."""
        with self._lock:
            self._kept.clear()

    def decomposition(
        self, design: Design, intercept: bool = True, folder: Path | None = None
    ) -> Decomposition:
        """The decomposition of a design, computed only if it is not kept.

        Parameters
        ----------
        design : Design
            What to decompose. Designs with equal content share a decomposition.
        intercept : bool, default True
            Whether to centre the columns first.
        folder : Path or None, default None
            Folder to also keep the decomposition in, in a file named by a hash of everything that
            determines it. A file that is damaged or cannot be written is reported in the log, and
            has no other effect than that the design is decomposed.

        Returns
        -------
        Decomposition
        """
        digest = _digest(design, intercept)
        key = digest, str(design.X.device)
        with self._lock:
            pending = self._pending.setdefault(key, Lock())
        with pending:
            try:
                decomposition = self._recent(key)
                if decomposition is None:
                    path = None if folder is None else folder / f"{digest}.npz"
                    decomposition = _load_or_decompose(design, intercept, path)
                    self._keep(key, decomposition)
                return decomposition
            finally:
                with self._lock:
                    self._pending.pop(key, None)

    def _recent(self, key: _Key) -> Decomposition | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: _Key, decomposition: Decomposition) -> None:
        if self.max_bytes <= 0:
            return
        with self._lock:
            self._kept[key] = decomposition
            while len(self._kept) > 1 and self._total() > self.max_bytes:
                self._kept.popitem(last=False)

    def _total(self) -> int:
        return sum(decomposition.n_bytes for decomposition in self._kept.values())


shared_cache = DecompositionCache()
"""The cache of every :class:`voxelzoo_regressors.Ridge` in this process.

``shared_cache.clear()`` frees it, ``shared_cache.max_bytes = 0`` turns it off for the process, and
``Ridge(cache=False)`` goes without it.
"""


def _digest(design: Design, intercept: bool) -> str:
    X = design.X
    digest = hashlib.sha256(X.cpu().contiguous().numpy().data)
    about = (_LAYOUT, tuple(X.shape), X.dtype, list(design.stories), list(design.delays))
    digest.update(repr((about, intercept)).encode())
    return digest.hexdigest()


def _load_or_decompose(design: Design, intercept: bool, path: Path | None) -> Decomposition:
    if path is None:
        return decompose(design, intercept)
    decomposition = _load(path, design, intercept)
    if decomposition is None:
        decomposition = decompose(design, intercept)
        _save(path, decomposition)
    return decomposition


def _load(path: Path, design: Design, intercept: bool) -> Decomposition | None:
    try:
        with np.load(path, allow_pickle=False) as archive:  # the archive checks its own sums
            s, vectors = archive["s"], archive["vectors"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("ridge: %s is unreadable (%s); decomposing again", path, error)
        return None
    log.debug("decomposition from %s", path)
    device = design.X.device
    return from_eigenvectors(
        design,
        torch.as_tensor(s, device=device),
        torch.as_tensor(vectors, device=device),
        intercept,
    )


def _save(path: Path, decomposition: Decomposition) -> None:
    vectors = decomposition.Q if decomposition.V is None else decomposition.V
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".npz")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, s=decomposition.s.cpu().numpy(), vectors=vectors.cpu().numpy())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        log.warning("ridge: cannot save the decomposition (%s)", error)
