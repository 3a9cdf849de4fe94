"""Registers the extractor for any causal language model of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from voxelzoo.api import ExtractorSpec, ModelEntry, hookimpl
from voxelzoo_transformers.citations import SPEECH_MODELS, TEXT_MODELS

TEXT_OPTIONS = (
    "context",
    "state",
    "output",
    "look_ahead",
    "batch_tokens",
    "device_map",
    "quantize",
)
"""Settings of :class:`voxelzoo_transformers.text.CausalLMExtractor`."""

NEUTRAL_OPTIONS = ("batch_tokens", "device_map")
"""Those that change no value."""

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

TINY_SPEECH = ModelEntry(
    name="tiny-wav2vec2",
    plugin="transformers",
    extractor="speech",
    modality="audio",
    n_layers=2,
    embed_dim=32,
    sample_rate_hz=16000,
    architecture={
        "model_type": "wav2vec2",
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
        neutral_options=NEUTRAL_OPTIONS,
        schemes=("hf",),
        model_bibtex=TEXT_MODELS,
        tiny=TINY,
    )
    yield ExtractorSpec(
        name="surprisal",
        target="voxelzoo_transformers.text:PredictionExtractor",
        modality="text",
        summary="Surprisal and entropy of each word, in bits, by a causal language model.",
        requires=("torch", "transformers"),
        options=TEXT_OPTIONS,
        neutral_options=NEUTRAL_OPTIONS,
        schemes=("surprisal",),
        model_bibtex=TEXT_MODELS,
        tiny=replace(TINY, name="tiny-surprisal", extractor="surprisal", n_layers=0, embed_dim=2),
    )
    yield ExtractorSpec(
        name="speech",
        target="voxelzoo_transformers.speech:SpeechModelExtractor",
        modality="audio",
        summary="wav2vec 2.0, data2vec-audio and w2v-BERT 2.0 at the end of causal windows.",
        requires=("torch", "torchaudio", "transformers"),
        options=("window", "stride", "full_context"),
        tiny=TINY_SPEECH,
        model_bibtex=SPEECH_MODELS,
    )


@hookimpl
def zoo_register_models() -> Iterable[ModelEntry]:
    """``gpt2-surprisal``: the baseline, without a row of its own for each model.

    Others are ``surprisal:ORG/NAME``.
    """
    yield ModelEntry(
        name="gpt2-surprisal",
        plugin="transformers",
        extractor="surprisal",
        family="surprisal",
        modality="text",
        repo="openai-community/gpt2",
        n_parameters=124439808,
        n_layers=0,
        embed_dim=2,
        architecture={"model_type": "gpt2"},
        licence="mit",
        citation="radford2019gpt2",
        languages=("en",),
        reference="https://doi.org/10.1016/j.cognition.2013.02.013",
        summary="Surprisal and entropy of each word by GPT-2, in bits: the predictability control.",
    )
