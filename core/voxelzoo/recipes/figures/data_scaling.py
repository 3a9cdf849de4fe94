"""Figure kind ``data-scaling``: performance against the number of training stories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from voxelzoo.recipes.fields import Count
from voxelzoo.recipes.figures.base import standard_error
from voxelzoo.recipes.figures.fits import add_fits, fit_decades, measure
from voxelzoo.recipes.figures.inputs import FigureInputs
from voxelzoo.recipes.figures.result import (
    Axes,
    FigureError,
    FigureResult,
    Row,
    reasons_by_cause,
)
from voxelzoo.recipes.figures.subsets import SubsetFigure, SubsetResults
from voxelzoo.science.scaling import fit_interaction


class DataScaling(SubsetFigure):
    """Score of each model's layer against training stories, over random subsets of them."""

    kind: Literal["data-scaling"]
    n_stories: Annotated[tuple[Count, ...], Field(min_length=1)]
    """Sizes of the training subsets; if the dataset has fewer stories, all of them."""

    def compute(self, inputs: FigureInputs) -> FigureResult:
        """A row for each model and size, and statistics of each model's line."""
        numbers = FigureResult(
            axes=Axes("n_stories", "mean_r", "model", log=True, error="se_over_subsets")
        )
        for model in self.models:
            try:
                subsets = self.subset_results(inputs, model)
                rows = self._rows(inputs, model, subsets)
            except FigureError as error:
                numbers.missing[model] = str(error)
                continue
            numbers.rows.extend(rows)
            if len(rows) > 1:
                prefix = "" if len(self.models) == 1 else f"{model}."
                sizes = [subset.n_stories for subset in subsets]
                measured = measure(self, inputs, sizes, [subset.by_subject for subset in subsets])
                add_fits(numbers, rows, "n_stories", prefix, measured)
        if not numbers.rows:
            raise FigureError(reasons_by_cause(numbers.missing))
        _compare_two(numbers)
        return numbers

    def _rows(
        self, inputs: FigureInputs, model: str, subsets: Sequence[SubsetResults]
    ) -> list[Row]:
        """A row for each size: the mean over subsets and its standard error."""
        scores = [(each.n_stories, self.over_subjects(inputs, each.by_subject)) for each in subsets]
        rows = []
        for n in sorted({n for n, _ in scores}):
            of_size = [score for size, score in scores if size == n]
            r = [score["mean_r"] for score in of_size]
            rows.append(
                {
                    "model": model,
                    "n_parameters": subsets[0].n_parameters,
                    "n_stories": n,
                    "n_subsets": len(of_size),
                    "mean_r": float(np.mean(r)),
                    "se_over_subsets": standard_error(r),
                    "mean_signed_r2": float(np.mean([s["mean_signed_r2"] for s in of_size])),
                }
            )
        return rows


def _compare_two(numbers: FigureResult) -> None:
    """Add how much more the second of two models gains from a decade of stories than the first.

    ``data_x_size`` is the same for each decade of parameters.
    """
    by_model: dict[str, list[Row]] = {}
    for row in numbers.rows:
        by_model.setdefault(row["model"], []).append(row)
    if len(by_model) != 2:
        return
    first, second = by_model.values()
    numbers.statistics["difference_at_fewest"] = second[0]["mean_r"] - first[0]["mean_r"]
    if len(first) < 2 or len(second) < 2:
        return
    slopes = [fit_decades(rows, "n_stories", "mean_r")["per_decade"] for rows in (first, second)]
    if slopes[0] is None or slopes[1] is None:
        return
    numbers.statistics["interaction"] = slopes[1] - slopes[0]
    if len({row["n_parameters"] for row in numbers.rows} - {None}) == 2:
        size, data, r = np.asarray(
            [[row["n_parameters"], row["n_stories"], row["mean_r"]] for row in numbers.rows],
            dtype=float,
        ).T
        interaction = fit_interaction(np.log10(size), np.log10(data), r).interaction
        numbers.statistics["data_x_size"] = interaction
