"""Files of a dataset: whether they are here, and a digest of what they hold."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxelzoo.errors import DataError


def require_downloaded(path: Path) -> Path:
    """Checks that a file's content is on this machine, not only a pointer to it.

    git-annex leaves a link without a target or a line that names an object, git LFS a short text.
    Either would otherwise be reported as a damaged file.

    Parameters
    ----------
    path : Path
        The file. One that does not exist passes: its reader reports it better.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    DataError
        If the content is not on this machine. The message has the command that downloads it.
    """
    if path.is_symlink() and not path.exists() and "annex/objects" in os.readlink(path):
        raise DataError(f"{path}: not fetched yet (git-annex); run: datalad get {path.name}")
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return path  # whoever reads it says why it cannot be read
    if head.startswith((b"/annex/objects/", b".git/annex/objects/")):
        raise DataError(f"{path}: not fetched yet (git-annex); run: datalad get {path.name}")
    if head.startswith(b"version https://git-lfs"):
        raise DataError(
            f"{path}: not fetched yet (git LFS); run: git lfs pull --include='*/{path.name}'"
        )
    return path


def content_digest(*parts: bytes | str | NDArray[np.generic] | Path) -> str:
    """SHA-256 of several parts, each preceded by its length.

    Parameters
    ----------
    *parts : bytes, str, ndarray or Path
        An array counts with its dtype and shape, a path with the content of its file.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    DataError
        If a file's content is not on this machine.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with require_downloaded(part).open("rb") as file:
                inner = hashlib.file_digest(file, "sha256").digest()
        elif isinstance(part, str):
            inner = part.encode()
        elif isinstance(part, bytes):
            inner = part
        else:
            array = np.ascontiguousarray(part)
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            inner = array.tobytes()
        digest.update(len(inner).to_bytes(8, "little"))
        digest.update(inner)
    return digest.hexdigest()
