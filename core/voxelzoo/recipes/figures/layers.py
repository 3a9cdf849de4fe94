"""Figure kind ``layers``: performance of every layer."""

from __future__ import annotations

from typing import Literal

from voxelzoo.recipes.figures.base import ScoreFigure
from voxelzoo.recipes.figures.inputs import FigureInputs
from voxelzoo.recipes.figures.result import Axes, FigureResult, Row
from voxelzoo.recipes.figures.run_results import at_layer, layers_of
from voxelzoo.recipes.recipe_runs import RunResults


class LayerCurves(ScoreFigure):
    """Score of every layer of every model."""

    kind: Literal["layers"]

    def compute(self, inputs: FigureInputs) -> FigureResult:
        """A row for each layer; the best layer of each model and the best score of each family."""
        numbers = FigureResult(axes=Axes("depth", "mean_signed_r2", "model"))
        best: dict[str, float] = {}
        for model, results in self.available(inputs, numbers).items():
            rows = self._rows(inputs, model, results)
            numbers.rows.extend(rows)
            top = max(rows, key=lambda row: row["mean_signed_r2"])
            if len(rows) > 1:
                numbers.statistics[f"{model}.best_layer"] = top["layer"]
            else:
                reason = f"only layer {top['layer']} of {model} was run"
                numbers.undefined[f"{model}.best_layer"] = reason
            family = str(top["family"])
            best[family] = max(best.get(family, float("-inf")), top["mean_signed_r2"])
        numbers.statistics |= {f"{family}.best_mean_signed_r2": v for family, v in best.items()}
        return numbers

    def _rows(self, inputs: FigureInputs, model: str, results: RunResults) -> list[Row]:
        layers, rows = layers_of(results), []
        for layer in layers:
            by_subject = at_layer(model, results, layer)
            rows.append(
                {
                    "model": model,
                    "family": next(iter(by_subject.values())).record.family,
                    "layer": layer,
                    "depth": layer / max(layers[-1], 1),
                    **self.over_subjects(inputs, by_subject),
                }
            )
        return rows
