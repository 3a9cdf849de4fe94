"""Registers WavLM's extractor."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import ExtractorSpec, ModelEntry, hookimpl
from voxelzoo_wavlm.citations import CHEN2022WAVLM

TINY = ModelEntry(
    name="wavlm-tiny-test",
    plugin="wavlm",
    modality="audio",
    n_layers=2,
    embed_dim=32,
    sample_rate_hz=16000,
    architecture={
        "model_type": "wavlm",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "conv_dim": [16] * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    },
)


@hookimpl
def zoo_register_extractors() -> Iterator[ExtractorSpec]:
    """WavLM base, base+ and large."""
    yield ExtractorSpec(
        name="wavlm",
        target="voxelzoo_wavlm.extractor:WavLMExtractor",
        modality="audio",
        summary="WavLM's hidden states at the end of causal windows of sound.",
        tiny=TINY,
        model_bibtex=(CHEN2022WAVLM,),
        requires=("torch", "torchaudio", "transformers"),
        options=("window", "stride", "full_context"),
    )
