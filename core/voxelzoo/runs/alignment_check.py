"""Is the clock right? How well word rate predicts responses when the stimulus is shifted in time.

If words and responses share one clock, prediction peaks at a shift of 0 s and vanishes tens of
seconds away. Word rate is convolved with a canonical response, whose latency is fixed: delays that
are fitted to the data would follow a clock that is a few seconds off. Shifts are no further apart
than a TR, and a sample of voxels of all subjects is used at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, Dataset
from voxelzoo.data.opening import averages, plan_evaluation
from voxelzoo.progress import Progress, Silent
from voxelzoo.science.alignment import (
    Kernel,
    canonical_response,
    rate_at_shifts,
    shift_curve,
    standardised,
    within,
)
from voxelzoo.science.durations import Delays

RANGE = 40.0
"""Largest shift of the stimulus, in seconds."""

STEP = 2.0
"""Seconds between shifts; a TR if that is shorter."""

FAR = 20.0
"""Shifts beyond this many seconds show what chance and slow drifts give."""


N_VOXELS = 500
"""Voxels that are sampled, over all subjects."""

N_STORIES = 10
"""Training stories, and test stories, that are read."""

Verdict = Literal["aligned", "misaligned", "unclear", "no signal"]


def shifts_at(tr: float) -> tuple[float, ...]:
    """Shifts of the stimulus in seconds: multiples of a TR, or of 2 s if a TR is longer."""
    step = max(min(tr, STEP), 0.1)
    n = round(RANGE / step)
    return tuple(round(i * step, 6) for i in range(-n, n + 1))


@dataclass(frozen=True)
class AlignmentCurve:
    """How well word rate predicts responses at each shift."""

    shifts: tuple[float, ...]
    """Seconds by which the stimulus is moved later."""
    r: tuple[float, ...]
    """r at each shift: the root of its mean square over the sampled voxels, without what noise
    adds to it; negative where that is below 0."""
    n_voxels: int
    """Sampled voxels."""
    n_stories: int
    """Stories that were read."""
    n_subjects: int
    """Subjects whose voxels were sampled."""
    tolerance: float = STEP
    """Largest shift of the peak, in seconds, on a clock that is right: a TR, or 2 s if a TR is
    shorter."""
    interval: tuple[float, float] | None = None
    """95 % interval of the best shift, over blocks of time, in seconds."""
    share_near_zero: float | None = None
    """Share of bootstrap draws whose best shift is within the tolerance."""
    share_near_best: float | None = None
    """Share of bootstrap draws whose best shift is within twice the tolerance of the best one."""

    @property
    def best(self) -> float:
        """Shift at which prediction peaks, in seconds."""
        return self.shifts[int(np.argmax(self.r))]

    @property
    def at_zero(self) -> float:
        """r on the dataset's own clock."""
        return self.r[int(np.argmin(np.abs(self.shifts)))]

    @property
    def strength(self) -> float:
        """Height of the peak above shifts 20 s or more away, in their standard deviations."""
        background = self._background()
        return float((max(self.r) - np.median(background)) / max(background.std(), 1e-6))

    @property
    def verdict(self) -> Verdict:
        """``no signal`` if the peak does not stand out, or three in ten draws have it elsewhere.

        ``aligned`` if it is within the tolerance of 0, ``misaligned`` if it is not; ``unclear`` if
        most bootstrap draws do not agree with the first, or a fifth not with the second. Of curves
        of noise, 2 or 3 in a hundred have a signal.
        """
        near = abs(self.best) <= self.tolerance
        if max(self.r) <= 0.01 or self.strength < (2.5 if near else 3.0):
            return "no signal"
        if self.share_near_best is not None and self.share_near_best < 0.7:
            return "no signal"
        share = self.share_near_zero
        if share is not None and (share < 0.5 if near else share > 0.2):
            return "unclear"
        return "aligned" if near else "misaligned"

    @property
    def is_wrong(self) -> bool:
        """Strong evidence of misalignment."""
        sure = self.share_near_best is not None and self.share_near_best >= 0.9
        return self.verdict == "misaligned" and self.strength >= (4 if sure else 5)

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
        top, own = f"{max(self.r):.3f}", f"{self.at_zero:.3f}"
        if self.verdict == "no signal":
            return (
                f"word rate predicts nothing at any shift (at most r {top}): the curve cannot show "
                "whether the clock is right"
            )
        inside = ""
        if self.interval is not None:
            inside = (
                f"; 95 % interval of that shift {self.interval[0]:+g} to {self.interval[1]:+g} s"
            )
        if self.verdict == "aligned":
            return (
                f"the clock looks right: word rate predicts r {own} on it, best (r {top}) at a "
                f"shift of {self.best:+g} s{inside}"
            )
        if self.verdict == "unclear":
            return (
                f"the clock may be right or wrong: word rate predicts best (r {top}) at a shift of "
                f"{self.best:+g} s{inside}; on the dataset's own clock r is {own}"
            )
        late = "earlier" if self.best < 0 else "later"
        looks = "looks" if self.is_wrong else "may be"
        return (
            f"the clock {looks} wrong: word rate predicts best (r {top}) with the stimulus "
            f"{abs(self.best):g} s {late}{inside}; on the dataset's own clock r is {own}"
        )


def alignment_curve(
    dataset: Dataset,
    shifts: Sequence[float] | None = None,
    *,
    subjects: Sequence[str] = (),
    n_voxels: int = N_VOXELS,
    progress: Progress | None = None,
) -> AlignmentCurve:
    """How well word rate predicts responses at each shift of the stimulus.

    Parameters
    ----------
    dataset : Dataset
        The dataset. At most ten training stories and ten test stories are read.
    shifts : sequence of float, optional
        Shifts in seconds; positive moves the stimulus later. By default from -40 to 40 s in steps
        of a TR, or of 2 s if a TR is longer.
    subjects : sequence of str, default ()
        Subjects whose voxels are sampled; if empty all, without means over others.
    n_voxels : int, default 500
        Voxels sampled over all subjects.
    progress : Progress, optional
        Told how many stories are done.

    Returns
    -------
    AlignmentCurve

    Raises
    ------
    DataError
        For a dataset without words, and if responses cannot be read.
    """
    people = [each for each in dataset.subjects() if each not in averages(dataset)]
    chosen = tuple(subjects) or tuple(people) or tuple(dataset.subjects())
    plan_evaluation(dataset)
    names = [
        *tuple(dataset.train_stories())[:N_STORIES],
        *tuple(dataset.test_stories())[:N_STORIES],
    ]
    clocks = [dataset.clock(name) for name in names]
    shifts = shifts_at(min(clock.tr for clock in clocks)) if shifts is None else shifts
    kernel = _kernel(dataset)
    rates, responses, trs = [], [], []
    with (progress or Silent()).task("alignment", len(names)) as advance:
        for name, clock in zip(names, clocks, strict=True):
            if (words := dataset.story(name).words) and len(spoken := words.spoken()):
                rates.append(rate_at_shifts(spoken.times, clock, shifts, kernel))
                sampled = _sampled(dataset, chosen, name, max(1, n_voxels // len(chosen)))
                responses.append(standardised(sampled, clock.tr))
                trs.append(clock.tr)
            advance(1)
    if not rates:
        raise DataError(f"dataset {dataset.info().name!r} has no words; word rate needs some")
    curve = shift_curve(rates, responses, trs)
    best = np.asarray(shifts)[curve.draws.argmax(axis=1)]
    peak = shifts[int(curve.r.argmax())]
    tolerance = max(STEP, *trs)
    low, high = np.percentile(best, [2.5, 97.5], method="nearest")
    return AlignmentCurve(
        tuple(shifts),
        tuple(round(float(value), 4) for value in curve.r),
        n_voxels=responses[0].shape[1],
        n_stories=len(rates),
        n_subjects=len(chosen),
        tolerance=tolerance,
        interval=(round(float(low), 2), round(float(high), 2)),
        share_near_zero=round(float((np.abs(best) <= tolerance).mean()), 3),
        share_near_best=round(float((np.abs(best - peak) <= 2 * tolerance).mean()), 3),
    )


def _kernel(dataset: Dataset) -> Kernel:
    """The haemodynamic response, or the delays of a dataset that has its own."""
    if (own := dataset.info().delays) is None:
        return canonical_response
    tr = dataset.clock(dataset.train_stories()[0]).tr
    delays = Delays(own).in_trs(tr)
    return within(delays[0] * tr, delays[-1] * tr)


def _sampled(dataset: Dataset, subjects: Sequence[str], story: str, each: int) -> NDArray[Any]:
    """A few voxels of each subject side by side, (TR, voxel), each the mean over repeats."""
    columns = []
    for subject in subjects:
        values = np.asarray(dataset.responses(subject, story))
        chosen = np.unique(np.linspace(0, values.shape[-1] - 1, each).astype(np.intp))
        sampled = np.asarray(values[..., chosen], dtype=np.float32)
        columns.append(sampled if sampled.ndim == 2 else sampled.mean(axis=0))
    return np.concatenate(columns, axis=1)
