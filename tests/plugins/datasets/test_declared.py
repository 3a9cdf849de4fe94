"""Published numbers: they agree with one another, and a mismatch is one line."""

from __future__ import annotations

import pytest

from voxelzoo_datasets.declared import (
    ANTONELLO_BOX,
    LEBEL,
    PETIT_PRINCE,
    Declared,
    Read,
    disagreements,
)
from voxelzoo_datasets.lebel import PAPER_SUBJECTS, PAPER_TESTS

SOUND = {
    "CN": (564.9, 642.6, 643.7, 612.2, 584.5, 782.9, 726.6, 585.2, 801.1),
    "EN": (554.7, 587.8, 671.4, 598.2, 522.2, 678.1, 642.0, 575.8, 727.1),
    "FR": (613.5, 647.0, 702.2, 624.5, 580.8, 750.4, 658.5, 583.2, 667.9),
}
"""Seconds of each section's audio, as the dataset documents them."""


def test_the_papers_tests_have_790_rows_after_their_longer_trim() -> None:
    assert sum(ANTONELLO_BOX.n_trs[story] - 40 for story in PAPER_TESTS) == 790
    for story in set(LEBEL.n_trs) & set(ANTONELLO_BOX.n_trs):
        assert LEBEL.n_trs[story] == ANTONELLO_BOX.n_trs[story]
    assert {subject: LEBEL.n_voxels[subject] for subject in PAPER_SUBJECTS} == dict(
        ANTONELLO_BOX.n_voxels
    )


@pytest.mark.parametrize("language", PETIT_PRINCE)
def test_each_section_is_scanned_to_its_end_and_a_little_longer(language: str) -> None:
    """What makes time 0 the start of both: the rest of a run is the tail that is documented."""
    said = PETIT_PRINCE[language]
    tails = [n * said.tr - s for n, s in zip(said.n_trs.values(), SOUND[language], strict=True)]
    assert len(tails) == 9
    assert min(tails) > 0
    assert max(tails) < 20


def test_each_mismatch_is_a_line() -> None:
    declared = Declared(2.0, 1, {"a": 10}, {"s": 5}, {"s": 1})
    assert disagreements(declared, Read({"a": 10, "b": 3}, {"s": 5}, {"s": 1, "t": 2})) == []
    assert disagreements(declared, Read({"a": 11}, {"s": 6}, {"s": 2})) == [
        "a: 11 TRs, published with 10",
        "s: 6 voxels, published with 5",
        "s: 2 stories, published with 1",
    ]
