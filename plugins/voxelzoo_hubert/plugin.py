"""Registers HuBERT's extractor."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import ExtractorSpec, ModelEntry, hookimpl
from voxelzoo_hubert.citations import HSU2021HUBERT

TINY = ModelEntry(
    name="hubert-tiny-test",
    plugin="hubert",
    modality="audio",
    n_layers=2,
    embed_dim=32,
    sample_rate_hz=16000,
    architecture={
        "model_type": "hubert",
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
    """HuBERT base, large and xlarge."""
    yield ExtractorSpec(
        name="hubert",
        target="voxelzoo_hubert.extractor:HubertExtractor",
        modality="audio",
        summary="HuBERT's hidden states at the end of causal windows of sound.",
        tiny=TINY,
        model_bibtex=(HSU2021HUBERT,),
        requires=("torch", "torchaudio", "transformers"),
        options=("window", "stride", "full_context"),
    )
