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
import math
import pickle
import re
import struct
import sys
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, MissingError, require_downloaded

_PIECE = 1 << 24
"""Bytes read at a time."""

_FREE, _MOST_RATIO = 1 << 28, 100
"""A compressed file may become this large, or this many times its size, if that is more."""


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
            most = max(_FREE, _MOST_RATIO * path.stat().st_size)
            content = _Reader(_Bounded(file, most), path, mapped).load()
            end = 0
            while mapped is None and (piece := file.read(_PIECE)):
                end += len(piece)  # read to the end, so that the checksum there is verified
                if end > most:
                    raise pickle.UnpicklingError("it decompresses to far more than data do")
            return content
    except (DataError, MissingError):
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # a damaged file can raise anything
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


class _Array:
    """Stands for an array until its state is read, from which a new one is made."""


def _empty_array(kind: Any, shape: Any, dtype: Any) -> _Array:
    if kind is not _ArrayName:
        raise pickle.UnpicklingError("a subclass of ndarray")
    return _Array()


class _DType:
    """Stands for a dtype of numbers, text or objects. A file can set its byte order only."""

    def __init__(self, name: Any, align: Any = False, copy: Any = False) -> None:
        if not (isinstance(name, str) and re.fullmatch(r"[<>|=]?(?:\?|[biufcSUO]\d{0,9})", name)):
            raise pickle.UnpicklingError(f"the dtype {name!r:.40}")
        self.dtype = np.dtype(name)

    def set_state(self, state: Any) -> None:
        """Set the byte order, the second value of a dtype's state."""
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"a dtype's state {state!r:.40}")
        self.dtype = self.dtype.newbyteorder(order)


def _numeric(dtype: Any) -> np.dtype[Any]:
    """A dtype of numbers or text, of a file."""
    if not isinstance(dtype, _DType) or dtype.dtype.hasobject or not dtype.dtype.itemsize:
        raise pickle.UnpicklingError("values that are neither numbers nor text")
    return dtype.dtype


def _of_bytes(raw: Any, dtype: np.dtype[Any], shape: Any, order: Any) -> NDArray[Any]:
    """The array in some bytes, of exactly that size."""
    if not isinstance(raw, bytes | bytearray) or order not in ("C", "F"):
        raise pickle.UnpicklingError("an array whose content is not bytes")
    if not raw and _n_items(shape):
        raise pickle.UnpicklingError("an array without its content")
    if not raw:
        return np.empty(shape, dtype)
    return _valid_text(np.frombuffer(bytearray(raw), dtype).reshape(_shape(shape), order=order))


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise pickle.UnpicklingError(f"an array of shape {shape!r:.40}")
    return shape


def _n_items(shape: Any) -> int:
    n: int = math.prod(_shape(shape))
    return n


def _valid_text(values: NDArray[Any]) -> NDArray[Any]:
    """The same array, whose text is valid Unicode: anything else could not be read later."""
    if values.dtype.kind == "U" and values.size:
        codes = np.frombuffer(values.tobytes(), values.dtype.byteorder.replace("=", "") + "u4")
        if codes.max() > sys.maxunicode:
            raise pickle.UnpicklingError("text that is not Unicode")
    return values


def _of_objects(items: Any, shape: Any, order: Any) -> NDArray[Any]:
    """An array of objects of the file."""
    if not isinstance(items, list) or _n_items(shape) != len(items):
        raise pickle.UnpicklingError("an array of objects that does not fit its shape")
    values = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):
        values[i] = item
    return values.reshape(shape, order=order)


def _array(state: Any) -> NDArray[Any]:
    """An array from its state: version, shape, dtype, whether in Fortran's order, content."""
    if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _DType):
        raise pickle.UnpicklingError("an array without a state")
    _, shape, dtype, fortran, content = state
    order = "F" if fortran else "C"
    if dtype.dtype.hasobject:
        return _of_objects(content, shape, order)
    return _of_bytes(content, _numeric(dtype), shape, order)


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    return _of_bytes(raw, _numeric(dtype), (1,), "C")[0]


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    return _of_bytes(raw, _numeric(dtype), shape, order)


def _encoded(text: Any, encoding: str = "latin1") -> bytes:
    """Decode bytes as written by pickles of Python 2."""
    if not isinstance(text, str):
        raise pickle.UnpicklingError("bytes that are not text")
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
    ("numpy", "dtype"): _DType,
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

_CALLABLE = {id(function) for function in _PERMITTED.values()}


_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Modules renamed since Python 2."""


# ---------------------------------------------------------------------------------------- reader


class _Bounded:
    """A file that is read in pieces, so that no more memory is taken than it has bytes.

    Parameters
    ----------
    file : file
        The file, decompressed.
    most : int
        Bytes that it may have. Data do not compress that well; a file made to fill memory does.
    """

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file = file
        self._left = most

    def read(self, size: int) -> bytes:
        return bytes(self.take(size, exactly=False))

    def readline(self) -> bytes:
        line = self._file.readline(_PIECE)
        self._count(len(line))
        return line

    def take(self, size: int, exactly: bool = True) -> bytearray:
        data = bytearray()
        while len(data) < size:
            piece = self._file.read(min(_PIECE, size - len(data)))
            if not piece and exactly:
                raise EOFError(f"ends {size - len(data)} bytes early")
            if not piece:
                break
            self._count(len(piece))
            data += piece
        return data

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, at: int) -> None:
        self._file.seek(at)

    def _count(self, n: int) -> None:
        self._left -= n
        if self._left < 0:
            raise pickle.UnpicklingError("it decompresses to far more than data do")


class _Reader(pickle._Unpickler):
    """Python's unpickler without access to modules, and with support for joblib's arrays.

    It calls only what is permitted, sets the state only of what it made itself, and changes only
    its own lists, sets and dicts. It extends the pure Python unpickler, because the C one reads
    ahead into an array's bytes.
    """

    stack: list[Any]
    memo: dict[int, Any]

    def __init__(self, file: _Bounded, path: Path, mapped: Path | None) -> None:
        super().__init__(cast(Any, file))
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

    # ------------------------------------------------------------------------------------- calls

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], arguments, {})

    def load_newobj(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], arguments, {})

    def load_newobj_ex(self) -> None:
        options = self.stack.pop()
        arguments = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], arguments, options)

    def _instantiate(self, function: Any, arguments: Any) -> None:
        self.append(self._call(function, tuple(arguments), {}))  # type: ignore[attr-defined]

    def _call(self, function: Any, arguments: Any, options: Any) -> Any:
        if id(function) not in _CALLABLE:
            raise pickle.UnpicklingError("a call of what is not a function")
        if not isinstance(arguments, tuple) or options != {}:
            raise pickle.UnpicklingError("a call with arguments that cannot be right")
        return function(*arguments)

    # ------------------------------------------------------------------------------------ states

    def load_build(self) -> None:
        """Set the state of an object; replace what stands for an array by the array."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, _StoredArray):
            self.stack[-1] = self._read_array(state)
        elif isinstance(target, _Array):
            self.stack[-1] = _array(state)
            for number in reversed(self.memo):  # later references are to the array
                if self.memo[number] is target:
                    self.memo[number] = self.stack[-1]
                    break
        elif isinstance(target, _DType):
            target.set_state(state)
        elif isinstance(target, Record) and isinstance(state, dict):
            target.__dict__.update({str(name): value for name, value in state.items()})
        else:
            raise pickle.UnpicklingError(f"a state of {type(target).__name__}")

    def _read_array(self, state: Any) -> NDArray[Any]:
        shape, order = _shape(tuple(map(int, state["shape"]))), state["order"]
        dtype = state["dtype"]
        if not isinstance(dtype, _DType) or order not in ("C", "F"):
            raise pickle.UnpicklingError(f"an array of {dtype!r:.40} {shape}")
        if dtype.dtype.hasobject:
            return cast(NDArray[Any], _Reader(self._bytes, self._path, self._mapped).load())
        if state.get("numpy_array_alignment_bytes") is not None:
            self._bytes.take(self._bytes.take(1)[0])
        size = math.prod(shape) * _numeric(dtype).itemsize
        if self._mapped is None or not size:
            return _of_bytes(self._bytes.take(size), dtype.dtype, shape, order)
        at = self._bytes.tell()
        if at + size > self._mapped.stat().st_size:
            raise EOFError(f"ends within an array of {dtype.dtype} {shape}")
        self._bytes.seek(at + size)
        return _valid_text(
            np.memmap(self._mapped, dtype.dtype, mode="r", offset=at, shape=shape, order=order)
        )

    # -------------------------------------------------------------------------------- containers

    def load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
        self.append(bytearray(self.read(size)))  # type: ignore[attr-defined]


def _changing(load: Callable[[Any], None], kinds: tuple[type, ...], marked: bool) -> Any:
    """An opcode that changes a container, for containers of these kinds alone."""

    def checked(reader: Any) -> None:
        stack = reader.metastack[-1] if marked else reader.stack
        target = stack[-1] if marked else stack[-2 if list in kinds else -3]
        if type(target) not in kinds:
            raise pickle.UnpicklingError(f"items for {type(target).__name__}")
        load(reader)

    return checked


_BASE: dict[int, Any] = pickle._Unpickler.dispatch
_DICTS = (dict, OrderedDict)
_Reader.dispatch = cast(
    Any,
    {
        **_BASE,
        pickle.REDUCE[0]: _Reader.load_reduce,
        pickle.NEWOBJ[0]: _Reader.load_newobj,
        pickle.NEWOBJ_EX[0]: _Reader.load_newobj_ex,
        pickle.BUILD[0]: _Reader.load_build,
        pickle.BYTEARRAY8[0]: _Reader.load_bytearray8,
        pickle.APPEND[0]: _changing(_BASE[pickle.APPEND[0]], (list,), marked=False),
        pickle.APPENDS[0]: _changing(_BASE[pickle.APPENDS[0]], (list,), marked=True),
        pickle.SETITEM[0]: _changing(_BASE[pickle.SETITEM[0]], _DICTS, marked=False),
        pickle.SETITEMS[0]: _changing(_BASE[pickle.SETITEMS[0]], _DICTS, marked=True),
        pickle.ADDITEMS[0]: _changing(_BASE[pickle.ADDITEMS[0]], (set,), marked=True),
    },
)


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
