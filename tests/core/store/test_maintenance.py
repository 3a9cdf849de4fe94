"""Damage in a store: ``zoo run`` computes it again, ``zoo store`` finds and removes it."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_folder import write_study
from result_records import make_record
from voxelzoo.store.store import Store
from zoo_cli import Zoo


def contents(store: Path) -> dict[str, bytes]:
    """Every artefact of a store."""
    return {
        f"{path.parent.name}/{path.name}": path.read_bytes()
        for kind in ("aligned", "results", "states")
        for path in (store / kind).glob("*")
    }


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1 << at % 8
    path.write_bytes(bytes(raw))


@pytest.fixture
def run(zoo: Zoo, tmp_path: Path) -> Any:
    study = write_study(tmp_path / "study", n_trs=40, n_voxels=3)
    return lambda *more: zoo(
        "run", "-p", "word-rate", "-p", "word-length", "--dataset", study, "--delays", "1",
        "--keep", "predictions,states", "--store", tmp_path / "store", *more,
    )  # fmt: skip


def test_a_run_computes_again_whatever_is_damaged(run: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert run("-q").code == 0
    whole = contents(store)
    assert len(whole) == 2 + 2 * 3 * 2
    rng = random.Random(0)
    for path in [*store.glob("aligned/*"), *store.glob("states/*"), *store.glob("results/*")]:
        flip(path, rng.randrange(path.stat().st_size))
    ended = run()
    assert ended.code == 0
    assert ended.err.count("moved aside and computed again") == len(whole)
    assert contents(store) == whole
    assert "damaged" not in run().err


def test_one_damaged_result_hides_no_other(run: Any, zoo: Zoo, tmp_path: Path) -> None:
    run("-q")
    damaged, whole = sorted((tmp_path / "store" / "results").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:100])
    ended = zoo("results", "list", "--store", tmp_path / "store")
    assert ended.code == 0
    assert whole.stem[:12] in ended.out
    assert "1 of 2 results are skipped" in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_verify_finds_every_damaged_file(run: Any, zoo: Zoo, tmp_path: Path) -> None:
    run("-q")
    call = ("store", "verify", "--store", tmp_path / "store")
    assert zoo(*call).code == 0
    paths = [*(tmp_path / "store").glob("results/*"), *(tmp_path / "store").glob("aligned/*")][1:4]
    for path in paths:
        flip(path, 45)
    ended = zoo(*call, "--json")
    assert ended.code == 6
    assert {each["key"] for each in ended.json["damaged"]} == {path.stem for path in paths}
    assert zoo("store", "prune", "--damaged", "--yes", "--store", tmp_path / "store").code == 0
    assert zoo(*call).code == 0
    assert not any(path.exists() for path in paths)


def put(store: Path, n: int, model: str, days: float, size: int = 10) -> Path:
    record = make_record(model=model, n_voxels=size).to_json()
    artefact = Store(store).put("results", {"n": n}, {"r": np.zeros(size)}, record)
    at = time.time() - 86400 * days
    os.utime(artefact.path, (at, at))
    return artefact.path


def test_prune_removes_what_was_asked_for_and_only_with_yes(zoo: Zoo, tmp_path: Path) -> None:
    old, new = put(tmp_path, 1, "a", days=40), put(tmp_path, 2, "a", days=1)
    other, large = put(tmp_path, 3, "b", days=40), put(tmp_path, 4, "a", days=40, size=2000)
    call = (
        "store", "prune", "--store", tmp_path, "--model", "a", "--older-than", "30d",
        "--larger-than", "10KB",
    )  # fmt: skip
    dry = zoo(*call)
    assert dry.code == 0
    assert "would remove 1 file" in dry.err
    assert large.exists()
    assert "removed 1 file" in zoo(*call, "--yes").err
    assert [path.exists() for path in (old, new, other, large)] == [True, True, True, False]
    assert zoo(*call[:-2], "--yes", "--json").json["n_bytes_freed"] > 0
    assert [path.exists() for path in (old, new, other)] == [False, True, True]


@pytest.mark.parametrize(
    "more", [(), ("--older-than", "30"), ("--older-than", "soon"), ("--larger-than", "-5MB")]
)
def test_prune_refuses_what_it_does_not_understand(
    zoo: Zoo, tmp_path: Path, more: tuple[str, ...]
) -> None:
    path = put(tmp_path, 1, "a", days=40)
    ended = zoo("store", "prune", "--store", tmp_path, "--yes", *more)
    assert ended.code == 2
    assert path.exists()


def test_damaged_files_are_listed_beside_the_others(zoo: Zoo, tmp_path: Path) -> None:
    put(tmp_path, 1, "a", days=1)
    put(tmp_path, 2, "b", days=1).write_text("")
    files = zoo("store", "list", "--store", tmp_path, "--json").json["files"]
    assert {(file["model"], file["problem"] is None) for file in files} == {
        ("a", True),
        (None, False),
    }
    assert zoo("store", "list", "--store", tmp_path, "--each").code == 0
    assert "results\ta\t1" in zoo("store", "list", "--store", tmp_path).out


def test_packed_files_are_smaller_and_read_as_before(run: Any, zoo: Zoo, tmp_path: Path) -> None:
    path = put(tmp_path / "store", 1, "a", days=40, size=5000)
    size, at = path.stat().st_size, path.stat().st_mtime
    call = ("store", "pack", "--store", tmp_path / "store")
    assert "would compress 1 file" in zoo(*call).err
    assert path.stat().st_size == size
    assert zoo(*call, "--yes").code == 0
    assert path.stat().st_size < size / 4
    assert path.stat().st_mtime == at
    (artefact,) = Store(tmp_path / "store").all("results")
    artefact.check()
    np.testing.assert_array_equal(artefact.read("r"), np.zeros(5000))
    flip(path, 60)
    assert zoo("store", "verify", "--store", tmp_path / "store").code == 6
