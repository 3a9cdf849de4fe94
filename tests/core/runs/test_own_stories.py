"""Training stories that one subject heard and another did not."""

from __future__ import annotations

import pytest

from voxelzoo.api import UsageError
from voxelzoo.data.opening import plan_evaluation
from voxelzoo.science.splits import HeldOutStories, train_on_fewer

COMMON = tuple("abcdefgh")


class Data:
    """Eight stories that both heard, and two that only S2 did."""

    def info(self) -> None: ...

    def subjects(self) -> tuple[str, ...]:
        return ("S1", "S2")

    def train_stories(self) -> tuple[str, ...]:
        return COMMON

    def test_stories(self) -> tuple[str, ...]:
        return ("test",)

    def own_stories(self, subject: str) -> tuple[str, ...]:
        return ("y", "z") if subject == "S2" else ()


def planned(*own_for: str) -> HeldOutStories:
    evaluation = plan_evaluation(Data(), own_for=own_for)  # type: ignore[arg-type]
    assert isinstance(evaluation, HeldOutStories)
    return evaluation


def test_own_stories_train_only_where_asked_for() -> None:
    assert planned() == HeldOutStories(COMMON, ("test",))
    assert planned("S1") == planned()
    both = planned("S1", "S2")
    assert both.stories == (*COMMON, "y", "z", "test")
    assert both.of("S1") == HeldOutStories(COMMON, ("test",))
    assert both.of("S2") == HeldOutStories((*COMMON, "y", "z"), ("test",))


@pytest.mark.parametrize("seed", range(5))
def test_subsets_are_of_one_size_nested_and_one_draw(seed: int) -> None:
    both = planned("S1", "S2")
    last: dict[str, set[str]] = {"S1": set(), "S2": set()}
    for n in range(1, 9):
        drawn = train_on_fewer(both, n, seed)
        sets = {subject: set(drawn.of(subject).train) for subject in last}
        assert {len(each) for each in sets.values()} == {n}
        assert all(last[subject] <= each for subject, each in sets.items())
        assert not sets["S1"] & {"y", "z"}
        # They differ by what S1 did not hear, and by what stands in for it.
        assert len(sets["S2"] - sets["S1"]) == len(sets["S2"] & {"y", "z"})
        last = sets
    with pytest.raises(UsageError, match="subject S1 has 8 training stories"):
        train_on_fewer(both, 9, seed)


def test_without_own_stories_a_draw_is_what_it_was() -> None:
    drawn = train_on_fewer(planned(), 3, 4)
    assert len(drawn.train) == 3
    assert drawn.own == {}
    assert drawn == train_on_fewer(HeldOutStories(COMMON, ("test",)), 3, 4)
