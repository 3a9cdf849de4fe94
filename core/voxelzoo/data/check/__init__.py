"""``zoo data check``: everything that can be seen wrong with a dataset before it is fitted.

A check goes on past a fault and lists them all. An *error* makes a wrong fit, or none; a *warning*
is worth a look.
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
    """Reads every story and every response once, one at a time, and reports."""
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
    stories: dict[str, Story] = {}
    clocks: dict[str, ScanClock] = {}
    split: Mapping[Literal["train", "test"], Sequence[str]] = {
        "train": (*dataset.train_stories(), *more),
        "test": dataset.test_stories(),
    }
    for part, names in split.items():
        for name in names:
            story = attempt(report, "story", name, partial(dataset.story, name))
            clock = attempt(report, "clock", name, partial(dataset.clock, name))
            found = check_story(report, name, part, story, clock)
            report.stories.append(found)
            if clock is not None:
                clocks[name] = clock
            if story is not None:
                damaged = found.audio_seconds is None  # it is said, and cannot be compared
                stories[name] = replace(story, audio=None) if damaged else story
    check_clocks(report, clocks)
    check_same_stories(report, stories, split["train"])
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


def _own_stories(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {subject: own_stories(dataset, subject) for subject in dataset.subjects()}


def _check_declared(report: CheckReport, dataset: Dataset) -> None:
    """Warns of numbers that are not the published ones, if the dataset knows those."""
    if not isinstance(dataset, HasDisagreements):
        return
    for line in attempt(report, "published", report.name, dataset.disagreements) or ():
        report.add("warning", "published", report.name, line)
