"""Registers the extractor for any causal language model of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterable

from voxelzoo.api import ExtractorSpec, ModelEntry, hookimpl

TEXT_OPTIONS = ("context", "state", "batch_tokens")
"""Settings of :class:`voxelzoo_transformers.text.CausalLMExtractor`."""


@hookimpl
def zoo_register_extractors() -> Iterable[ExtractorSpec]:
    """The extractor ``transformers``, at home with GPT-2 and every other causal model."""
    yield ExtractorSpec(
        name="transformers",
        target="voxelzoo_transformers.text:CausalLMExtractor",
        modality="text",
        summary="Any causal language model of the Hugging Face hub, such as GPT-2.",
        requires=("torch", "transformers"),
        options=TEXT_OPTIONS,
        schemes=("hf",),
        tiny=ModelEntry(
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
        ),
    )
