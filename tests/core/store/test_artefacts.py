"""The store: content-addressed, atomic, checksummed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from voxelzoo.api import DataError, NotFoundError, ZooError
from voxelzoo.store.artefacts import artefact_key, draft_path, remove_abandoned_drafts
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


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    artefact = Store(tmp_path).put("states", {"a": 1}, {"states": np.ones((5, 7), np.float32)})
    chunk = next(path for path in artefact.path.rglob("c/*/*") if path.is_file())
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    chunk.write_bytes(bytes(raw))
    with pytest.raises(DataError, match="damaged artefact"):
        artefact.read("states")


def test_a_killed_writer_leaves_no_artefact(tmp_path: Path) -> None:
    """kill -9 in the middle of a write: the artefact is not there, and can be made again."""
    script = f"""
import os, signal, zarr, numpy as np
from pathlib import Path
from voxelzoo.store.store import Store
make = zarr.Group.create_array
def die(self, *args, **kwargs):
    make(self, *args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
zarr.Group.create_array = die
Store(Path({str(tmp_path)!r})).put("results", {{"a": 1}}, {{"r": np.ones(3)}})
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == -signal.SIGKILL

    store = Store(tmp_path)
    assert store.find("results", {"a": 1}) is None
    assert list(store.all("results")) == []
    store.put("results", {"a": 1}, {"r": np.ones(3)})
    assert store.find("results", {"a": 1}) is not None


def test_what_a_killed_process_left_is_removed_and_no_more(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from voxelzoo.store.artefacts import draft_path\n"
        "(draft_path(Path(sys.argv[1])) / 'arrays').mkdir(parents=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    (left,) = (tmp_path / ".drafts").iterdir()
    ours = draft_path(tmp_path)
    elsewhere = ours.with_name(f"another-{ours.name}")
    for draft in (ours, elsewhere):
        draft.mkdir()
    remove_abandoned_drafts(tmp_path)
    assert not left.exists()
    assert ours.exists()
    assert elsewhere.exists()


def test_the_first_of_two_equal_writers_wins(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.put("results", {"a": 1}, {"r": np.ones(3)}, {"n": 1})
    second = store.put("results", {"a": 1}, {"r": np.ones(3)}, {"n": 2})
    assert first.path == second.path
    assert second.summary == {"n": 1}
    assert not any((tmp_path / ".drafts").iterdir())


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
