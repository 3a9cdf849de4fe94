"""Read untrusted joblib files (``.jbl``) safely.

A pickle is a program: it can call anything that it names. This reader lets it call only the
constructors of arrays and containers defined here. Objects of the lab's own classes become
:class:`Record` objects, which have attributes but no methods. Any other name is refused without
being looked up.

Uncompressed joblib arrays are memory-mapped, so that a file larger than memory opens at once.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import re
import struct
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, MissingError, require_downloaded

_PIECE = 1 << 24
"""Bytes read at a time from a compressed file."""


class Record:
    """Attributes of an object; the code of its class is never run."""


class TextGrid(Record):
    """Replaces ``ridge_utils.textgrid.TextGrid``: ``tiers``."""


class Tier(Record):
    """Replaces ``ridge_utils.textgrid.Tier``: ``nameid``, ``simple_transcript``."""


class TRFile(Record):
    """Replaces ``ridge_utils.stimulus_utils.TRFile``: ``trtimes``, ``soundstarttime``."""


class DataSequence(Record):
    """Replaces ``ridge_utils.DataSequence.DataSequence``: words and their times."""


def read_pickle(path: Path) -> Any:
    """Read a pickle or a joblib file.

    Parameters
    ----------
    path : Path
        The file, compressed or not.

    Returns
    -------
    object
        Numbers, text, containers, arrays and :class:`Record` objects. Arrays of an uncompressed
        file are memory-mapped.

    Raises
    ------
    DataError
        If the file is damaged, or contains a class that is not permitted; nothing of it is run.
    MissingError
        If the file is compressed with lz4, which is not installed.
    """
    require_downloaded(path)
    try:
        with path.open("rb") as plain, _decompressed(plain, path) as file:
            mapped = path if cast(Any, file) is plain else None
            content = _Reader(file, path, mapped).load()
            while mapped is None and file.read(_PIECE):
                pass  # read to the end, so that the checksum there is verified
            return content
    except (DataError, MissingError):
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        EOFError,
        ImportError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
        lzma.LZMAError,
        pickle.UnpicklingError,
        struct.error,
        zlib.error,
    ) as error:
        first = " ".join(str(error).split())[:120]
        raise DataError(f"{path}: not a joblib file, or damaged ({first})") from error


# ------------------------------------------------------------------------------------- permitted


def _object(kind: Any, base: Any = object, state: Any = None) -> Record:
    """Create an object from its class alone, as old pickles do."""
    if not (isinstance(kind, type) and issubclass(kind, Record)) or state is not None:
        raise pickle.UnpicklingError("an object of a class that is not permitted")
    return kind()


class _ArrayName:
    """Replaces ``ndarray``, which files name but may not call."""


def _empty_array(kind: Any, shape: Any, dtype: Any) -> NDArray[Any]:
    """Create an empty array; its state is set afterwards."""
    if kind is not _ArrayName:
        raise pickle.UnpicklingError("a subclass of ndarray")
    return np.ndarray.__new__(np.ndarray, (0,), np.dtype("u1"))


def _dtype(name: Any, align: Any = False, copy: Any = False) -> np.dtype[Any]:
    """Dtypes of numbers, text and objects. Each is a copy: a file can set its byte order."""
    if not (isinstance(name, str) and re.fullmatch(r"[<>|=]?(?:\?|[biufcSUO])\d*", name)):
        raise pickle.UnpicklingError(f"the dtype {name!r:.40}")
    return np.dtype(name, copy=True)


def _scalar(dtype: np.dtype[Any], raw: Any = b"") -> Any:
    if dtype.hasobject:
        raise pickle.UnpicklingError("a scalar that is an object")
    return np.frombuffer(raw, dtype, count=1)[0]


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    if dtype.hasobject:
        raise pickle.UnpicklingError("a buffer of objects")
    return np.frombuffer(raw, dtype).reshape(shape, order=order)


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    """Decode bytes as written by pickles of Python 2."""
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Empty bytes as written by pickles of Python 2."""
    return b""


class _StoredArray:
    """Joblib's header before the bytes of an array: ``shape``, ``order``, ``dtype``."""


_PERMITTED: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _encoded,
    ("builtins", "bytes"): _no_bytes,
    ("builtins", "object"): object,
    ("collections", "OrderedDict"): OrderedDict,
    ("copyreg", "_reconstructor"): _object,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _StoredArray,
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): _ArrayName,
    **{
        (f"numpy.{core}.{module}", name): replacement
        for core in ("core", "_core")
        for module, name, replacement in (
            ("multiarray", "_reconstruct", _empty_array),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
    **{
        (package + module, replacement.__name__): replacement
        for package in ("", "ridge_utils.", "encoding.ridge_utils.")
        for module, replacement in (
            ("textgrid", TextGrid),
            ("textgrid", Tier),
            ("stimulus_utils", TRFile),
            ("DataSequence", DataSequence),
        )
    },
}

_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Modules renamed since Python 2."""


# ---------------------------------------------------------------------------------------- reader


class _Reader(pickle._Unpickler):
    """Python's unpickler without access to modules, and with support for joblib's arrays.

    It extends the pure Python unpickler, because the C one reads ahead into an array's bytes.
    """

    def __init__(self, file: IO[bytes], path: Path, mapped: Path | None) -> None:
        super().__init__(file)
        self._bytes = file
        self._path = path
        self._mapped = mapped

    def find_class(self, module: str, name: str) -> Any:
        replacement = _PERMITTED.get((_RENAMED.get(module, module), name))
        if replacement is None:
            raise DataError(
                f"{self._path}: contains {module}.{name}, which is neither an array nor a "
                "class of the published files; refused, and no code was run"
            )
        return replacement

    def get_extension(self, code: int) -> None:
        raise DataError(f"{self._path}: refers to a class by number ({code}); refused")

    def load_build(self) -> None:
        """Set an object's state; replace joblib's array header by its array."""
        if isinstance(self.stack[-2], _StoredArray):  # type: ignore[attr-defined]
            state = self.stack.pop()  # type: ignore[attr-defined]
            self.stack[-1] = self._read_array(state)  # type: ignore[attr-defined]
            return
        pickle._Unpickler.load_build(self)  # type: ignore[attr-defined]

    def _read_array(self, state: Any) -> NDArray[Any]:
        shape = tuple(int(n) for n in state["shape"])
        dtype, order = state["dtype"], state["order"]
        if not isinstance(dtype, np.dtype) or min(shape, default=0) < 0 or order not in ("C", "F"):
            raise pickle.UnpicklingError(f"an array of {dtype!r:.40} {shape}")
        if dtype.hasobject:
            return cast(NDArray[Any], _Reader(self._bytes, self._path, self._mapped).load())
        if state.get("numpy_array_alignment_bytes") is not None:
            self._take(self._take(1)[0])
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if self._mapped is None or not size:
            flat = np.frombuffer(self._take(size), dtype)
            return flat.reshape(shape, order=order)
        at = self._bytes.tell()
        if at + size > self._mapped.stat().st_size:
            raise EOFError(f"ends within an array of {dtype} {shape}")
        self._bytes.seek(at + size)
        return np.memmap(self._mapped, dtype, mode="r", offset=at, shape=shape, order=order)

    def _take(self, size: int) -> bytearray:
        data = bytearray()
        while len(data) < size:
            piece = self._bytes.read(min(_PIECE, size - len(data)))
            if not piece:
                raise EOFError(f"ends {size - len(data)} bytes early")
            data += piece
        return data


_Reader.dispatch = {
    **pickle._Unpickler.dispatch,
    pickle.BUILD[0]: _Reader.load_build,  # type: ignore[dict-item]
}


# ----------------------------------------------------------------------------------- compression


class _ZlibFile(io.RawIOBase):
    """A bare zlib stream as a file: what ``joblib.dump(..., compress=3)`` writes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._stream = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        while not self._stream.eof:
            raw = self._stream.unconsumed_tail or self._file.read(_PIECE)
            if not raw:
                raise EOFError("the compressed stream is truncated")
            if piece := self._stream.decompress(raw, len(into)):
                into[: len(piece)] = piece
                return len(piece)
        return 0


def _decompressed(file: IO[bytes], path: Path) -> IO[bytes]:
    """The file, or its decompressed content; the first bytes tell the format."""
    head = file.read(6)
    file.seek(0)
    if head.startswith(b"ZF"):
        raise DataError(f"{path}: written by joblib before 0.10; write it again with a newer one")
    if head[:1] == b"\x78":
        return io.BufferedReader(_ZlibFile(file))
    if head.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if head.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if head.startswith((b"\xfd7zXZ", b"\x5d\x00")):
        return lzma.LZMAFile(file)
    if head.startswith(b"\x04\x22\x4d\x18"):
        try:
            import lz4.frame
        except ImportError:
            raise MissingError(f"{path}: compressed with lz4; run: pip install lz4") from None
        return cast(IO[bytes], lz4.frame.LZ4FrameFile(file))
    return file
