"""Checks of response arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import Dataset, ScanClock
from voxelzoo.data.averages import find_averages_of_stories
from voxelzoo.data.check.findings import CheckReport, ResponseReport, attempt
from voxelzoo.data.leaks import averaged_subject, find_leaks
from voxelzoo.data.opening import averages
from voxelzoo.progress import Progress
from voxelzoo.science.splits import Evaluation
from voxelzoo.science.traces import ResponseTrace, out_of_order
from voxelzoo.stimuli.files import content_digest
from voxelzoo.text import counted


def check_responses(
    report: CheckReport,
    dataset: Dataset,
    evaluation: Evaluation | None,
    clocks: Mapping[str, ScanClock],
    heard: Mapping[str, Sequence[str]],
    progress: Progress,
) -> None:
    """Read every subject's responses and add what is wrong with them to the report.

    Parameters
    ----------
    report : CheckReport
        Gets a row for each subject and story, and findings.
    dataset : Dataset
        Where responses are read.
    evaluation : HeldOutStories or ContiguousFolds or None
        What would be held out, for the leak guards; ``None`` if that is unknown.
    clocks : mapping of str to ScanClock
        The clock of each story that has one.
    heard : mapping of str to sequence of str
        The stories of each subject.
    progress : Progress
        Told how many responses have been read.
    """
    digests: dict[str, tuple[str, str]] = {}
    by_story: dict[str, dict[str, ResponseTrace]] = {}
    with progress.task("responses", sum(map(len, heard.values()))) as advance:
        for subject in report.subjects:
            traces: dict[str, ResponseTrace] = {}
            for name in heard[subject]:
                read = partial(dataset.responses, subject, name)
                responses = attempt(report, "responses", f"{subject}, {name}", read)
                advance(1)
                if responses is None:
                    continue
                values = np.asarray(responses)
                if not _check_values(report, subject, name, values, clocks.get(name)):
                    continue
                traces[name] = trace = ResponseTrace.of(values)
                by_story.setdefault(name, {})[subject] = trace
                _check_copy(report, digests, subject, name, values)
            if evaluation is not None:
                for leak in find_leaks(evaluation, {}, traces):
                    report.add("error", leak.guard, subject, leak.reason)
            _check_subject(report, dataset, subject)
    _check_lengths(report)
    _check_averages(report, dataset, by_story)
    _check_order(report, by_story)


def _check_averages(
    report: CheckReport, dataset: Dataset, by_story: Mapping[str, Mapping[str, ResponseTrace]]
) -> None:
    """Subjects that are means over others, and are not declared as such."""
    declared = averages(dataset)
    samples = {
        story: {who: trace.sample[-1] for who, trace in traces.items() if who not in declared}
        for story, traces in by_story.items()
    }
    for subject, members in find_averages_of_stories(samples).items():
        leak = averaged_subject(subject, members)
        report.add("error", leak.guard, subject, leak.reason)


def _check_order(report: CheckReport, by_story: Mapping[str, Mapping[str, ResponseTrace]]) -> None:
    """Rows that look shuffled in one subject, or in all of the dataset."""
    if len(by_story) == 1:  # a subject has no other story to compare with: compare subjects
        for story, traces in by_story.items():
            for subject, _, lag1, usual in out_of_order(traces):
                report.add(
                    "error",
                    "shuffled-rows",
                    f"{subject}, {story}",
                    f"lag-one autocorrelation {lag1:.2f}, other subjects {usual:.2f}: the rows "
                    "look shuffled",
                )
    lags = [r.lag1_autocorrelation for r in report.responses if r.lag1_autocorrelation is not None]
    if lags and np.median(lags) < 0.05:
        report.add(
            "warning",
            "no-autocorrelation",
            report.name,
            f"responses have no autocorrelation (lag one {np.median(lags):.2f}): white noise, "
            "or rows that are out of order in every story",
        )


def _check_values(
    report: CheckReport, subject: str, story: str, values: NDArray[Any], clock: ScanClock | None
) -> bool:
    """Check one array and add its row to the report; False if it is no array of responses."""
    where = f"{subject}, {story}"
    if values.ndim not in (2, 3) or 0 in values.shape or values.dtype.kind not in "fiu":
        report.add(
            "error",
            "responses",
            where,
            f"{values.dtype} of shape {values.shape}; expected numbers, (TR, voxel) or "
            "(repeat, TR, voxel)",
        )
        return False
    repeats = values.reshape(-1, *values.shape[-2:])
    nan, flat, infinite = _voxel_faults(repeats)
    lag1 = float(np.mean(ResponseTrace.of(values).lag1_autocorrelation))
    n_repeats, n_trs, n_voxels = repeats.shape
    report.responses.append(
        ResponseReport(
            subject=subject,
            story=story,
            shape=tuple(values.shape),
            n_repeats=n_repeats,
            n_trs=n_trs,
            n_voxels=n_voxels,
            n_nan_voxels=nan,
            n_flat_voxels=flat,
            lag1_autocorrelation=round(lag1, 4) if np.isfinite(lag1) else None,
        )
    )
    if clock is not None and (off := n_trs - clock.n_trs):
        report.add(
            "error",
            "length-mismatch",
            where,
            f"{n_trs} response rows, but the clock has {clock.n_trs} TRs: "
            f"{abs(off)} too {'many' if off > 0 else 'few'}",
        )
    if infinite:
        many = counted(infinite, "voxel")
        report.add("error", "infinite", where, f"{many} with infinite responses")
    if nan + flat >= n_voxels and nan | flat:
        report.add("error", "unusable", where, "no voxel has finite, varying responses")
    elif nan or flat:
        report.add(
            "warning",
            "undefined-voxels",
            where,
            f"of {n_voxels} voxels {nan} have NaN and {flat} never change; they get no score",
        )
    _check_repeats(report, where, repeats)
    return True


def _check_repeats(report: CheckReport, where: str, repeats: NDArray[Any]) -> None:
    """A repeat that is a copy of another makes a noise ceiling of 1."""
    first: dict[str, int] = {}
    for i, repeat in enumerate(repeats):
        j = first.setdefault(content_digest(repeat), i)
        if j != i:
            report.add(
                "error",
                "copied-repeat",
                where,
                f"repeat {i + 1} is a copy of repeat {j + 1}: the noise ceiling would be wrong",
            )


def _voxel_faults(repeats: NDArray[Any]) -> tuple[int, int, int]:
    """(voxels with NaN, voxels constant in some repeat, voxels with infinity)."""
    nan = flat = infinite = 0
    for start in range(0, repeats.shape[2], 4096):  # so that temporaries stay small
        block = repeats[:, :, start : start + 4096]
        has_nan = np.isnan(block).any(axis=(0, 1))
        with np.errstate(invalid="ignore"):
            constant = (block.max(axis=1) == block.min(axis=1)).any(axis=0)
        nan += int(has_nan.sum())
        flat += int((constant & ~has_nan).sum())
        infinite += int(np.isinf(block).any(axis=(0, 1)).sum())
    return nan, flat, infinite


def _check_copy(
    report: CheckReport,
    digests: dict[str, tuple[str, str]],
    subject: str,
    story: str,
    values: NDArray[Any],
) -> None:
    """The same responses under two names, of subjects or of stories."""
    digest = content_digest(values)
    if digest in digests:
        other = digests[digest]
        report.add(
            "error",
            "copied-responses",
            f"{subject}, {story}",
            f"the same numbers as {other[0]}, {other[1]}",
        )
    digests.setdefault(digest, (subject, story))


def _check_lengths(report: CheckReport) -> None:
    """For stories without a clock: which subjects differ from the others, by how many TRs."""
    for story in report.stories:
        rows = [row for row in report.responses if row.story == story.name]
        counts = Counter(row.n_trs for row in rows)
        if story.clock is not None or len(counts) < 2:
            continue
        (usual, most), *others = counts.most_common()
        if others[0][1] == most:
            continue  # it cannot be known which subject is right
        for row in rows:
            if off := row.n_trs - usual:
                report.add(
                    "error",
                    "length-mismatch",
                    f"{row.subject}, {story.name}",
                    f"{row.n_trs} response rows, {abs(off)} TRs {'more' if off > 0 else 'fewer'} "
                    f"than the {usual} of the other subjects",
                )


def _check_subject(report: CheckReport, dataset: Dataset, subject: str) -> None:
    """A subject needs the same voxels in every story, and one label for each, or no labels."""
    rows = [row for row in report.responses if row.subject == subject]
    if not rows:
        return
    usual = Counter(row.n_voxels for row in rows).most_common(1)[0][0]
    for row in rows:
        if row.n_voxels != usual:
            report.add(
                "error",
                "voxel-count",
                f"{subject}, {row.story}",
                f"{row.n_voxels} voxels; the subject's other stories have {usual}",
            )
    labels = attempt(report, "labels", subject, lambda: dataset.voxel_labels(subject))
    if labels is not None and len(labels) != usual:
        report.add("error", "labels", subject, f"{len(labels)} labels for {usual} voxels")
