"""``zoo data check``: everything that can be seen to be wrong with a dataset before it is fitted.

A check does not stop at the first fault: it lists them all. An *error* would make a fit wrong, or
impossible; a *warning* is worth a look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from voxelzoo.api import Dataset, HasDisagreements, ScanClock, Story
from voxelzoo.data.check.findings import CheckReport, attempt
from voxelzoo.data.check.responses import check_responses
from voxelzoo.data.check.stories import check_clocks, check_same_stories, check_story
from voxelzoo.data.leaks import find_leaks
from voxelzoo.data.opening import own_stories, plan_evaluation, unusable_subjects
from voxelzoo.progress import Progress, Silent
from voxelzoo.science.splits import HeldOutStories


def check_dataset(dataset: Dataset, progress: Progress | None = None) -> CheckReport:
    """Read every story and every response once, one at a time, and list everything that is wrong.

    Parameters
    ----------
    dataset : Dataset
        An open dataset.
    progress : Progress, optional
        Told how many responses have been read.

    Returns
    -------
    CheckReport
        Stories, clocks, responses and findings. Nothing is raised for damaged data: each fault is
        a finding.

    Examples
    --------
    >>> import numpy as np
    >>> from voxelzoo.data.memory import InMemoryDataset
    >>> rows = np.random.default_rng(0).normal(size=(2, 60, 5)).cumsum(axis=1)
    >>> dataset = InMemoryDataset(
    ...     "mine",
    ...     responses={"S1": {"one": rows[0], "two": rows[1]}},
    ...     tr=2.0,
    ...     words={"one": [("hello", 1.0, 1.5)], "two": [("goodbye", 300.0, 300.5)]},
    ...     test_stories=["two"],
    ... )
    >>> for finding in check_dataset(dataset).findings:
    ...     print(finding.severity, finding.kind, finding.where)
    warning length-mismatch one
    error words-outside-scan two
    """
    info = dataset.info()
    report = CheckReport(info.name, info.summary, info.licence, info.citation)
    report.subjects = tuple(dataset.subjects())
    report.unusable = unusable_subjects(dataset)
    evaluation = attempt(report, "split", info.name, lambda: plan_evaluation(dataset))
    own = attempt(report, "split", info.name, lambda: _own_stories(dataset)) or {}
    more = tuple(dict.fromkeys(story for stories in own.values() for story in stories))
    if more and evaluation is not None and evaluation.kind == "stories":
        evaluation = HeldOutStories((*evaluation.train, *more), evaluation.test)
    report.evaluation = str(evaluation) if evaluation is not None else None
    train = (*dataset.train_stories(), *more)
    stories, clocks = _check_stories(
        report, dataset, {"train": train, "test": dataset.test_stories()}
    )
    check_clocks(report, clocks)
    check_same_stories(report, stories, train)
    if evaluation is not None:
        for leak in find_leaks(evaluation, stories):
            report.add("error", leak.guard, "train and test", leak.reason)
    _check_declared(report, dataset)
    heard = {
        subject: [s.name for s in report.stories if s.name not in more or s.name in own[subject]]
        for subject in report.subjects
    }
    check_responses(report, dataset, evaluation, clocks, heard, progress or Silent())
    return report


def _check_stories(
    report: CheckReport, dataset: Dataset, split: Mapping[Literal["train", "test"], Sequence[str]]
) -> tuple[dict[str, Story], dict[str, ScanClock]]:
    """Check each story by itself; the stories and clocks that could be read, by name."""
    stories: dict[str, Story] = {}
    clocks: dict[str, ScanClock] = {}
    for part, names in split.items():
        for name in names:
            story = attempt(report, "story", name, partial(dataset.story, name))
            clock = attempt(report, "clock", name, partial(dataset.clock, name))
            checked = check_story(report, name, part, story, clock)
            report.stories.append(checked)
            if clock is not None:
                clocks[name] = clock
            if story is not None:
                # Damaged sound is a finding already, and cannot be compared with other stories'.
                damaged = checked.audio_seconds is None
                stories[name] = replace(story, audio=None) if damaged else story
    return stories, clocks


def _own_stories(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {subject: own_stories(dataset, subject) for subject in dataset.subjects()}


def _check_declared(report: CheckReport, dataset: Dataset) -> None:
    """Warns of numbers that are not the published ones, if the dataset knows those."""
    if not isinstance(dataset, HasDisagreements):
        return
    for line in attempt(report, "published", report.name, dataset.disagreements) or ():
        report.add("warning", "published", report.name, line)
