"""Where the data at hand are not those that a recipe speaks of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from voxelzoo.api import DataError, Dataset
from voxelzoo.data.opening import opened_responses, unusable_subjects
from voxelzoo.recipes.outcome import Difference
from voxelzoo.recipes.runner import RecipeRunner
from voxelzoo.recipes.schema import Recipe


def subjects_there(recipe: Recipe, dataset: Dataset) -> tuple[str, ...]:
    """The recipe's subjects without those that the data lack; all, where they lack every one."""
    there = dataset.subjects()
    return tuple(s for s in recipe.data.subjects if s in there) or recipe.data.subjects


def differences(sweep: RecipeRunner) -> list[Difference]:
    """Subjects, training stories, test stories and repeats that are not the recipe's."""
    data, dataset = sweep.recipe.data, sweep.dataset
    found = []
    for subject in data.subjects:
        if subject not in dataset.subjects():
            why = unusable_subjects(dataset).get(subject, "not in the data")
            found.append(Difference(f"without subject {subject} ({why})", frozenset({subject})))
    there = {subject: len(sweep.train_stories(subject)) for subject in sweep.chosen}
    alike: dict[tuple[int, int], list[str]] = {}
    for subject, number in data.train_stories.items():
        if subject in there and there[subject] != number:
            alike.setdefault((there[subject], number), []).append(subject)
    for (here, number), of in alike.items():
        many = "story" if here == 1 else "stories"
        text = f"{here} training {many} here, {number} in the recipe for {', '.join(of)}"
        found.append(Difference(text, frozenset(of)))
    for subject, lacked in data.lacks.items():
        trained = sweep.train_stories(subject) if subject in there else ()
        if more := [story for story in lacked if story in trained]:
            text = f"{subject} heard {', '.join(more)} here and not in the recipe"
            found.append(Difference(text, frozenset({subject})))
    for story in data.test_stories:
        if story not in dataset.test_stories():
            found.append(Difference(f"no test story {story} here", story=story))
        elif (expected := data.repeats.get(story)) is not None:
            found.extend(_repeat_differences(dataset, sweep.chosen, story, expected))
    return [*found, *_trim_differences(sweep)]


def _trim_differences(sweep: RecipeRunner) -> Iterator[Difference]:
    """Test stories whose scans lost another number of volumes at their start, where it is known."""
    trims, dataset = sweep.recipe.data.trims, sweep.dataset
    if trims is None:
        return
    for story in dataset.test_stories():
        lost, expected = dataset.clock(story).n_dropped, trims.start_trs
        if lost not in (None, expected):
            text = f"{story}: {lost} volumes dropped at its start here, {expected} in the recipe"
            yield Difference(text, story=story)


def _repeat_differences(
    dataset: Dataset, subjects: Sequence[str], story: str, expected: int
) -> Iterator[Difference]:
    """Subjects who heard a test story another number of times, so far as the data can tell."""
    by_number: dict[int, list[str]] = {}
    for subject in subjects:
        there = n_repeats(dataset, subject, story)
        if there not in (None, expected):
            by_number.setdefault(int(there or 0), []).append(subject)
    for number, of in by_number.items():
        many = "repeat" if number == 1 else "repeats"
        text = f"{story}: {number} {many} here, {expected} in the recipe for {', '.join(of)}"
        yield Difference(text, frozenset(of), story)


def n_repeats(dataset: Dataset, subject: str, story: str) -> int | None:
    """How often a subject heard a story.

    ``None`` where the data are one array, which may be a mean over repeats, or cannot be read: the
    fit says why.
    """
    try:
        with opened_responses(dataset, subject, story) as responses:
            shape = responses.shape
    except DataError:
        return None
    return int(shape[0]) if len(shape) == 3 else None
