"""Statistics of lines: slopes per decade and gains."""

from __future__ import annotations

import numpy as np
import pytest

from voxelzoo.recipes.figures.fits import fit_decades, gain_percent


def test_a_line_through_decades_is_least_squares() -> None:
    rows = [{"n": 10, "r": 0.2}, {"n": 100, "r": 0.26}, {"n": 1000, "r": 0.3}]
    line = fit_decades(rows[::-1], "n", "r")
    x, y = np.array([1.0, 2.0, 3.0]), np.array([0.2, 0.26, 0.3])
    slope = ((x - 2) * (y - y.mean())).sum() / ((x - 2) ** 2).sum()
    assert line["per_decade"] == pytest.approx(slope)
    assert line["percent_per_decade"] == pytest.approx(100 * slope / 0.2)
    assert line["fit_r"] == pytest.approx(np.corrcoef(x, y)[0, 1])


def test_two_sizes_have_a_slope_and_no_correlation() -> None:
    line = fit_decades([{"n": 10, "r": 0.2}, {"n": 1000, "r": 0.3}], "n", "r")
    assert line["per_decade"] == pytest.approx(0.05)
    assert line["fit_r"] is None


def test_a_gain_is_in_percent_of_what_was_before() -> None:
    assert gain_percent(0.2, 0.25) == pytest.approx(25)
    assert gain_percent(0.2, 0.1) == pytest.approx(-50)


@pytest.mark.parametrize("before", [0.0, -0.1])
def test_there_is_no_gain_over_a_score_that_is_not_positive(before: float) -> None:
    assert gain_percent(before, 0.2) is None
