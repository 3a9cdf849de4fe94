"""The report of a check of a dataset: stories, clocks, responses, and what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

from voxelzoo.api import DataError, ScanClock, Story, ZooError
from voxelzoo.text import one_line

Severity = Literal["error", "warning"]


T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    severity: Severity
    """``error``: a fit would be wrong or impossible. ``warning``: worth a look."""
    kind: str
    """A short name: ``length-mismatch``, ``shared-text``, ..."""
    where: str
    """The subject, the story, or both."""
    message: str
    """One line: what is wrong."""


@dataclass(frozen=True)
class ClockReport:
    """The scan clock of a story. Times are seconds on the story's own clock.

    Row ``i`` of every response was acquired from ``start + i * tr`` to ``start + (i + 1) * tr``;
    features are sampled at its middle, ``first_sample + i * tr``.
    """

    tr: float
    """From one volume to the next."""
    start: float
    """Onset of the first volume that was kept."""
    first_sample: float
    """Middle of the first volume that was kept."""
    last_sample: float
    """Middle of the last volume."""
    n_trs: int
    """Volumes that were kept."""
    n_dropped: int | None
    """Volumes acquired before the first kept one; ``None`` if the dataset does not say."""
    sound_start: float | None
    """When the sound begins; ``None`` if there is no sound."""

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
    """What a story contains, and how it fits its scan. ``None``: could not be read, or none."""

    name: str
    split: Literal["train", "test"]
    n_words: int | None
    """Words, without silent intervals."""
    n_untimed: int | None
    """Words without a time: they are part of the text, and have no state."""
    n_silences: int | None
    """Intervals without text."""
    words_begin: float | None
    """Onset of the first word, in seconds."""
    words_end: float | None
    """Latest offset of a word, in seconds."""
    n_gaps: int | None
    """Stretches of more than 3 s without a word."""
    longest_gap: float | None
    """Longest stretch without a word, in seconds."""
    n_words_before_scan: int | None
    """Words whose middle is before the first kept volume."""
    n_words_after_scan: int | None
    """Words whose middle is after the last volume."""
    audio_seconds: float | None
    """Length of the sound, in seconds."""
    audio_rate: int | None
    """Samples per second of the sound."""
    features: tuple[str, ...]
    """Names of features that were computed elsewhere."""
    clock: ClockReport | None


@dataclass(frozen=True)
class ResponseReport:
    """One subject's responses to one story."""

    subject: str
    story: str
    shape: tuple[int, ...]
    """(TR, voxel) or (repeat, TR, voxel)."""
    n_repeats: int
    n_trs: int
    n_voxels: int
    n_nan_voxels: int
    """Voxels with NaN in any row."""
    n_flat_voxels: int
    """Voxels that are constant in some repeat."""
    lag1_autocorrelation: float | None
    """Lag-one autocorrelation, averaged over voxels."""


@dataclass
class CheckReport:
    """Everything that a check read and found wrong."""

    name: str
    summary: str = ""
    licence: str | None = None
    citation: str | None = None
    evaluation: str | None = None
    """What would be held out, in words."""
    subjects: tuple[str, ...] = ()
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Subjects who cannot be fitted, each with the reason."""
    stories: list[StoryReport] = field(default_factory=list)
    responses: list[ResponseReport] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def add(self, severity: Severity, kind: str, where: str, message: str) -> None:
        """Add a finding, unless it is there already."""
        finding = Finding(severity, kind, where, message)
        if finding not in self.findings:
            self.findings.append(finding)

    def n(self, severity: Severity) -> int:
        """Number of findings of that severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """That of :class:`DataError` if there is an error, else 0: warnings do not fail."""
        return DataError.exit_code if self.n("error") else 0

    def record(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            **asdict(self),
            "n_errors": self.n("error"),
            "n_warnings": self.n("warning"),
            "ok": not self.n("error"),
        }


def attempt(report: CheckReport, kind: str, where: str, read: Callable[[], T]) -> T | None:
    """Call a function of a dataset; an exception becomes a finding.

    Parameters
    ----------
    report : CheckReport
        Where the finding is added.
    kind, where : str
        Those of the finding.
    read : callable
        Called without arguments.

    Returns
    -------
    object or None
        What ``read`` returned; ``None`` if it raised.
    """
    try:
        return read()
    except ZooError as error:
        report.add("error", kind, where, str(error))
    except Exception as error:
        # A bug of the dataset plugin must not end the check: the next story may be readable.
        report.add("error", kind, where, f"the dataset plugin fails: {one_line(error)}")
    return None


def by_severity(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Findings in order, errors first."""
    yield from sorted(findings, key=lambda finding: finding.severity != "error")
