"""What is planted, and what follows from it.

Each story has six latents: two each of ``early``, ``late`` and ``speech``, independent processes of
unit variance that each keep half of the row before. A unit of a model's layer is a latent at
``shown`` of its r, the rest noise of the same persistence: no neighbouring row says more. A voxel
is a mix of latents two TRs late, under white noise.

So r of the best linear prediction is known: ``shown`` times the ceiling. For a family it grows by
``SHOWN_PER_DECADE`` times the ceiling with every tenfold of parameters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]

LATENTS = {"early": slice(0, 2), "late": slice(2, 4), "speech": slice(4, 6)}
N_LATENTS = 6
PERSISTENCE = 0.5
LAG = 2
"""TRs from a latent to the response."""

BEST_LAYER = {"early": 1, "late": 2}
"""In every model of the family."""
SMALLEST, SHOWN, SHOWN_PER_DECADE = 1e6, 0.45, 0.12
WORSE = 0.85
"""What other layers show, as a share of what the best does."""


def shown(n_parameters: float, layer: int, region: str) -> float:
    """r of a unit with its latent."""
    best = SHOWN + SHOWN_PER_DECADE * float(np.log10(n_parameters / SMALLEST))
    return best if layer == BEST_LAYER[region] else WORSE * best


def process(rng: np.random.Generator, n: int, columns: int) -> Floats:
    """Unit variance, half of the row before kept: (row, column)."""
    steps = rng.standard_normal((n, columns)) * np.sqrt(1 - PERSISTENCE**2)
    steps[0] /= np.sqrt(1 - PERSISTENCE**2)
    found: Floats = lfilter([1.0], [1.0, -PERSISTENCE], steps, axis=0)
    return found


def spell(latents: Floats) -> tuple[str, ...]:
    """A word a row, from which the latents can be read again."""
    return tuple("/".join(f"{value:.5f}" for value in row) for row in latents)


def read(text: tuple[str, ...]) -> Floats:
    """Latents (row, latent) of words; zero of a word that spells none."""
    found = np.zeros((len(text), N_LATENTS))
    for row, word in zip(found, text, strict=True):
        try:
            row[:] = [float(value) for value in word.split("/")]
        except ValueError:
            continue  # of another dataset
    return found
