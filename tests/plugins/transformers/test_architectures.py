"""Every kind of causal network gives what one fresh context a word gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from text_models import (
    all_states,
    assert_same_states,
    babble,
    extractor_for,
    naive_states,
    request_for,
    story_of,
)
from voxelzoo.api import ModelEntry, PluginError

COMMON = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "vocab_size": 320,
}
GROUPED = {**COMMON, "num_key_value_heads": 2}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "pythia, rotary": {"model_type": "gpt_neox", **COMMON},
    "llama 3, grouped queries": {"model_type": "llama", **GROUPED, "rope_theta": 500000.0},
    "qwen 2.5": {"model_type": "qwen2", **GROUPED},
    "qwen 3": {"model_type": "qwen3", **GROUPED, "head_dim": 8},
    "mistral, sliding attention": {"model_type": "mistral", **GROUPED, "sliding_window": 6},
    "mixtral, experts": {"model_type": "mixtral", **GROUPED, "num_local_experts": 4},
    "qwen 3, experts": {
        "model_type": "qwen3_moe",
        **GROUPED,
        "head_dim": 8,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
    },
    "gemma 2, soft caps": {"model_type": "gemma2", **GROUPED, "head_dim": 8, "sliding_window": 6},
    "gemma 3": {"model_type": "gemma3_text", **GROUPED, "head_dim": 8, "sliding_window": 6},
    "olmo 2": {"model_type": "olmo2", **GROUPED},
    "bloom, alibi": {
        "model_type": "bloom",
        "n_layer": 2,
        "hidden_size": 32,
        "n_head": 4,
        "vocab_size": 320,
    },
    "mpt, alibi": {
        "model_type": "mpt",
        "n_layers": 2,
        "d_model": 32,
        "n_heads": 4,
        "vocab_size": 320,
        "expansion_ratio": 2,
    },
    "falcon, parallel": {"model_type": "falcon", **COMMON},
    "phi": {"model_type": "phi", **COMMON},
}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_states_equal_one_fresh_context_a_word(kind: str) -> None:
    row = ModelEntry(
        name="tiny", plugin="transformers", modality="text", architecture=ARCHITECTURES[kind]
    )
    words = babble(50)
    extractor = extractor_for(row, context="sawtooth:20:10", batch_tokens="45")
    found = all_states(extractor, story_of(words))
    assert np.abs(found[2] - found[1]).max() > 1e-3
    reading = extractor.reading(story_of(words))
    first = 2 if kind.startswith("bloom") else 1
    contexts = [
        [first, *reading.ids[start : last + 1].tolist()]
        for start, last in zip(reading.start, reading.last, strict=True)
    ]
    assert_same_states(found, naive_states(request_for(row), contexts))


def test_a_network_that_numbers_its_states_otherwise_is_refused() -> None:
    """Mamba's first hidden state is what its first block returns: layers would be off by one."""
    figures = {"model_type": "mamba", "num_hidden_layers": 2, "hidden_size": 32, "state_size": 4}
    row = ModelEntry(
        name="tiny",
        plugin="transformers",
        modality="text",
        architecture={**figures, "vocab_size": 320},
    )
    with pytest.raises(PluginError, match="layer 0 cannot be read"):
        all_states(extractor_for(row), story_of(babble(5)))
