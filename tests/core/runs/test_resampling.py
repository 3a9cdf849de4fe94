"""States resampled block by block are those resampled whole, also after an interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from voxelzoo.api import StateBlock
from voxelzoo.runs import resampling
from voxelzoo.runs.resampling import CHECKPOINT, Resampling, workplace


@pytest.fixture
def weights() -> scipy.sparse.csc_array:
    """(TR, time): each scan sees the states of a window, some scans none, some states no scan."""
    times, scans = np.arange(40) * 0.5, np.arange(12) * 2.0 + 1
    near = np.abs(times - scans[:, None])
    return scipy.sparse.csc_array(np.where(near < 1.6, 1.6 - near, 0.0))


@pytest.fixture
def states() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 40, 5)).astype(np.float32)


def add(work: Resampling, states: np.ndarray, size: int, stop: int | None = None) -> None:
    """Add the states that are still missing, in blocks of ``size``."""
    stop = states.shape[1] if stop is None else stop
    for first in range(work.done, stop, size):
        work.add(StateBlock(first, states[:, first : min(first + size, stop)]))


@pytest.mark.parametrize("size", [1, 7, 40])
def test_any_block_size_gives_the_whole_product(
    tmp_path: Path, weights: scipy.sparse.csc_array, states: np.ndarray, size: int
) -> None:
    work = Resampling(tmp_path, weights, n_layers=2, keep_states=True)
    add(work, states, size)
    for layer in range(2):
        np.testing.assert_allclose(work.aligned(layer), weights @ states[layer], atol=1e-5)
        np.testing.assert_array_equal(work.states(layer), states[layer])
    assert np.all(work.aligned(0)[11] == 0)


def test_an_interrupted_work_continues_at_its_checkpoint(
    tmp_path: Path,
    weights: scipy.sparse.csc_array,
    states: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resampling, "CHECKPOINT_SECONDS", 0.0)
    add(Resampling(tmp_path, weights, n_layers=2), states, 6, stop=24)
    work = Resampling(tmp_path, weights, n_layers=2)
    assert work.done == 24
    add(work, states, 5)
    np.testing.assert_allclose(work.aligned(1), weights @ states[1], atol=1e-5)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", None])
def test_a_damaged_checkpoint_begins_anew(
    tmp_path: Path,
    weights: scipy.sparse.csc_array,
    states: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    damage: bytes | None,
) -> None:
    monkeypatch.setattr(resampling, "CHECKPOINT_SECONDS", 0.0)
    add(Resampling(tmp_path, weights, n_layers=2), states + 9, 6, stop=24)
    checkpoint = tmp_path / CHECKPOINT
    checkpoint.write_bytes(checkpoint.read_bytes()[:40] if damage is None else damage)
    work = Resampling(tmp_path, weights, n_layers=2)
    assert work.done == 0
    add(work, states, 8)
    np.testing.assert_allclose(work.aligned(0), weights @ states[0], atol=1e-5)


def interrupt(root: Path, key: str, *files: str) -> None:
    """Begin a piece of work, write these files, and be interrupted."""
    with workplace(root, key) as folder:
        for name in files:
            (folder / name).write_bytes(b"rows")
        raise KeyboardInterrupt


def test_a_workplace_is_kept_only_while_there_is_something_to_continue(tmp_path: Path) -> None:
    with workplace(tmp_path, "a") as folder:
        (folder / "aligned").write_bytes(b"rows")
    assert not folder.exists()
    for key, files in (("b", ["aligned", CHECKPOINT]), ("c", ["aligned"])):
        with pytest.raises(KeyboardInterrupt):
            interrupt(tmp_path, key, *files)
        assert (folder.parent / key).exists() == (CHECKPOINT in files)


def test_two_workers_do_not_share_a_workplace(tmp_path: Path) -> None:
    with workplace(tmp_path, "a") as first, workplace(tmp_path, "a") as second:
        assert first != second
        assert first.is_dir()
        assert second.is_dir()
