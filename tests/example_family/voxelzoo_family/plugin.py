"""Registers the two extractors; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import ExtractorSpec, hookimpl
from voxelzoo_transformers.api import TINY_WAVEFORM, speech_spec, text_spec

TINY_GEMMA = {
    "model_type": "gemma",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 320,
    "max_position_embeddings": 1024,
}


@hookimpl
def zoo_register_extractors() -> Iterator[ExtractorSpec]:
    """Gemma and UniSpeech."""
    yield text_spec(
        "gemma",
        "voxelzoo_family.extractor:GemmaExtractor",
        "Google's Gemma.",
        TINY_GEMMA,
        plugin="family",
    )
    yield speech_spec(
        "unispeech",
        "voxelzoo_family.extractor:UniSpeechExtractor",
        "UniSpeech's hidden states at the end of causal windows of sound.",
        {"model_type": "unispeech", **TINY_WAVEFORM},
        plugin="family",
    )
