"""Stories in miniature whose voxels answer words: a wrong clock loses them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

DELAY = 4.0
"""Seconds after which the voxel answers a word."""


def word_times(rng: np.random.Generator, seconds: float) -> list[tuple[float, float]]:
    """Onsets and offsets of words that come in bursts, from 0 to ``seconds``."""
    n = int(5 * seconds)
    onsets = np.cumsum(rng.exponential(0.35, n) * rng.choice([0.5, 3.0], n))
    return [(round(a, 3), round(b, 3)) for a, b in pairwise(onsets[onsets < seconds].tolist())]


def answer(
    rng: np.random.Generator,
    words: list[tuple[float, float]],
    begins: NDArray[np.float64],
    tr: float,
) -> NDArray[np.float64]:
    """(TR, 2): voxel 0 counts the words of ``DELAY`` seconds ago, voxel 1 is noise.

    ``begins`` (TR,) is when each row began, on the words' clock.
    """
    middles = np.array([(a + b) / 2 for a, b in words])
    since = begins - DELAY
    rate = [((middles >= a) & (middles < a + tr)).sum() for a in since]
    return np.stack([rate, np.zeros(len(begins))], axis=1) + rng.normal(size=(len(begins), 2))


def write_noise(path: Path, seconds: float) -> None:
    """Sound that is as long as it must be, at 1 kHz."""
    noise = np.random.default_rng(2).uniform(-0.1, 0.1, round(1000 * seconds))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, noise, 1000)
