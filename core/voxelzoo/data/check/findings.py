"""What a check of a dataset found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

from voxelzoo.api import DataError, ScanClock, Story, ZooError

Severity = Literal["error", "warning"]


T = TypeVar("T")


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
    lag1_autocorrelation: float | None
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


def attempt(report: CheckReport, kind: str, where: str, read: Callable[[], T]) -> T | None:
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


def by_severity(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Errors first, otherwise as they were found."""
    yield from sorted(findings, key=lambda finding: finding.severity != "error")
