from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from regression_data import ALPHAS, SHAPES, problem
from voxelzoo_regressors import DecompositionCache, Ridge, cache, shared_cache
from voxelzoo_regressors.decomposition import Decomposition
from voxelzoo_regressors.design import Design


@pytest.fixture(autouse=True)
def _empty_shared_cache() -> Iterator[None]:
    shared_cache.clear()
    yield
    shared_cache.clear()


@pytest.fixture
def decomposed(monkeypatch: pytest.MonkeyPatch) -> list[Design]:
    """Designs that were decomposed, not taken from a cache."""
    designs: list[Design] = []
    real = cache.decompose

    def recorded(design: Design, intercept: bool) -> Decomposition:
        designs.append(design)
        return real(design, intercept)

    monkeypatch.setattr(cache, "decompose", recorded)
    return designs


def design(seed: int, n: int = 40, p: int = 10) -> Design:
    X = torch.tensor(np.random.default_rng(seed).standard_normal((n, p)))
    return Design(X, [slice(0, n)])


def test_the_second_subject_needs_no_decomposition(decomposed: list[Design]) -> None:
    X, Y, groups = problem(120, 30)
    Ridge(ALPHAS).fit(X, Y, groups=groups)
    Ridge(ALPHAS[:4], scoring="r2").fit(X, Y[:, ::-1], groups=groups)
    assert len(decomposed) == 1
    Ridge(ALPHAS).fit(X + 1e-9, Y, groups=groups)
    assert len(decomposed) == 2
    Ridge(ALPHAS, fit_intercept=False).fit(X, Y, groups=groups)
    assert len(decomposed) == 3


def test_a_fit_without_cache_leaves_nothing_in_memory() -> None:
    X, Y, groups = problem(120, 30)
    expected = Ridge(ALPHAS).fit(X, Y, groups=groups).predict(X)
    shared_cache.clear()
    model = Ridge(ALPHAS, cache=False).fit(X, Y, groups=groups)
    assert len(shared_cache) == 0
    np.testing.assert_array_equal(model.predict(X), expected)


def test_the_least_recently_used_are_dropped_above_the_limit(decomposed: list[Design]) -> None:
    size = cache.decompose(design(0), True).n_bytes
    kept = DecompositionCache(max_bytes=2 * size)
    decomposed.clear()
    for seed in (0, 1, 0, 2):
        kept.decomposition(design(seed))
    assert len(kept) == 2
    assert kept.n_bytes == 2 * size
    assert len(decomposed) == 3
    kept.decomposition(design(0))  # used more recently than 1
    assert len(decomposed) == 3
    kept.decomposition(design(1))
    assert len(decomposed) == 4


def test_the_newest_is_kept_even_if_it_is_larger_than_the_limit(decomposed: list[Design]) -> None:
    kept = DecompositionCache(max_bytes=1)
    kept.decomposition(design(0))
    kept.decomposition(design(0))
    assert len(decomposed) == 1
    kept.decomposition(design(1))
    assert len(kept) == 1


def test_with_a_limit_of_zero_nothing_is_kept(decomposed: list[Design]) -> None:
    kept = DecompositionCache(max_bytes=0)
    kept.decomposition(design(0))
    kept.decomposition(design(0))
    assert (len(decomposed), len(kept), kept.n_bytes) == (2, 0, 0)


def test_clearing_frees_the_memory() -> None:
    kept = DecompositionCache()
    kept.decomposition(design(0))
    assert kept.n_bytes > 0
    kept.clear()
    assert (len(kept), kept.n_bytes) == (0, 0)


def test_threads_that_ask_at_once_share_one_decomposition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, calls, ready = DecompositionCache(), [], threading.Barrier(4)
    real: Callable[..., Decomposition] = cache.decompose

    def slow(design: Design, intercept: bool) -> Decomposition:
        calls.append(design)
        threading.Event().wait(0.05)  # so that the others ask meanwhile
        return real(design, intercept)

    monkeypatch.setattr(cache, "decompose", slow)

    def ask(seed: int) -> Decomposition:
        ready.wait()
        return kept.decomposition(design(seed))

    with ThreadPoolExecutor(4) as pool:
        first, second, third, other = pool.map(ask, [0, 0, 0, 1])
    assert first is second is third
    assert other is not first
    assert len(calls) == 2


def test_an_error_leaves_the_cache_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = DecompositionCache()
    real = cache.decompose

    def failing(design: Design, intercept: bool) -> Decomposition:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(cache, "decompose", failing)
    with pytest.raises(torch.OutOfMemoryError):
        kept.decomposition(design(0))
    monkeypatch.setattr(cache, "decompose", real)
    assert kept.decomposition(design(0)).path == "primal"


@pytest.mark.parametrize("shape", SHAPES)
def test_the_next_run_takes_the_decomposition_from_the_folder(
    tmp_path: Path, decomposed: list[Design], shape: tuple[int, int]
) -> None:
    X, Y, groups = problem(*shape)
    first = Ridge(ALPHAS, cache=tmp_path / "kept").fit(X, Y, groups=groups)
    shared_cache.clear()  # as in another process
    decomposed.clear()
    again = Ridge(ALPHAS, cache=str(tmp_path / "kept")).fit(X, Y, groups=groups)
    assert not decomposed
    np.testing.assert_array_equal(again.predict(X), first.predict(X))
    shared_cache.clear()
    Ridge(ALPHAS, cache=tmp_path / "kept", delays=[1]).fit(X, Y, groups=groups)
    assert len(decomposed) == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "a folder"])
def test_a_damaged_file_is_reported_and_written_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    X, Y, groups = problem(120, 30)
    first = Ridge(ALPHAS, cache=tmp_path).fit(X, Y, groups=groups)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.unlink()
    if damage == "a folder":
        file.mkdir()
    else:
        flipped = whole[:900] + bytes([whole[900] ^ 1]) + whole[901:]
        file.write_bytes({"cut": whole[:2000], "flipped": flipped, "emptied": b""}[damage])
    shared_cache.clear()
    with caplog.at_level(logging.WARNING, "voxelzoo.ridge"):
        again = Ridge(ALPHAS, cache=tmp_path).fit(X, Y, groups=groups)
    assert f"{file} is unreadable" in caplog.text
    np.testing.assert_array_equal(again.predict(X), first.predict(X))
    if damage != "a folder":
        assert file.read_bytes() == whole


def test_cache_write_failure_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    X, Y, groups = problem(120, 30)
    expected = Ridge(ALPHAS).fit(X, Y, groups=groups).predict(X)
    (tmp_path / "file").touch()
    shared_cache.clear()
    with caplog.at_level(logging.WARNING, "voxelzoo.ridge"):
        model = Ridge(ALPHAS, cache=tmp_path / "file").fit(X, Y, groups=groups)
    np.testing.assert_array_equal(model.predict(X), expected)
    assert "cannot save the decomposition" in caplog.text
