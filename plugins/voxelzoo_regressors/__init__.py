"""Regressors with scikit-learn's manners, made for many voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voxelzoo_regressors.bootstrap import BootstrapRidge
    from voxelzoo_regressors.ridge import Ridge

__all__ = ["BootstrapRidge", "Ridge"]


def __getattr__(name: str) -> Any:
    if name == "Ridge":
        from voxelzoo_regressors.ridge import Ridge

        return Ridge
    if name == "BootstrapRidge":
        from voxelzoo_regressors.bootstrap import BootstrapRidge

        return BootstrapRidge
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
