"""Unfinished files of a store, each held by a lock that ends with its process.

A draft is a path below ``<root>/.drafts`` with a random name, so that no two processes, machines or
containers can meet there, whatever they call themselves. Beside it lies ``NAME.lock``, which is
locked while the draft is in use and says on which machine (by the identity of its boot, which
containers share).

A draft is abandoned if its lock is free. Locks of one machine can be trusted. Those of other
machines cannot: a network file system may be mounted without them. So the draft of another machine
is only removed once it has not been touched for :data:`ABANDONED_SECONDS`, and drafts in use are
touched with every write to the store.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
import weakref
from functools import cached_property
from pathlib import Path
from types import TracebackType

from voxelzoo.disk.locks import ProcessLock

ABANDONED_SECONDS = 7 * 24 * 3600.0
"""How long a draft that another machine made must have been left alone before it is removed."""


FOLDER = ".drafts"
LOCK = ".lock"


class Draft:
    """A path for something unfinished or temporary. Nothing is on disk until it is asked for.

    Parameters
    ----------
    root : Path
        The folder below which it is made: a store's, for example.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._finalizer: weakref.finalize[..., Draft] | None = None

    @cached_property
    def path(self) -> Path:
        """Where a file or a folder may be made, which is removed when the draft is released.

        Raises
        ------
        OSError
            If the root cannot be written to.
        """
        path, lock = _claim(self._root)
        self._finalizer = weakref.finalize(self, _remove, path, lock)
        _IN_USE.add(self)
        return path

    def release(self) -> None:
        """Remove what is left of it."""
        _IN_USE.discard(self)
        if self._finalizer is not None:
            self._finalizer()

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.release()


_IN_USE: weakref.WeakSet[Draft] = weakref.WeakSet()


def _claim(root: Path) -> tuple[Path, ProcessLock]:
    """A path that nobody has used, and its lock, which is held."""
    folder = root / FOLDER
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / uuid.uuid4().hex
        lock = ProcessLock(path.with_suffix(LOCK))
        with contextlib.suppress(FileNotFoundError):  # another process removed the folder
            if lock.acquire():
                lock.write(_machine())
                return path, lock


def touch_drafts() -> None:
    """Note on disk that the drafts of this process are in use."""
    for draft in tuple(_IN_USE):
        with contextlib.suppress(OSError):
            os.utime(draft.path.with_suffix(LOCK))


def remove_abandoned_drafts(root: Path) -> None:
    """Remove drafts whose process has ended. What cannot be removed stays.

    Parameters
    ----------
    root : Path
        The store's folder.
    """
    try:
        paths = list((root / FOLDER).iterdir())
        with Draft(root) as ours:
            now = ours.path.with_suffix(LOCK).stat().st_mtime  # on the clock of the file system
    except OSError:
        return
    for path in paths:
        with contextlib.suppress(OSError):
            _remove_abandoned(path, now)


def _remove_abandoned(path: Path, now: float) -> None:
    lock = ProcessLock(path.with_suffix(LOCK))
    times = [each.stat().st_mtime for each in (path, lock.path) if each.exists()]
    untouched = now - max(times, default=now)
    if not lock.path.exists():  # made by an earlier version, or its lock is already gone
        if untouched > ABANDONED_SECONDS:
            _remove(path, lock)
        return
    here = lock.path.read_text() == _machine()
    if lock.acquire():
        if (here and lock.is_enforced) or untouched > ABANDONED_SECONDS:
            _remove(path.with_suffix(""), lock)
        lock.release()


def _remove(path: Path, lock: ProcessLock) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    lock.release(remove=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()  # if it is empty


def _machine() -> str:
    """What all processes and containers of one running machine share, and no other machine has."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{uuid.getnode():x}"
