"""``zoo data check``: everything that can be seen wrong with a dataset before it is fitted.

A check goes on past a fault and lists them all. An *error* makes a wrong fit, or none; a *warning*
is worth a look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, Dataset, ScanClock, Story, Words, ZooError
from voxelzoo.datasets import (
    Evaluation,
    HeldOutStories,
    own_stories,
    plan_evaluation,
    unusable_subjects,
)
from voxelzoo.leaks import ResponseTrace, find_leaks, out_of_order
from voxelzoo.progress import Progress, Silent
from voxelzoo.stimuli import content_digest, need_fetched

Severity = Literal["error", "warning"]
T = TypeVar("T")

LONG_GAP = 3.0
"""Seconds without a word that count as a gap."""

SLACK = 1.0
"""Seconds by which words may outlast their sound: aligners round, encoders pad."""

IDLE = 60.0
"""Seconds that a scan may go on after its story; longer, and the two may not belong together."""

OUTSIDE = 0.25
"""Share of a story's words outside the scan that is worth a warning."""


@dataclass(frozen=True)
class Finding:
    """One thing wrong: how bad, what kind, where, and a line for people."""

    severity: Severity
    kind: str
    where: str
    message: str


@dataclass(frozen=True)
class ClockReport:
    """The scan clock of a story, spelt out. Times are seconds on the story's own clock.

    Row ``i`` of every response was acquired from ``start + i * tr`` to ``start + (i + 1) * tr``;
    features are sampled in its middle, at ``first_sample + i * tr``.
    """

    tr: float
    start: float
    """Onset of the first volume that was kept."""
    first_sample: float
    last_sample: float
    n_trs: int
    n_dropped: int | None
    """Volumes acquired before it and dropped, where the dataset says."""
    sound_start: float | None
    """When the sound begins; ``None`` without sound."""

    @classmethod
    def of(cls, clock: ScanClock, story: Story | None) -> ClockReport:
        """From a clock and the story it belongs to."""
        sound = story.audio.start if story is not None and story.audio is not None else None
        first = clock.start + clock.tr / 2
        return cls(
            tr=clock.tr,
            start=clock.start,
            first_sample=first,
            last_sample=first + (clock.n_trs - 1) * clock.tr,
            n_trs=clock.n_trs,
            n_dropped=clock.n_dropped,
            sound_start=sound,
        )


@dataclass(frozen=True)
class StoryReport:
    """What a story holds, and how it lies in its scan. Times are seconds."""

    name: str
    split: Literal["train", "test"]
    n_words: int | None
    n_silences: int | None
    """Items without text."""
    words_begin: float | None
    words_end: float | None
    n_gaps: int | None
    """Stretches of more than 3 s without a word."""
    longest_gap: float | None
    n_words_before_scan: int | None
    n_words_after_scan: int | None
    audio_seconds: float | None
    audio_rate: int | None
    features: tuple[str, ...]
    clock: ClockReport | None


@dataclass(frozen=True)
class ResponseReport:
    """One subject's responses to one story."""

    subject: str
    story: str
    shape: tuple[int, ...]
    n_repeats: int
    n_trs: int
    n_voxels: int
    n_nan_voxels: int
    """Voxels with NaN in any row."""
    n_flat_voxels: int
    """Voxels that never change, in some repeat."""
    slowness: float | None
    """Lag-one autocorrelation, averaged over voxels."""


@dataclass
class CheckReport:
    """Everything that was seen."""

    name: str
    summary: str = ""
    licence: str | None = None
    citation: str | None = None
    evaluation: str | None = None
    subjects: tuple[str, ...] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Subjects that cannot be fitted, with the reason."""
    stories: list[StoryReport] = field(default_factory=list)
    responses: list[ResponseReport] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add(self, severity: Severity, kind: str, where: str, message: str) -> None:
        """Notes a finding, once."""
        finding = Finding(severity, kind, where, message)
        if finding not in self.findings:
            self.findings.append(finding)

    def n(self, severity: Severity) -> int:
        """How many findings are that bad."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """That of bad data where there is an error; warnings do not fail."""
        return DataError.exit_code if self.n("error") else 0

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **asdict(self),
            "n_errors": self.n("error"),
            "n_warnings": self.n("warning"),
            "ok": not self.n("error"),
        }


def check_dataset(dataset: Dataset, progress: Progress | None = None) -> CheckReport:
    """Reads every story and every response once, one at a time, and reports."""
    info = dataset.info()
    report = CheckReport(info.name, info.summary, info.licence, info.citation)
    report.subjects = tuple(dataset.subjects())
    report.unusable = unusable_subjects(dataset)
    evaluation = _try(report, "split", info.name, lambda: plan_evaluation(dataset))
    own = _try(report, "split", info.name, lambda: _own_stories(dataset)) or {}
    more = tuple(dict.fromkeys(story for stories in own.values() for story in stories))
    if more and isinstance(evaluation, HeldOutStories):
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
            story = _try(report, "story", name, partial(dataset.story, name))
            clock = _try(report, "clock", name, partial(dataset.clock, name))
            found = _check_story(report, name, part, story, clock)
            report.stories.append(found)
            if clock is not None:
                clocks[name] = clock
            if story is not None:
                damaged = found.audio_seconds is None  # it is said, and cannot be compared
                stories[name] = replace(story, audio=None) if damaged else story
    _check_clocks(report, clocks)
    _check_same_stories(report, stories, split["train"])
    if evaluation is not None:
        for leak in find_leaks(evaluation, stories):
            report.add("error", leak.guard, "train and test", leak.reason)
    _check_declared(report, dataset)
    heard = {
        subject: [s.name for s in report.stories if s.name not in more or s.name in own[subject]]
        for subject in report.subjects
    }
    _check_responses(report, dataset, evaluation, clocks, heard, progress or Silent())
    return report


def _own_stories(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {subject: own_stories(dataset, subject) for subject in dataset.subjects()}


def _check_declared(report: CheckReport, dataset: Dataset) -> None:
    """Warns of numbers that are not the published ones, where the dataset knows those.

    A dataset may have a method ``disagreements()``, a line for each; it need not.
    """
    compare: Callable[[], Sequence[str]] = getattr(dataset, "disagreements", tuple)
    for line in _try(report, "published", report.name, compare) or ():
        report.add("warning", "published", report.name, line)


def _try(report: CheckReport, kind: str, where: str, read: Callable[[], T]) -> T | None:
    """What ``read`` gives; a fault becomes a finding."""
    try:
        return read()
    except ZooError as error:
        report.add("error", kind, where, str(error))
    except Exception as error:
        # The dataset plugin broke; the report must still go on to the next piece.
        line = " ".join(str(error).split())
        report.add(
            "error", kind, where, f"the dataset plugin fails: {type(error).__name__}: {line}"
        )
    return None


# -------------------------------------------------------------------------------------- stories


def _check_story(
    report: CheckReport,
    name: str,
    split: Literal["train", "test"],
    story: Story | None,
    clock: ScanClock | None,
) -> StoryReport:
    words = story.words if story is not None else None
    spoken = words.spoken() if words is not None else None
    silence = _silences(spoken) if spoken is not None else np.zeros(0)
    gaps = silence[silence > LONG_GAP]
    before, after = _outside(spoken, clock)
    if spoken is not None:
        _check_words(report, name, spoken, before, after)
    seconds, rate = _check_audio(report, name, story, spoken)
    if story is not None and clock is not None:
        _check_end(report, name, story, clock)
    return StoryReport(
        name=name,
        split=split,
        n_words=len(spoken) if spoken is not None else None,
        n_silences=len(words) - len(spoken) if words is not None and spoken is not None else None,
        words_begin=float(spoken.onsets[0]) if spoken else None,
        words_end=float(spoken.offsets.max()) if spoken else None,
        n_gaps=len(gaps) if spoken is not None else None,
        longest_gap=float(silence.max()) if len(silence) else None,
        n_words_before_scan=before,
        n_words_after_scan=after,
        audio_seconds=seconds,
        audio_rate=rate,
        features=tuple(story.features) if story is not None else (),
        clock=ClockReport.of(clock, story) if clock is not None else None,
    )


def _silences(words: Words) -> NDArray[np.float64]:
    """Seconds between each word and the next, (word - 1,); negative where they overlap."""
    ended: NDArray[np.float64] = np.maximum.accumulate(words.offsets)
    return words.onsets[1:] - ended[:-1]


def _outside(words: Words | None, clock: ScanClock | None) -> tuple[int | None, int | None]:
    """How many words lie before the first kept volume, and after the last."""
    if words is None or clock is None:
        return None, None
    end = clock.start + clock.n_trs * clock.tr
    return int((words.times < clock.start).sum()), int((words.times > end).sum())


def _check_words(
    report: CheckReport, name: str, words: Words, before: int | None, after: int | None
) -> None:
    if not len(words):
        report.add("error", "words", name, "every word is a silence")
        return
    if words.onsets[0] < 0:
        report.add(
            "warning", "words", name, f"words begin at {words.onsets[0]:g} s, before the story"
        )
    if before is None or after is None:
        return
    outside = before + after
    said = (
        f"{outside} of {len(words)} words lie outside the scan ({before} before it, {after} after)"
    )
    if outside == len(words):
        report.add("error", "words-outside-scan", name, f"{said}: the clock is another story's")
    elif outside > OUTSIDE * len(words):
        report.add("warning", "words-outside-scan", name, said)


def _check_audio(
    report: CheckReport, name: str, story: Story | None, words: Words | None
) -> tuple[float | None, int | None]:
    """Reads the sound through; its length in seconds and samples per second."""
    if story is None or story.audio is None:
        return None, None
    audio = story.audio
    if audio.path is not None:
        try:
            need_fetched(audio.path)
        except DataError as error:
            report.add("warning", "not-fetched", name, f"{error}; speech models need it")
            return None, None

    def read() -> tuple[float, int]:
        heard = False
        for piece in audio.pieces(1 << 20):  # to the end, which may be damaged
            heard = heard or bool(piece.any())
        if not heard:
            raise DataError(f"{audio.path or name}: the sound is silent throughout")
        return audio.duration, audio.native_rate

    found = _try(report, "audio", name, read)
    if found is None:
        return None, None
    if words:
        ends, lasts = audio.start + audio.duration, float(words.offsets.max())
        if lasts > ends + SLACK:
            late = int((words.times > ends).sum())
            report.add(
                "error",
                "audio-too-short",
                name,
                f"the sound ends at {ends:.1f} s, the words at {lasts:.1f} s: {late} words have "
                "no sound",
            )
    return found


def _check_end(report: CheckReport, name: str, story: Story, clock: ScanClock) -> None:
    try:
        ends = story.end
    except ZooError:
        return  # its sound is damaged, and said to be
    idle = clock.start + clock.n_trs * clock.tr - ends
    if ends > 0 and idle > IDLE:
        report.add(
            "warning",
            "length-mismatch",
            name,
            f"the scan goes on for {idle:.0f} s ({idle / clock.tr:.0f} TRs) after the story ends; "
            "do they belong together?",
        )


def _check_clocks(report: CheckReport, clocks: Mapping[str, ScanClock]) -> None:
    """Warns of the story whose clock is not the others': 2.0 s against 2.0045 s."""
    for what, values in (
        ("TR", {name: round(clock.tr, 4) for name, clock in clocks.items()}),
        ("first kept volume", {name: round(clock.start, 2) for name, clock in clocks.items()}),
    ):
        counts = Counter(values.values())
        usual, times = counts.most_common(1)[0] if counts else (0.0, 0)
        if times <= len(values) / 2:
            continue  # each story has its own
        for name, value in values.items():
            if value != usual:
                report.add(
                    "warning",
                    "clock",
                    name,
                    f"{what} {value:g} s; {times} stories have {usual:g} s",
                )


def _check_same_stories(
    report: CheckReport, stories: Mapping[str, Story], train: Sequence[str]
) -> None:
    """Warns of training stories that are one story under two names."""
    seen: dict[object, str] = {}
    for name in train:
        if name in stories and (words := stories[name].words) is not None:
            text = words.spoken().text
            if text and text in seen:
                report.add(
                    "warning",
                    "duplicate-story",
                    name,
                    f"has the same words as {seen[text]!r}: it counts twice in training",
                )
            seen.setdefault(text, name)


# ------------------------------------------------------------------------------------ responses


def _check_responses(
    report: CheckReport,
    dataset: Dataset,
    evaluation: Evaluation | None,
    clocks: Mapping[str, ScanClock],
    heard: Mapping[str, Sequence[str]],
    progress: Progress,
) -> None:
    digests: dict[str, tuple[str, str]] = {}
    by_story: dict[str, dict[str, ResponseTrace]] = {}
    with progress.task("responses", sum(map(len, heard.values()))) as advance:
        for subject in report.subjects:
            traces: dict[str, ResponseTrace] = {}
            for name in heard[subject]:
                read = partial(dataset.responses, subject, name)
                given = _try(report, "responses", f"{subject}, {name}", read)
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
    slowness = [found.slowness for found in report.responses if found.slowness is not None]
    if slowness and np.median(slowness) < 0.05:
        report.add(
            "warning",
            "no-slowness",
            report.name,
            f"responses have no autocorrelation (lag one {np.median(slowness):.2f}): white noise, "
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
    slow = float(np.mean(ResponseTrace.of(values).slowness))
    found = ResponseReport(
        subject=subject,
        story=story,
        shape=tuple(values.shape),
        n_repeats=len(repeats),
        n_trs=repeats.shape[1],
        n_voxels=repeats.shape[2],
        n_nan_voxels=nan,
        n_flat_voxels=flat,
        slowness=round(slow, 4) if np.isfinite(slow) else None,
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
    labels = _try(report, "labels", subject, lambda: dataset.voxel_labels(subject))
    if labels is not None and len(labels) != usual:
        report.add("error", "labels", subject, f"{len(labels)} labels for {usual} voxels")


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


def by_severity(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Errors first, otherwise as they were found."""
    yield from sorted(findings, key=lambda finding: finding.severity != "error")
