"""Figure kind ``size-scaling``: performance against the number of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from voxelzoo.recipes.figures.base import LayerFigure
from voxelzoo.recipes.figures.fits import Statistics, add_fits, fit_decades, gain_percent, measure
from voxelzoo.recipes.figures.inputs import FigureInputs
from voxelzoo.recipes.figures.result import Axes, FigureResult, Row
from voxelzoo.recipes.figures.run_results import at_layer
from voxelzoo.recipes.recipe_runs import RunResults
from voxelzoo.store.results import Result


class SizeScaling(LayerFigure):
    """Score of each model's best layer against its parameters, with a line for each family."""

    kind: Literal["size-scaling"]
    plateau_from: int | None = None
    """A second slope is fitted to the models with fewer parameters than this."""

    def compute(self, inputs: FigureInputs) -> FigureResult:
        """A row for each model, and statistics of each family's line."""
        numbers = FigureResult(
            axes=Axes("n_parameters", "mean_r", "family", log=True, error="se_over_subjects")
        )
        by_subject: dict[str, dict[str, Result]] = {}
        for model, results in self.available(inputs, numbers).items():
            layer = self.layer_of(inputs, model, results)
            by_subject[model] = at_layer(model, results, layer)
            numbers.rows.append(self._row(inputs, model, results, layer))
        families = list(dict.fromkeys(row["family"] for row in numbers.rows))
        for family in families:
            rows = [row for row in numbers.rows if row["family"] == family and row["n_parameters"]]
            if _n_sizes(rows) > 1:
                prefix = "" if len(families) == 1 else f"{family}."
                self._add_fits(inputs, numbers, rows, prefix, by_subject)
        return numbers

    def _row(self, inputs: FigureInputs, model: str, results: RunResults, layer: int) -> Row:
        by_subject = at_layer(model, results, layer)
        record = next(iter(by_subject.values())).record
        row = {
            "model": model,
            "family": record.family,
            "n_parameters": record.n_parameters,
            "layer": layer,
            **self.over_subjects(inputs, by_subject),
        }
        by_training = self.layer_by_training(model, results)
        if by_training is not None:
            scores = self.over_subjects(inputs, at_layer(model, results, by_training))
            row |= {"layer_by_training": by_training, "mean_r_by_training": scores["mean_r"]}
        return row

    def _add_fits(
        self,
        inputs: FigureInputs,
        numbers: FigureResult,
        rows: Sequence[Row],
        prefix: str,
        by_subject: Mapping[str, Mapping[str, Result]],
    ) -> None:
        def more(score: str) -> Statistics:
            statistics: Statistics = {
                "best_over_smallest_percent": _best_over_smallest(rows, score)
            }
            smaller = [row for row in rows if row["n_parameters"] < (self.plateau_from or 0)]
            if _n_sizes(smaller) > 1:
                slope = fit_decades(smaller, "n_parameters", score)["percent_per_decade"]
                statistics["percent_per_decade_before_plateau"] = slope
            return statistics

        sizes = [row["n_parameters"] for row in rows]
        measured = measure(self, inputs, sizes, [by_subject[row["model"]] for row in rows])
        add_fits(numbers, rows, "n_parameters", prefix, measured, more)


def _n_sizes(rows: Sequence[Row]) -> int:
    return len({row["n_parameters"] for row in rows})


def _best_over_smallest(rows: Sequence[Row], score: str) -> float | None:
    """By how many percent the best model is better than the smallest."""
    smallest = min(rows, key=lambda row: float(row["n_parameters"]))
    best = max(rows, key=lambda row: float(row[score]))
    return gain_percent(smallest[score], best[score])
