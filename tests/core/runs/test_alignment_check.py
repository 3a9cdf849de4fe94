"""The alignment check on simulated listeners: a 7-minute story, TR 1.5 s, a slow response."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.stats import gamma

from voxelzoo.api import ScanClock
from voxelzoo.data.memory import InMemoryDataset
from voxelzoo.runs.alignment_check import AlignmentCurve, alignment_curve, shifts_at
from voxelzoo.science.alignment import (
    canonical_response,
    rate_at_shifts,
    shift_curve,
    standardised,
    within,
)

TR, SECONDS = 1.5, 420.0


def spoken(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Onsets of words that come in slow waves, as sentences and pauses do."""
    times = np.arange(0, seconds, 0.25)
    slow = np.convolve(rng.normal(size=len(times)), np.hanning(60), mode="same")
    return times[rng.uniform(size=len(times)) < 1 / (1 + np.exp(-2 * slow / slow.std()))]


def slow_rows(rng: np.random.Generator, n: int, width: int, tr: float) -> np.ndarray:
    rows = rng.normal(size=(n, width))
    keep = 0.6 ** (tr / 1.5)
    for i in range(1, n):
        rows[i] = keep * rows[i - 1] + np.sqrt(1 - keep**2) * rows[i]
    return rows


def listeners(
    start: float, tr: float = TR, signal: float = 0.5, n_subjects: int = 36, seed: int = 0
) -> InMemoryDataset:
    """Listeners whose data say that scanning began at ``start``, where it began at 0.

    Of 100 parcels, 40 follow word rate, a quarter of those downwards. Parcels peak 5 s after a word
    or up to a second earlier or later.
    """
    rng = np.random.default_rng(seed)
    onsets = spoken(rng, SECONDS)
    n, fine = int(SECONDS / tr), np.arange(0, SECONDS, 0.1)
    rate = np.histogram(onsets + 0.1, np.append(fine, SECONDS))[0].astype(float)
    middles = (np.arange(n) + 0.5) * tr
    driven = np.zeros((n, 100))
    for parcel, latency in enumerate(np.repeat([-1, -0.5, 0, 0.5, 1], 8)):
        response = gamma.pdf(np.arange(0, 25, 0.1) - latency, 6)
        course = np.interp(middles, fine, np.convolve(rate, response)[: len(fine)])
        driven[:, parcel] = (course - course.mean()) / course.std() * (-1 if parcel % 4 == 3 else 1)
    return InMemoryDataset(
        "listeners",
        responses={
            f"s{i}": {"tale": signal * driven + slow_rows(rng, n, 100, tr)}
            for i in range(n_subjects)
        },
        tr=tr,
        words={"tale": [(f"w{i}", float(t), float(t) + 0.2) for i, t in enumerate(onsets)]},
        start=start,
    )


@pytest.mark.parametrize("tr", [0.8, 1.5, 2.0, 3.0])
def test_the_right_clock_is_the_best_within_a_tr(tr: float) -> None:
    curve = alignment_curve(listeners(0.0, tr))
    assert np.diff(curve.shifts).max() <= tr + 1e-9
    assert curve.verdict == "aligned", curve.say()
    assert abs(curve.best) <= max(tr, 1.0)
    assert "looks right" in curve.say()
    assert curve.n_subjects == 36


@pytest.mark.parametrize("off", [4.5, -4.5, 6.0, 20.0])
@pytest.mark.parametrize("signal", [0.25, 0.5])
def test_a_start_a_few_seconds_off_does_not_look_right(off: float, signal: float) -> None:
    curve = alignment_curve(listeners(off, signal=signal))
    assert curve.verdict == "misaligned", curve.say()
    assert abs(curve.best - off) <= TR  # the words must move as the clock was moved
    assert curve.interval is not None
    assert curve.interval[0] <= off + TR
    assert curve.interval[1] >= off - TR
    assert curve.share_near_zero is not None
    assert curve.share_near_zero < 0.2


def test_what_does_not_follow_words_has_no_signal() -> None:
    verdicts = [
        alignment_curve(listeners(0.0, signal=0.0, n_subjects=4, seed=seed)).verdict
        for seed in range(30)
    ]
    assert verdicts.count("no signal") >= 26  # 97 % by design


@pytest.mark.parametrize(
    ("near_zero", "near_best", "best", "verdict"),
    [
        (0.9, 0.95, 0.0, "aligned"),
        (0.3, 0.95, 0.0, "unclear"),
        (0.1, 0.95, 4.0, "misaligned"),
        (0.4, 0.95, 4.0, "unclear"),
        (0.9, 0.5, 0.0, "no signal"),
    ],
)
def test_draws_decide_how_sure_the_verdict_is(
    near_zero: float, near_best: float, best: float, verdict: str
) -> None:
    shifts = shifts_at(2.0)
    r = [0.02 * np.sin(shift) for shift in shifts]
    r[shifts.index(best)] = 0.3
    curve = AlignmentCurve(
        shifts, tuple(r), 1, 1, 1, interval=(-2.0, 6.0), share_near_zero=near_zero,
        share_near_best=near_best,
    )  # fmt: skip
    assert curve.verdict == verdict
    if verdict == "unclear":
        assert "may be right or wrong" in curve.say()


@pytest.mark.parametrize(("tr", "step"), [(0.72, 0.72), (1.5, 1.5), (2.0, 2.0), (3.0, 2.0)])
def test_shifts_are_no_further_apart_than_a_tr(tr: float, step: float) -> None:
    shifts = shifts_at(tr)
    assert 0.0 in shifts
    np.testing.assert_allclose(np.diff(shifts), step, atol=1e-5)
    assert abs(shifts[0] + 40) < tr
    assert shifts[-1] == -shifts[0]


# --------------------------------------------------------------------------- naive references


def test_word_rate_is_a_sum_of_responses_to_single_words() -> None:
    rng = np.random.default_rng(1)
    times, clock, shifts = spoken(rng, 120), ScanClock(1.5, 3.0, 70), [-4.5, 0.0, 3.0]
    rows = rate_at_shifts(times, clock, shifts, canonical_response)
    for row, shift in zip(rows, shifts, strict=True):
        naive = np.zeros(70)
        for time in times:
            naive += canonical_response(np.maximum(clock.times - time - shift, 0))
        naive = standardised(naive[:, None], clock.tr)[:, 0]
        np.testing.assert_allclose(row, naive, atol=0.02)  # samples are 0.1 s apart


def test_the_curve_is_a_mean_over_pairs_of_blocks() -> None:
    rng = np.random.default_rng(2)
    rates, responses = rng.normal(size=(3, 60)), rng.normal(size=(60, 4))
    expected: list[float] = []
    edges = [0, 13, 26, 39, 52, 60]  # 20 s at a TR of 1.5 s; the rest is half a block or more
    for rate in rates:
        parts = np.array([rate[a:b] @ responses[a:b] / 60 for a, b in pairwise(edges)])
        pairs: list[Any] = [parts[a] * parts[b] for a in range(5) for b in range(5) if a != b]
        square = np.mean(pairs, axis=0).mean() * 25
        expected.append(np.sign(square) * np.sqrt(abs(square)))
    found = shift_curve([rates], [responses], [1.5], n_draws=5)
    np.testing.assert_allclose(found.r, expected)
    assert found.draws.shape == (5, 3)


def test_a_constant_word_rate_is_zero_everywhere() -> None:
    """Words at one rate throughout, as in reading: only their beginning and end could be seen."""
    times = np.arange(-60, 200, 0.5)
    rows = rate_at_shifts(times, ScanClock(1.5, 0.0, 60), [0.0, 3.0], within(2.0, 8.0))
    np.testing.assert_array_equal(rows, 0.0)
