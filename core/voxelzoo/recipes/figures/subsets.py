"""Figures of models that are fitted to subsets of the training stories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from voxelzoo.recipes.fields import Count
from voxelzoo.recipes.figures.base import LayerFigure
from voxelzoo.recipes.figures.inputs import FigureInputs
from voxelzoo.recipes.figures.run_results import at_layer, layers_of
from voxelzoo.recipes.recipe_runs import RecipeRun
from voxelzoo.store.results import Result


@dataclass(frozen=True)
class SubsetResults:
    """Results of one layer of a model, fitted to one subset of the training stories."""

    n_stories: int
    by_subject: Mapping[str, Result]
    """By subject."""

    @property
    def n_parameters(self) -> int | None:
        """Parameters of the model."""
        n: int | None = next(iter(self.by_subject.values())).record.n_parameters
        return n


class SubsetFigure(LayerFigure):
    """A figure over training subsets of several sizes; the last layer is used if none is named."""

    n_stories: tuple[Count, ...] = ()
    """Sizes of the training subsets; if the dataset has fewer stories, all of them."""
    n_subsets: Count = 1
    """Number of random subsets of each size."""

    def subset_sizes(self, inputs: FigureInputs) -> list[int]:
        """Sizes of the training subsets, none larger than the dataset."""
        return sorted({min(n, inputs.n_stories) for n in self.n_stories})

    def subset_runs(self, inputs: FigureInputs, model: str) -> Iterator[tuple[int, RecipeRun]]:
        """Every training subset of a model: its number of stories and its run.

        All stories are one subset, and need no run beyond that of all the model's layers.
        """
        for n in self.subset_sizes(inputs):
            if inputs.is_all_stories(n):
                yield n, self.run_of(inputs, model)
                continue
            layer = str(self.layers.get(model, "last"))
            for seed in range(self.n_subsets):
                yield n, RecipeRun(((model, layer),), n, seed)

    def runs(self, inputs: FigureInputs) -> list[RecipeRun]:
        """Every run that the figure needs."""
        return [run for model in self.models for _, run in self.subset_runs(inputs, model)]

    def subset_results(self, inputs: FigureInputs, model: str) -> list[SubsetResults]:
        """Results of a model's layer for every training subset, in order of size.

        Raises
        ------
        FigureError
            If one of the runs has no results, or not of that layer.
        """
        subsets = []
        for n, run in self.subset_runs(inputs, model):
            results = inputs.results(run, self.subjects)
            layer = self.layers.get(model, layers_of(results)[-1])
            subsets.append(SubsetResults(n, at_layer(model, results, layer)))
        return subsets
