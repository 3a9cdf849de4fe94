"""NumPy, torch or lazy arrays in; the same kind out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from voxelzoo_regressors.errors import FitError


@dataclass(frozen=True)
class Kind:
    """Which kind of array came in: ``device`` is that of a torch tensor, else ``None``."""

    device: torch.device | None

    @classmethod
    def of(cls, values: Any) -> Kind:
        """The kind of ``values``."""
        return cls(values.device if isinstance(values, torch.Tensor) else None)

    def give(self, values: NDArray[Any]) -> Any:
        """``values`` as that kind."""
        return values if self.device is None else torch.as_tensor(values, device=self.device)


def as_numpy(values: Any) -> Any:
    """A tensor as a NumPy array; anything else as it is."""
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values


def is_lazy(values: Any) -> bool:
    """Whether an array is read from disk in chunks (Zarr, HDF5) and should be read in blocks."""
    return hasattr(values, "chunks") and hasattr(values, "shape")


@dataclass(frozen=True)
class SomeRows:
    """Some rows of responses (row, voxel), read a block of voxels at a time."""

    responses: Any
    kept: NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, int]:
        """(row, voxel)."""
        return int(self.kept.sum()), int(self.responses.shape[1])

    @property
    def chunks(self) -> tuple[int, int]:
        """What is best read at once."""
        return self.shape

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        rows, voxels = key
        found: NDArray[Any] = np.asarray(self.responses[:, voxels])[self.kept][rows]
        return found


def some_rows(responses: Any, kept: NDArray[np.bool_]) -> Any:
    """Rows (row,) of responses (row, voxel), unread where those are lazy."""
    return SomeRows(responses, kept) if is_lazy(responses) else responses[kept]


def story_names(groups: Any, n: int) -> NDArray[Any] | None:
    """Names of each row's group, (row,)."""
    if groups is None:
        return None
    names = np.asarray(as_numpy(groups))
    if names.shape != (n,):
        raise FitError(f"groups of shape {names.shape} for {n} rows")
    return names


def checked_fit(estimator: Any, X: Any, Y: Any) -> tuple[NDArray[Any], Any, bool]:
    """Features, responses (row, voxel), and whether there was but one voxel, without an axis.

    As scikit-learn checks them, but that one undefined voxel among many is no error: it is left
    undefined. Lazy responses are passed on unread.
    """
    X, Y = as_numpy(X), as_numpy(Y)
    if Y is None:
        raise FitError("requires y to be passed, but the target y is None")
    floats: Any = (np.float64, np.float32)
    if is_lazy(Y):
        X, one = validate_data(estimator, X, dtype=floats, ensure_min_samples=2), False
    else:
        Y = np.asarray(Y)
        one = Y.ndim == 1
        X, Y = validate_data(
            estimator,
            X,
            Y,
            validate_separately=(
                {"dtype": floats, "ensure_min_samples": 2},
                {"dtype": floats, "ensure_2d": False, "ensure_all_finite": one},
            ),
        )
        Y = Y[:, None] if one else Y
    if Y.shape[0] != len(X):
        raise FitError(f"{len(X)} rows of features, {Y.shape[0]} of responses")
    return X, Y, one


def checked_rows(estimator: Any, X: Any) -> NDArray[Any]:
    """Features to predict from, checked against those of the fit."""
    floats: Any = (np.float64, np.float32)
    found: NDArray[Any] = validate_data(estimator, as_numpy(X), dtype=floats, reset=False)
    return found


def defined_voxels(Y: NDArray[Any]) -> NDArray[np.bool_]:
    """Which voxels' responses (row, voxel) are finite and vary, (voxel,)."""
    with np.errstate(invalid="ignore"):
        found: NDArray[np.bool_] = np.isfinite(Y).all(axis=0) & (np.ptp(Y, axis=0) > 0)
    return found
