"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A context of a path beside ``path`` to write to. At the end it takes the place of ``path``.

    Parameters
    ----------
    path : Path
        The file that is written. If it is a link, the link is replaced, not what it points to.

    Yields
    ------
    Path
        A file that nobody else writes to, with the same suffix. It is removed after an exception.
    """
    draft = path.with_name(f".{os.urandom(16).hex()}{path.suffix}")
    try:
        yield draft
        flush_file(draft)
        draft.replace(path)
        flush_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def flush_file(path: Path) -> None:
    """Wait until the content of a file is on disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk, if its file system can do that."""
    with contextlib.suppress(OSError):
        flush_file(folder)


def flush_tree(folder: Path) -> None:
    """Wait until a folder and everything in it is on disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            flush_file(path)
        elif path.is_dir():
            flush_folder(path)
    flush_folder(folder)
