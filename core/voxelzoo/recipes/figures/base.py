"""What kinds of figures have in common: their fields, their runs and how scores are averaged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from voxelzoo.recipes.fields import StrictModel
from voxelzoo.recipes.figures.inputs import FigureInputs
from voxelzoo.recipes.figures.result import FigureError, FigureResult, Row, reasons_by_cause
from voxelzoo.recipes.figures.run_results import (
    layers_of,
    mean_or_none,
    read_r,
)
from voxelzoo.recipes.recipe_runs import RecipeRun, RunResults
from voxelzoo.science.arrays import Floats
from voxelzoo.science.layer_choice import choose_layer
from voxelzoo.science.regions import label_masks
from voxelzoo.science.scores import signed_square
from voxelzoo.store.results import Result


class BaseFigure(StrictModel, ABC):
    """A figure of a recipe: what it is made from, and how its numbers are computed.

    A kind of figure is a subclass with a literal ``kind``, its own fields, and :meth:`compute`.
    """

    summary: str
    """What the figure shows, in words."""
    models: Annotated[tuple[str, ...], Field(min_length=1)]
    """Models of the recipe."""
    subjects: tuple[str, ...] = ()
    """Only these subjects; all if none is named."""

    @property
    def models_named(self) -> frozenset[str]:
        """Every model that a field of the figure names."""
        return frozenset(self.models)

    def uses_story(self, story: str) -> bool:
        """Whether the figure's numbers depend on a held-out story."""
        return True

    def run_of(self, inputs: FigureInputs, model: str) -> RecipeRun:
        """The run of a model's layers, as the recipe gives them, on all training stories."""
        return RecipeRun(((model, inputs.model_layers[model]),))

    def runs(self, inputs: FigureInputs) -> list[RecipeRun]:
        """Every run that the figure needs."""
        return [self.run_of(inputs, model) for model in self.models]

    @abstractmethod
    def compute(self, inputs: FigureInputs) -> FigureResult:
        """Compute the numbers of the figure from the results of its runs.

        Raises
        ------
        FigureError
            If nothing can be computed.
        """

    def results_of(self, inputs: FigureInputs, model: str) -> RunResults:
        """Results of a model's run for the subjects of the figure."""
        return inputs.results(self.run_of(inputs, model), self.subjects)

    def available(self, inputs: FigureInputs, numbers: FigureResult) -> dict[str, RunResults]:
        """Results of the models that could be run; ``numbers.missing`` says why others could not.

        Raises
        ------
        FigureError
            If no model could be run.
        """
        available = {}
        for model in self.models:
            try:
                available[model] = self.results_of(inputs, model)
            except FigureError as error:
                numbers.missing[model] = str(error)
        if not available:
            raise FigureError(reasons_by_cause(numbers.missing))
        return available


class ScoreFigure(BaseFigure):
    """A figure of scores, over all voxels or some of them."""

    region: str | None = None
    """Only voxels with this label."""
    story: str | None = None
    """Scores on this held-out story only."""
    floor: float | None = 0.25
    """Lowest value of a noise ceiling; null for no floor."""
    least_ceiling: float | None = None
    """Only voxels with a higher noise ceiling."""

    def uses_story(self, story: str) -> bool:
        """Whether the figure's numbers depend on a held-out story."""
        return self.story in (None, story)

    def mask(self, inputs: FigureInputs, result: Result) -> NDArray[np.bool_]:
        """Voxels of the figure, (voxel,)."""
        mask = self.region_mask(result)
        if self.least_ceiling is not None:
            mask &= self.ceiling(inputs, result) > self.least_ceiling
        return mask

    def region_mask(self, result: Result) -> NDArray[np.bool_]:
        """Voxels of the figure's region, (voxel,)."""
        if self.region is None:
            return np.ones(result.record.n_voxels, dtype=np.bool_)
        mask = label_masks(result.labels).get(self.region)
        if mask is None:
            raise FigureError(f"needs region labels: the dataset has no {self.region!r}")
        return mask

    def ceiling(self, inputs: FigureInputs, result: Result) -> Floats:
        """Noise ceiling of each voxel, (voxel,)."""
        return inputs.ceiling(result.record.subject, self.story, self.floor)

    def r(self, inputs: FigureInputs, result: Result) -> Floats:
        """r of each voxel, (voxel,); NaN for voxels that are not of the figure."""
        return np.where(self.mask(inputs, result), read_r(result, self.story), np.nan)

    def over_subjects(self, inputs: FigureInputs, by_subject: Mapping[str, Result]) -> Row:
        """Scores averaged over voxels, then over subjects.

        Parameters
        ----------
        inputs : FigureInputs
            What the figure is computed from.
        by_subject : mapping of str to Result
            One result for each subject.

        Returns
        -------
        dict
            ``mean_r``, its standard error over subjects, ``mean_signed_r2`` and ``n_subjects``.

        Raises
        ------
        FigureError
            If no voxel has a score.
        """
        maps = [self.r(inputs, result) for result in by_subject.values()]
        r = [mean for each in maps if (mean := mean_or_none(each)) is not None]
        squares = [m for each in maps if (m := mean_or_none(signed_square(each))) is not None]
        if not r:
            raise FigureError("no voxel has a defined score")
        return {
            "mean_r": float(np.mean(r)),
            "se_over_subjects": standard_error(r),
            "mean_signed_r2": float(np.mean(squares)),
            "n_subjects": len(r),
        }


class LayerFigure(ScoreFigure):
    """A figure of scores at one layer of each model."""

    layers: Mapping[str, int] = {}
    """The layer of a model; the best layer if none is named."""

    @property
    def models_named(self) -> frozenset[str]:
        """Every model that a field of the figure names."""
        return super().models_named | self.layers.keys()

    def layer_of(self, inputs: FigureInputs, model: str, results: RunResults) -> int:
        """The layer named for a model, or the best layer on the test data, as in the paper."""
        if model in self.layers:
            return self.layers[model]
        return best_layer(model, results, lambda result: self.r(inputs, result))

    def layer_by_training(self, model: str, results: RunResults) -> int | None:
        """The layer named for a model, or the best by out-of-fold r within the training data.

        Out-of-fold r is averaged over all voxels, whatever the voxels of the figure. ``None`` if
        a layer has no such score.
        """
        if any("cv_r" not in result.maps for result in results.values()):
            return None
        if model in self.layers:
            return self.layers[model]
        return best_layer(model, results, lambda result: result.map("cv_r"))


def best_layer(model: str, results: RunResults, score: Callable[[Result], Floats]) -> int:
    """The layer of a model with the best mean score over voxels, then subjects.

    Parameters
    ----------
    model : str
        Name of the model, for the error.
    results : mapping of (subject, layer) to Result
        Results of the model's run.
    score : callable
        Reads the score of each voxel, (voxel,), of a result; NaN for voxels that do not count.

    Raises
    ------
    FigureError
        If no layer has a score.

    See Also
    --------
    voxelzoo.science.layer_choice : which voxels, layers and subjects count.
    """
    layers, subjects = layers_of(results), dict.fromkeys(subject for subject, _ in results)
    scores = [np.stack([score(results[s, layer]) for layer in layers]) for s in subjects]
    position = choose_layer(scores)
    if position is None:
        raise FigureError(f"{model} has no score to choose a layer by")
    return layers[position]


def standard_error(values: list[float]) -> float | None:
    """Standard error of the mean; ``None`` for fewer than two values."""
    if len(values) < 2:
        return None
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))
