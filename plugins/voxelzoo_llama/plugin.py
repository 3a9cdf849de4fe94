"""Registers the extractor of the LLaMA family."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import ExtractorSpec, hookimpl
from voxelzoo_llama.citations import GRATTAFIORI2024LLAMA3, TOUVRON2023LLAMA, TOUVRON2023LLAMA2
from voxelzoo_transformers.api import text_spec

TINY = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "max_position_embeddings": 2048,
    "bos_token_id": 1,
}


@hookimpl
def zoo_register_extractors() -> Iterator[ExtractorSpec]:
    """LLaMA, and checkpoints built like it."""
    yield text_spec(
        "llama",
        "voxelzoo_llama.extractor:LlamaExtractor",
        "Meta's LLaMA models and checkpoints built like them.",
        TINY,
        model_bibtex=(TOUVRON2023LLAMA, TOUVRON2023LLAMA2, GRATTAFIORI2024LLAMA3),
    )
