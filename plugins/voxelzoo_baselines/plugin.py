"""Registers the control models: what a model must beat before its states mean anything."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import ExtractorSpec, ModelEntry, hookimpl

_MODULE = "voxelzoo_baselines.extractors"

_ROWS = {
    "word-rate": ModelEntry(
        name="word-rate",
        plugin="baselines",
        extractor="word-rate",
        family="baselines",
        control="timing",
        modality="text",
        n_layers=0,
        embed_dim=1,
        licence="Apache-2.0",
        summary="A one at the midpoint of each spoken word.",
    ),
    "word-length": ModelEntry(
        name="word-length",
        plugin="baselines",
        extractor="word-length",
        family="baselines",
        control="stimulus",
        modality="text",
        n_layers=0,
        embed_dim=1,
        licence="Apache-2.0",
        summary="Letters of each spoken word, at its midpoint.",
    ),
    "position": ModelEntry(
        name="position",
        plugin="baselines",
        extractor="position",
        family="baselines",
        control="position",
        modality="any",
        n_layers=0,
        embed_dim=2,
        licence="Apache-2.0",
        summary="Time since the story began, in minutes, and its square.",
    ),
    "autocorrelation": ModelEntry(
        name="autocorrelation",
        plugin="baselines",
        extractor="autocorrelation",
        family="baselines",
        control="autocorrelation",
        modality="any",
        n_layers=0,
        embed_dim=256,
        licence="Apache-2.0",
        summary="Smooth bumps every 10 s of story time, independent of the story's content.",
    ),
    "sound-power": ModelEntry(
        name="sound-power",
        plugin="baselines",
        extractor="sound-power",
        family="baselines",
        control="stimulus",
        modality="audio",
        n_layers=0,
        embed_dim=1,
        sample_rate_hz=16_000,
        licence="Apache-2.0",
        summary="Root mean square of the sound over each 0.1 s.",
    ),
    "mel-spectrogram": ModelEntry(
        name="mel-spectrogram",
        plugin="baselines",
        extractor="mel-spectrogram",
        family="baselines",
        control="stimulus",
        modality="audio",
        n_layers=0,
        embed_dim=32,
        sample_rate_hz=16_000,
        licence="Apache-2.0",
        summary="Log power in 32 mel bands over each 0.1 s.",
    ),
}

_TARGETS = {
    "word-rate": "WordRate",
    "word-length": "WordLength",
    "position": "Position",
    "autocorrelation": "Autocorrelation",
    "sound-power": "SoundPower",
    "mel-spectrogram": "MelSpectrogram",
}


@hookimpl
def zoo_register_extractors() -> Iterator[ExtractorSpec]:
    """One extractor per control. Its row is also the tiny model of the conformance kit."""
    for name, row in _ROWS.items():
        yield ExtractorSpec(
            name,
            f"{_MODULE}:{_TARGETS[name]}",
            row.modality,
            row.summary or "",
            tiny=row,
            requires=("torchaudio",) if name == "mel-spectrogram" else (),
        )


@hookimpl
def zoo_register_models() -> Iterator[ModelEntry]:
    """One row per control. They have no checkpoints, so the catalogue file does not list them."""
    yield from _ROWS.values()
