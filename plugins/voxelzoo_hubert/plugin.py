"""Registers HuBERT's extractor."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import ExtractorSpec, hookimpl
from voxelzoo_hubert.citations import HSU2021HUBERT
from voxelzoo_transformers.api import TINY_WAVEFORM, speech_spec


@hookimpl
def zoo_register_extractors() -> Iterator[ExtractorSpec]:
    """HuBERT base, large and xlarge."""
    yield speech_spec(
        "hubert",
        "voxelzoo_hubert.extractor:HubertExtractor",
        "HuBERT's hidden states at the end of causal windows of sound.",
        {"model_type": "hubert", **TINY_WAVEFORM},
        model_bibtex=(HSU2021HUBERT,),
    )
