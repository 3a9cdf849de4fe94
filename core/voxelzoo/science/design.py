"""From TR-rate states to a design: standardise a story, then delay it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def zscore(values: Floats, axis: int = 0) -> Floats:
    """Zero mean and unit variance along ``axis``; a constant column becomes zero.

    The deviation is the population's (ddof 0), as in the paper's code.
    """
    centred = values - values.mean(axis=axis, keepdims=True, dtype=np.float64)
    deviation = centred.std(axis=axis, keepdims=True)
    # What is left of a constant column after centring is rounding, not signal.
    size = np.abs(values).max(axis=axis, keepdims=True)
    constant = deviation <= np.finfo(values.dtype).eps * size
    standard: Floats = np.where(constant, 0.0, centred / np.where(constant, 1.0, deviation))
    return standard.astype(values.dtype)


def delayed(values: Floats, delays: Sequence[int]) -> Floats:
    """FIR design (TR, delay * unit) of one story's features (TR, unit).

    Row ``t`` holds the features of row ``t - delay`` for each delay in turn, zero where the story
    had not begun (Antonello et al. 2023, section 2.3); a negative delay looks ahead.
    """
    n = len(values)
    out = np.zeros((n, len(delays), values.shape[1]), dtype=values.dtype)
    for i, delay in enumerate(delays):
        if abs(delay) < n:
            out[max(0, delay) : n + min(0, delay), i] = values[max(0, -delay) : n - max(0, delay)]
    return out.reshape(n, -1)
