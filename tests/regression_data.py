"""A small regression problem for tests of regressors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ALPHAS = np.logspace(-2, 5, 9)
SHAPES = [(120, 30), (60, 200)]


def problem(n: int, p: int, n_voxels: int = 7) -> tuple[NDArray, NDArray, NDArray]:
    """Features of very different sizes, responses with an offset, four stories."""
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, p)) * np.exp(rng.standard_normal(p))
    Y = X[:, :3] @ rng.standard_normal((3, n_voxels)) + rng.standard_normal((n, n_voxels)) + 3
    return X, Y, np.repeat(["a", "b", "c", "d"], n // 4)
