from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, linregress

from voxelzoo.api import DataError
from voxelzoo.science.scaling import (
    Measured,
    draw_performance,
    fit_interaction,
    fit_line,
    gain_per_doubling,
    interaction_intervals,
    slope_intervals,
)
from voxelzoo.science.scaling_forms import compare_forms, fit_form

Floats = Any
SIZES = np.log10([125e6, 1.3e9, 13e9, 30e9, 66e9, 175e9])


def test_a_line_is_scipys_and_percent_is_of_the_smallest() -> None:
    y = 0.05 + 0.01 * (SIZES - 8) + np.random.default_rng(0).normal(0, 0.002, 6)
    found, expected = fit_line(SIZES, y), linregress(SIZES, y)
    assert found.slope == pytest.approx(expected.slope)
    assert found.intercept == pytest.approx(expected.intercept)
    assert found.r == pytest.approx(expected.rvalue)
    assert found.percent == pytest.approx(100 * expected.slope / y[0])


def test_a_size_with_more_subsets_weighs_no_more() -> None:
    x = np.log10([1, 3, 3, 3, 3, 10, 100])
    y = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.3, 0.6])
    line = fit_line(x, y)
    sizes, means = np.log10([1, 3, 10, 100]), [0.1, 0.35, 0.3, 0.6]
    expected = linregress(sizes, means)
    assert line.slope == pytest.approx(expected.slope)
    assert line.intercept == pytest.approx(expected.intercept)
    assert line.r == pytest.approx(expected.rvalue)
    # Neither does a cell of an interaction.
    size = np.repeat([1.0, 1.0, 2.0, 2.0], [1, 3, 1, 1])
    data = np.repeat([0.0, 1.0, 0.0, 1.0], [1, 3, 1, 1])
    found = fit_interaction(size, data, np.array([0.1, 0.2, 0.3, 0.4, 0.2, 0.5]))
    assert (found.size, found.data, found.interaction) == pytest.approx((0.15, 0.25, 0.1))


def test_percent_of_a_performance_that_is_not_above_zero_is_undefined() -> None:
    assert np.isnan(fit_line(SIZES, SIZES - SIZES[0]).percent)
    with pytest.raises(DataError, match="at least two sizes"):
        fit_line(SIZES[:1], np.ones(1))
    with pytest.raises(DataError, match="finite"):
        fit_line(SIZES, np.full(6, np.nan))


def test_gain_per_doubling_is_the_slope_in_log2_of_each_voxel() -> None:
    maps = np.random.default_rng(1).standard_normal((6, 4))
    expected = [linregress(SIZES / np.log10(2), column).slope for column in maps.T]
    np.testing.assert_allclose(gain_per_doubling(SIZES, maps), expected)
    assert np.isnan(gain_per_doubling(SIZES, np.where(np.eye(6, 4) > 0, np.nan, maps))).all()


@pytest.mark.parametrize(
    ("form", "truth"),
    [
        ("log-linear", 0.02 + 0.01 * SIZES),
        ("plateau", 0.02 + 0.01 * np.minimum(SIZES, 10.2)),
        ("saturating", 0.15 - 0.9 * 10 ** (-0.2 * SIZES)),
    ],
)
def test_the_form_that_made_the_data_predicts_sizes_left_out_best(form: Any, truth: Floats) -> None:
    noise = np.random.default_rng(2).normal(0, 1e-5, 6)
    fits = compare_forms(SIZES, truth + noise)
    assert next(iter(fits)) == form
    np.testing.assert_allclose(fits[form].predict(SIZES), truth, atol=3e-4)
    assert fits[form].out_of_sample < 1.5e-3


def test_out_of_sample_error_is_that_of_refits() -> None:
    y = 0.1 + 0.02 * SIZES + np.random.default_rng(3).normal(0, 0.01, 6)
    errors = []
    for i in range(6):
        rest = np.arange(6) != i
        line = linregress(SIZES[rest], y[rest])
        errors.append(line.intercept + line.slope * SIZES[i] - y[i])
    found = fit_form(SIZES, y, "log-linear")
    assert found.out_of_sample == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert found.extrapolation == pytest.approx(errors[-1])


def test_a_plateau_gives_where_it_begins_and_the_slope_before_it() -> None:
    found = fit_form(SIZES, 0.01 * np.minimum(SIZES, SIZES[3]), "plateau")
    assert found.shape == pytest.approx(SIZES[3], abs=0.05)
    assert found.scale == pytest.approx(0.01, rel=0.03)


def test_a_plateau_is_the_best_of_a_loop_over_where_it_begins() -> None:
    x = np.array([0.0, 1, 2, 3, 3, 4, 5, 6])
    y = np.minimum(x, 2.5) + np.random.default_rng(3).normal(0, 0.3, 8)
    sizes = np.unique(x)
    means = np.array([y[x == size].mean() for size in sizes])
    best = (np.inf, np.zeros(2), 0.0)
    for start in np.linspace(sizes[1], sizes[-1], 60):
        design = np.stack([np.ones(7), np.minimum(sizes, start)], axis=1)
        found = np.linalg.lstsq(design, means, rcond=None)[0]
        error = float(((means - design @ found) ** 2).sum())
        if error < best[0]:
            best = (error, found, float(start))
    fit = fit_form(x, y, "plateau")
    assert (fit.offset, fit.scale, fit.shape) == pytest.approx((*best[1], best[2]))


def test_few_sizes_allow_few_forms() -> None:
    assert set(compare_forms(SIZES[:2], np.array([0.1, 0.2]))) == {"log-linear"}
    three = compare_forms(SIZES[:3], np.array([0.1, 0.2, 0.25]))
    assert three["plateau"].out_of_sample is None
    assert three["log-linear"].out_of_sample is not None


# ------------------------------------------------------------------------------------ intervals


def planted(seed: int, slope: float = 0.01, n_subjects: int = 8) -> Measured:
    """A family whose mean r grows by ``slope`` per decade, with three sources of chance.

    Every subject, story and voxel has a slope of its own about the true one.
    """
    rng = np.random.default_rng(seed)
    decades = SIZES - SIZES[0]
    stories = rng.normal(0, 0.003, 10)
    r, parts = [], []
    for _ in range(n_subjects):
        own = slope + rng.normal(0, 0.004)
        voxels = rng.normal(0, 0.01, 40)
        base = rng.normal(0.1, 0.02, 40)
        at_story = stories + rng.normal(0, 0.001, 10)
        r.append(base + decades[:, None] * (own + voxels + at_story.mean()))
        parts.append(base.mean() + decades[:, None] * (own + voxels.mean() + at_story))
    return Measured(SIZES, r, parts)


def test_each_source_is_drawn_alone() -> None:
    measured = planted(0)
    y = measured.performance
    for source in ("stories", "voxels", "subjects"):
        drawn = draw_performance(measured, source, 400)  # type: ignore[arg-type]
        assert drawn is not None
        np.testing.assert_allclose(drawn.mean(axis=0), y, atol=0.004)
        assert drawn.std(axis=0)[-1] > 0
    assert draw_performance(measured, "subsets") is None
    alone = Measured(SIZES, measured.r[:1])
    assert draw_performance(alone, "subjects") is None
    assert draw_performance(alone, "stories") is None


def test_drawing_subjects_is_drawing_subjects() -> None:
    measured = planted(1, n_subjects=3)
    drawn = draw_performance(measured, "subjects", 50, seed=4)
    weights = np.random.default_rng([4, 2]).multinomial(3, np.full(3, 1 / 3), size=50)
    assert drawn is not None
    for draw, counts in zip(drawn, weights, strict=True):
        chosen = np.repeat(np.arange(3), counts)
        np.testing.assert_allclose(draw, measured.by_subject[:, chosen].mean(axis=1))


def test_training_subsets_of_one_size_replace_each_other() -> None:
    x = np.log10(np.repeat([1, 10, 100], 5))
    rng = np.random.default_rng(5)
    y = 0.05 * x + rng.normal(0, 0.01, 15)
    measured = Measured(x, [y[:, None]])
    drawn = draw_performance(measured, "subsets", 100)
    assert drawn is not None
    for size in np.unique(x):
        assert np.isin(drawn[:, x == size], y[x == size]).all()
    found = slope_intervals(measured)["subsets"]
    assert found is not None
    assert found.slope[0] < 0.05 < found.slope[1]
    assert found.percent[0] < found.percent[1]


def test_the_planted_slope_lies_in_its_interval_at_its_rate() -> None:
    """200 families, 95 % intervals over subjects, stories and voxels together."""
    n, covered = 200, 0
    for seed in range(n):
        measured = planted(seed)
        found = slope_intervals(measured, n_draws=300)["all"]
        assert found is not None
        covered += found.slope[0] <= 0.01 <= found.slope[1]
    low, high = binom.interval(0.999, n, 0.95)
    assert low <= covered <= high


# --------------------------------------------------------------------------------- data x size


def test_the_interaction_is_the_planted_one() -> None:
    size, data = (grid.ravel() for grid in np.meshgrid(SIZES[:4], np.log10([1, 5, 25, 100])))
    n, d = size - size.mean(), data - data.mean()
    y = 0.1 + 0.02 * n + 0.05 * d + 0.007 * n * d
    found = fit_interaction(size, data, y)
    assert (found.size, found.data, found.interaction) == pytest.approx((0.02, 0.05, 0.007))
    assert found.r == pytest.approx(1)
    with pytest.raises(DataError, match="at least two sizes"):
        fit_interaction(size[:4], data[:4], y[:4])


def test_interaction_intervals_equal_a_loop_over_subsets() -> None:
    """Subsets are drawn within their model and amount; here, but one model has several."""
    rng = np.random.default_rng(0)
    size = np.repeat([8.0, 9.0], [7, 2])
    data = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0])
    y = 0.1 + 0.02 * size + 0.05 * data + 0.01 * rng.standard_normal(9)
    groups = np.array([0, 0, 0, 1, 1, 1, 1, 2, 3])
    measured = Measured(data, [y[:, None]], groups=groups)
    found = interaction_intervals(measured, size, data, n_draws=4000)
    assert found["subjects"] is None
    assert found["subsets"] is not None
    drawn = []
    for _ in range(4000):
        again = y.copy()
        for group in range(4):
            rows = np.flatnonzero(groups == group)
            again[rows] = y[rng.choice(rows, len(rows))]
        drawn.append(fit_interaction(size, data, again))
    for name in ("size", "data", "interaction"):
        expected = np.quantile([getattr(each, name) for each in drawn], [0.025, 0.975])
        np.testing.assert_allclose(found["subsets"][name], expected, atol=1e-3)
