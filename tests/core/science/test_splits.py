"""What is held out: stories, folds, and fewer training stories."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from voxelzoo.api import DataError, UsageError
from voxelzoo.science.splits import ContiguousFolds, HeldOutStories, train_on_fewer


@pytest.mark.parametrize("gap", [0, 5])
@pytest.mark.parametrize(("n_trs", "n_folds"), [(100, 4), (101, 6), (60, 3)])
def test_folds_predict_every_row_once_and_keep_their_distance(
    n_trs: int, n_folds: int, gap: int
) -> None:
    folds = ContiguousFolds("a", n_folds, gap).folds(n_trs)
    assert len(folds) == n_folds
    assert np.concatenate([test for _, test in folds]).tolist() == list(range(n_trs))
    for train, test in folds:
        assert np.array_equal(test, np.arange(test[0], test[-1] + 1))
        expected = [i for i in range(n_trs) if i < test[0] - gap or i > test[-1] + gap]
        assert train.tolist() == expected


def test_inner_groups_are_the_other_folds() -> None:
    evaluation = ContiguousFolds("a", 4, 5)
    train, _ = evaluation.folds(100)[1]
    groups = evaluation.inner_groups(train, 100)
    assert groups.tolist() == [int(row) // 25 for row in train]
    assert set(groups) == {0, 2, 3}


@pytest.mark.parametrize(("n_trs", "n_folds", "gap"), [(10, 6, 0), (40, 2, 16), (11, 4, 0)])
def test_a_story_too_short_for_its_folds_is_refused(n_trs: int, n_folds: int, gap: int) -> None:
    with pytest.raises(DataError, match="too few"):
        ContiguousFolds("a", n_folds, gap).folds(n_trs)


def test_subjects_train_on_their_own_stories_as_well() -> None:
    evaluation = HeldOutStories(("a", "b"), ("t",), {"S1": ("c",), "S2": ("d", "c")})
    assert evaluation.stories == ("a", "b", "c", "d", "t")
    assert evaluation.train_for("S2") == ("a", "b", "d", "c")
    assert evaluation.of("S1").train == ("a", "b", "c")
    assert evaluation.of("S1").own == {}
    assert evaluation.train_for("S3") == ("a", "b")


STORIES = tuple("abcdefgh")


@pytest.mark.parametrize("seed", range(3))
def test_a_smaller_subset_is_part_of_every_larger_one(seed: int) -> None:
    evaluation = HeldOutStories(STORIES, ("t",))
    draws = [train_on_fewer(evaluation, n, seed).train for n in range(1, 9)]
    assert [len(draw) for draw in draws] == list(range(1, 9))
    for small, large in itertools.pairwise(draws):
        assert set(small) < set(large)
    assert draws[-1] == STORIES
    assert all(list(draw) == sorted(draw) for draw in draws)


def test_seeds_draw_different_stories_and_each_is_repeatable() -> None:
    evaluation = HeldOutStories(STORIES, ("t",))
    draws = {train_on_fewer(evaluation, 3, seed).train for seed in range(10)}
    assert len(draws) > 5
    assert train_on_fewer(evaluation, 3, 1) == train_on_fewer(evaluation, 3, 1)


@pytest.mark.parametrize("n_stories", range(1, 7))
def test_each_subject_draws_from_what_it_heard(n_stories: int) -> None:
    own = {"S1": ("e", "f"), "S2": ("g", "h")}
    evaluation = HeldOutStories(("a", "b", "c", "d"), ("t",), own)
    fewer = train_on_fewer(evaluation, n_stories, 0)
    for subject in own:
        chosen = fewer.train_for(subject)
        assert len(chosen) == len(set(chosen)) == n_stories
        assert set(chosen) <= set(evaluation.train_for(subject))
    assert not set(fewer.own["S1"]) & set(fewer.train)


def test_too_many_stories_and_folds_are_refused() -> None:
    evaluation = HeldOutStories(("a", "b"), ("t",), {"S1": (), "S2": ("c",)})
    with pytest.raises(UsageError, match="subject S1 has 2 training stories"):
        train_on_fewer(evaluation, 3, 0)
    assert len(train_on_fewer(evaluation, 3, 0, subjects=["S2"]).train_for("S2")) == 3
    with pytest.raises(UsageError, match="there are 2"):
        train_on_fewer(HeldOutStories(("a", "b"), ("t",)), 0, 0)
    with pytest.raises(UsageError, match="held-out"):
        train_on_fewer(ContiguousFolds("a", 4, 5), 1, 0)
