"""Registers the extractor of the OPT family."""

from __future__ import annotations

from collections.abc import Iterable

from voxelzoo.api import ExtractorSpec, ModelEntry, hookimpl
from voxelzoo_opt.citations import ZHANG2022OPT
from voxelzoo_transformers.plugin import NEUTRAL_OPTIONS, TEXT_OPTIONS


@hookimpl
def zoo_register_extractors() -> Iterable[ExtractorSpec]:
    """The extractor ``opt``."""
    yield ExtractorSpec(
        name="opt",
        target="voxelzoo_opt.extractor:OPTExtractor",
        modality="text",
        summary="Meta's Open Pre-trained Transformers.",
        requires=("torch", "transformers"),
        options=TEXT_OPTIONS,
        neutral_options=NEUTRAL_OPTIONS,
        model_bibtex=(ZHANG2022OPT,),
        tiny=ModelEntry(
            name="tiny-opt",
            plugin="opt",
            modality="text",
            n_layers=2,
            embed_dim=32,
            architecture={
                "model_type": "opt",
                "num_hidden_layers": 2,
                "hidden_size": 32,
                "word_embed_proj_dim": 32,
                "ffn_dim": 64,
                "num_attention_heads": 4,
                "vocab_size": 320,
            },
        ),
    )
