"""Responses that are laid on disk give what those held in memory give."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxelzoo.api import DatasetInfo, ZooError
from voxelzoo.data import responses as responses_module
from voxelzoo.data.responses import ResponseCache, read_responses
from voxelzoo.disk.drafts import Draft
from voxelzoo.science import voxel_arrays
from voxelzoo.science.design import DesignSpec
from voxelzoo.science.evaluation import evaluate
from voxelzoo.science.protocols import CLEAN
from voxelzoo.science.scores import Scores
from voxelzoo.science.splits import ContiguousFolds, Evaluation, HeldOutStories
from voxelzoo.science.voxel_arrays import select, stack_responses
from voxelzoo.store.layout import result_arrays
from voxelzoo.store.store import Store
from voxelzoo_regressors import BandedRidge, BootstrapRidge, Ridge, Stacking, VariancePartition
from zoo_cli import Zoo

OVERLAY = """
schema_version: 1
models:
  one: &mini
    plugin: opt
    modality: text
    n_parameters: 12345
    n_layers: 1
    embed_dim: 32
    architecture:
      model_type: opt
      num_hidden_layers: 1
      hidden_size: 32
      word_embed_proj_dim: 32
      ffn_dim: 64
      num_attention_heads: 4
      vocab_size: 320
  two: *mini
"""


class Told:
    """A dataset of the responses it is told, that counts how often each story is read."""

    def __init__(self, responses: Mapping[str, Any]) -> None:
        self.told = responses
        self.reads: Counter[str] = Counter()

    def info(self) -> DatasetInfo:
        return DatasetInfo("told", "told")

    def responses(self, subject: str, story: str) -> Any:
        self.reads[f"{subject} {story}"] += 1
        return self.told[story]


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is held, and few voxels are read at once."""
    monkeypatch.setattr(responses_module, "HELD_BYTES", 0)
    monkeypatch.setattr(voxel_arrays, "BLOCK_BYTES", 2000)


def problem() -> tuple[dict[str, Any], dict[str, Any]]:
    """States (TR, unit) and responses of four stories; one voxel constant, one with a NaN."""
    random = np.random.default_rng(0)
    lengths = {"a": 60, "b": 50, "c": 70, "test": 40}
    states = {name: random.normal(size=(n, 5)).astype("f4") for name, n in lengths.items()}
    truth = random.normal(size=(5, 11))
    told = {}
    for name, n in lengths.items():
        shape = (3, n, 11) if name == "test" else (n, 11)
        heard = np.roll(states[name], 1, axis=0) @ truth
        told[name] = (heard + 2 * random.normal(size=shape)).astype("f4")
        told[name][..., 4] = 1.0
    told["b"][7, 6] = np.nan
    return states, told


class Plain:
    """A regressor that knows arrays alone."""

    def fit(self, X: Any, Y: Any, groups: Any = None) -> Plain:
        assert type(Y) is np.ndarray
        self._weights = np.linalg.lstsq(X, Y, rcond=None)[0]
        return self

    def predict(self, X: Any) -> Any:
        return X @ self._weights


STORIES = HeldOutStories(("a", "b", "c"), ("test",))


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize(
    ("evaluation", "make", "spaces"),
    [
        (STORIES, Ridge, None),
        (STORIES, Stacking, {"x": 2, "y": 3}),
        (STORIES, VariancePartition, {"x": 2, "y": 3}),
        (STORIES, lambda: BandedRidge(n_iter=2, voxel_block=3), {"x": 2, "y": 3}),
        (STORIES, BootstrapRidge, None),
        (STORIES, Plain, None),
        (ContiguousFolds("c", 3, 4), Ridge, None),
    ],
)
def test_on_disk_as_in_memory(
    evaluation: Evaluation, make: Any, spaces: Any, standardise: bool, tmp_path: Path,
    little_memory: None,
) -> None:  # fmt: skip
    states, told = problem()
    scores: list[Scores] = []
    for folder in (None, tmp_path):
        read = {
            name: read_responses(
                Told(told), "S1", name, len(states[name]), standardise, folder and folder / name
            )
            for name in evaluation.stories
        }
        fitting = DesignSpec(make, (1, 2), streams=make is not Plain, spaces=spaces)
        of_these = {name: states[name] for name in evaluation.stories}
        scores.append(evaluate(evaluation, CLEAN, fitting, of_these, read))
    held, laid = scores
    arrays = [result_arrays(each, predictions=True) for each in (held, laid)]
    assert set(arrays[0]) == set(arrays[1])
    assert any(name.endswith("/prediction") for name in arrays[0])
    for name in arrays[0]:
        in_memory, on_disk = (each[name] for each in arrays)
        np.testing.assert_allclose(
            on_disk() if callable(on_disk) else on_disk,
            in_memory() if callable(in_memory) else in_memory,
            rtol=1e-3, atol=1e-4, err_msg=name,
        )  # fmt: skip
    undefined = np.isnan(laid.r)
    assert undefined[4]
    assert undefined[6] == isinstance(evaluation, HeldOutStories)
    assert undefined.sum() == 1 + undefined[6]


def test_rows_and_voxels_are_those_of_the_whole(tmp_path: Path, little_memory: None) -> None:
    states, told = problem()
    read = [
        read_responses(Told(told), "S1", name, len(states[name]), False, tmp_path / name)
        for name in "abc"
    ]
    whole = np.concatenate([told[name][3:] for name in "abc"])
    lazy = stack_responses([each.mean for each in read], skip=3)
    assert lazy.shape == whole.shape
    np.testing.assert_array_equal(lazy[...], whole)
    np.testing.assert_array_equal(np.asarray(lazy), whole)
    np.testing.assert_array_equal(lazy[:, 2:5], whole[:, 2:5])
    rows, voxels = np.array([0, 5, 90, 140]), np.array([1, 2, 7, 10])
    some = select(select(lazy, voxels=voxels), rows)
    np.testing.assert_array_equal(some[:, 1:], whole[np.ix_(rows, voxels[1:])])
    with pytest.raises(IndexError, match="sliced by voxel only"):
        lazy[3:5, 2:5]


def test_guards_see_the_same(tmp_path: Path, little_memory: None) -> None:
    states, told = problem()
    for name, each in states.items():
        held, laid = (
            read_responses(Told(told), "S1", name, len(each), True, folder)
            for folder in (None, tmp_path / name)
        )
        np.testing.assert_allclose(laid.trace.sample, held.trace.sample, atol=1e-6)
        np.testing.assert_allclose(
            laid.trace.lag1_autocorrelation, held.trace.lag1_autocorrelation, atol=1e-6
        )


@pytest.mark.parametrize("held_bytes", [0, 10**9])
def test_a_subject_is_read_once(
    held_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(responses_module, "HELD_BYTES", held_bytes)
    states, told = problem()
    dataset = Told(told)
    n_trs = {name: len(each) for name, each in states.items()}
    response_cache = ResponseCache(Draft(tmp_path / "store"))
    some = {name: n for name, n in n_trs.items() if name != "b"}
    for stories in (some, n_trs, some):  # another plan may train on other stories
        for subject in ("S1", "S2"):
            assert list(response_cache.take(dataset, subject, stories, True)) == list(stories)
    assert set(dataset.reads.values()) == {1}
    assert len(dataset.reads) == 8
    assert bool(list(tmp_path.iterdir())) == (held_bytes == 0)
    del response_cache
    gc.collect()
    assert not list(tmp_path.glob("store/.drafts/*"))


def test_a_full_disk_is_reported_and_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little_memory: None
) -> None:
    import zarr

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    states, told = problem()
    monkeypatch.setattr(zarr, "create_array", full)
    with pytest.raises(ZooError, match=r"No space left on device.*choose another"):
        ResponseCache(Draft(tmp_path / "store")).take(
            Told(told), "S1", {name: len(each) for name, each in states.items()}, True
        )
    gc.collect()
    assert not list(tmp_path.glob("store/.drafts/*"))


def run(zoo: Zoo, tmp_path: Path, store: str, *more: str) -> list[dict[str, Any]]:
    overlay = tmp_path / "models.yaml"
    overlay.write_text(OVERLAY)
    ended = zoo(
        "run", "-p", "one", "-p", "two", "--registry", overlay, "--untrained", "--layer", "1",
        "--store", tmp_path / store, "--keep", "predictions", "--json", "--quiet", *more,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    results: list[dict[str, Any]] = ended.json["results"]
    return results


@pytest.mark.parametrize("more", [[], ["--regressor", "stacking"]])
def test_a_run_that_streams_gives_the_same(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: Sequence[str]
) -> None:
    held = run(zoo, tmp_path, "held", *more)
    monkeypatch.setattr(responses_module, "HELD_BYTES", 0)
    monkeypatch.setattr(voxel_arrays, "BLOCK_BYTES", 100_000)
    laid = run(zoo, tmp_path, "laid", *more)
    assert [each["key"] for each in laid] == [each["key"] for each in held]
    for one, other in zip(held, laid, strict=True):
        kept, again = (
            Store(tmp_path / store).by_key("results", each["key"])
            for store, each in (("held", one), ("laid", other))
        )
        assert kept.arrays == again.arrays
        for name in kept.arrays:
            np.testing.assert_allclose(
                again.read(name), kept.read(name), rtol=1e-4, atol=1e-5, err_msg=name
            )
    gc.collect()
    assert not (tmp_path / "laid" / ".drafts").exists()
