"""``zoo test``: whether a result is above chance, and whether one is better than another."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from voxelzoo.api import DataError, UsageError
from voxelzoo.reports.options import SignificanceOptions
from voxelzoo.reports.region_table import (
    RegionTable,
    by_story,
    compare,
    long_context_artefact,
    result_table,
)
from voxelzoo.reports.report import Report, Row
from voxelzoo.science.arrays import Floats
from voxelzoo.science.ceilings import INTER_SUBJECT, Others, ceiling_method, find_method
from voxelzoo.science.durations import Duration, in_trs
from voxelzoo.science.paired_tests import subjects_test
from voxelzoo.science.protocols import find_protocol
from voxelzoo.store.layout import PREDICTIONS
from voxelzoo.store.results import Result
from voxelzoo.store.store import Store, open_store

Pair = tuple[Result, ...]
"""One result, or two to be compared."""


@dataclass(frozen=True)
class SubjectTable:
    """The table of one subject."""

    results: Pair
    table: RegionTable

    @property
    def subject(self) -> str:
        """Name of the subject."""
        return self.results[0].record.subject

    @property
    def title(self) -> str:
        """What was tested: models, layers, dataset and subject."""
        names = []
        for result in self.results:
            record = result.record
            name = record.model + (" untrained" if record.untrained else "")
            names.append(f"{name} layer {record.layer} ({result.key[:8]})")
        record = self.results[0].record
        return f"{' against '.join(names)}: {record.dataset} {record.subject}"

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "keys": [result.key for result in self.results],
            "models": [result.record.model for result in self.results],
            "layers": [result.record.layer for result in self.results],
            "subject": self.subject,
            "regions": list(self.table.rows),
            "notes": list(self.table.notes),
        }


@dataclass(frozen=True)
class SignificanceReport(Report):
    """A result tested against chance or another result, in one subject or in several."""

    subjects: Sequence[SubjectTable]
    across_subjects: Sequence[Row] | None = None
    """A row for each region: mean over subjects, and its p; ``None`` for one subject."""

    @property
    def regions(self) -> list[Row]:
        """A row for each subject and region."""
        return [
            {"subject": each.subject} | row for each in self.subjects for row in each.table.rows
        ]

    @property
    def maps(self) -> dict[str, Floats]:
        """Values of each voxel (voxel,), as ``SUBJECT/MAP``; NaN where undefined."""
        return {
            f"{each.subject}/{name}": values
            for each in self.subjects
            for name, values in each.table.maps.items()
        }

    @property
    def notes(self) -> list[str]:
        """How the numbers were computed, in words."""
        return list(dict.fromkeys(note for each in self.subjects for note in each.table.notes))

    @property
    def tables(self) -> dict[str, list[Row]]:
        """``regions``, and ``across_subjects`` if several were tested."""
        across = {"across_subjects": list(self.across_subjects)} if self.across_subjects else {}
        return {"regions": self.regions, **across}

    def record(self) -> dict[str, Any]:
        """``tests``, one for each subject, and ``across_subjects`` as JSON values."""
        across = None if self.across_subjects is None else list(self.across_subjects)
        return {"tests": [each.record() for each in self.subjects], "across_subjects": across}


def test(
    store: Store | str | Path,
    key: str,
    against: str | None = None,
    options: SignificanceOptions | None = None,
    *,
    all_subjects: bool = False,
    without_first: Duration | None = None,
    by_story: bool = False,
    notify: Callable[[str], None] = warnings.warn,
    **changes: Any,
) -> SignificanceReport:
    """Test a result against chance, or two results against each other, in each region.

    Results need their held-out predictions: make them with ``keep=["predictions"]``.

    Parameters
    ----------
    store : Store, str or Path
        A store, or its folder.
    key : str
        Key of a result, or its first characters.
    against : str, optional
        Key of another result with the same held-out responses, to compare it with per voxel.
    options : SignificanceOptions, optional
        How they are tested.
    all_subjects : bool, default False
        Also test the results of the other subjects with the same settings, and test over subjects.
        A mean over subjects is not used: it contains every subject.
    without_first : int or str, optional
        Instead of the usual test: the change in r if this many TRs, or seconds (``"100s"``), at the
        start of each held-out story are dropped.
    by_story : bool, default False
        Instead of the usual test: r, signed r2 and R2 of each held-out story.
    notify : callable
        Called with a line on results that another version of voxelzoo wrote.
    **changes
        Fields of ``options`` by name.

    Returns
    -------
    SignificanceReport

    Raises
    ------
    NotFoundError
        If no result, or more than one, has such a key, or there is no such ceiling.
    UsageError
        If options contradict each other, a result has no predictions, or two results have different
        held-out responses.
    DataError
        If there are too few rows, stories or subjects.

    Examples
    --------
    ::

        report = test("zoo-store", "3fa9", "81c0", all_subjects=True)
        report.table("regions")
        report.maps["S1/difference"]
    """
    options = replace(options or SignificanceOptions(), **changes)
    find_method(options.ceiling)
    _check_alone(against, all_subjects, without_first, by_story)
    opened = store if isinstance(store, Store) else open_store(store)
    pair = tuple(opened.result(each) for each in (key, against) if each is not None)
    finder = _Finder(opened, notify)
    pairs = finder.same_in_every_subject(pair) if all_subjects else [pair]
    tables = [
        SubjectTable(each, _table(finder, each, options, without_first, by_story)) for each in pairs
    ]
    return SignificanceReport(tables, _across(tables) if all_subjects else None)


test.__test__ = False  # type: ignore[attr-defined]  # its name is that of the command: no test


def _check_alone(
    against: str | None, all_subjects: bool, without_first: Duration | None, by_story: bool
) -> None:
    """Options that replace the usual test are for one result."""
    if by_story and (against or all_subjects or without_first is not None):
        raise UsageError("--by-story is for one result, without other options of this kind")
    if without_first is not None and (against or all_subjects):
        raise UsageError("--without-first is for one result, without --all-subjects")


def _table(
    finder: _Finder,
    pair: Pair,
    options: SignificanceOptions,
    without_first: Duration | None,
    stories: bool,
) -> RegionTable:
    one, *other = (result.read_held_out() for result in pair)
    tr = pair[0].record.tr
    options = options.at_tr(tr)
    if stories:
        return by_story(one, options)
    if without_first is not None:
        return long_context_artefact(one, in_trs(without_first, tr, "without_first"))
    if other:
        return compare(one, other[0], options)
    others = finder.responses_of_others(pair[0]) if options.ceiling == INTER_SUBJECT else {}
    method = ceiling_method(options.ceiling, find_protocol(pair[0].record.protocol))
    return result_table(one, options, others, method)


@dataclass(frozen=True)
class _Finder:
    """Finds the results of other subjects in a store."""

    store: Store
    notify: Callable[[str], None]

    def same_in_every_subject(self, pair: Pair) -> list[Pair]:
        """The same results of every subject; the newest if there are several.

        A mean over subjects is not used: a test would count each of its subjects twice.
        """
        by_subject = [self._alike(result) for result in pair]
        subjects = {
            subject
            for subject, result in by_subject[0].items()
            if all(subject in each for each in by_subject) and not result.record.is_average
        }
        if len(subjects) < 2:
            raise DataError(
                "--all-subjects: the store has these results, with predictions, of only one subject"
            )
        return [tuple(each[subject] for each in by_subject) for subject in sorted(subjects)]

    def responses_of_others(self, result: Result) -> Others:
        """Held-out responses of the other subjects who heard the same, read one at a time."""
        own = result.record.subject
        if result.record.is_average:
            raise UsageError(f"--ceiling inter-subject: {own!r} is a mean over subjects")
        others = {
            subject: other
            for subject, other in sorted(self._alike(result).items())
            if subject != own and not other.record.is_average
        }
        if not others:
            raise DataError(
                "--ceiling inter-subject needs responses of other subjects, and the store has this "
                f"result only for {own!r}; run it for others with zoo run --keep predictions"
            )
        for subject, other in others.items():
            if other.labels != result.labels:
                raise DataError(
                    f"--ceiling inter-subject: voxels of {own!r} and {subject!r} have different "
                    "labels, so they do not correspond"
                )
        return {subject: other.read_responses for subject, other in others.items()}

    @cached_property
    def _results(self) -> Sequence[Result]:
        return self.store.results(notify=self.notify)

    def _alike(self, result: Result) -> Mapping[str, Result]:
        """By subject, the results with the same settings."""
        settings = _settings(result)
        return {
            other.record.subject: other
            for other in self._results
            if _settings(other) == settings and PREDICTIONS in other.kept
        } | {result.record.subject: result}


def _settings(result: Result) -> dict[str, Any]:
    """Everything that determined a result other than the subject."""
    return {k: v for k, v in result.provenance.items() if k not in ("responses", "others")}


def _across(tables: Sequence[SubjectTable]) -> list[Row]:
    """For each region: the mean over subjects, and its p by flipping signs."""
    by_region = [{row["region"]: row for row in each.table.rows} for each in tables]
    score = "difference" if "difference" in tables[0].table.rows[0] else "r"
    rows = []
    for region in by_region[0]:
        values = [each[region][score] for each in by_region if region in each]
        numbers = np.array([np.nan if value is None else value for value in values])
        if np.isfinite(numbers).sum() >= 2:
            over = subjects_test(numbers)
            mean, p = round(over.mean, 6), round(over.p, 6)
            rows.append({"region": region, "n_subjects": over.n_subjects, score: mean, "p": p})
    return rows
