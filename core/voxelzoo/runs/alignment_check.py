"""Is the clock right? How well word rate predicts responses when the stimulus is shifted in time.

Where words and responses lie on one clock, prediction peaks at no shift and falls to nothing tens
of seconds away. Each point is a run of the ordinary pipeline (word rate, Lanczos, delays, ridge)
under :attr:`Plan.shift`, on a sample of voxels of all subjects at once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    DataError,
    Dataset,
    DatasetInfo,
    ExtractorRequest,
    ScanClock,
    Story,
)
from voxelzoo.data.leaks import GUARDS
from voxelzoo.data.opening import plan_evaluation
from voxelzoo.host.host import Host
from voxelzoo.progress import Progress, Silent
from voxelzoo.runs.execute import run_model
from voxelzoo.runs.models import Alignment, open_model
from voxelzoo.runs.plan import Plan
from voxelzoo.science.protocols import CLEAN
from voxelzoo.store.store import Store

SHIFTS = tuple(float(shift) for shift in range(-40, 41, 4))
"""Seconds by which the stimulus is shifted."""


FAR = 20.0
"""Shifts beyond this many seconds show what chance and slow drifts give."""


N_VOXELS = 500


N_STORIES = 10


Verdict = Literal["aligned", "misaligned", "no signal"]


@dataclass(frozen=True)
class AlignmentCurve:
    """Mean held-out r of word rate at each shift (s)."""

    shifts: tuple[float, ...]
    r: tuple[float, ...]
    """Mean over the sampled voxels that have a score."""
    n_voxels: int
    n_stories: int
    n_subjects: int

    @property
    def best(self) -> float:
        """Shift at which prediction peaks, in seconds."""
        return self.shifts[int(np.argmax(self.r))]

    @property
    def at_zero(self) -> float:
        """Mean r on the dataset's own clock."""
        return self.r[int(np.argmin(np.abs(self.shifts)))]

    @property
    def strength(self) -> float:
        """How far the peak stands out of shifts 20 s away and more, in their deviations."""
        background = self._background()
        return float((max(self.r) - np.median(background)) / max(background.std(), 1e-6))

    @property
    def verdict(self) -> Verdict:
        """``no signal`` where the peak does not stand out.

        ``misaligned`` where the dataset's own clock gives less than half of the peak: delays of
        2 to 8 s absorb smaller shifts.
        """
        usual = float(np.median(self._background()))
        at_zero = self.at_zero - usual >= (max(self.r) - usual) / 2
        if max(self.r) <= 0.01 or self.strength < (2.5 if at_zero else 3.0):
            return "no signal"
        return "aligned" if at_zero else "misaligned"

    @property
    def is_wrong(self) -> bool:
        """Misaligned beyond doubt: of curves of noise, one or two in a hundred are as strong."""
        return self.verdict == "misaligned" and self.strength >= 5

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **asdict(self),
            "best": self.best,
            "at_zero": self.at_zero,
            "strength": round(self.strength, 2),
            "verdict": self.verdict,
        }

    def _background(self) -> NDArray[np.float64]:
        r, shifts = np.array(self.r), np.array(self.shifts)
        away = np.abs(shifts - self.best) >= FAR
        return r[away] if away.any() else r

    def say(self) -> str:
        """One line for people."""
        if self.verdict == "no signal":
            return (
                f"word rate predicts nothing at any shift (at most r {max(self.r):.3f}): the curve "
                "cannot tell whether the clock is right"
            )
        if self.verdict == "misaligned":
            late = "earlier" if self.best < 0 else "later"
            looks = "looks" if self.is_wrong else "may be"
            return (
                f"the clock {looks} wrong: word rate predicts best (r {max(self.r):.3f}) with the "
                f"stimulus {abs(self.best):g} s {late}; on the dataset's own clock r is "
                f"{self.at_zero:.3f}"
            )
        return (
            f"the clock looks right: word rate predicts r {self.at_zero:.3f} on it, best "
            f"(r {max(self.r):.3f}) at a shift of {self.best:+g} s"
        )


def alignment_curve(
    host: Host,
    dataset: Dataset,
    shifts: Sequence[float] = SHIFTS,
    *,
    subjects: Sequence[str] = (),
    n_voxels: int = N_VOXELS,
    progress: Progress | None = None,
) -> AlignmentCurve:
    """The curve over ``shifts``, on at most ``n_voxels`` voxels and ten training stories.

    Raises :class:`DataError` for a dataset without words, and as reading its responses does.
    """
    sample = _Sample(dataset, tuple(subjects) or tuple(dataset.subjects()), n_voxels)
    evaluation = plan_evaluation(sample)
    if not any(sample.story(name).words for name in evaluation.stories):
        raise DataError(f"dataset {dataset.info().name!r} has no words; word rate needs some")
    row = host.control("timing").spec
    found = []
    with (
        tempfile.TemporaryDirectory(prefix="zoo-") as folder,
        (progress or Silent()).task("alignment", len(shifts)) as advance,
    ):
        for shift in shifts:
            plan = Plan(
                dataset=sample,
                subjects=sample.subjects(),
                evaluation=evaluation,
                protocol=CLEAN,
                delays=CLEAN.delays,
                alignment=Alignment.open(host.default_aligner(CLEAN.name), {}),
                regressor=host.default_regressor(CLEAN.name),
                regressor_options={},
                store=Store(Path(folder)),
                shift=shift,
                allowed_leaks=tuple(GUARDS),  # they are reported elsewhere
            )
            model = open_model(host, row, ExtractorRequest(model=row))
            (result,) = run_model(plan, model, [0], Silent())
            found.append(result.map("r"))
            advance(1)
    r = np.stack(found)
    with np.errstate(invalid="ignore"):
        mean = np.nanmean(r, axis=1) if np.isfinite(r).any(axis=1).all() else np.zeros(len(r))
    return AlignmentCurve(
        tuple(shifts),
        tuple(round(float(value), 4) for value in mean),
        n_voxels=r.shape[1],
        n_stories=len(evaluation.stories),
        n_subjects=len(sample.read_subjects),
    )


class _Sample:
    """A dataset seen through a few voxels of each subject, side by side as one subject's."""

    def __init__(self, dataset: Dataset, subjects: Sequence[str], n_voxels: int) -> None:
        self._dataset = dataset
        self.read_subjects = tuple(subjects)
        self._each = max(1, n_voxels // len(self.read_subjects))
        self._sampled = cache(self._read)

    def info(self) -> DatasetInfo:
        return self._dataset.info()

    def subjects(self) -> tuple[str, ...]:
        return ("sample",)

    def train_stories(self) -> tuple[str, ...]:
        return tuple(self._dataset.train_stories())[:N_STORIES]

    def test_stories(self) -> tuple[str, ...]:
        return tuple(self._dataset.test_stories())[:N_STORIES]

    def story(self, name: str) -> Story:
        return self._dataset.story(name)

    def clock(self, story: str) -> ScanClock:
        return self._dataset.clock(story)

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        return self._sampled(story)

    def voxel_labels(self, subject: str) -> None:
        return None

    def fingerprint(self, subject: str, story: str) -> str:
        return story  # kept in a store of its own, for one curve

    def _read(self, story: str) -> NDArray[np.float32]:
        parts = []
        for subject in self.read_subjects:
            values = np.asarray(self._dataset.responses(subject, story))
            chosen = np.unique(np.linspace(0, values.shape[-1] - 1, self._each).astype(np.intp))
            part = np.asarray(values[..., chosen], dtype=np.float32)
            parts.append(part if part.ndim == 2 else part.mean(axis=0))
        return np.concatenate(parts, axis=1)
