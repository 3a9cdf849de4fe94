"""Figure kind ``long-context``: what the first seconds of each test story add to r."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from voxelzoo.recipes.figures.base import BaseFigure
from voxelzoo.recipes.figures.inputs import FigureInputs
from voxelzoo.recipes.figures.result import Axes, FigureError, FigureResult
from voxelzoo.recipes.figures.run_results import at_layer, layers_of, mean_or_none
from voxelzoo.recipes.recipe_runs import RecipeRun
from voxelzoo.science.arrays import Floats


class LongContext(BaseFigure):
    """Scores with and without the first seconds of each test story.

    Models are run under the protocol ``clean``, which skips no part of a test story. Both scores
    are of the same predictions.
    """

    kind: Literal["long-context"]
    seconds: float = Field(default=100.0, gt=0)
    """What is dropped from the start of each test story. If the recipe's ``trims`` say how many
    TRs the paper drops there, that number is used."""

    def run_of(self, inputs: FigureInputs, model: str) -> RecipeRun:
        """The run of a model's layers under ``clean``, with predictions kept."""
        layers = ((model, inputs.model_layers[model]),)
        return RecipeRun(layers, protocol="clean", predictions=True)

    def compute(self, inputs: FigureInputs) -> FigureResult:
        """A row for each layer, and a map for each layer and subject."""
        numbers = FigureResult(axes=Axes("layer", "inflation_percent", "model"))
        n_trs = inputs.n_first_trs(self.seconds)
        for model, results in self.available(inputs, numbers).items():
            for layer in layers_of(results):
                whole, later = [], []
                for subject, result in at_layer(model, results, layer).items():
                    held_out = result.read_held_out()
                    r, r_later = held_out.r, held_out.without_first(n_trs).r
                    numbers.maps[f"difference_{model}_{layer}_{subject}"] = r - r_later
                    whole.append(_mean(r))
                    later.append(_mean(r_later))
                mean, mean_later = float(np.mean(whole)), float(np.mean(later))
                gain = mean - mean_later
                numbers.rows.append(
                    {
                        "model": model,
                        "layer": layer,
                        "mean_r_whole": mean,
                        "mean_r_without_first": mean_later,
                        "inflation": gain,
                        "inflation_percent": 100 * gain / mean_later if mean_later > 0 else None,
                    }
                )
        percent = [row["inflation_percent"] for row in numbers.rows]
        known = [each for each in percent if each is not None]
        numbers.statistics["largest_inflation_percent"] = max(known) if known else None
        numbers.statistics["largest_inflation"] = max(row["inflation"] for row in numbers.rows)
        numbers.statistics["n_first_trs"] = n_trs
        return numbers


def _mean(r: Floats) -> float:
    mean = mean_or_none(r)
    if mean is None:
        raise FigureError("no voxel has a defined score")
    return mean
