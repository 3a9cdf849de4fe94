"""The file of one artefact: arrays and a JSON document in one zip archive.

The archive is NumPy's ``.npz``: ``numpy.load`` reads it without voxelzoo. Each member is covered by
the archive's own CRC-32, which is checked whenever it is read. The archive's comment ends with the
SHA-256 of every byte before it, so that no byte of the file can change unnoticed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Writable = NDArray[Any] | Callable[[], NDArray[Any]]
"""An array, or what makes it when it is written: on disk there may be more than fits in memory."""


DOCUMENT = "artefact.json"
SUFFIX = ".npz"
_COMMENT = b"voxelzoo artefact, sha256 "
_DIGEST_BYTES = 64
_BLOCK = 1 << 20
_MOST_DEFLATED = 1032
"""Bytes that deflate can make of one."""

_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, KeyError, EOFError, IndexError,
    NotImplementedError, RuntimeError, OverflowError, TypeError, SyntaxError, RecursionError,
)  # fmt: skip
"""What reading a damaged archive can raise."""


class DamagedError(Exception):
    """A file that is not what was written; the message says in what."""


def write(path: Path, document: Mapping[str, Any], arrays: Mapping[str, Writable]) -> list[str]:
    """Write a file that is not sealed yet.

    Parameters
    ----------
    path : Path
        The file.
    document : mapping
        JSON values.
    arrays : mapping of str to array or callable
        Arrays by name. A callable is called when its array is written.

    Returns
    -------
    list of str
        The names of the arrays.
    """
    with zipfile.ZipFile(path, "w") as archive:
        text = json.dumps(document, indent=1, allow_nan=False)
        archive.writestr(_member(DOCUMENT), text)
        _write_arrays(archive, arrays)
    return list(arrays)


def add(path: Path, arrays: Mapping[str, Writable]) -> None:
    """Add arrays to a file that is not sealed yet."""
    with zipfile.ZipFile(path, "a") as archive:
        _write_arrays(archive, arrays)


def compress(path: Path, target: Path) -> None:
    """Write the same members, compressed, to a file that is not sealed yet."""
    with _reading(path) as archive, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for member in archive.infolist():
            new = _member(member.filename)
            new.compress_type = zipfile.ZIP_DEFLATED
            large = member.file_size > 1 << 30
            with archive.open(member) as old, packed.open(new, "w", force_zip64=large) as file:
                shutil.copyfileobj(old, file, _BLOCK)


def seal(path: Path) -> None:
    """Read back what was written, compare it, add the digest, and wait until it is on disk.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    OSError
        If the file does not hold what was written.
    """
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = _COMMENT + b"0" * _DIGEST_BYTES
    with zipfile.ZipFile(path) as archive:
        if (name := archive.testzip()) is not None:
            raise OSError(f"{path}: {name} was not written as it should be")
    with path.open("r+b") as file:
        digest = _digest(file)
        file.seek(-_DIGEST_BYTES, os.SEEK_END)
        file.write(digest)
        file.flush()
        os.fsync(file.fileno())


def check(path: Path) -> None:
    """Compare every byte of a file with its digest.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    DamagedError
        If a byte has changed.
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as file:  # once: another process may replace the file at any time
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _DIGEST_BYTES - len(_COMMENT)))
        comment = file.read()
        digest = _digest(file)
    if not comment.startswith(_COMMENT) or comment[len(_COMMENT) :] != digest:
        raise DamagedError("a byte has changed since it was written")


def read_document(path: Path) -> tuple[Any, tuple[str, ...]]:
    """The document of a file, and the names of its arrays.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    DamagedError
        If they are damaged.
    OSError
        If the file cannot be read.
    """
    with _reading(path) as archive:
        document = json.loads(_bytes(archive, DOCUMENT).tobytes())
        names = [name.removesuffix(".npy") for name in archive.namelist() if name != DOCUMENT]
    return document, tuple(names)


def read_array(path: Path, name: str) -> NDArray[Any]:
    """One array of a file.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Name of the array.

    Raises
    ------
    DamagedError
        If it is damaged.
    OSError
        If the file cannot be read.
    """
    with _reading(path) as archive:
        return _array(_bytes(archive, f"{name}.npy"))


# ------------------------------------------------------------------------------------------ inside


def _member(name: str) -> zipfile.ZipInfo:
    """A member without a date, so that equal artefacts are equal files."""
    return zipfile.ZipInfo(name)


def _write_arrays(archive: zipfile.ZipFile, arrays: Mapping[str, Writable]) -> None:
    """Write arrays one after the other; none is held while the next one is made."""
    for name, values in arrays.items():
        _write_array(archive, name, np.asarray(values() if callable(values) else values))


def _write_array(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    large = array.nbytes > 1 << 30
    with archive.open(_member(f"{name}.npy"), "w", force_zip64=large) as file:
        np.lib.format.write_array(
            file, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False
        )


def _digest(file: IO[bytes]) -> bytes:
    """Digest of all bytes of a file before its digest."""
    digest = hashlib.sha256()
    left = file.seek(0, os.SEEK_END) - _DIGEST_BYTES
    file.seek(0)
    while left > 0 and (block := file.read(min(left, _BLOCK))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest().encode()


@contextmanager
def _reading(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DamagedError:
        raise
    except _UNREADABLE as error:
        raise DamagedError(str(error) or type(error).__name__) from error


def _bytes(archive: zipfile.ZipFile, name: str) -> NDArray[np.uint8]:
    """The bytes of a member, whose CRC is checked. No more memory is taken than the file has."""
    member = archive.getinfo(name)
    assert archive.fp is not None
    size = archive.fp.seek(0, os.SEEK_END)
    most = {zipfile.ZIP_STORED: size, zipfile.ZIP_DEFLATED: _MOST_DEFLATED * size}
    if member.file_size > most.get(member.compress_type, -1):
        raise DamagedError(f"{name} is not stored as it was written")
    values = np.empty(member.file_size, dtype=np.uint8)
    with archive.open(member) as file:
        done = 0
        while block := file.read(_BLOCK):
            values[done : done + len(block)] = np.frombuffer(block, dtype=np.uint8)
            done += len(block)
    if done != member.file_size:
        raise DamagedError(f"{name} is cut short")
    return values


def _array(values: NDArray[np.uint8]) -> NDArray[Any]:
    """The array in the bytes of a ``.npy`` file, which is not copied."""
    header = io.BytesIO(values[: 1 << 16].tobytes())
    version = np.lib.format.read_magic(header)
    if version != (1, 0):
        raise DamagedError(f"unknown version {version} of an array")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(header)
    if dtype.hasobject or fortran:
        raise DamagedError("an array of a kind that is never written")
    return values[header.tell() :].view(dtype).reshape(shape)
