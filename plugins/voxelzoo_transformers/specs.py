"""Specs of text and speech extractors with the options that their base classes read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voxelzoo.api import ExtractorSpec, Modality, ModelEntry

TEXT_OPTIONS = (
    "context",
    "first_token",
    "first_state",
    "released_errors",
    "state",
    "output",
    "look_ahead",
    "batch_tokens",
    "device_map",
    "quantize",
)
"""Options that :class:`~voxelzoo_transformers.api.CausalLMExtractor` reads."""

TEXT_NEUTRAL_OPTIONS = ("batch_tokens", "device_map", "released_errors")
"""Those of :data:`TEXT_OPTIONS` that change no value."""

SPEECH_OPTIONS = ("window", "stride", "full_context")
"""Options that :class:`~voxelzoo_transformers.api.SpeechExtractor` reads."""

TINY_WAVEFORM = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": [16] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
"""Architecture of a very small network built like wav2vec 2.0; ``model_type`` is to be added."""


def text_spec(
    name: str,
    target: str,
    summary: str,
    tiny: Mapping[str, Any],
    *,
    plugin: str | None = None,
    schemes: tuple[str, ...] = (),
    model_bibtex: tuple[str, ...] = (),
    width: int = 32,
    n_layers: int = 2,
) -> ExtractorSpec:
    """Spec of an extractor derived from :class:`~voxelzoo_transformers.api.CausalLMExtractor`.

    Parameters
    ----------
    name : str
        Name of the extractor; by default also that of the plugin.
    target : str
        ``"package.module:Class"``.
    summary : str
        One line for ``zoo plugins``.
    tiny : mapping of str to Any
        Architecture of a very small model, which ``zoo check`` builds with random weights:
        ``model_type`` and the configuration's values.
    plugin : str, optional
        Name of the plugin, if another.
    schemes : tuple of str, default ()
        See :attr:`voxelzoo.api.ExtractorSpec.schemes`.
    model_bibtex : tuple of str, default ()
        See :attr:`voxelzoo.api.ExtractorSpec.model_bibtex`.
    width, n_layers : int, default 32 and 2
        Units and blocks of the very small model.

    Returns
    -------
    ExtractorSpec
        The spec.
    """
    return ExtractorSpec(
        name=name,
        target=target,
        modality="text",
        summary=summary,
        tiny=_tiny(name, plugin or name, "text", tiny, width, n_layers),
        requires=("torch", "transformers"),
        options=TEXT_OPTIONS,
        neutral_options=TEXT_NEUTRAL_OPTIONS,
        schemes=schemes,
        model_bibtex=model_bibtex,
    )


def speech_spec(
    name: str,
    target: str,
    summary: str,
    tiny: Mapping[str, Any],
    *,
    plugin: str | None = None,
    model_bibtex: tuple[str, ...] = (),
    width: int = 32,
    n_layers: int = 2,
) -> ExtractorSpec:
    """Spec of an extractor derived from :class:`~voxelzoo_transformers.api.SpeechExtractor`.

    Parameters
    ----------
    name : str
        Name of the extractor; by default also that of the plugin.
    target : str
        ``"package.module:Class"``.
    summary : str
        One line for ``zoo plugins``.
    tiny : mapping of str to Any
        Architecture of a very small model, which ``zoo check`` builds with random weights:
        ``model_type`` and the configuration's values, such as those of :data:`TINY_WAVEFORM`.
    plugin : str, optional
        Name of the plugin, if another.
    model_bibtex : tuple of str, default ()
        See :attr:`voxelzoo.api.ExtractorSpec.model_bibtex`.
    width, n_layers : int, default 32 and 2
        Units and blocks of the very small model.

    Returns
    -------
    ExtractorSpec
        The spec.
    """
    return ExtractorSpec(
        name=name,
        target=target,
        modality="audio",
        summary=summary,
        tiny=_tiny(name, plugin or name, "audio", tiny, width, n_layers),
        requires=("torch", "torchaudio", "transformers"),
        options=SPEECH_OPTIONS,
        model_bibtex=model_bibtex,
    )


def _tiny(
    name: str,
    plugin: str,
    modality: Modality,
    architecture: Mapping[str, Any],
    width: int,
    n_layers: int,
) -> ModelEntry:
    return ModelEntry(
        name=f"tiny-{name}",
        plugin=plugin,
        extractor=name if name != plugin else None,
        modality=modality,
        n_layers=n_layers,
        embed_dim=width,
        sample_rate_hz=16000 if modality == "audio" else None,
        architecture=dict(architecture),
    )
