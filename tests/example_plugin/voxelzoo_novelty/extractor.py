"""The extractor itself: imported when the model first runs, so it may import what it likes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import ExtractorRequest, StateBlock, Story


class Novelty:
    """Two units a word, at its middle: one, and one if the story has not had the word before."""

    def __init__(self, request: ExtractorRequest) -> None:
        self.request = request

    def layers(self) -> Sequence[int]:
        """One layer."""
        return (0,)

    def fingerprint(self) -> Mapping[str, Any]:
        """Whatever would change the values: here, how words are compared."""
        return {"compare": "lower case"}

    def times(self, story: Story) -> NDArray[np.float64]:
        """Middle of each spoken word, in seconds."""
        return story.need_words().spoken().times

    def extract(self, story: Story, layers: Sequence[int]) -> Iterator[StateBlock]:
        """One block: (layer, word, 2)."""
        heard: set[str] = set()
        states = []
        for word in story.need_words().spoken().text:
            states.append((1.0, 0.0 if word.lower() in heard else 1.0))
            heard.add(word.lower())
        values = np.array(states, dtype=np.float32)
        yield StateBlock(0, np.repeat(values[None], len(layers), axis=0))

    def close(self) -> None:
        """Nothing is held."""
