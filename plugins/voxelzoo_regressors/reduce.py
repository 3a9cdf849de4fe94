"""Projection of states onto fewer dimensions: a control for the width of a layer."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import UsageError

REDUCTIONS = ("pca", "random")


def unit_basis(
    X: NDArray[Any], width: int, method: Literal["pca", "random"], seed: int
) -> NDArray[Any]:
    """Directions onto which states are projected.

    Parameters
    ----------
    X : ndarray of shape (row, unit)
        States of the training rows.
    width : int
        Number of directions.
    method : {"pca", "random"}
        ``"pca"``: the leading principal components of ``X``. ``"random"``: Gaussian directions,
        which depend on ``seed`` and not on ``X``.
    seed : int
        Seed of the random directions.

    Returns
    -------
    ndarray of shape (unit, width)

    Raises
    ------
    UsageError
        If ``width`` is larger than ``X`` allows.
    """
    if width > min(X.shape) and method == "pca":
        raise UsageError(
            f"ridge: width={width} is too large for {len(X)} rows x {X.shape[1]} units"
        )
    if width > X.shape[1]:
        raise UsageError(f"ridge: width={width} is too large for {X.shape[1]} units")
    if method == "pca":
        from sklearn.decomposition import PCA

        solver = "covariance_eigh" if len(X) >= X.shape[1] else "full"
        basis: NDArray[Any] = PCA(width, svd_solver=solver).fit(X).components_.T
    else:
        from sklearn.random_projection import GaussianRandomProjection

        basis = GaussianRandomProjection(width, random_state=seed).fit(X).components_.T
    return np.ascontiguousarray(basis, dtype=X.dtype)
