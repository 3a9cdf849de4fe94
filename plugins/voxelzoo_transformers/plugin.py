"""Registers the extractor for any causal language model of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from voxelzoo.api import ExtractorSpec, ModelEntry, hookimpl

TEXT_OPTIONS = ("context", "state", "output", "batch_tokens")
"""Settings of :class:`voxelzoo_transformers.text.CausalLMExtractor`."""


TINY = ModelEntry(
    name="tiny-gpt2",
    plugin="transformers",
    modality="text",
    n_layers=2,
    embed_dim=32,
    architecture={
        "model_type": "gpt2",
        "n_layer": 2,
        "n_embd": 32,
        "n_head": 4,
        "vocab_size": 320,
    },
)


@hookimpl
def zoo_register_extractors() -> Iterable[ExtractorSpec]:
    """The extractor ``transformers``, at home with GPT-2 and every other causal model.

    And ``surprisal``: what such a model foretold of each word, the field's usual baseline.
    """
    yield ExtractorSpec(
        name="transformers",
        target="voxelzoo_transformers.text:CausalLMExtractor",
        modality="text",
        summary="Any causal language model of the Hugging Face hub, such as GPT-2.",
        requires=("torch", "transformers"),
        options=TEXT_OPTIONS,
        schemes=("hf",),
        tiny=TINY,
    )
    yield ExtractorSpec(
        name="surprisal",
        target="voxelzoo_transformers.text:PredictionExtractor",
        modality="text",
        summary="Surprisal and entropy of each word, in bits, by a causal language model.",
        requires=("torch", "transformers"),
        options=TEXT_OPTIONS,
        schemes=("surprisal",),
        tiny=replace(TINY, name="tiny-surprisal", extractor="surprisal", n_layers=0, embed_dim=2),
    )
