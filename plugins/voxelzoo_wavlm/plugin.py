"""Registers WavLM's extractor."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import ExtractorSpec, hookimpl
from voxelzoo_transformers.api import TINY_WAVEFORM, speech_spec
from voxelzoo_wavlm.citations import CHEN2022WAVLM


@hookimpl
def zoo_register_extractors() -> Iterator[ExtractorSpec]:
    """WavLM base, base+ and large."""
    yield speech_spec(
        "wavlm",
        "voxelzoo_wavlm.extractor:WavLMExtractor",
        "WavLM's hidden states at the end of causal windows of sound.",
        {"model_type": "wavlm", "feat_extract_norm": "group", **TINY_WAVEFORM},
        model_bibtex=(CHEN2022WAVLM,),
    )
