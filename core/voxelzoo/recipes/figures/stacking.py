"""Figure kind ``stacking``: several models' layers fitted together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from pydantic import model_validator

from voxelzoo.recipes.figures.base import LayerFigure
from voxelzoo.recipes.figures.inputs import FigureInputs
from voxelzoo.recipes.figures.result import FigureResult
from voxelzoo.recipes.figures.run_results import (
    at_layer,
    mean_or_none,
    mean_over_known,
    rows_by_region,
)
from voxelzoo.recipes.recipe_runs import RecipeRun
from voxelzoo.science.arrays import Floats


class Stacking(LayerFigure):
    """What a stack gains over its single space, and the layers that each voxel is attributed to.

    The stack has the layer in ``layers`` of each model that is named there, and the even layers of
    the others.
    """

    kind: Literal["stacking"]
    single: str | None = None
    """The model whose one layer the stack must beat; the last of ``models`` if not given."""

    @model_validator(mode="after")
    def _single_is_stacked(self) -> Stacking:
        if self.single_model not in self.models:
            raise ValueError(f"single {self.single!r} is not one of the figure's models")
        return self

    @property
    def single_model(self) -> str:
        """The model whose one layer the stack must beat."""
        return self.single or self.models[-1]

    def stack_run(self) -> RecipeRun:
        """The run of all models as feature spaces of one fit."""
        spaces = tuple((model, str(self.layers.get(model, "even"))) for model in self.models)
        return RecipeRun(spaces, single=self.single_model)

    def runs(self, inputs: FigureInputs) -> list[RecipeRun]:
        """The run of the single model, then of the stack."""
        return [self.run_of(inputs, self.single_model), self.stack_run()]

    def compute(self, inputs: FigureInputs) -> FigureResult:
        """Maps of r, gain and weights for each subject, and a row for each region of them."""
        numbers = FigureResult()
        stacked = inputs.results(self.stack_run(), self.subjects)
        single = self.single_model
        alone = self.results_of(inputs, single)
        layer = self.layer_of(inputs, single, alone)
        gains: list[float | None] = []
        means: list[float | None] = []
        for (subject, _), result in stacked.items():
            spaces, weights = result.record.spaces or (), result.map("weights")
            r = self.r(inputs, result)
            gain = r - self.r(inputs, at_layer(single, alone, layer)[subject])
            centre = _centre_of_mass(spaces, weights, single)
            maps = {"r": r, "gain": gain, "centre_of_mass": centre}
            numbers.maps |= {f"{name}_{subject}": each for name, each in maps.items()}
            numbers.maps |= {
                f"weight_{name}_{subject}": column
                for name, column in zip(spaces, weights.T, strict=True)
            }
            numbers.rows.extend({"subject": subject, **row} for row in rows_by_region(result, maps))
            gains.append(mean_or_none(gain))
            means.append(mean_or_none(r))
        numbers.statistics |= {
            "mean_gain": mean_over_known(gains),
            "mean_r": mean_over_known(means),
            "n_spaces": len(next(iter(stacked.values())).record.spaces or ()),
        }
        return numbers


def _centre_of_mass(spaces: Iterable[str], weights: Floats, single: str) -> Floats:
    """Weighted mean position of the spaces that are not of the single model, (voxel,).

    Weights (voxel, space) are not rescaled for the weight of the single model.
    """
    others = [i for i, name in enumerate(spaces) if not name.startswith(f"{single}:")]
    centre: Floats = weights[:, others] @ np.arange(1, len(others) + 1)
    return centre
