"""Penalties that suit a design: a grid that reaches as far as its spectrum."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

_STEPS = 2
"""Alphas per factor of ten."""

_BELOW, _ABOVE = 1e-2, 10.0
"""How far the grid reaches below the smallest eigenvalue and above the largest one. Beyond, the
weakest component is shrunk by less than 1 percent, and all components in about equal proportion."""

_SPAN = 1e-6
"""Smaller eigenvalues, as a share of the largest, are not reached: noise fills them."""


def alpha_grid(s: Tensor) -> NDArray[np.float64]:
    """Penalties from almost no shrinkage to almost full shrinkage.

    They are whole powers of ``10^0.5``, so that designs share them where their grids overlap.

    Parameters
    ----------
    s : Tensor of shape (rank,)
        Eigenvalues of the design's Gram matrix, descending.

    Returns
    -------
    ndarray of shape (alpha,)
        Ascending; at most 20.
    """
    if not len(s):
        return np.ones(1)
    largest = float(s[0])
    smallest = max(float(s[-1]), _SPAN * largest)
    first = math.floor(_STEPS * math.log10(_BELOW * smallest))
    last = math.ceil(_STEPS * math.log10(_ABOVE * largest))
    grid: NDArray[np.float64] = 10.0 ** (np.arange(first, last + 1) / _STEPS)
    return grid
