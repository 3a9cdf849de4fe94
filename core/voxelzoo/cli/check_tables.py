"""How ``zoo data check`` prints its report: tables for people, TSV for pipes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from voxelzoo.cli.output import is_terminal, print_line, print_table
from voxelzoo.data.check.findings import CheckReport, StoryReport, by_severity
from voxelzoo.text import counted

if TYPE_CHECKING:
    from voxelzoo.reports.dataset_check import DatasetCheck
    from voxelzoo.runs.alignment_check import AlignmentCurve

MOST_ALIKE = 10
"""Findings of one kind that are printed; the others are counted."""


def print_check(check: DatasetCheck) -> None:
    """Stories, clocks, responses, the alignment curve, and findings, errors first."""
    report = check.report
    print_line(f"{report.name}: {report.summary}" if report.summary else report.name)
    if report.licence or report.citation:
        licence, citation = report.licence or "not given", report.citation or "not given"
        print_line(f"licence: {licence}; citation: {citation}")
    if report.evaluation:
        print_line(f"held out: {report.evaluation}")
    for subject, reason in report.unusable.items():
        print_line(f"subject {subject} cannot be used: {reason}")
    if report.stories:
        _print_stories(report.stories)
    if report.responses:
        which = "stories" if is_terminal() else "story"
        print_table(_response_rows(report), ("subject", which, *RESPONSE_COLUMNS), "\nresponses")
    if check.alignment is not None:
        _print_curve(check.alignment)
    print_line()
    _print_findings(report)


def _print_findings(report: CheckReport) -> None:
    n_alike: Counter[tuple[str, str]] = Counter()
    for finding in by_severity(report.findings):
        n_alike[finding.severity, finding.kind] += 1
        if n_alike[finding.severity, finding.kind] <= MOST_ALIKE:
            print_line(f"{finding.severity}: {finding.where}: {finding.message} [{finding.kind}]")
    for (severity, kind), n in n_alike.items():
        if n > MOST_ALIKE:
            print_line(
                f"{severity}: and {n - MOST_ALIKE} more of kind {kind}; --json lists them all"
            )
    print_line(f"{counted(report.n('error'), 'error')}, {counted(report.n('warning'), 'warning')}")


STORY_COLUMNS = (
    "story",
    "split",
    "words",
    "untimed",
    "silences",
    "from_s",
    "to_s",
    "gaps",
    "longest_gap_s",
    "before_scan",
    "after_scan",
    "sound_s",
)
CLOCK_COLUMNS = ("tr", "start", "first_sample", "last_sample", "kept", "dropped", "sound_start")


def _print_stories(stories: Sequence[StoryReport]) -> None:
    """Stories, then clocks; on a terminal with fewer columns, and a row for each clock."""
    rows = [_story_row(story) for story in stories]
    clocks = [_clock_row(story) for story in stories if story.clock]
    if not is_terminal():
        print_table(rows, STORY_COLUMNS)
        if clocks:
            print_table(clocks, ("story", *CLOCK_COLUMNS))
        return
    for row in rows:
        row["name"] = row["story"]
        row["span_s"] = f"{row['from_s']} to {row['to_s']}" if row["words"] else None
        row["outside_scan"] = (row["before_scan"] or 0) + (row["after_scan"] or 0)
    untimed = ("untimed",) if any(row["untimed"] for row in rows) else ()
    last = ("silences", "span_s", "gaps", "outside_scan", "sound_s")
    print_table(rows, ("name", "split", "words", *untimed, *last), "\nstories")
    by_clock: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in clocks:
        clock = row["tr"], row["start"], row["dropped"], row["sound_start"]
        by_clock.setdefault(clock, []).append(row)
    shown = []
    for same in by_clock.values():
        kept = _range([row["kept"] for row in same])
        last = max(row["last_sample"] for row in same)
        names = same[0]["story"] if len(same) == 1 else f"{len(same)} stories"
        shown.append(same[0] | {"name": names, "kept": kept, "last_sample": last})
    title = "\nclock (s): row i is sampled mid-volume, at first sample + i × tr"
    print_table(shown, ("name", *CLOCK_COLUMNS), title)


def _story_row(story: StoryReport) -> dict[str, Any]:
    return {
        "story": story.name,
        "split": story.split,
        "words": story.n_words,
        "untimed": story.n_untimed,
        "silences": story.n_silences,
        "from_s": _rounded(story.words_begin, 1),
        "to_s": _rounded(story.words_end, 1),
        "gaps": story.n_gaps,
        "longest_gap_s": _rounded(story.longest_gap, 1),
        "before_scan": story.n_words_before_scan,
        "after_scan": story.n_words_after_scan,
        "sound_s": _rounded(story.audio_seconds, 1),
    }


def _clock_row(story: StoryReport) -> dict[str, Any]:
    clock = story.clock
    assert clock is not None
    return {
        "story": story.name,
        "tr": _rounded(clock.tr, 4),
        "start": _rounded(clock.start, 3),
        "first_sample": _rounded(clock.first_sample, 3),
        "last_sample": _rounded(clock.last_sample, 3),
        "kept": clock.n_trs,
        "dropped": clock.n_dropped,
        "sound_start": _rounded(clock.sound_start, 3),
    }


RESPONSE_COLUMNS = ("trs", "voxels", "repeats", "nan_voxels", "flat_voxels")


def _response_rows(report: CheckReport) -> list[dict[str, Any]]:
    """A row for each subject and story; on a terminal one for each subject."""
    if not is_terminal():
        return [
            {
                "subject": row.subject,
                "story": row.story,
                "trs": row.n_trs,
                "voxels": row.n_voxels,
                "repeats": row.n_repeats,
                "nan_voxels": row.n_nan_voxels,
                "flat_voxels": row.n_flat_voxels,
            }
            for row in report.responses
        ]
    rows = []
    for subject in dict.fromkeys(row.subject for row in report.responses):
        own = [row for row in report.responses if row.subject == subject]
        rows.append(
            {
                "subject": subject,
                "stories": len(own),
                "trs": sum(row.n_trs for row in own),
                "voxels": _range([row.n_voxels for row in own]),
                "repeats": _range([row.n_repeats for row in own]),
                "nan_voxels": _range([row.n_nan_voxels for row in own]),
                "flat_voxels": _range([row.n_flat_voxels for row in own]),
            }
        )
    return rows


def _range(values: Sequence[int]) -> str:
    least, most = min(values), max(values)
    return f"{least}" if least == most else f"{least}-{most}"


BARS = " ▁▂▃▄▅▆▇█"

N_BARS = 82
"""Most bars of a curve; neighbouring shifts share one, the higher, if there are more."""


def _print_curve(curve: AlignmentCurve) -> None:
    """The curve as bars, one for each shift; r below zero is blank."""
    top = max(*curve.r, 1e-9)
    every = -(-len(curve.r) // N_BARS)
    shown = [max(curve.r[i : i + every]) for i in range(0, len(curve.r), every)]
    wide = 2 if len(shown) <= N_BARS // 2 else 1
    bars = "".join(BARS[max(0, min(8, round(8 * r / top)))] * wide for r in shown)
    width = len(bars)
    marks = f"{curve.shifts[0]:+g} s".ljust(width // 2) + "0"
    print_line(
        "\nalignment: r of word rate with the stimulus shifted; "
        f"{counted(curve.n_voxels, 'voxel')} of {counted(curve.n_subjects, 'subject')}, "
        f"{counted(curve.n_stories, 'story', 'stories')}"
    )
    print_line(f"  {bars}  best r {top:.3f}")
    print_line(f"  {marks.ljust(width - 5)}{curve.shifts[-1]:+g} s")
    print_line(f"  {curve.say()}")


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
