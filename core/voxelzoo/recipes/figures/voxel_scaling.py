"""Figure kind ``voxel-scaling``: what each voxel gains from a larger model or from more data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import model_validator

from voxelzoo.recipes.figures.inputs import FigureInputs
from voxelzoo.recipes.figures.result import FigureError, FigureResult, reasons_by_cause
from voxelzoo.recipes.figures.run_results import (
    at_layer,
    mean_or_none,
    mean_over_known,
    rows_by_region,
)
from voxelzoo.recipes.figures.subsets import SubsetFigure
from voxelzoo.recipes.recipe_runs import RecipeRun
from voxelzoo.science.arrays import Floats
from voxelzoo.science.scaling import gain_per_doubling
from voxelzoo.store.results import Result

Point = tuple[str, float, Result]
"""Subject, size (parameters or stories), and result."""


class VoxelScaling(SubsetFigure):
    """Gain in r of each voxel from doubling the parameters; with ``n_stories``, the stories."""

    kind: Literal["voxel-scaling"]

    @model_validator(mode="after")
    def _one_model(self) -> VoxelScaling:
        if self.n_stories and len(self.models) > 1:
            raise ValueError("voxel-scaling over n_stories takes one model")
        return self

    def runs(self, inputs: FigureInputs) -> list[RecipeRun]:
        """Runs of the subsets of one model, or of every model on all stories."""
        if self.n_stories:
            return super().runs(inputs)
        return [self.run_of(inputs, model) for model in self.models]

    def compute(self, inputs: FigureInputs) -> FigureResult:
        """A map for each subject, and a row for each region of it."""
        numbers = FigureResult()
        r: dict[str, dict[float, list[Floats]]] = {}
        by_subject: dict[str, Result] = {}
        points = self._over_stories(inputs) if self.n_stories else self._over_size(inputs, numbers)
        for subject, size, result in points:
            by_size = r.setdefault(subject, {})
            by_size.setdefault(float(np.log10(size)), []).append(self.r(inputs, result))
            by_subject[subject] = result
        if not r:
            raise FigureError(reasons_by_cause(numbers.missing))
        gains = []
        for subject, by_size in r.items():
            if len(by_size) < 2:
                raise FigureError("a slope needs two sizes or more")
            x = np.array(sorted(by_size))
            gain = gain_per_doubling(x, np.stack([np.mean(by_size[size], axis=0) for size in x]))
            numbers.maps[f"gain_per_doubling_{subject}"] = gain
            numbers.rows.extend(
                {"subject": subject, **row}
                for row in rows_by_region(by_subject[subject], {"gain_per_doubling": gain})
            )
            gains.append(mean_or_none(gain))
        numbers.statistics["mean_gain_per_doubling"] = mean_over_known(gains)
        numbers.statistics["n_sizes"] = len(next(iter(r.values())))
        return numbers

    def _over_stories(self, inputs: FigureInputs) -> Iterator[Point]:
        for subset in self.subset_results(inputs, self.models[0]):
            for subject, result in subset.by_subject.items():
                yield subject, subset.n_stories, result

    def _over_size(self, inputs: FigureInputs, numbers: FigureResult) -> Iterator[Point]:
        for model, results in self.available(inputs, numbers).items():
            layer = self.layer_of(inputs, model, results)
            for subject, result in at_layer(model, results, layer).items():
                size = result.record.n_parameters
                if size is None:
                    numbers.missing[model] = "has no number of parameters"
                else:
                    yield subject, size, result
