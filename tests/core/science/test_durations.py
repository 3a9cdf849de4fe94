"""Delays, gaps and blocks in seconds mean the same at every TR."""

from __future__ import annotations

import math

import pytest

from voxelzoo.api import UsageError
from voxelzoo.science.durations import Delays, in_trs
from voxelzoo.science.protocols import ANTONELLO2023, BLOCK, CLEAN, GAP

TRS = [0.3, 0.72, 0.8, 1.0, 1.49, 1.5, 1.9, 2.0, 2.0045, 2.1, 2.5, 3.0, 4.0, 7.0]


@pytest.mark.parametrize("tr", TRS)
def test_default_delays_cover_2_to_8_seconds(tr: float) -> None:
    delays = Delays(CLEAN.delays).in_trs(tr)
    assert list(delays) == list(range(delays[0], delays[-1] + 1))
    # A sample stands for a TR: half of it before, half after.
    assert (delays[-1] + 0.5) * tr >= 8
    assert (delays[-1] - 0.5) * tr <= max(8, tr / 2)  # and no TR more
    assert delays[0] == 1 or (delays[0] - 0.5) * tr <= 2
    assert (delays[0] + 0.5) * tr >= 2
    assert delays[0] >= 1


@pytest.mark.parametrize("tr", [1.995, 2.0, 2.0045])
def test_at_the_papers_tr_values_stay(tr: float) -> None:
    assert Delays(CLEAN.delays).in_trs(tr) == (1, 2, 3, 4)
    assert in_trs(GAP, tr) == 5
    assert in_trs(BLOCK, tr) == 10


@pytest.mark.parametrize("tr", [*TRS, None])
def test_the_paper_counts_delays_in_trs(tr: float | None) -> None:
    assert Delays(ANTONELLO2023.delays).in_trs(tr) == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("text", "tr", "expected"),
    [
        ("1,2,3,4", 1.5, (1, 2, 3, 4)),
        ("1-4", 0.8, (1, 2, 3, 4)),
        ("4", 0.8, (4,)),
        ("2s-8s", 1.5, (1, 2, 3, 4, 5)),
        ("2-8s", 1.5, (1, 2, 3, 4, 5)),
        ("2s-8s", 20.0, (1,)),
        (" 2 s - 8 s ", 2.0, (1, 2, 3, 4)),
        ("0s-4s", 2.0, (0, 1, 2)),
        ("2s,4s,6s", 2.0, (1, 2, 3)),
        ("2s,2.1s,6s", 1.5, (1, 4)),
        ("0.1s-0.4s", 0.1, (1, 2, 3, 4)),
        ("4.5s", 1.5, (3,)),
    ],
)
def test_delays_are_read(text: str, tr: float, expected: tuple[int, ...]) -> None:
    assert Delays(text).in_trs(tr) == expected


def test_delays_are_given_as_numbers_or_text() -> None:
    assert Delays.of([1, 3]).in_trs(1.0) == Delays.of("1,3").in_trs(1.0) == (1, 3)
    assert Delays.of(["2s", "4s"]).in_trs(1.0) == (2, 4)


@pytest.mark.parametrize(
    "text", ["", "x", "1,x", "-1", "1,-1", "2s,4", "2s-8", "4-1", "1.5", "1,,2", "1s-", "2ms"]
)
def test_other_delays_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="use whole TRs, such as 1,2,3,4, or seconds"):
        Delays(text)


@pytest.mark.parametrize("tr", TRS)
@pytest.mark.parametrize("seconds", [0, 1.5, 10, 20])
def test_a_time_is_at_least_as_long_in_trs(seconds: float, tr: float) -> None:
    n = in_trs(f"{seconds}s", tr)
    assert seconds - 0.05 * tr - 1e-9 <= n * tr < seconds + tr
    assert n == math.ceil(seconds / tr - 0.05)
    assert in_trs(7, tr) == in_trs("7", tr) == 7


@pytest.mark.parametrize("value", ["", "ten", "-5", -5, 1.5, "1.5", True, "5 TRs"])
def test_other_times_are_refused(value: object) -> None:
    with pytest.raises(UsageError, match="use whole TRs, such as 5, or seconds, such as 10s"):
        in_trs(value, 2.0, "gap")  # type: ignore[arg-type]


def test_seconds_need_one_tr() -> None:
    with pytest.raises(UsageError, match="the TR is not the same in all stories"):
        Delays("2s-8s").in_trs(None)
    with pytest.raises(UsageError, match="the TR is not the same in all stories"):
        in_trs("10s", None)
    assert Delays("1-4").in_trs(None) == (1, 2, 3, 4)
