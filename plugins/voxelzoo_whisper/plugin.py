"""Registers Whisper's extractor."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import ExtractorSpec, ModelEntry, hookimpl
from voxelzoo_whisper.citations import RADFORD2023WHISPER

TINY = ModelEntry(
    name="whisper-tiny-test",
    plugin="whisper",
    modality="audio",
    n_layers=2,
    embed_dim=16,
    sample_rate_hz=16000,
    architecture={
        "model_type": "whisper",
        "d_model": 16,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 32,
        "vocab_size": 64,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 3,
    },
)


@hookimpl
def zoo_register_extractors() -> Iterator[ExtractorSpec]:
    """Whisper tiny to large, v2, v3 and turbo."""
    yield ExtractorSpec(
        name="whisper",
        target="voxelzoo_whisper.extractor:WhisperExtractor",
        modality="audio",
        summary="Hidden states of Whisper's encoder at the end of causal windows of sound.",
        tiny=TINY,
        model_bibtex=(RADFORD2023WHISPER,),
        requires=("torch", "torchaudio", "transformers"),
        options=("window", "stride", "full_context"),
    )
