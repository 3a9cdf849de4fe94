"""Checks of response arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import Dataset, ScanClock
from voxelzoo.data.check.findings import CheckReport, ResponseReport, attempt
from voxelzoo.data.leaks import find_leaks
from voxelzoo.progress import Progress
from voxelzoo.science.splits import Evaluation
from voxelzoo.science.traces import ResponseTrace, out_of_order
from voxelzoo.stimuli.files import content_digest


def check_responses(
    report: CheckReport,
    dataset: Dataset,
    evaluation: Evaluation | None,
    clocks: Mapping[str, ScanClock],
    heard: Mapping[str, Sequence[str]],
    progress: Progress,
) -> None:
    """Reads every subject's responses and adds what is wrong with them to the report."""
    digests: dict[str, tuple[str, str]] = {}
    by_story: dict[str, dict[str, ResponseTrace]] = {}
    with progress.task("responses", sum(map(len, heard.values()))) as advance:
        for subject in report.subjects:
            traces: dict[str, ResponseTrace] = {}
            for name in heard[subject]:
                read = partial(dataset.responses, subject, name)
                given = attempt(report, "responses", f"{subject}, {name}", read)
                advance(1)
                if given is None:
                    continue
                values = np.asarray(given)
                found = _check_values(report, subject, name, values, clocks.get(name))
                if found is None:
                    continue
                traces[name] = trace = ResponseTrace.of(values)
                by_story.setdefault(name, {})[subject] = trace
                _check_copy(report, digests, subject, name, values)
            if evaluation is not None:
                for leak in find_leaks(evaluation, {}, traces):
                    report.add("error", leak.guard, subject, leak.reason)
            _check_subject(report, dataset, subject)
    _check_lengths(report)
    if len(by_story) == 1:  # no other story of the subject's to compare with, but other subjects
        for story, traces in by_story.items():
            for subject, _, slow, usual in out_of_order(traces):
                report.add(
                    "error",
                    "shuffled-rows",
                    f"{subject}, {story}",
                    f"lag-one autocorrelation {slow:.2f}, other subjects {usual:.2f}: the rows "
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
) -> ResponseReport | None:
    where = f"{subject}, {story}"
    if values.ndim not in (2, 3) or 0 in values.shape or values.dtype.kind not in "fiu":
        report.add(
            "error",
            "responses",
            where,
            f"{values.dtype} of shape {values.shape}; expected numbers, (TR, voxel) or "
            "(repeat, TR, voxel)",
        )
        return None
    repeats = values.reshape(-1, *values.shape[-2:])
    nan, flat, infinite = _voxel_faults(repeats)
    slow = float(np.mean(ResponseTrace.of(values).lag1_autocorrelation))
    found = ResponseReport(
        subject=subject,
        story=story,
        shape=tuple(values.shape),
        n_repeats=len(repeats),
        n_trs=repeats.shape[1],
        n_voxels=repeats.shape[2],
        n_nan_voxels=nan,
        n_flat_voxels=flat,
        lag1_autocorrelation=round(slow, 4) if np.isfinite(slow) else None,
    )
    report.responses.append(found)
    if clock is not None and found.n_trs != clock.n_trs:
        off = found.n_trs - clock.n_trs
        report.add(
            "error",
            "length-mismatch",
            where,
            f"{found.n_trs} response rows, but the clock has {clock.n_trs} TRs: "
            f"{abs(off)} too {'many' if off > 0 else 'few'}",
        )
    if infinite:
        report.add("error", "infinite", where, f"{infinite} voxels have infinite responses")
    if nan + flat >= found.n_voxels and nan | flat:
        report.add("error", "unusable", where, "no voxel has finite, varying responses")
    elif nan or flat:
        report.add(
            "warning",
            "undefined-voxels",
            where,
            f"of {found.n_voxels} voxels {nan} have NaN and {flat} never change; they get no score",
        )
    seen: dict[str, int] = {}
    for i, repeat in enumerate(repeats):
        j = seen.setdefault(content_digest(repeat), i)
        if j != i:
            report.add(
                "error",
                "copied-repeat",
                where,
                f"repeat {i + 1} is a copy of repeat {j + 1}: the noise ceiling would be wrong",
            )
    return found


def _voxel_faults(repeats: NDArray[Any]) -> tuple[int, int, int]:
    """(voxels with NaN, voxels flat in some repeat, voxels with infinity) of finite blocks."""
    nan = flat = infinite = 0
    for start in range(0, repeats.shape[2], 4096):  # temporaries stay small beside the responses
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
    """One file under two names, of subjects or of stories."""
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
    """Where no clock fits, who differs from the others, by how many TRs."""
    for story in report.stories:
        rows = [found for found in report.responses if found.story == story.name]
        counts = Counter(found.n_trs for found in rows)
        if story.clock is not None or len(counts) < 2:
            continue
        (usual, most), *others = counts.most_common()
        if others[0][1] == most:
            continue  # nobody can say who is right
        for found in rows:
            if off := found.n_trs - usual:
                report.add(
                    "error",
                    "length-mismatch",
                    f"{found.subject}, {story.name}",
                    f"{found.n_trs} response rows, {abs(off)} TRs {'more' if off > 0 else 'fewer'} "
                    f"than the {usual} of the other subjects",
                )


def _check_subject(report: CheckReport, dataset: Dataset, subject: str) -> None:
    """A subject has as many voxels in every story, and a label for each if for any."""
    rows = [found for found in report.responses if found.subject == subject]
    if not rows:
        return
    usual = Counter(found.n_voxels for found in rows).most_common(1)[0][0]
    for found in rows:
        if found.n_voxels != usual:
            report.add(
                "error",
                "voxel-count",
                f"{subject}, {found.story}",
                f"{found.n_voxels} voxels; the subject's other stories have {usual}",
            )
    labels = attempt(report, "labels", subject, lambda: dataset.voxel_labels(subject))
    if labels is not None and len(labels) != usual:
        report.add("error", "labels", subject, f"{len(labels)} labels for {usual} voxels")
