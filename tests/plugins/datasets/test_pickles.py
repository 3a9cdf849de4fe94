"""Pickles are read as data: arrays and known classes come out, and nothing is ever called."""

from __future__ import annotations

import os
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from voxelzoo.api import DataError
from voxelzoo_datasets import pickles
from voxelzoo_datasets.pickles import read_pickle


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """The lab's modules, as they are importable where such files are written."""
    names = {"textgrid": ["TextGrid", "Tier"], "stimulus_utils": ["TRFile"]}
    made: dict[str, type] = {}
    monkeypatch.setitem(sys.modules, "ridge_utils", types.ModuleType("ridge_utils"))
    for module, classes in names.items():
        there = types.ModuleType(f"ridge_utils.{module}")
        for name in classes:
            made[name] = type(name, (), {"__module__": there.__name__})
            setattr(there, name, made[name])
        monkeypatch.setitem(sys.modules, there.__name__, there)
    return types.SimpleNamespace(**made)


CONTENT = {
    "float64": np.arange(12.0).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "big-endian": np.arange(5, dtype=">i4"),
    "empty": np.zeros((0, 3)),
    "scalar": np.float32(1.5),
    "none-dimensional": np.array(3),
    "text": np.array(["a", "bcd"]),
    "objects": np.array(["a", 1, None], dtype=object),
    "ordered": OrderedDict(a=1),
    "plain": [1, 2.5, "x", b"y", None, True, (1, 2)],
}


def same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected) or isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, expected)
    if isinstance(expected, np.ndarray):
        assert found.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3), "lz4"])
def test_joblib_files_are_read_in_each_compression(tmp_path: Path, compress: Any) -> None:
    if compress == "lz4":
        pytest.importorskip("lz4")
    file = tmp_path / "content.jbl"
    joblib.dump(CONTENT, file, compress=compress)
    found = read_pickle(file)
    assert list(found) == list(CONTENT)
    for name, expected in CONTENT.items():
        if name != "plain":
            same(found[name], expected)
    assert found["plain"] == CONTENT["plain"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles_are_read_in_each_protocol(tmp_path: Path, protocol: int) -> None:
    file = tmp_path / "content.pkl"
    content = {name: value for name, value in CONTENT.items() if name != "plain"}
    file.write_bytes(pickle.dumps(content, protocol=protocol))
    found = read_pickle(file)
    assert list(found) == list(content)
    for name, expected in content.items():
        same(found[name], expected)


def test_uncompressed_arrays_are_mapped_and_not_read(tmp_path: Path) -> None:
    joblib.dump({"a": np.arange(1000.0), "b": np.ones((2, 3))}, tmp_path / "a.jbl")
    found = read_pickle(tmp_path / "a.jbl")
    assert isinstance(found["a"], np.memmap)
    np.testing.assert_array_equal(found["b"], np.ones((2, 3)))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_known_classes_become_records(tmp_path: Path, published: Any, protocol: int) -> None:
    grid, tier = published.TextGrid(), published.Tier()
    grid.tiers, tier.nameid, tier.simple_transcript = [tier], "word", [("0", "1", "hi")]
    (tmp_path / "g.pkl").write_bytes(pickle.dumps({"s": grid}, protocol=protocol))
    found = read_pickle(tmp_path / "g.pkl")["s"]
    assert type(found) is pickles.TextGrid
    assert found.tiers[0].simple_transcript == [("0", "1", "hi")]


class Runs:
    """Whatever is named here is called by an unpickler that trusts the file."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self._reduced = (call, arguments)

    def __reduce__(self) -> Any:
        return self._reduced


@pytest.mark.parametrize("compress", [0, 3])
@pytest.mark.parametrize("nested", ["alone", "in a dict", "in an array of objects"])
def test_a_program_is_refused_and_not_run(tmp_path: Path, compress: int, nested: str) -> None:
    witness = tmp_path / "it ran"
    evil: Any = Runs(os.system, f"touch '{witness}'")
    if nested == "in a dict":
        evil = {"alpha": np.zeros((3, 2)), "beta": evil}
    elif nested == "in an array of objects":
        evil = {"alpha": np.array([evil, 1], dtype=object)}
    file = tmp_path / "evil.jbl"
    joblib.dump(evil, file, compress=compress)
    with pytest.raises(
        DataError, match=r"evil.jbl: contains (posix|nt).system, .* no code was run"
    ):
        read_pickle(file)
    assert not witness.exists()
    joblib.load(file)  # so that the test would see it run
    assert witness.exists()


@pytest.mark.parametrize(
    ("call", "arguments", "named"),
    [
        (eval, ("1",), "builtins.eval"),
        (getattr, ("x", "upper"), "builtins.getattr"),
        (np.load, ("x",), "numpy.load"),
        (os.path.join, ("a", "b"), "posixpath.join"),
        (pickle.loads, (b"N.",), "_pickle.loads"),
    ],
)
def test_each_class_that_is_not_known_is_named(
    tmp_path: Path, call: Callable[..., Any], arguments: tuple[Any, ...], named: str
) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Runs(call, *arguments)))
    with pytest.raises(
        DataError, match=rf"x.pkl: contains {named}, which is neither an array"
    ) as caught:
        read_pickle(tmp_path / "x.pkl")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "stream",
    [
        b"cnumpy\nndarray\n(I9\ntR.",  # an array class called rather than named
        b"ccopyreg\n_reconstructor\n(cbuiltins\nobject\ncbuiltins\nobject\nNtR.",
        b"cnumpy\ndtype\n(S'V8'\ntR.",
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'O'\ntRS'x'\ntR.",
        b"\x80\x02}(X\x01\x00\x00\x00a",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"",
        b"hello",
        b"x\x9c",
    ],
)
def test_a_crafted_or_damaged_file_is_one_line(tmp_path: Path, stream: bytes) -> None:
    (tmp_path / "x.jbl").write_bytes(stream)
    with pytest.raises(DataError, match=r"x\.jbl: ") as caught:
        read_pickle(tmp_path / "x.jbl")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compress", [0, 3])
def test_a_file_cut_anywhere_is_one_line(tmp_path: Path, compress: int) -> None:
    file = tmp_path / "x.jbl"
    joblib.dump({"alpha": np.arange(20.0).reshape(4, 5), "beta": [1, 2]}, file, compress=compress)
    whole = file.read_bytes()
    for length in (*range(0, len(whole), 7), len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"x\.jbl: "):
            read_pickle(file)


def test_a_byte_order_set_in_a_file_stays_in_the_file(tmp_path: Path) -> None:
    stream = b"cnumpy\ndtype\n(S'f8'\nI00\nI00\ntR(I3\nS'>'\nNNNI-1\nI-1\nI0\ntb."
    (tmp_path / "x.pkl").write_bytes(stream)
    read_pickle(tmp_path / "x.pkl")
    assert np.dtype("f8").isnative


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


_OBJECTS = _global("numpy", "dtype") + b"(S'O'\ntR"
_PLAIN_STATE = b"(I3\nS'|'\nNNNI-1\nI-1\nI0\ntb"  # clears the flag that says it holds objects
_POINTER = b"C\x08" + b"\x40" + b"\x41" * 7

STATES = {
    "a dtype of objects made plain, scalar": (
        _global("numpy.core.multiarray", "scalar") + b"(" + _OBJECTS + _PLAIN_STATE
        + _POINTER + b"tR."
    ),
    "a dtype of objects made plain, buffer": (
        _global("numpy.core.numeric", "_frombuffer")
        + b"(" + _POINTER + _OBJECTS + _PLAIN_STATE + b"(I1\ntS'C'\ntR."
    ),
    "a dtype of objects made plain, array": (
        _global("numpy.core.multiarray", "_reconstruct")
        + b"(" + _global("numpy", "ndarray") + b"(I0\ntS'b'\ntR"
        + b"(I1\n(I1\nt" + _OBJECTS + _PLAIN_STATE + b"I00\n" + _POINTER + b"tb."
    ),
    "a dtype made larger": (
        _global("numpy.core.multiarray", "scalar")
        + b"(" + _global("numpy", "dtype") + b"(S'f8'\ntR(I3\nS'<'\nNNNI999999\nI8\nI0\ntb"
        + b"C\x01A" + b"tR."
    ),
    "the state of a class": _global("ridge_utils.textgrid", "TextGrid") + b"}S'x'\nI1\nsb.",
    "the state of a function": _global("copyreg", "_reconstructor") + b"}S'x'\nI1\nsb.",
    "the state of a type": _global("builtins", "object") + b"}S'x'\nI1\nsb.",
    "slots of a record": (
        _global("ridge_utils.textgrid", "TextGrid") + b")\x81(N}S'__class__'\n"
        + _global("collections", "OrderedDict") + b"stb."
    ),
    "a call of an object": _global("ridge_utils.textgrid", "TextGrid") + b")\x81)R.",
    "a call of a text": b"S'x'\n)R.",
    "items for an array": (
        _global("numpy.core.numeric", "_frombuffer")
        + b"(" + _POINTER + _global("numpy", "dtype") + b"(S'f8'\ntR(I1\ntS'C'\ntRI0\nI1\ns."
    ),
    "items for a class": _global("ridge_utils.textgrid", "TextGrid") + b"I1\na.",
    "a text that is not Unicode": (
        _global("numpy.core.multiarray", "scalar")
        + b"(" + _global("numpy", "dtype") + b"(S'<U1'\ntRC\x04\xff\xff\xff\xfftR."
    ),
    "a huge array": (
        _global("numpy.core.numeric", "_frombuffer")
        + b"(C\x00" + _global("numpy", "dtype") + b"(S'f8'\ntR(I99999999999\ntS'C'\ntR."
    ),
    "a huge text": b"\x80\x04\x8e\xff\xff\xff\xff\xff\x00\x00\x00abc.",
    "a huge bytearray": b"\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00abc.",
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_states_and_sizes_that_cannot_be_right_are_refused(tmp_path: Path, name: str) -> None:
    """Some of these crash numpy's own reader: raw bytes would become pointers."""
    (tmp_path / "x.jbl").write_bytes(STATES[name])
    with pytest.raises(DataError, match=r"x\.jbl: "):
        read_pickle(tmp_path / "x.jbl")


@pytest.mark.parametrize("compress", [("zlib", 9), ("gzip", 9), ("xz", 6), ("bz2", 9)])
def test_a_file_that_decompresses_to_far_more_is_refused(
    tmp_path: Path, compress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickles, "_FREE", 1 << 20)
    for content in (np.zeros(10**6), b"\0" * 10**7):
        joblib.dump(content, tmp_path / "x.jbl", compress=compress)
        with pytest.raises(DataError, match="far more than data do"):
            read_pickle(tmp_path / "x.jbl")


def test_an_array_that_is_named_twice_is_read_twice(tmp_path: Path) -> None:
    array = np.arange(3.0)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": array, "b": [array, array]}))
    found = read_pickle(tmp_path / "x.pkl")
    for each in (found["a"], *found["b"]):
        np.testing.assert_array_equal(each, array)
