"""Models that show the latents as well as their size allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import ExtractorRequest, StateBlock, Story, content_digest
from voxelzoo_planted.truth import LATENTS, process, read, shown


class Family:
    """Layers 0 to 2 of a model: four units, the early and late latents under noise."""

    def __init__(self, request: ExtractorRequest) -> None:
        self.request = request

    def layers(self) -> Sequence[int]:
        """All of them."""
        return range((self.request.model.n_layers or 0) + 1)

    def fingerprint(self) -> Mapping[str, Any]:
        """Which noise: it follows from the story and the model."""
        return {"n_parameters": self.request.model.n_parameters}

    def times(self, story: Story) -> NDArray[np.float64]:
        """Middle of each word, which is a TR's."""
        return story.need_words().times

    def extract(self, story: Story, layers: Sequence[int]) -> Iterator[StateBlock]:
        """One block: (layer, word, unit)."""
        latents = read(story.need_words().text)
        yield StateBlock(0, np.stack([self._layer(story, n, latents) for n in layers]))

    def _layer(self, story: Story, layer: int, latents: NDArray[np.float64]) -> NDArray[np.float32]:
        units = []
        for region in ("early", "late"):
            signal = latents[:, LATENTS[region]]
            r = shown(self.request.model.n_parameters or 1, layer, region)
            noise = process(self._rng(story, str(layer), region), *signal.shape)
            units.append(r * signal + np.sqrt(1 - r**2) * noise)
        return np.concatenate(units, axis=1).astype(np.float32)

    def _rng(self, story: Story, *of: str) -> np.random.Generator:
        """Follows from the story's first word, so that nothing to come reaches a state."""
        first = story.need_words().text[0]
        key = content_digest(first, self.request.model.name, *of).encode()
        return np.random.default_rng(int.from_bytes(key[:12], "little"))

    def close(self) -> None:
        """Nothing is held."""


class Exact(Family):
    """One layer, some latents without noise: ``planted-text`` and ``planted-speech``."""

    def _layer(self, story: Story, layer: int, latents: NDArray[np.float64]) -> NDArray[np.float32]:
        of_text = self.request.model.name == "planted-text"
        names = ("early", "late") if of_text else ("speech",)
        return np.concatenate([latents[:, LATENTS[n]] for n in names], axis=1).astype(np.float32)
