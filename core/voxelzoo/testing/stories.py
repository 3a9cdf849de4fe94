"""Synthetic stimuli for the checks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import Audio, Story, Words

RATE = 16_000
VOCABULARY = (
    "the",
    "queen",
    "of",
    "hearts",
    "she",
    "made",
    "some",
    "tarts",
    "all",
    "on",
    "a",
    "day",
)


def synthetic_story(
    seconds: float = 6.0, seed: int = 0, changed_after: float | None = None
) -> Story:
    """Noise-like sound with a word every 0.3 s.

    ``changed_after`` replaces words and sound that begin later than that many seconds; what comes
    before stays the same, to the bit.
    """
    sound, words = _stimulus(seconds, seed)
    if changed_after is not None:
        other_sound, other_words = _stimulus(seconds, seed + 1)
        onsets = np.arange(len(words)) * 0.3
        words = [
            other if onset >= changed_after else word
            for word, other, onset in zip(words, other_words, onsets, strict=True)
        ]
        first = round(changed_after * RATE)
        sound[first:] = other_sound[first:]
    onsets = 0.3 * np.arange(len(words), dtype=np.float64)
    return Story(
        "synthetic",
        words=Words(tuple(words), onsets, onsets + np.float64(0.25)),
        audio=Audio(samples=sound, rate=RATE),
    )


def silent_story(seconds: float = 4.0) -> Story:
    """No sound at all, and one word."""
    return Story(
        "silent",
        words=Words(("hush",), np.array([1.0]), np.array([1.5])),
        audio=Audio(samples=np.zeros(round(seconds * RATE), np.float32), rate=RATE),
    )


def _stimulus(seconds: float, seed: int) -> tuple[NDArray[np.float32], list[str]]:
    random = np.random.default_rng(seed)
    sound = 0.1 * random.standard_normal(round(seconds * RATE)).astype(np.float32)
    words = [str(word) for word in random.choice(VOCABULARY, int(seconds / 0.3))]
    return sound, words
