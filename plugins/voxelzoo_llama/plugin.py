"""Registers the extractor of the LLaMA family."""

from __future__ import annotations

from collections.abc import Iterable

from voxelzoo.api import ExtractorSpec, ModelEntry, hookimpl
from voxelzoo_llama.citations import GRATTAFIORI2024LLAMA3, TOUVRON2023LLAMA, TOUVRON2023LLAMA2
from voxelzoo_transformers.plugin import NEUTRAL_OPTIONS, TEXT_OPTIONS


@hookimpl
def zoo_register_extractors() -> Iterable[ExtractorSpec]:
    """The extractor ``llama``."""
    yield ExtractorSpec(
        name="llama",
        target="voxelzoo_llama.extractor:LlamaExtractor",
        modality="text",
        summary="Meta's LLaMA models and checkpoints built like them.",
        requires=("torch", "transformers"),
        options=TEXT_OPTIONS,
        neutral_options=NEUTRAL_OPTIONS,
        model_bibtex=(TOUVRON2023LLAMA, TOUVRON2023LLAMA2, GRATTAFIORI2024LLAMA3),
        tiny=ModelEntry(
            name="tiny-llama",
            plugin="llama",
            modality="text",
            n_layers=2,
            embed_dim=32,
            architecture={
                "model_type": "llama",
                "num_hidden_layers": 2,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
                "vocab_size": 320,
            },
        ),
    )
