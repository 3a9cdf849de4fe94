"""Is the clock right? How well word rate predicts responses when the stimulus is shifted in time.

If words and responses share one clock, prediction peaks at a shift of 0 s and vanishes tens of
seconds away. Each point of the curve is an ordinary run of the word-rate model with
:attr:`RunOptions.shift`, on a sample of voxels of all subjects at once.
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
    ScanClock,
    Story,
)
from voxelzoo.data.leaks import GUARDS
from voxelzoo.data.opening import plan_evaluation
from voxelzoo.host.zoo import Zoo
from voxelzoo.progress import Progress, Silent
from voxelzoo.runs.execute import run_models
from voxelzoo.runs.inputs import DatasetReader
from voxelzoo.runs.models import choose_models
from voxelzoo.runs.options import RunOptions
from voxelzoo.runs.plan import make_plan
from voxelzoo.store.store import Store

SHIFTS = tuple(float(shift) for shift in range(-40, 41, 4))
"""Seconds by which the stimulus is shifted."""


FAR = 20.0
"""Shifts beyond this many seconds show what chance and slow drifts give."""


N_VOXELS = 500
"""Voxels that are sampled, over all subjects."""

N_STORIES = 10
"""Training stories, and test stories, that are read."""

Verdict = Literal["aligned", "misaligned", "no signal"]


@dataclass(frozen=True)
class AlignmentCurve:
    """Mean held-out r of word rate at each shift."""

    shifts: tuple[float, ...]
    """Seconds by which the stimulus is moved later."""
    r: tuple[float, ...]
    """Mean r at each shift, over the sampled voxels that have a score."""
    n_voxels: int
    """Sampled voxels."""
    n_stories: int
    """Stories that were read."""
    n_subjects: int
    """Subjects whose voxels were sampled."""

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
        """Height of the peak above shifts 20 s or more away, in their standard deviations."""
        background = self._background()
        return float((max(self.r) - np.median(background)) / max(background.std(), 1e-6))

    @property
    def verdict(self) -> Verdict:
        """``no signal`` if the peak does not stand out.

        ``misaligned`` if r on the dataset's own clock is less than half of the peak: delays of
        2 to 8 s absorb smaller shifts.
        """
        usual = float(np.median(self._background()))
        at_zero = self.at_zero - usual >= (max(self.r) - usual) / 2
        if max(self.r) <= 0.01 or self.strength < (2.5 if at_zero else 3.0):
            return "no signal"
        return "aligned" if at_zero else "misaligned"

    @property
    def is_wrong(self) -> bool:
        """Strong evidence of misalignment (false-positive rate 1-2 %)."""
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
                "cannot show whether the clock is right"
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
    zoo: Zoo,
    dataset: Dataset,
    shifts: Sequence[float] = SHIFTS,
    *,
    subjects: Sequence[str] = (),
    n_voxels: int = N_VOXELS,
    progress: Progress | None = None,
) -> AlignmentCurve:
    """How well word rate predicts responses at each shift of the stimulus.

    Parameters
    ----------
    zoo : Zoo
        Plugins and catalogue.
    dataset : Dataset
        The dataset. At most ten training stories and ten test stories are read.
    shifts : sequence of float
        Shifts in seconds; positive moves the stimulus later.
    subjects : sequence of str, default ()
        Subjects whose voxels are sampled; all if empty.
    n_voxels : int, default 500
        Voxels sampled over all subjects.
    progress : Progress, optional
        Told how many shifts are done.

    Returns
    -------
    AlignmentCurve

    Raises
    ------
    DataError
        For a dataset without words, and if responses cannot be read.
    """
    sample = _Sample(dataset, tuple(subjects) or tuple(dataset.subjects()), n_voxels)
    evaluation = plan_evaluation(sample)
    if not any(sample.story(name).words for name in evaluation.stories):
        raise DataError(f"dataset {dataset.info().name!r} has no words; word rate needs some")
    timing = zoo.host.control("timing").spec
    maps = []
    with (
        tempfile.TemporaryDirectory(prefix="zoo-") as folder,
        (progress or Silent()).task("alignment", len(shifts)) as advance,
    ):
        store = Store(Path(folder))
        reader = DatasetReader(sample, store)
        for shift in shifts:
            options = RunOptions(shift=shift, allow_leaks=tuple(GUARDS))  # reported elsewhere
            plan = make_plan(zoo, sample, store, options, reader=reader)
            report = run_models(zoo, plan, choose_models(zoo, [timing], options), Silent())
            for _, error in report.failures:
                raise error
            maps.append(report.results[0].map("r"))
            advance(1)
    r = np.stack(maps)
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
    """A dataset with one subject: a few voxels of each subject of another, side by side."""

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
        return story  # the store serves one curve

    def _read(self, story: str) -> NDArray[np.float32]:
        columns = []
        for subject in self.read_subjects:
            values = np.asarray(self._dataset.responses(subject, story))
            chosen = np.unique(np.linspace(0, values.shape[-1] - 1, self._each).astype(np.intp))
            sampled = np.asarray(values[..., chosen], dtype=np.float32)
            columns.append(sampled if sampled.ndim == 2 else sampled.mean(axis=0))
        return np.concatenate(columns, axis=1)
