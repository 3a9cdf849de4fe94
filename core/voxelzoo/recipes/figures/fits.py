"""Scaling-law statistics of a figure: slopes, their intervals, and the form that fits best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from voxelzoo.recipes.figures.base import ScoreFigure
from voxelzoo.recipes.figures.inputs import FigureInputs
from voxelzoo.recipes.figures.result import FigureResult, Row
from voxelzoo.recipes.figures.run_results import mean_or_none, read_r
from voxelzoo.science.scaling import Measured, fit_line, slope_intervals
from voxelzoo.science.scaling_forms import compare_forms
from voxelzoo.store.results import Result

SUFFIXES = {"mean_r": "", "mean_signed_r2": "_signed_r2"}
"""Scores that lines are fitted to, with the ending of their statistics' names."""

Statistics = dict[str, float | int | str | None]


def add_fits(
    numbers: FigureResult,
    rows: Sequence[Row],
    x: str,
    prefix: str,
    measured: Measured | None,
    more: Callable[[str], Statistics] = lambda score: {},
) -> None:
    """Add the statistics of lines fitted to mean r and to mean signed r squared.

    Parameters
    ----------
    numbers : FigureResult
        What the statistics are added to.
    rows : sequence of dict
        Points of the lines.
    x : str
        The column of sizes: parameters or stories.
    prefix : str
        Beginning of the statistics' names: ``FAMILY.`` or ``MODEL.``, or empty.
    measured : Measured or None
        Voxel scores behind the rows, for intervals of the slope of mean r.
    more : callable
        Further statistics of one score, by the name of its column.
    """
    for score, suffix in SUFFIXES.items():
        statistics: Statistics = {**fit_decades(rows, x, score), **more(score)}
        if statistics["fit_r"] is None:
            numbers.undefined[f"{prefix}fit_r{suffix}"] = (
                f"r of a fit needs three sizes, {len({row[x] for row in rows})} were run"
            )
        if score == "mean_r":
            statistics |= _best_form(rows, x, score)
            statistics |= {} if measured is None else _slope_intervals(measured)
        numbers.statistics |= {f"{prefix}{n}{suffix}": v for n, v in statistics.items()}


def fit_decades(rows: Sequence[Row], x: str, y: str) -> dict[str, float | None]:
    """Least-squares line of scores on log10 of size.

    Parameters
    ----------
    rows : sequence of dict
        Points of the line.
    x, y : str
        Columns of sizes and of scores.

    Returns
    -------
    dict
        ``per_decade``, the slope; ``percent_per_decade``, the slope as a percentage of the score
        at the smallest size; ``fit_r``, the correlation. ``None`` where undefined.
    """
    sizes = np.log10([float(row[x]) for row in rows])
    line = fit_line(sizes, np.asarray([float(row[y]) for row in rows]))
    values = {"percent_per_decade": line.percent, "per_decade": line.slope, "fit_r": line.r}
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def gain_percent(before: float, after: float) -> float | None:
    """By how many percent ``after`` is above ``before``; ``None`` if ``before`` is not above 0."""
    return 100 * (after - before) / before if before > 0 else None


def measure(
    figure: ScoreFigure,
    inputs: FigureInputs,
    sizes: Sequence[float],
    points: Sequence[Mapping[str, Result]],
) -> Measured | None:
    """Voxel scores of every point of a scaling law, for the bootstrap.

    Parameters
    ----------
    figure : ScoreFigure
        Which voxels and stories count.
    inputs : FigureInputs
        What the figure is computed from.
    sizes : sequence of float
        Parameters or stories of each point.
    points : sequence of mapping of str to Result
        For each point, one result for each subject.

    Returns
    -------
    Measured or None
        Of the subjects that every point has, and of voxels that are defined at every point;
        ``None`` if a subject has no such voxel.
    """
    subjects = [s for s in points[0] if all(s in point for point in points)]
    r, stories = [], []
    for subject in subjects:
        maps = np.stack([figure.r(inputs, point[subject]) for point in points])
        defined = np.isfinite(maps).all(axis=0)
        if not defined.any():
            return None
        r.append(maps[:, defined])
        test_stories = points[0][subject].record.test_stories
        if test_stories and figure.story is None:
            means = [
                [mean_or_none(read_r(point[subject], story)[defined]) for story in test_stories]
                for point in points
            ]
            stories.append(np.asarray(means, dtype=float))
    return Measured(np.log10(sizes), r, stories if len(stories) == len(r) else None)


def _best_form(rows: Sequence[Row], x: str, y: str) -> Statistics:
    """The form with the lowest out-of-sample error, and the errors of all that could be tried."""
    sizes = np.log10([float(row[x]) for row in rows])
    forms = compare_forms(sizes, np.asarray([float(row[y]) for row in rows]))
    errors = {name: form.out_of_sample for name, form in forms.items() if form.out_of_sample}
    if not errors:
        return {}
    best = min(errors, key=lambda name: errors[name])
    return {"best_form": best, **{f"out_of_sample_error_{n}": e for n, e in errors.items()}}


def _slope_intervals(measured: Measured) -> Statistics:
    """Interval of the slope in percent, for each source of chance and for all together."""
    statistics: Statistics = {}
    for source, interval in slope_intervals(measured).items():
        if interval is not None:
            ending = "" if source == "all" else f"_over_{source}"
            low, high = interval.percent
            statistics[f"percent_per_decade_low{ending}"] = low
            statistics[f"percent_per_decade_high{ending}"] = high
    return statistics
