"""Fewer units: a control for the width of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import UsageError

REDUCTIONS = ("pca", "random")


def unit_basis(X: NDArray[Any], width: int, how: str, seed: int) -> NDArray[Any]:
    """Directions (unit, width) onto which states ``X`` (row, unit) are projected.

    ``"pca"``: principal components of these rows, the training rows; ``"random"``: Gaussian,
    drawn from ``seed`` whatever the rows.
    """
    if width > min(X.shape) and how == "pca":
        raise UsageError(f"ridge: width={width}, but {len(X)} rows x {X.shape[1]} units")
    if width > X.shape[1]:
        raise UsageError(f"ridge: width={width}, but there are {X.shape[1]} units")
    if how == "pca":
        from sklearn.decomposition import PCA

        solver = "covariance_eigh" if len(X) >= X.shape[1] else "full"
        found: NDArray[Any] = PCA(width, svd_solver=solver).fit(X).components_.T
    else:
        from sklearn.random_projection import GaussianRandomProjection

        found = GaussianRandomProjection(width, random_state=seed).fit(X).components_.T
    return np.ascontiguousarray(found, dtype=X.dtype)
