"""Conversion and validation of arrays: NumPy, PyTorch or lazy in, the same kind out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from voxelzoo_regressors.errors import FitError

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.intp]

FLOATS: Any = (np.float64, np.float32)
"""Precisions that are kept as they are; anything else becomes float64."""


def as_numpy(values: Any) -> Any:
    """A PyTorch tensor as a NumPy array; anything else unchanged."""
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values


def like(values: NDArray[Any], template: Any) -> Any:
    """Values as the kind of array that a user passed.

    Parameters
    ----------
    values : ndarray
        What to return to the user.
    template : array
        What the user passed.

    Returns
    -------
    ndarray or Tensor
        A tensor on ``template``'s device if ``template`` is a tensor, else ``values``.
    """
    if isinstance(template, torch.Tensor):
        return torch.as_tensor(values, device=template.device)
    return values


def is_lazy(values: Any) -> bool:
    """Whether an array lies on disk in chunks (Zarr, HDF5) and should be read in blocks."""
    return hasattr(values, "chunks") and hasattr(values, "shape")


@dataclass(frozen=True)
class LazyRows:
    """Some rows of lazy responses, read from disk when sliced by voxels.

    Parameters
    ----------
    responses : lazy array of shape (row, voxel)
        Responses on disk.
    kept : ndarray of bool, shape (row,)
        Rows to keep.
    """

    responses: Any
    kept: NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, int]:
        """(kept row, voxel)."""
        return int(self.kept.sum()), int(self.responses.shape[1])

    @property
    def chunks(self) -> tuple[int, int]:
        """Marks the array as lazy (:func:`is_lazy`)."""
        return self.shape

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        rows, voxels = key
        values: NDArray[Any] = np.asarray(self.responses[:, voxels])[self.kept][rows]
        return values


def select_rows(responses: Any, kept: NDArray[np.bool_]) -> Any:
    """Some rows (row,) of responses (row, voxel); lazy responses stay lazy."""
    return LazyRows(responses, kept) if is_lazy(responses) else responses[kept]


def validate_groups(groups: Any, n: int) -> NDArray[Any] | None:
    """Groups as a NumPy array.

    Parameters
    ----------
    groups : array of shape (row,) or None
        Group (story) of each row.
    n : int
        Number of rows.

    Returns
    -------
    ndarray of shape (row,) or None

    Raises
    ------
    FitError
        If there is not one group per row.
    """
    if groups is None:
        return None
    names = np.asarray(as_numpy(groups))
    if names.shape != (n,):
        raise FitError(f"groups have shape {names.shape}, but X has {n} rows")
    return names


def validate_fit(estimator: Any, X: Any, Y: Any) -> tuple[NDArray[Any], Any, bool]:
    """Features and responses of a fit, validated as scikit-learn does.

    One rule differs: an undefined voxel among others is no error.

    Parameters
    ----------
    estimator : estimator
        Records the number and names of the features.
    X : array of shape (row, feature)
        Features.
    Y : array of shape (row, voxel) or (row,)
        Responses. A lazy array is passed on unread.

    Returns
    -------
    X : ndarray of shape (row, feature)
        Features, float32 or float64.
    Y : array of shape (row, voxel)
        Responses.
    one_target : bool
        Whether ``Y`` had no voxel axis.

    Raises
    ------
    FitError
        If ``Y`` is missing or has other rows than ``X``.
    ValueError
        For whatever else scikit-learn refuses.
    """
    X, Y = as_numpy(X), as_numpy(Y)
    if Y is None:
        raise FitError("requires y to be passed, but the target y is None")
    if is_lazy(Y):
        X = validate_data(estimator, X, dtype=FLOATS, ensure_min_samples=2)
        one_target = False
    else:
        Y = np.asarray(Y)
        one_target = Y.ndim == 1
        X, Y = validate_data(
            estimator,
            X,
            Y,
            validate_separately=(
                {"dtype": FLOATS, "ensure_min_samples": 2},
                {"dtype": FLOATS, "ensure_2d": False, "ensure_all_finite": one_target},
            ),
        )
        Y = Y[:, None] if one_target else Y
    if Y.shape[0] != len(X):
        raise FitError(f"X has {len(X)} rows, Y has {Y.shape[0]}")
    return X, Y, one_target


def validate_rows(estimator: Any, X: Any) -> NDArray[Any]:
    """Features (row, feature) to predict from, validated against those of the fit."""
    rows: NDArray[Any] = validate_data(estimator, as_numpy(X), dtype=FLOATS, reset=False)
    return rows


def defined_voxels(Y: NDArray[Any]) -> NDArray[np.bool_]:
    """Voxels whose responses (row, voxel) are finite and vary, (voxel,)."""
    with np.errstate(invalid="ignore"):
        defined: NDArray[np.bool_] = np.isfinite(Y).all(axis=0) & (np.ptp(Y, axis=0) > 0)
    return defined
