"""Speech extractors and stories for tests."""

from __future__ import annotations

import dataclasses
import functools
import importlib
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from shared_data import SHARED
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


def variant(family: str, **values: Any) -> ModelEntry:
    """The family's very small network with some values of its configuration changed."""
    model = spec_of(family).tiny
    assert model is not None
    return dataclasses.replace(model, architecture={**model.architecture, **values})


def network_of(model: ModelEntry) -> Any:
    """The row's network with the random weights of seed 0, by transformers alone."""
    values = dict(model.architecture)
    config = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
    torch.manual_seed(0)
    return transformers.AutoModel.from_config(config).eval()


def plain_loop(
    model: ModelEntry, sound: NDArray[np.float32], length: float, stride: float, normalise: bool
) -> NDArray[np.float32]:
    """The definition, (layer, time, unit): the whole network, one window at a time."""
    network = network_of(model)
    config = network.config
    states_of_windows = []
    for stop in range(round(stride * RATE), len(sound) + 1, round(stride * RATE)):
        window = sound[max(0, stop - round(length * RATE)) : stop]
        if model.plugin == "whisper":
            extractor = transformers.WhisperFeatureExtractor(feature_size=config.num_mel_bins)
            features = extractor(
                window, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True
            )
            mask = features["attention_mask"].float()[None]
            ones = torch.ones(1, 1, 3)
            mask = torch.nn.functional.conv1d(mask, ones, padding=1)
            mask = torch.nn.functional.conv1d(mask, ones, padding=1, stride=2)
            frame = int(mask[0, 0].nonzero().max())
            run, value = network.encoder, features["input_features"]
        elif config.model_type == "wav2vec2-bert":
            bank = transformers.SeamlessM4TFeatureExtractor()(
                window, sampling_rate=RATE, return_tensors="pt"
            )
            frame, value = int(bank["attention_mask"].sum()) - 1, bank["input_features"]
            run = functools.partial(network, attention_mask=bank["attention_mask"])
        else:
            plain = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise)
            frame, run = -1, network
            value = plain(window, sampling_rate=RATE, return_tensors="pt")["input_values"]
        with torch.no_grad():
            states = run(value, output_hidden_states=True).hidden_states
        states_of_windows.append(np.stack([state[0, frame].numpy() for state in states]))
    return np.stack(states_of_windows, axis=1)


def assert_same_states(states: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """Relative error of every layer under 1e-4."""
    assert states.shape == expected.shape
    for layer, (ours, wanted) in enumerate(zip(states, expected, strict=True)):
        error = np.linalg.norm(ours - wanted) / np.linalg.norm(wanted)
        assert error < 1e-4, f"layer {layer}: relative error {error:.1e}"


def assert_equals_plain_loop(model: ModelEntry, *, normalise: bool, stride: float) -> None:
    """States of a row's network are those of :func:`plain_loop`, as windows grow and after."""
    sound = noise(1.7)
    extractor = extractor_for(model, untrained=True, window="1.0", stride=str(stride))
    states = all_states(extractor, story_of(sound))
    assert_same_states(states, plain_loop(model, sound, 1.0, stride, normalise))


def assert_equals_papers_script(family: str, layer_name: str) -> None:
    """States and times are those that the paper's script extracted, layer by layer."""
    folder = SHARED / "golden" / "speech"
    golden = np.load(folder / "golden.npz")
    model = ModelEntry(
        name=f"golden-{family}", plugin=family, modality="audio", repo=str(folder / family)
    )
    extractor = extractor_for(model, window="2.1", stride="0.1")
    story = story_of(golden["audio_16k"])
    expected = np.stack([golden[f"{family}_{layer_name}.{layer}"] for layer in range(4)])
    assert_same_states(all_states(extractor, story), expected)
    np.testing.assert_allclose(extractor.times(story), golden[f"{family}_times"][:, 1], atol=1e-6)
