from __future__ import annotations

from typing import Any

import pytest

from voxelzoo.api import UsageError
from voxelzoo.reports.options import ScalingOptions, SignificanceOptions
from voxelzoo.science import bootstrap, ceilings, scaling, significance


@pytest.mark.parametrize(
    ("options", "changed", "message"),
    [
        (ScalingOptions, {"by": "eye"}, "by 'eye': use auto, cv_r or r"),
        (ScalingOptions, {"metric": "r2"}, "metric 'r2': use r or signed_r2"),
        (ScalingOptions, {"against": "words"}, "against 'words': use stories or hours"),
        (ScalingOptions, {"n_draws": 0}, "draws 0: use 1 or more"),
        (ScalingOptions, {"subjects": "S1"}, "subjects takes a list, not the string 'S1'"),
        (SignificanceOptions, {"null": "coin"}, "null 'coin': use circular-shift or blocks"),
        (SignificanceOptions, {"over": "voxels"}, "over 'voxels': use time or stories"),
        (SignificanceOptions, {"block": 0}, "block 0: use 1 or more"),
        (SignificanceOptions, {"n_permutations": 19}, "permutations 19: use 20 or more"),
        (SignificanceOptions, {"seed": -1}, "seed -1: use 0 or more"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(
    options: Any, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        options(**changed)
    assert str(caught.value) == message


def test_draws_are_as_many_as_permutations_unless_they_are_given() -> None:
    assert SignificanceOptions(n_permutations=50).draws == 50
    assert SignificanceOptions(n_permutations=50, n_draws=200).draws == 200


def test_defaults_are_those_of_the_functions_that_they_are_passed_to() -> None:
    assert ScalingOptions().n_draws == scaling.N_DRAWS
    options = SignificanceOptions()
    assert options.n_permutations == significance.N_PERMUTATIONS
    assert (options.block_trs, options.level) == (bootstrap.TRS_PER_BLOCK, bootstrap.LEVEL)
    assert options.ceiling == ceilings.DEFAULT


@pytest.mark.parametrize(
    ("block", "tr", "expected"),
    [("20s", 2.0, 10), ("20s", 1.5, 14), ("20s", None, 10), (7, 1.5, 7), ("7", None, 7)],
)
def test_a_block_is_as_long_at_every_tr(block: int | str, tr: float | None, expected: int) -> None:
    assert SignificanceOptions(block=block).at_tr(tr).block_trs == expected


def test_a_block_in_seconds_needs_one_tr() -> None:
    with pytest.raises(UsageError, match="the TR is not the same in all stories"):
        SignificanceOptions(block="30s").at_tr(None)
