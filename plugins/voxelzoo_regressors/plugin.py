"""Registers the regressors."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import RegressorSpec, hookimpl


@hookimpl
def zoo_register_regressors() -> Iterator[RegressorSpec]:
    """Ridge, the default, and the paper's bootstrap ridge."""
    yield RegressorSpec(
        "ridge",
        "voxelzoo_regressors.ridge:Ridge",
        "Ridge; one alpha a voxel by exact leave-one-story-out cross-validation.",
    )
    yield RegressorSpec(
        "bootstrap-ridge",
        "voxelzoo_regressors.bootstrap:BootstrapRidge",
        "Ridge as Antonello et al. (2023) released it: random chunks, penalty alpha squared.",
    )
