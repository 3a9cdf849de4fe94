"""Registers Whisper's extractor."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import ExtractorSpec, hookimpl
from voxelzoo_transformers.api import speech_spec
from voxelzoo_whisper.citations import RADFORD2023WHISPER

TINY = {
    "model_type": "whisper",
    "d_model": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32,
    "num_mel_bins": 80,
    "max_source_positions": 1500,
    "vocab_size": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 3,
}


@hookimpl
def zoo_register_extractors() -> Iterator[ExtractorSpec]:
    """Whisper tiny to large, v2, v3 and turbo."""
    yield speech_spec(
        "whisper",
        "voxelzoo_whisper.extractor:WhisperExtractor",
        "Hidden states of Whisper's encoder at the end of causal windows of sound.",
        TINY,
        model_bibtex=(RADFORD2023WHISPER,),
        width=16,
    )
