"""Registers the regressors."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import RegressorSpec, hookimpl

_PACKAGE = "voxelzoo_regressors"


@hookimpl
def zoo_register_regressors() -> Iterator[RegressorSpec]:
    """Ridge, the default, and the paper's bootstrap."""
    yield RegressorSpec(
        "ridge",
        f"{_PACKAGE}.ridge:Ridge",
        "Ridge, one alpha a voxel by leave-one-story-out in closed form.",
        delays="self",
    )
    yield RegressorSpec(
        "bootstrap-ridge",
        f"{_PACKAGE}.bootstrap:BootstrapRidge",
        "Ridge as the paper's code fits it: alphas by random held-out chunks.",
    )
