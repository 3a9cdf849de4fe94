"""Joblib's files (``.jbl``) read without trusting them.

A pickle is a program: what it names, it can call. This reader gives it nothing to call but the
constructors of arrays and containers written here; of the lab's own classes it makes
:class:`Record`, which hold attributes and do nothing. Whatever else a file names is refused before
anything of it is looked up.

Arrays that joblib wrote uncompressed are mapped and not read, so that a file larger than memory
opens at once.
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
    """Attributes of an object whose class is known by name and is not run."""


class TextGrid(Record):
    """Stands in for ``ridge_utils.textgrid.TextGrid``: ``tiers``."""


class Tier(Record):
    """Stands in for ``ridge_utils.textgrid.Tier``: ``nameid``, ``simple_transcript``."""


class TRFile(Record):
    """Stands in for ``ridge_utils.stimulus_utils.TRFile``: ``trtimes``, ``soundstarttime``."""


class DataSequence(Record):
    """Stands in for ``ridge_utils.DataSequence.DataSequence``: words and their times."""


def read_pickle(path: Path) -> Any:
    """What a pickle or a joblib file holds, of the few classes that are admitted.

    Raises :class:`DataError` naming the file and the fault, or the class it may not have.
    """
    require_downloaded(path)
    try:
        with path.open("rb") as plain, _decompressed(plain, path) as file:
            mapped = path if cast(Any, file) is plain else None
            content = _Reader(file, path, mapped).load()
            while mapped is None and file.read(_PIECE):
                pass  # to the checksum, which is at the end
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


# -------------------------------------------------------------------------------------- admitted


def _object(kind: Any, base: Any = object, state: Any = None) -> Record:
    """How old pickles make an object: by its class alone."""
    if not (isinstance(kind, type) and issubclass(kind, Record)) or state is not None:
        raise pickle.UnpicklingError("an object of no known class")
    return kind()


class _ArrayName:
    """Stands where a file names ``ndarray``: a name to be compared with, not to be called."""


def _empty_array(kind: Any, shape: Any, dtype: Any) -> NDArray[Any]:
    """An array that its state then fills."""
    if kind is not _ArrayName:
        raise pickle.UnpicklingError("a subclass of ndarray")
    return np.ndarray.__new__(np.ndarray, (0,), np.dtype("u1"))


def _dtype(name: Any, align: Any = False, copy: Any = False) -> np.dtype[Any]:
    """Dtypes of numbers, text and objects. Each its own copy: a file may set its byte order."""
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
    """How pickles of Python 2 write bytes."""
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """How pickles of Python 2 write no bytes at all."""
    return b""


class _StoredArray:
    """Joblib's note that an array's bytes follow: ``shape``, ``order``, ``dtype``."""


_ADMITTED: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _encoded,
    ("builtins", "bytes"): _no_bytes,
    ("builtins", "object"): object,
    ("collections", "OrderedDict"): OrderedDict,
    ("copyreg", "_reconstructor"): _object,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _StoredArray,
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): _ArrayName,
    **{
        (f"numpy.{core}.{module}", name): stands_in
        for core in ("core", "_core")
        for module, name, stands_in in (
            ("multiarray", "_reconstruct", _empty_array),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
    **{
        (package + module, stands_in.__name__): stands_in
        for package in ("", "ridge_utils.", "encoding.ridge_utils.")
        for module, stands_in in (
            ("textgrid", TextGrid),
            ("textgrid", Tier),
            ("stimulus_utils", TRFile),
            ("DataSequence", DataSequence),
        )
    },
}

_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Modules as Python 2 called them."""


# ---------------------------------------------------------------------------------------- reader


class _Reader(pickle._Unpickler):
    """Python's own unpickler, without its way to modules, and with joblib's arrays.

    It is the one in Python: the one in C reads ahead, past where an array's bytes begin.
    """

    def __init__(self, file: IO[bytes], path: Path, mapped: Path | None) -> None:
        super().__init__(file)
        self._bytes = file
        self._path = path
        self._mapped = mapped

    def find_class(self, module: str, name: str) -> Any:
        known = _ADMITTED.get((_RENAMED.get(module, module), name))
        if known is None:
            raise DataError(
                f"{self._path}: holds {module}.{name}, which is no array and no class of the "
                "published files; refused, and nothing of it was run"
            )
        return known

    def get_extension(self, code: int) -> None:
        raise DataError(f"{self._path}: holds a class by number ({code}); refused")

    def load_build(self) -> None:
        """Sets an object's state; where the object is joblib's note, its array takes its place."""
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
        taken = bytearray()
        while len(taken) < size:
            piece = self._bytes.read(min(_PIECE, size - len(taken)))
            if not piece:
                raise EOFError(f"ends {size - len(taken)} bytes early")
            taken += piece
        return taken


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
                raise EOFError("the compressed stream is cut short")
            if piece := self._stream.decompress(raw, len(into)):
                into[: len(piece)] = piece
                return len(piece)
        return 0


def _decompressed(file: IO[bytes], path: Path) -> IO[bytes]:
    """The file itself, or what it is compressed from, by its first bytes."""
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
