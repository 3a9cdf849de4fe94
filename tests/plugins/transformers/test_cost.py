"""What extraction is said to take is what it takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from speech import noise, story_of as sound_of, tiny
from text_models import babble, extractor_for, story_of, tiny_row
from voxelzoo_transformers.text.states import LayerReader


def counted(extractor: Any, story: Any, layers: list[int]) -> float:
    """Operations that torch counts while the story is read."""
    list(extractor.extract(story, layers))  # what loading takes is no part of it
    # Attention is counted where it is made of products that torch knows.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        list(extractor.extract(story, layers))
    return float(counter.get_total_flops())


@pytest.mark.parametrize("plugin", ["opt", "llama", "transformers"])
@pytest.mark.parametrize("layers", [[2], [0, 1]])
def test_text_operations_are_those_that_torch_counts(plugin: str, layers: list[int]) -> None:
    wide = {"opt": "hidden_size", "llama": "hidden_size", "transformers": "n_embd"}[plugin]
    figures = {wide: 128} | ({"word_embed_proj_dim": 128} if plugin == "opt" else {})
    extractor = extractor_for(tiny_row(plugin, **figures), context="sawtooth:16:8")
    story = story_of(babble(60))
    cost = extractor.cost(story, layers)
    assert cost.flops == pytest.approx(counted(extractor, story, layers), rel=0.25)


def test_tokens_said_to_be_fed_are_those_fed(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[int] = []
    plain = LayerReader.__call__

    def spy(self: Any, ids: torch.Tensor, *rest: Any) -> Any:
        fed.append(ids.numel())
        return plain(self, ids, *rest)

    extractor = extractor_for(tiny_row("opt"), context="sawtooth:16:8", batch_tokens="1")
    extractor.load()
    story = story_of(babble(60))
    monkeypatch.setattr(LayerReader, "__call__", spy)
    list(extractor.extract(story, [2]))
    cost = extractor.cost(story, [2])
    assert (cost.n_passes, cost.n_fed) == (len(fed), sum(fed))


@pytest.mark.parametrize("family", ["whisper", "hubert", "wavlm"])
def test_speech_operations_are_those_that_torch_counts(family: str) -> None:
    extractor: Any = tiny(family, window="4", stride="1")
    story = sound_of(noise(6.0))
    layers = list(extractor.layers())
    # Short of what is shared among windows, and of what Fourier transforms save.
    measured = counted(extractor, story, layers)
    assert 0.5 * measured < extractor.cost(story, layers).flops < 2 * measured
