"""The store: content-addressed, atomic, checksummed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxelzoo.api import DataError, NotFoundError, ZooError
from voxelzoo.store import container
from voxelzoo.store.artefacts import (
    Artefact,
    ArtefactVersionError,
    DamagedArtefactError,
    artefact_key,
)
from voxelzoo.store.store import Store


def test_what_is_put_is_found_by_its_provenance_and_by_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path)
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    store.put("results", {"model": "a", "layer": 1}, {"r": values}, {"mean_r": 0.5})

    found = store.find("results", {"layer": 1, "model": "a"})
    assert found is not None
    np.testing.assert_array_equal(found.read("r"), values)
    assert found.summary == {"mean_r": 0.5}
    assert found.provenance == {"model": "a", "layer": 1}
    assert store.find("results", {"model": "a", "layer": 2}) is None
    assert store.find("states", {"model": "a", "layer": 1}) is None


def test_nan_survives_the_store(tmp_path: Path) -> None:
    values = np.array([1.0, np.nan, -np.inf], dtype=np.float32)
    artefact = Store(tmp_path).put("results", {"a": 1}, {"r": values})
    np.testing.assert_array_equal(artefact.read("r"), values)


def flip(path: Path, at: int) -> None:
    """Change one bit of a file."""
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1 << at % 8
    path.write_bytes(bytes(raw))


def put(store: Store, **more: Any) -> Artefact:
    """A small artefact with arrays of several shapes."""
    arrays = {"r": np.arange(5.0), "story/a%2Fb/prediction": np.ones((3, 2), np.float32)}
    return store.put("results", {"a": 1}, arrays | more, {"n": 1})


def test_every_changed_byte_is_noticed_and_none_that_is_read_is_wrong(tmp_path: Path) -> None:
    store = Store(tmp_path)
    artefact = put(store)
    whole = artefact.path.read_bytes()
    for at in range(len(whole)):
        flip(artefact.path, at)
        with pytest.raises(DamagedArtefactError):
            Artefact(artefact.path).check()
        try:
            read = Artefact(artefact.path)
            assert read.summary == {"n": 1}
            np.testing.assert_array_equal(read.read("r"), np.arange(5.0))
        except (DataError, NotFoundError):
            pass  # a name, a number or a checksum that cannot be right
        artefact.path.write_bytes(whole)
    Artefact(artefact.path).check()


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_file_cut_short_or_grown_is_noticed(tmp_path: Path, kept: int) -> None:
    artefact = put(Store(tmp_path))
    whole = artefact.path.read_bytes()
    artefact.path.write_bytes(whole[:kept])
    with pytest.raises(DamagedArtefactError):
        Artefact(artefact.path).check()
    artefact.path.write_bytes(whole + b"0")
    with pytest.raises(DamagedArtefactError):
        Artefact(artefact.path).check()


def test_an_artefact_under_another_key_is_noticed(tmp_path: Path) -> None:
    artefact = put(Store(tmp_path))
    moved = artefact.path.rename(artefact.path.with_stem("0" * 64))
    with pytest.raises(DamagedArtefactError, match="key of another"):
        Artefact(moved).check()


def test_what_is_damaged_is_moved_aside_and_can_be_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    artefact = put(store)
    flip(artefact.path, 60)
    lines: list[str] = []
    assert store.find_intact("results", {"a": 1}, lines.append) is None
    (line,) = lines
    assert "damaged" in line
    assert str(artefact.path) in line
    assert len(list((tmp_path / ".quarantine").iterdir())) == 1
    assert list(store.all("results")) == []
    put(store)
    assert store.find_intact("results", {"a": 1}, lines.append) is not None
    assert len(lines) == 1


def test_a_put_replaces_what_is_damaged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    flip(put(store).path, 60)
    put(store).check()


def test_an_unknown_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxelzoo.store.store.ARTEFACT_VERSION", 7)
    artefact = put(Store(tmp_path))
    with pytest.raises(ArtefactVersionError, match=r"version 7 is unknown.*; upgrade voxelzoo"):
        _ = Artefact(artefact.path).summary


def test_folders_of_earlier_versions_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "results" / ("a" * 64)
    folder.mkdir(parents=True)
    (folder / "artefact.json").write_text("{}")
    with pytest.raises(DataError, match="earlier version of voxelzoo"):
        Store(tmp_path).results()


def test_an_artefact_is_one_file_that_numpy_reads(tmp_path: Path) -> None:
    store = Store(tmp_path)
    artefact = put(store, empty=np.ones((0, 3)), scalar=np.float64(2), label=np.uint8([1, 2]))
    assert list((tmp_path / "results").rglob("*")) == [artefact.path]
    with np.load(artefact.path) as arrays:
        np.testing.assert_array_equal(arrays["story/a%2Fb/prediction"], np.ones((3, 2)))
    for name in ("empty", "scalar", "label"):
        assert artefact.read(name).shape == {"empty": (0, 3), "scalar": (), "label": (2,)}[name]
    assert artefact.read("r").flags.writeable


def test_equal_artefacts_are_equal_files(tmp_path: Path) -> None:
    first, second = put(Store(tmp_path / "a")), put(Store(tmp_path / "b"))
    assert first.path.read_bytes() == second.path.read_bytes()


def test_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    """They would be pickles."""
    with pytest.raises(ValueError, match="Object arrays"):
        put(Store(tmp_path), objects=np.array([print, {}], dtype=object))


def test_a_killed_writer_leaves_no_artefact(tmp_path: Path) -> None:
    """kill -9 in the middle of a write: the artefact is not there, and can be made again."""
    script = f"""
import os, signal, numpy as np
from pathlib import Path
from voxelzoo.store.store import Store
def die():
    os.kill(os.getpid(), signal.SIGKILL)
Store(Path({str(tmp_path)!r})).put("results", {{"a": 1}}, {{"r": np.ones(3), "s": die}})
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == -signal.SIGKILL

    store = Store(tmp_path)
    assert store.find("results", {"a": 1}) is None
    assert list(store.all("results")) == []
    store.put("results", {"a": 1}, {"r": np.ones(3)})
    assert store.find("results", {"a": 1}) is not None


def test_the_first_of_two_equal_writers_wins(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.put("results", {"a": 1}, {"r": np.ones(3)}, {"n": 1})
    second = store.put("results", {"a": 1}, {"r": np.ones(3)}, {"n": 2})
    assert first.path == second.path
    assert second.summary == {"n": 1}
    assert not (tmp_path / ".drafts").exists()


def test_a_writer_that_keeps_less_takes_nothing_away(tmp_path: Path) -> None:
    """Two runs at once, of which one keeps predictions."""
    store = Store(tmp_path)
    put(store, kept=np.arange(4.0))
    artefact = store.put("results", {"a": 1}, {"r": np.ones(5)}, {"n": 2}, replace=True)
    artefact.check()
    assert artefact.summary == {"n": 2}
    np.testing.assert_array_equal(artefact.read("r"), np.ones(5))
    np.testing.assert_array_equal(artefact.read("kept"), np.arange(4.0))


def test_what_was_not_written_as_it_should_be_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = container.write

    def write_badly(path: Path, *rest: Any) -> list[str]:
        names = write(path, *rest)
        flip(path, path.read_bytes().index(np.arange(5.0).tobytes()) + 9)
        return names

    monkeypatch.setattr(container, "write", write_badly)
    store = Store(tmp_path)
    with pytest.raises(ZooError, match="was not written"):
        put(store)
    assert store.find("results", {"a": 1}) is None
    assert not (tmp_path / ".drafts").exists()


def test_a_key_may_be_shortened_while_it_is_unambiguous(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = store.put("results", {"a": 1}, {"r": np.ones(3)})
    store.put("results", {"a": 2}, {"r": np.ones(3)})
    assert store.by_key("results", made.key[:10]).key == made.key == artefact_key({"a": 1})
    with pytest.raises(NotFoundError, match="2 results"):
        store.by_key("results", "")


def test_a_store_below_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ZooError, match="--store"):
        Store(tmp_path / "file").put("results", {"a": 1}, {"r": np.ones(3)})


def test_a_file_that_is_replaced_while_it_is_checked_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may replace it between any two reads of it."""
    store = Store(tmp_path)
    artefact = put(store)
    digest = container._digest

    def replace_first(file: Any) -> bytes:
        monkeypatch.setattr(container, "_digest", digest)
        store.put("results", {"a": 1}, {"r": np.zeros(5)}, {"n": 2}, replace=True)
        return digest(file)

    monkeypatch.setattr(container, "_digest", replace_first)
    artefact.check()
