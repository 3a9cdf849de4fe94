"""Parameters, layers and width of a checkpoint, without loading it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel

from checkpoints import LLAMA, write_checkpoint
from shared_data import SHARED, needs_shared
from text_models import extractor_for, tiny_row
from voxelzoo.api import ModelEntry
from voxelzoo_transformers.describing import count_parameters

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama, head of its own": LLAMA,
    "llama, head shared": {**LLAMA, "tie_word_embeddings": True},
    "gpt2": {"model_type": "gpt2", "n_layer": 2, "n_embd": 16, "n_head": 2, "n_positions": 64},
    "gpt_neox": {**LLAMA, "model_type": "gpt_neox"},
    "gemma2": {**LLAMA, "model_type": "gemma2", "head_dim": 8},
    "mixtral": {**LLAMA, "model_type": "mixtral", "num_local_experts": 2},
}


def row(folder: Path, **fields: Any) -> ModelEntry:
    return ModelEntry(name="x", plugin="transformers", modality="text", repo=str(folder), **fields)


def described(folder: Path, untrained: bool = False, **options: str) -> ModelEntry:
    return extractor_for(row(folder), untrained=untrained, **options).describe_model()


def built(architecture: dict[str, Any], vocabulary: int) -> int:
    """Parameters of the network that states come from, counted on the network itself."""
    config = AutoConfig.for_model(**{**architecture, "vocab_size": vocabulary})
    return sum(each.numel() for each in AutoModel.from_config(config).parameters())


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_the_headers_give_the_networks_own_numbers(kind: str, tmp_path: Path) -> None:
    architecture = ARCHITECTURES[kind]
    vocabulary = write_checkpoint(tmp_path, ["<s>"], architecture=architecture)
    entry = described(tmp_path)
    assert entry.n_parameters == built(architecture, len(vocabulary))
    assert (entry.n_layers, entry.embed_dim) == (2, 16)
    surprisal = described(tmp_path, output="predictions")
    assert (surprisal.n_layers, surprisal.embed_dim) == (0, 2)
    assert surprisal.n_parameters == entry.n_parameters


def test_shards_masks_and_heads(tmp_path: Path) -> None:
    """Old GPT-2 and GPT-NeoX files hold causal masks; a head that is shared may be stored too."""
    first = {"wte.weight": torch.zeros(10, 4), "lm_head.weight": torch.zeros(10, 4)}
    second = {
        "h.0.attn.bias": torch.zeros(1, 1, 6, 6),
        "h.0.attn.masked_bias": torch.tensor(-1e4),
        "h.0.attention.bias": torch.zeros(1, 1, 6, 6, dtype=torch.bool),
        "h.0.rotary_emb.inv_freq": torch.zeros(2),
        "position_ids": torch.arange(6),
        "h.0.attn.c_attn.bias": torch.zeros(12),
        "h.0.mlp.weight": torch.zeros(4, 8, dtype=torch.float16),
    }
    save_file(first, tmp_path / "a.safetensors")
    save_file(second, tmp_path / "b.safetensors", metadata={"format": "pt"})
    assert count_parameters([tmp_path / "a.safetensors", tmp_path / "b.safetensors"]) == 40 + 44
    (tmp_path / "c.safetensors").write_bytes(b"\xff" * 16)
    assert count_parameters([tmp_path / "c.safetensors"]) is None


def test_what_cannot_be_read_from_headers_is_counted_on_the_network(tmp_path: Path) -> None:
    """Untrained, with a configuration alone; and quantised files, whose numbers are packed."""
    vocabulary = write_checkpoint(tmp_path, ["<s>"])
    config = json.loads((tmp_path / "config.json").read_text())
    expected = built(LLAMA, len(vocabulary))
    quantised = {**config, "quantization_config": {"quant_method": "gptq", "bits": 4}}
    (tmp_path / "config.json").write_text(json.dumps(quantised))
    assert described(tmp_path).n_parameters == expected
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").unlink()
    assert described(tmp_path, untrained=True).n_parameters == expected
    assert described(tmp_path).n_parameters is None  # trained, but there are no weights


def test_a_row_is_never_changed_where_it_states_a_figure() -> None:
    tiny = tiny_row("opt")
    entry = extractor_for(tiny).describe_model()
    assert (entry.n_layers, entry.embed_dim) == (tiny.n_layers, tiny.embed_dim)
    stated = ModelEntry(**{**vars(tiny), "n_parameters": 5, "n_layers": 7, "embed_dim": 9})
    assert extractor_for(stated).describe_model() == stated


@needs_shared
def test_a_published_checkpoint(tmp_path: Path) -> None:
    entry = described(SHARED / "models/stories260K")
    assert (entry.n_parameters, entry.n_layers, entry.embed_dim) == (260032, 5, 64)


def test_weights_have_a_digest_of_their_content(tmp_path: Path) -> None:
    def digest(folder: Path, untrained: bool = False) -> str | None:
        return extractor_for(row(folder), untrained=untrained).describe_weights()

    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_checkpoint(tmp_path / name, ["<s>"], seed=seed)
    assert (digest(tmp_path / "a") or "").startswith("sha256:")
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")
    assert digest(tmp_path / "a", untrained=True) is None
