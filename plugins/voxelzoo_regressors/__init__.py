"""Regressors with scikit-learn's manners, made for many voxels."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voxelzoo_regressors.banded import BandedRidge
    from voxelzoo_regressors.bootstrap import BootstrapRidge
    from voxelzoo_regressors.partition import VariancePartition
    from voxelzoo_regressors.ridge import Ridge
    from voxelzoo_regressors.stacking import Stacking

_HOMES = {
    "BandedRidge": "banded",
    "BootstrapRidge": "bootstrap",
    "Ridge": "ridge",
    "Stacking": "stacking",
    "VariancePartition": "partition",
}

__all__ = ["BandedRidge", "BootstrapRidge", "Ridge", "Stacking", "VariancePartition"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
