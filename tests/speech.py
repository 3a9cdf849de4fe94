"""Speech extractors and stories for tests."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import Audio, Extractor, ExtractorRequest, ExtractorSpec, ModelEntry, Story

RATE = 16000
FAMILIES = ("whisper", "hubert", "wavlm", "transformers")
"""Plugins with a speech extractor."""


def spec_of(family: str) -> ExtractorSpec:
    """The speech extractor that the family's plugin registers."""
    plugin = importlib.import_module(f"voxelzoo_{family}.plugin")
    (spec,) = (spec for spec in plugin.zoo_register_extractors() if spec.modality == "audio")
    assert isinstance(spec, ExtractorSpec)
    return spec


def extractor_for(
    model: ModelEntry,
    *,
    untrained: bool = False,
    dtype: str = "float32",
    device: str = "cpu",
    **options: str,
) -> Extractor:
    """The extractor of a row's plugin, ready to read stories."""
    package, _, name = spec_of(model.plugin).target.partition(":")
    target: Any = getattr(importlib.import_module(package), name)
    extractor = target(ExtractorRequest(model, untrained, 0, device, dtype, options=options))
    assert isinstance(extractor, Extractor)
    return extractor


def tiny(family: str, **kwargs: Any) -> Extractor:
    """The family's very small network, untrained."""
    model = spec_of(family).tiny
    assert model is not None
    return extractor_for(model, untrained=True, **kwargs)


def story_of(samples: NDArray[np.float32], rate: int = RATE, start: float = 0.0) -> Story:
    """A story that is this sound."""
    return Story("sound", audio=Audio(samples=samples, rate=rate, start=start))


def noise(seconds: float, seed: int = 0, rate: int = RATE) -> NDArray[np.float32]:
    """Noise whose loudness comes and goes, as speech does."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    envelope = 0.1 + np.abs(np.sin(np.arange(n) * (2 * np.pi * 2 / rate)))
    sound = 0.1 * envelope * rng.standard_normal(n)
    return sound.astype(np.float32)


def all_states(extractor: Extractor, story: Story) -> NDArray[np.float32]:
    """Every layer's states, (layer, time, unit)."""
    blocks = list(extractor.extract(story, extractor.layers()))
    return np.concatenate([block.states for block in blocks], axis=1)
