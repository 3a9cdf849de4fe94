"""Are single states of a story many times larger than the others?

After features are z-scored within a story, one such state takes most of the variance of its units.
Decoders give one to the first token of a context.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import StateBlock
from voxelzoo.science.arrays import Floats
from voxelzoo.text import counted

LARGE = 20.0
"""A state is too large if its norm is so many times the median over its story."""


class StateNorms:
    """Norms of the states of one story, collected while it is read.

    Parameters
    ----------
    layers : sequence of int
        The layers that are read.
    """

    def __init__(self, layers: Sequence[int]) -> None:
        self._layers = list(layers)
        self._norms: list[Floats] = []
        self._start: int | None = None

    def add(self, block: StateBlock) -> None:
        """Take the norms of a block's states."""
        if self._start is None:
            self._start = block.start
        squares = np.einsum("ltu,ltu->lt", block.states, block.states, dtype=np.float64)
        self._norms.append(np.sqrt(squares).astype(np.float32))

    def warning(self, times: NDArray[np.float64]) -> str | None:
        """One clause on the states that are too large, or None.

        Parameters
        ----------
        times : (time,) array
            Time of each state of the story, in seconds.
        """
        if not self._norms:
            return None
        norms = np.concatenate(self._norms, axis=1)  # (layer, time)
        median = np.median(norms, axis=1, keepdims=True)
        ratio = np.divide(norms, median, out=np.zeros_like(norms), where=median > 0)
        large = ratio >= LARGE
        if not large.any():
            return None
        states = np.flatnonzero(large.any(axis=0))
        layers = [self._layers[i] for i in np.flatnonzero(large.any(axis=1))]
        first = (self._start or 0) + int(states[0])
        where = f"layer {layers[0]}" if len(layers) == 1 else f"{len(layers)} layers"
        others = f" and {counted(len(states) - 1, 'other')}" if len(states) > 1 else ""
        return (
            f"the state at {times[first]:.1f} s{others} has a norm up to {ratio.max():.0f} times "
            f"the median ({where}) and dominates these features"
        )
