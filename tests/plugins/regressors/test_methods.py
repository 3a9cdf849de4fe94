"""What ``zoo explain`` says of a fit: how alphas were chosen, and nothing that had no effect."""

from __future__ import annotations

from typing import Any

import pytest

from voxelzoo.host.loading import load_host
from voxelzoo.host.targets import load_target
from voxelzoo_regressors.methods import describe_bootstrap, describe_ridge, describe_stacking

SPECS = list(load_host(first_party_only=True).regressors)


@pytest.mark.parametrize("registered", SPECS, ids=lambda each: each.spec.name)
def test_every_regressor_describes_its_defaults(registered: Any) -> None:
    assert registered.spec.describe is not None
    parameters = load_target(registered)().get_params(deep=False)
    clause = registered.spec.describe(parameters)
    assert clause
    assert "None" not in clause
    assert not clause.endswith(".")


@pytest.mark.parametrize(
    ("parameters", "part"),
    [
        ({}, "one alpha for each voxel, the one with the highest mean Pearson's r over folds that"),
        ({"alpha_scope": "shared"}, "one alpha for all voxels"),
        ({"alpha_scope": ["A1", "V1"]}, "one alpha for each region"),
        ({"scoring": "r2"}, "highest mean R2"),
        ({"cv": "blocks", "block_length": 40, "gap": 3}, "blocks of 40 TRs, 3 TRs on either side"),
        ({"cv": 4, "gap": 0}, "over 4 contiguous blocks;"),
        ({"alpha_convention": "squared"}, "the penalty is alpha squared"),
        ({"width": 64}, "64 leading principal components"),
        ({"width": 64, "reduce": "random", "seed": 7}, "64 random directions (seed 7)"),
        ({"fit_intercept": False}, "no intercept"),
        ({"dtype": "float64"}, "computed in float64"),
        ({"sweep_dtype": "bfloat16"}, "alphas searched in bfloat16"),
    ],
)
def test_ridge_names_what_differs_from_its_defaults(parameters: dict[str, Any], part: str) -> None:
    clause = describe_ridge(parameters)
    assert part in clause
    if parameters:
        assert part not in describe_ridge({})


@pytest.mark.parametrize(
    "parameters",
    [{"block_length": 9}, {"gap": 9}, {"seed": 9}, {"reduce": "random"}, {"seed": 9, "width": 4}],
)
def test_parameters_without_effect_are_not_named(parameters: dict[str, Any]) -> None:
    """Blocks and gaps are those of contiguous folds, the seed that of random directions."""
    assert "9" not in describe_ridge(parameters)
    assert "random" not in describe_ridge(parameters)


def test_the_papers_ridge_and_stacking_name_their_draws() -> None:
    clause = describe_bootstrap({"nboots": 5, "chunklen": 40, "nchunks": 12, "seed": 2})
    assert "over 5 random draws of 12 chunks in chunks of 40 TRs (seed 2)" in clause
    assert "seed" not in describe_stacking({"single": None, "draws": 0, "seed": 3})
    clause = describe_stacking({"single": "opt:9", "validation": 0.2, "draws": 100, "seed": 3})
    assert "opt:9 alone on 20% of the training data" in clause
    assert "100 draws (seed 3)" in clause
