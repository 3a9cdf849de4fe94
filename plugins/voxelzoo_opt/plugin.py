"""Registers the extractor of the OPT family."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import ExtractorSpec, hookimpl
from voxelzoo_opt.citations import ZHANG2022OPT
from voxelzoo_transformers.api import text_spec

TINY = {
    "model_type": "opt",
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "word_embed_proj_dim": 32,
    "ffn_dim": 64,
    "num_attention_heads": 4,
    "vocab_size": 320,
    "max_position_embeddings": 2048,
}


@hookimpl
def zoo_register_extractors() -> Iterator[ExtractorSpec]:
    """OPT from 125M to 175B parameters."""
    yield text_spec(
        "opt",
        "voxelzoo_opt.extractor:OPTExtractor",
        "Meta's Open Pre-trained Transformers.",
        TINY,
        model_bibtex=(ZHANG2022OPT,),
    )
