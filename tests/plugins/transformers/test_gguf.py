"""GGUF files: a small one, written here, gives what the same network gives from safetensors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from text_models import (
    all_states,
    assert_same_states,
    extractor_for,
    naive_states,
    request_for,
    story_of,
)
from voxelzoo.api import DataError, MissingError, ModelEntry, UsageError, weights_location
from zoo_cli import Zoo

gguf = pytest.importorskip("gguf")

STORY = story_of("the cat sat on the mat and it sat again")
WIDTH, HEADS, INNER, LAYERS = 32, 4, 64, 2
SPECIAL = ["<|endoftext|>", "<|im_start|>"]
LETTERS = [*"abcdefghijklmnopqrstuvwxyz", "Ġ", "Ġt", "he", "Ġthe"]
MERGES = ["Ġ t", "h e", "Ġt he"]


def network() -> Any:
    """A LLaMA with random weights, whose head is that of its embeddings."""
    config = AutoConfig.for_model(
        "llama",
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        vocab_size=len(SPECIAL) + len(LETTERS),
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config)


def interleaved(weight: torch.Tensor) -> np.ndarray[Any, Any]:
    """Queries and keys as llama.cpp orders their rows: halves of a head in turn."""
    rows = weight.reshape(HEADS, 2, WIDTH // HEADS // 2, WIDTH)
    return rows.swapaxes(1, 2).reshape(weight.shape).numpy()


def write_gguf(path: Path, architecture: str = "llama") -> Path:
    """The network and a byte-level tokenizer as one file."""
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(SPECIAL) + len(LETTERS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*SPECIAL, *LETTERS])
    writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * len(LETTERS))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    blocks = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    weights = network().model.state_dict()
    writer.add_tensor("token_embd.weight", weights["embed_tokens.weight"].numpy())
    writer.add_tensor("output_norm.weight", weights["norm.weight"].numpy())
    for layer in range(LAYERS):
        for name, called in blocks.items():
            weight = weights[f"layers.{layer}.{name}.weight"]
            order = interleaved if called in ("attn_q", "attn_k") else torch.Tensor.numpy
            writer.add_tensor(f"blk.{layer}.{called}.weight", order(weight))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("weights") / "tale-20k.F32.gguf")


def row(file: Path, plugin: str = "transformers") -> ModelEntry:
    return ModelEntry(name="mine", plugin=plugin, modality="text", repo=str(file))


def trained(file: Path, plugin: str = "transformers", **options: Any) -> Any:
    return extractor_for(row(file, plugin), untrained=False, **options)


def test_a_file_gives_the_states_of_its_network(
    file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    extractor = trained(file)
    states = all_states(extractor, STORY)
    assert extractor.describe_first_token() == "<|im_start|>"
    ids = extractor.reading(STORY).ids.tolist()
    text = [*SPECIAL, *LETTERS]
    assert "".join(text[i] for i in ids).replace("Ġ", " ") == " ".join(STORY.need_words().text)

    network().save_pretrained(tmp_path)
    contexts = [[1, *ids[: last + 1]] for last in extractor.reading(STORY).last]
    wanted = naive_states(request_for(row(tmp_path), untrained=False), contexts)
    assert_same_states(states, wanted)
    np.testing.assert_array_equal(all_states(trained(file, "llama"), STORY), states)
    assert np.isfinite(all_states(trained(file, output="surprisal"), STORY)).all()
    assert "GGUF" not in capfd.readouterr().err  # no bar of transformers'


def test_a_file_is_a_full_member(file: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sum(each.numel() for each in network().model.parameters())
    shown = zoo("show", f"hf:{file}", "--json").json
    assert shown["model"]["name"] == "tale-20k.F32"
    assert shown["model"]["family"] == "tale"
    assert shown["first_token"] == "<|im_start|>"
    figures = [shown["model"][name] for name in ("n_parameters", "n_layers", "embed_dim")]
    assert figures == [expected, LAYERS, WIDTH]
    assert weights_location(row(file)) == file.parent
    monkeypatch.chdir(file.parent)
    assert zoo("show", f"hf:{file.name}", "--json").json["model"]["repo"] == str(file)


def test_a_file_is_keyed_by_its_content(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(file.read_bytes())
    assert trained(copy).fingerprint() == trained(file).fingerprint()
    changed = bytearray(file.read_bytes())
    changed[-1] ^= 1
    copy.write_bytes(changed)
    assert trained(copy).fingerprint()["source"] != trained(file).fingerprint()["source"]
    untrained = [extractor_for(row(each)).fingerprint()["source"] for each in (copy, file)]
    assert untrained[0] != untrained[1]


def test_what_is_wrong_with_a_file_is_one_line(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cut.gguf").write_bytes(file.read_bytes()[:300])
    (tmp_path / "text.gguf").write_text("hello")
    strange = write_gguf(tmp_path / "strange.gguf", "clip")
    for path in (tmp_path / "cut.gguf", tmp_path / "text.gguf", strange):
        with pytest.raises(DataError, match=rf"^mine: {path} cannot be used \([^\n]+\)$"):
            trained(path).fingerprint()
    with pytest.raises(MissingError, match=r"^mine: no none\.gguf of .*none\.gguf"):
        trained(tmp_path / "none.gguf").fingerprint()
    with pytest.raises(MissingError, match=r"hf download acme/tale tale\.gguf"):
        trained(Path("acme/tale/tale.gguf")).fingerprint()
    with pytest.raises(UsageError, match="quantize is not for GGUF files"):
        all_states(trained(file, quantize="8bit"), STORY)
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingError, match=r"needs the package gguf; run 'pip install voxelzoo\["):
        trained(file).fingerprint()
