"""Locks on files that end with the process that holds them."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from pathlib import Path
from types import TracebackType

if sys.platform != "win32":
    import fcntl

_BUSY = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK}


class ProcessLock:
    """An exclusive lock on a file. The operating system releases it when the process ends.

    It is ``flock``: it holds between processes, containers and users of one machine, and on NFS
    between machines, unless the file system is mounted without locks. Some file systems have no
    locks at all; a lock there is granted, and :attr:`is_enforced` is False. So nothing may depend
    on a lock alone.

    Parameters
    ----------
    path : Path
        The file; it is created if it is missing. Its folder must exist.

    Attributes
    ----------
    is_enforced : bool
        Whether the file system enforces the lock, once it has been acquired.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_enforced = False
        self._file: int | None = None

    def acquire(self, wait: float = 0.0) -> bool:
        """Take the lock.

        Parameters
        ----------
        wait : float, default 0
            Seconds for which to wait while another process holds it.

        Returns
        -------
        bool
            False if another process holds it.

        Raises
        ------
        OSError
            If the file cannot be created.
        """
        until = time.monotonic() + wait
        while not self._try():
            if time.monotonic() >= until:
                return False
            time.sleep(0.01)
        return True

    def _try(self) -> bool:
        while True:
            file = _open(self.path)
            try:
                self.is_enforced = _lock(file)
            except OSError as error:
                os.close(file)
                if error.errno in _BUSY:
                    return False
                raise
            if _is_at(file, self.path):
                self._file = file
                return True
            os.close(file)  # its last holder removed it while this process waited

    def release(self, remove: bool = False) -> None:
        """Give the lock back.

        Parameters
        ----------
        remove : bool, default False
            Whether to remove the file as well.
        """
        file, self._file = self._file, None
        if file is None:
            return
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink()
        os.close(file)

    def write(self, text: str) -> None:
        """Write a text into the file, for others to read."""
        assert self._file is not None
        os.pwrite(self._file, text.encode(), 0)

    def __enter__(self) -> ProcessLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.release()


def _open(path: Path) -> int:
    flags = os.O_CREAT if sys.platform == "win32" else os.O_CREAT | os.O_NOFOLLOW
    try:
        return os.open(path, flags | os.O_RDWR, 0o666)
    except PermissionError:
        return os.open(path, flags & ~os.O_CREAT | os.O_RDONLY)  # another user's file


def _lock(file: int) -> bool:
    """Whether the lock is enforced; raises OSError if another process holds it."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            raise
        return False  # ENOSYS, ENOTSUP, ENOLCK, ...: the file system has no locks
    return True


def _is_at(file: int, path: Path) -> bool:
    try:
        at, ours = os.stat(path), os.fstat(file)
    except OSError:
        return False
    return (at.st_dev, at.st_ino) == (ours.st_dev, ours.st_ino)
