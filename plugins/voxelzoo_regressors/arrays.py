"""NumPy, torch or lazy arrays in; the same kind out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

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


def story_names(groups: Any, n: int) -> NDArray[Any] | None:
    """Names of each row's group, (row,)."""
    if groups is None:
        return None
    names = np.asarray(as_numpy(groups))
    if names.shape != (n,):
        raise FitError(f"groups of shape {names.shape} for {n} rows")
    return names
