"""Text extractors, stories and the definition they are held to, for tests."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voxelzoo.api import ExtractorRequest, ExtractorSpec, ModelEntry, Story, Words
from voxelzoo_transformers.configuration import load_config
from voxelzoo_transformers.loading import load_model

FAMILIES = ("transformers", "opt", "llama")


def spec_of(plugin: str) -> ExtractorSpec:
    """The extractor of states that a text plugin registers."""
    module = importlib.import_module(f"voxelzoo_{plugin}.plugin")
    return next(s for s in module.zoo_register_extractors() if s.name == plugin)


def request_for(
    model: ModelEntry,
    *,
    untrained: bool = True,
    protocol: str = "clean",
    dtype: str = "float32",
    notify: Callable[[str], None] = lambda message: None,
    **options: str,
) -> ExtractorRequest:
    return ExtractorRequest(
        model,
        untrained=untrained,
        protocol=protocol,
        dtype=dtype,
        options=options,
        notify=notify,
    )


def extractor_for(model: ModelEntry, **asked: Any) -> Any:
    """The extractor of a row's plugin, ready to read stories."""
    package, _, name = spec_of(model.plugin).target.partition(":")
    return getattr(importlib.import_module(package), name)(request_for(model, **asked))


def tiny_row(plugin: str, **figures: Any) -> ModelEntry:
    """The plugin's very small network, with some figures changed."""
    from dataclasses import replace

    row = spec_of(plugin).tiny
    assert row is not None
    return replace(row, architecture={**row.architecture, **figures})


def story_of(text: str | list[str]) -> Story:
    """A story of these words, one a second; an empty string in a list is a silence."""
    items = text.split() if isinstance(text, str) else text
    onsets = np.arange(len(items), dtype=np.float64)
    return Story("tale", words=Words(tuple(items), onsets, onsets + 0.5))


def babble(n: int, seed: int = 0) -> list[str]:
    """``n`` words, a few of which become several tokens."""
    rng = np.random.default_rng(seed)
    stock = ["the", "cat", "don't", "sat", "on", "1,234", "mat", "and", "re-read", "it", "again"]
    return [str(word) for word in rng.choice(stock, n)]


def all_states(extractor: Any, story: Story) -> NDArray[np.float32]:
    """Every layer's states, (layer, word, unit)."""
    blocks = list(extractor.extract(story, extractor.layers()))
    assert [b.start for b in blocks] == list(
        np.cumsum([0] + [b.states.shape[1] for b in blocks[:-1]])
    )
    return np.concatenate([block.states for block in blocks], axis=1)


def naive_states(
    request: ExtractorRequest, contexts: list[list[int]], own: list[int] | None = None
) -> NDArray[np.float32]:
    """The definition: one fresh forward pass a context, all layers, read at its last token.

    ``own`` says over how many last tokens each state is the mean.
    """
    config = load_config(request)
    model = load_model(request, config)
    found: dict[int, NDArray[np.float32]] = {}
    by_length: dict[int, list[int]] = {}
    for i, context in enumerate(contexts):
        by_length.setdefault(len(context), []).append(i)
    with torch.inference_mode():
        for alike in by_length.values():  # contexts of one length, side by side: nothing is padded
            ids = torch.tensor([contexts[i] for i in alike])
            hidden = torch.stack(model(input_ids=ids, output_hidden_states=True).hidden_states)
            for b, i in enumerate(alike):
                n = own[i] if own else 1
                found[i] = hidden[:, b, -n:].mean(1).numpy()
    return np.stack([found[i] for i in range(len(contexts))], axis=1)


def assert_same_states(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> None:
    """Relative error of every state under 1e-4."""
    assert found.shape == wanted.shape
    error = np.linalg.norm(found - wanted, axis=-1) / np.linalg.norm(wanted, axis=-1)
    assert error.max() < 1e-4
