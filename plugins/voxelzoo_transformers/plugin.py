"""Registers the extractors that run any checkpoint of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterable

from voxelzoo.api import ExtractorSpec, ModelEntry, hookimpl
from voxelzoo_transformers.citations import SPEECH_MODELS, TEXT_MODELS
from voxelzoo_transformers.specs import TINY_WAVEFORM, speech_spec, text_spec

TINY_GPT2 = {
    "model_type": "gpt2",
    "n_layer": 2,
    "n_embd": 32,
    "n_head": 4,
    "vocab_size": 320,
    "n_positions": 1024,
}


@hookimpl
def zoo_register_extractors() -> Iterable[ExtractorSpec]:
    """The ``transformers`` extractor, for GPT-2 and any other causal language model.

    Also ``surprisal``, the field's usual baseline, and ``speech``, for encoders of sound that have
    no plugin of their own.
    """
    yield text_spec(
        "transformers",
        "voxelzoo_transformers.text.extractor:CausalLMExtractor",
        "Any causal language model of the Hugging Face hub, such as GPT-2.",
        TINY_GPT2,
        schemes=("hf",),
        model_bibtex=TEXT_MODELS,
    )
    yield text_spec(
        "surprisal",
        "voxelzoo_transformers.text.extractor:PredictionExtractor",
        "Surprisal and entropy of each word, in bits, by a causal language model.",
        TINY_GPT2,
        plugin="transformers",
        schemes=("surprisal",),
        model_bibtex=TEXT_MODELS,
        width=2,
        n_layers=0,
    )
    yield speech_spec(
        "speech",
        "voxelzoo_transformers.speech.models:SpeechModelExtractor",
        "wav2vec 2.0, data2vec-audio and w2v-BERT 2.0 at the end of causal windows.",
        {"model_type": "wav2vec2", **TINY_WAVEFORM},
        plugin="transformers",
        model_bibtex=SPEECH_MODELS,
    )


@hookimpl
def zoo_register_models() -> Iterable[ModelEntry]:
    """``gpt2-surprisal``; the surprisal of any other model is ``surprisal:ORG/NAME``."""
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
        architecture={
            "model_type": "gpt2",
            "n_embd": 768,
            "n_layer": 12,
            "n_head": 12,
            "vocab_size": 50257,
            "n_positions": 1024,
        },
        licence="mit",
        citation="radford2019gpt2",
        languages=("en",),
        reference="https://doi.org/10.1016/j.cognition.2013.02.013",
        summary="Surprisal and entropy of each word by GPT-2, in bits: the predictability control.",
    )
