"""What is done to responses of imaging datasets, as ``zoo explain`` says it."""

from __future__ import annotations

import numpy as np
import pytest

from voxelzoo_datasets.images import Cleaning


@pytest.mark.parametrize(
    ("cleaning", "said"),
    [
        (Cleaning((), "none", 128.0, 2, False), None),
        (Cleaning((), "none", 128.0, 2, True), "each voxel was z-scored within each run"),
        (
            Cleaning((), "cosine", 100.0, 2, False),
            "drifts slower than 100 s were removed by cosines",
        ),
        (
            Cleaning(("trans_x", "rot_*"), "polynomial", 128.0, 3, False),
            "the confounds trans_x, rot_* were regressed out, a polynomial drift of order 3 was "
            "removed",
        ),
    ],
)
def test_only_what_was_done_is_described(cleaning: Cleaning, said: str | None) -> None:
    assert cleaning.describe() == said


def test_nothing_to_do_leaves_responses_as_they_are() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    assert Cleaning((), "none", 128.0, 2, False).apply(rows, 2.0, None) is rows
