"""Where weights are looked for, and what is said when they are not there."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from shared_data import SHARED, needs_shared
from text_models import all_states, request_for, story_of, tiny_row
from voxelzoo.api import (
    MissingError,
    ModelEntry,
    PluginError,
    UsageError,
    local_snapshot,
    weights_location,
)
from voxelzoo_llama.extractor import LlamaExtractor
from voxelzoo_transformers.checkpoints import checkpoint_folder
from voxelzoo_transformers.configuration import load_config, source_fingerprint

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def row(**fields: object) -> ModelEntry:
    return ModelEntry(  # type: ignore[arg-type]
        **{"name": "acme-1b", "plugin": "opt", "modality": "text", "repo": "acme/acme-1b", **fields}
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("voxelzoo_transformers.checkpoints.hub_answers", lambda: False)
    return tmp_path


def cached(cache: Path, *files: str, main: bool = True) -> Path:
    """A snapshot of acme/acme-1b with these files, as the hub's client lays it out."""
    home = cache / "models--acme--acme-1b"
    snapshot = home / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    if main:
        (home / "refs").mkdir()
        (home / "refs" / "main").write_text(COMMIT)
    for name in files:
        (snapshot / name).write_text("{}")
    return snapshot


def test_missing_weights_are_named_with_where_and_how_in_one_line(cache: Path) -> None:
    with pytest.raises(MissingError) as raised:
        checkpoint_folder(request_for(row(revision=COMMIT), untrained=False))
    message = str(raised.value)
    assert "\n" not in message
    assert "model.safetensors" in message
    assert str(cache) in message
    assert f"hf download acme/acme-1b --revision {COMMIT}" in message
    assert "--untrained" in message


def test_a_model_that_was_never_published_says_so(cache: Path) -> None:
    with pytest.raises(MissingError, match="not published"):
        checkpoint_folder(request_for(row(repo=None), untrained=False))


def test_a_hub_that_does_not_answer_is_given_up_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants

    from voxelzoo_transformers.checkpoints import hub_answers

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("voxelzoo_transformers.checkpoints.getproxies", dict)
    hub_answers.cache_clear()
    started = time.monotonic()
    assert not hub_answers()
    assert time.monotonic() - started < 5
    hub_answers.cache_clear()


def test_a_cached_snapshot_is_found_and_its_commit_is_the_key(cache: Path) -> None:
    snapshot = cached(cache, "config.json", "model.safetensors")
    assert weights_location(row()) == snapshot
    assert weights_location(row(revision=COMMIT)) == snapshot
    assert weights_location(row(revision="f" * 40)) is None
    assert source_fingerprint(request_for(row(), untrained=False)) == {"commit": COMMIT}


def test_a_branch_is_keyed_by_the_commit_that_it_points_to(cache: Path) -> None:
    """Training steps are branches, and branches move."""
    snapshot = cached(cache, "config.json", "model.safetensors", main=False)
    (snapshot.parents[1] / "refs").mkdir(exist_ok=True)
    (snapshot.parents[1] / "refs" / "step1000").write_text(COMMIT)
    assert weights_location(row(revision="step1000")) == snapshot
    request = request_for(row(revision="step1000"), untrained=False)
    assert source_fingerprint(request) == {"commit": COMMIT}


def test_a_snapshot_that_no_branch_points_to_is_found_by_its_commit_alone(cache: Path) -> None:
    snapshot = cached(cache, "model.safetensors", main=False)
    assert local_snapshot("acme/acme-1b") is None
    assert weights_location(row(revision=COMMIT)) == snapshot


def test_shards_count_only_when_all_are_there(cache: Path) -> None:
    snapshot = cached(cache, "config.json", "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    assert weights_location(row()) is None
    (snapshot / "model-2.safetensors").write_text("")
    assert weights_location(row()) == snapshot


def test_a_pickle_is_loaded_only_with_leave(cache: Path) -> None:
    snapshot = cached(cache, "config.json", "pytorch_model.bin")
    assert weights_location(row()) is None
    pickled = row(weights_format="pickle")
    assert weights_location(pickled) == snapshot
    with pytest.raises(UsageError, match="--allow-pickle"):
        checkpoint_folder(request_for(pickled, untrained=False))
    (snapshot / "model.safetensors").write_text("")  # preferred where there is one
    assert checkpoint_folder(request_for(pickled, untrained=False)) == snapshot


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"hidden_size": 8}, "no model_type"),
        ({"model_type": "never-heard-of"}, "cannot be used"),
        ({"model_type": "opt", "num_hidden_layers": "many"}, "cannot be used"),
    ],
)
def test_an_architecture_that_makes_no_sense_is_refused(
    architecture: dict[str, object], message: str
) -> None:
    with pytest.raises(PluginError, match=message):
        load_config(request_for(row(architecture=architecture)))


def test_a_row_without_architecture_or_config_cannot_be_built_untrained(cache: Path) -> None:
    with pytest.raises(MissingError, match="add 'architecture' to the row"):
        load_config(request_for(row()))


def test_an_untrained_networks_key_is_its_configuration() -> None:
    first = source_fingerprint(request_for(tiny_row("opt")))
    assert first == source_fingerprint(request_for(tiny_row("opt")))
    assert first != source_fingerprint(request_for(tiny_row("opt", ffn_dim=65)))


STORIES260K = SHARED / "models/stories260K"


def states(model: ModelEntry, allow_pickle: bool = False) -> NDArray[np.float32]:
    request = replace(request_for(model, untrained=False), allow_pickle=allow_pickle)
    return all_states(LlamaExtractor(request), story_of("once upon a time there was a girl"))


@needs_shared
def test_a_cached_pickled_or_sharded_checkpoint_gives_the_states_of_the_plain_one(
    cache: Path,
) -> None:
    """The same network from a folder, from the hub's cache, from a pickle and from shards."""
    plain = states(row(plugin="llama", repo=str(STORIES260K)))

    snapshot = cached(cache)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        shutil.copyfile(STORIES260K / name, snapshot / name)
    np.testing.assert_array_equal(states(row(plugin="llama")), plain)

    weights = load_file(snapshot / "model.safetensors")
    (snapshot / "model.safetensors").unlink()
    torch.save(weights, snapshot / "pytorch_model.bin")
    pickled = row(plugin="llama", weights_format="pickle")
    np.testing.assert_array_equal(states(pickled, allow_pickle=True), plain)
    with pytest.raises(UsageError, match="--allow-pickle"):
        states(pickled)
    (snapshot / "pytorch_model.bin").unlink()

    shards: dict[str, dict[str, torch.Tensor]] = {"one.safetensors": {}, "two.safetensors": {}}
    where = {}
    for i, (name, tensor) in enumerate(weights.items()):
        where[name] = list(shards)[i % 2]
        shards[where[name]][name] = tensor
    for file, tensors in shards.items():
        save_file(tensors, snapshot / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": where}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    np.testing.assert_array_equal(states(row(plugin="llama")), plain)


@needs_shared
def test_half_precision_is_near_and_is_loaded_as_asked() -> None:
    model = row(plugin="llama", repo=str(STORIES260K))
    extractor = LlamaExtractor(request_for(model, untrained=False, dtype="bfloat16"))
    story = story_of("once upon a time there was a girl")
    half, whole = all_states(extractor, story), states(model)
    assert extractor.load().model.dtype == torch.bfloat16
    assert half.dtype == np.float32
    error = np.linalg.norm(half - whole, axis=-1) / np.linalg.norm(whole, axis=-1)
    assert 1e-5 < error.max() < 0.1
