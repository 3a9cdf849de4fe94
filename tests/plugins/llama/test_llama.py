"""LLaMA, by the trained stories260K: a real checkpoint, from a folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from shared_data import SHARED, needs_shared
from text_models import all_states, extractor_for, story_of
from voxelzoo.api import DataError, MissingError, ModelEntry

FOLDER = SHARED / "models/stories260K"


def row(folder: Path) -> ModelEntry:
    return ModelEntry(name="mine", plugin="llama", modality="text", repo=str(folder))


def trained(folder: Path):  # type: ignore[no-untyped-def]
    return extractor_for(row(folder), untrained=False)


@needs_shared
def test_a_trained_checkpoint_knows_english() -> None:
    """Trained on stories: "once upon a time" foretells better than its words shuffled.

    The network's own prediction of the last word, from the state before it, by its tied embedding.
    """
    extractor = trained(FOLDER)
    told = story_of("once upon a time there was a little girl named Lily")
    states = all_states(extractor, told)
    embedding = extractor.load().model.get_input_embeddings().weight.numpy()
    logits = states[-1] @ embedding.T
    ids = extractor.reading(told).ids
    last = extractor.reading(told).last
    follow = [ids[i + 1] for i in last[:-1]]
    ranks = [int((logits[i] > logits[i, token]).sum()) for i, token in enumerate(follow)]
    assert sorted(ranks)[len(ranks) // 2] < 10  # of 512; chance is 256


@needs_shared
def test_the_same_files_elsewhere_are_the_same_model_and_changed_ones_are_not(
    tmp_path: Path,
) -> None:
    shutil.copytree(FOLDER, tmp_path / "copy")
    copy = tmp_path / "copy"
    copy.chmod(0o755)
    for path in copy.iterdir():
        path.chmod(0o644)
    assert trained(copy).fingerprint() == trained(FOLDER).fingerprint()
    raw = bytearray((copy / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (copy / "model.safetensors").write_bytes(raw)
    assert trained(copy).fingerprint()["source"] != trained(FOLDER).fingerprint()["source"]


@needs_shared
def test_weights_that_are_missing_cut_short_or_of_another_network_are_reported_in_one_line(
    tmp_path: Path,
) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(FOLDER / name, tmp_path / name)
    with pytest.raises(MissingError, match=r"^mine: no model.safetensors .* in .*use --untrained$"):
        trained(tmp_path).fingerprint()

    whole = (FOLDER / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"^mine: the weights in .* cannot be loaded"):
        all_states(trained(tmp_path), story_of("once upon a time"))

    (tmp_path / "model.safetensors").write_bytes(whole)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('hidden_layers": 5', 'hidden_layers": 6'))
    with pytest.raises(DataError, match=r"9 tensors of LlamaModel are missing .* layers\.5\."):
        all_states(trained(tmp_path), story_of("once upon a time"))
