"""Registers the regressors."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import RegressorSpec, hookimpl
from voxelzoo_regressors import methods
from voxelzoo_regressors.citations import DUPRELATOUR2022BANDED, LIN2024STACKING

_PACKAGE = "voxelzoo_regressors"


@hookimpl
def zoo_register_regressors() -> Iterator[RegressorSpec]:
    """Ridge (the default), the paper's bootstrap ridge, and models of several feature spaces."""
    yield RegressorSpec(
        "ridge",
        f"{_PACKAGE}.ridge:Ridge",
        "Ridge; one alpha per voxel by closed-form leave-one-story-out.",
        delays="self",
        streams=True,
        requires=("torch",),
        default_for=("clean",),
        neutral_options=("device", "voxel_block"),
        describe=methods.describe_ridge,
    )
    yield RegressorSpec(
        "bootstrap-ridge",
        f"{_PACKAGE}.bootstrap:BootstrapRidge",
        "Ridge as in Antonello et al. (2023): alphas by random held-out chunks.",
        streams=True,
        default_for=("antonello2023",),
        describe=methods.describe_bootstrap,
    )
    yield RegressorSpec(
        "stacking",
        f"{_PACKAGE}.stacking:Stacking",
        "Ridge on each feature space, combined for each voxel by convex weights.",
        spaces=True,
        streams=True,
        requires=("torch",),
        stacks=True,
        bibtex=(LIN2024STACKING,),
        describe=methods.describe_stacking,
    )
    yield RegressorSpec(
        "banded-ridge",
        f"{_PACKAGE}.banded:BandedRidge",
        "Ridge with one penalty per feature space and voxel, by himalaya.",
        spaces=True,
        streams=True,
        bibtex=(DUPRELATOUR2022BANDED,),
        describe=methods.describe_banded,
    )
    yield RegressorSpec(
        "variance-partition",
        f"{_PACKAGE}.partition:VariancePartition",
        "Ridge on every subset of two or three feature spaces, for variance partitioning.",
        spaces=True,
        streams=True,
        requires=("torch",),
        describe=methods.describe_partition,
    )
