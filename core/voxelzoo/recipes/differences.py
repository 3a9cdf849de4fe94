"""How the data on this machine differ from those that a recipe describes."""

from __future__ import annotations

from collections.abc import Iterator

from voxelzoo.api import DataError, Dataset
from voxelzoo.data.opening import opened_responses, unusable_subjects
from voxelzoo.recipes.reproduction import DataDifference
from voxelzoo.recipes.runner import RecipeRunner
from voxelzoo.recipes.schema import Recipe


def available_subjects(recipe: Recipe, dataset: Dataset) -> tuple[str, ...]:
    """The recipe's subjects that are in the data; all of the recipe's, if none is."""
    subjects = dataset.subjects()
    return tuple(s for s in recipe.data.subjects if s in subjects) or recipe.data.subjects


def data_differences(runner: RecipeRunner) -> list[DataDifference]:
    """Subjects, training stories, test stories, repeats and trims that are not the recipe's."""
    return [
        *_missing_subjects(runner),
        *_training_differences(runner),
        *_test_differences(runner),
        *_trim_differences(runner),
    ]


def _missing_subjects(runner: RecipeRunner) -> Iterator[DataDifference]:
    dataset = runner.dataset
    for subject in runner.recipe.data.subjects:
        if subject not in dataset.subjects():
            why = unusable_subjects(dataset).get(subject, "not in the data")
            yield DataDifference(f"without subject {subject} ({why})", frozenset({subject}))


def _training_differences(runner: RecipeRunner) -> Iterator[DataDifference]:
    """Subjects who have another number of training stories, or stories they should not have."""
    data = runner.recipe.data
    stories = {subject: runner.train_stories(subject) for subject in runner.subjects}
    by_numbers: dict[tuple[int, int], list[str]] = {}
    for subject, expected in data.train_stories.items():
        if subject in stories and len(stories[subject]) != expected:
            by_numbers.setdefault((len(stories[subject]), expected), []).append(subject)
    for (n, expected), subjects in by_numbers.items():
        text = f"{n} training {'story' if n == 1 else 'stories'} here, {expected} in the recipe"
        yield DataDifference(f"{text} for {', '.join(subjects)}", frozenset(subjects))
    for subject, not_heard in data.lacks.items():
        if more := [story for story in not_heard if story in stories.get(subject, ())]:
            text = f"{subject} heard {', '.join(more)} here and not in the recipe"
            yield DataDifference(text, frozenset({subject}))


def _test_differences(runner: RecipeRunner) -> Iterator[DataDifference]:
    """Test stories that are missing, or that subjects heard another number of times."""
    data, dataset = runner.recipe.data, runner.dataset
    for story in data.test_stories:
        if story not in dataset.test_stories():
            yield DataDifference(f"no test story {story} here", story=story)
        elif (expected := data.repeats.get(story)) is not None:
            by_number: dict[int, list[str]] = {}
            for subject in runner.subjects:
                n = n_repeats(dataset, subject, story)
                if n is not None and n != expected:
                    by_number.setdefault(n, []).append(subject)
            for n, subjects in by_number.items():
                repeats = f"{n} {'repeat' if n == 1 else 'repeats'}"
                text = f"{story}: {repeats} here, {expected} in the recipe"
                yield DataDifference(
                    f"{text} for {', '.join(subjects)}", frozenset(subjects), story
                )


def _trim_differences(runner: RecipeRunner) -> Iterator[DataDifference]:
    """Test stories whose scans lost another number of volumes at their start, if it is known."""
    trims, dataset = runner.recipe.data.trims, runner.dataset
    if trims is None:
        return
    for story in dataset.test_stories():
        n, expected = dataset.clock(story).n_dropped, trims.start_trs
        if n is not None and n != expected:
            text = f"{story}: {n} volumes dropped at its start here, {expected} in the recipe"
            yield DataDifference(text, story=story)


def n_repeats(dataset: Dataset, subject: str, story: str) -> int | None:
    """How often a subject heard a story.

    Returns
    -------
    int or None
        ``None`` if the data are one array, which may be a mean over repeats, or cannot be read; in
        that case the fit gives the reason.
    """
    try:
        with opened_responses(dataset, subject, story) as responses:
            shape = responses.shape
    except DataError:
        return None
    return int(shape[0]) if len(shape) == 3 else None
