"""Figure kind ``baseline``: whether the layers of a model predict better than a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import model_validator

from voxelzoo.recipes.fields import Count
from voxelzoo.recipes.figures.base import BaseFigure, best_layer
from voxelzoo.recipes.figures.inputs import FigureInputs
from voxelzoo.recipes.figures.result import Axes, FigureResult, Row
from voxelzoo.recipes.figures.run_results import at_layer, layers_of, mean_or_none, read_r
from voxelzoo.recipes.recipe_runs import RecipeRun, RunResults
from voxelzoo.science.held_out import HeldOut
from voxelzoo.science.regions import EVERYWHERE

LEVEL = 0.05
"""A layer beats the baseline if its corrected p is lower."""


class Baseline(BaseFigure):
    """r of each layer with its permutation p, and whether it beats the baseline model.

    A layer beats the baseline if it is better and its p, times the number of the model's layers
    (Bonferroni), is below .05. With several subjects, p is of sign flips over subjects; with one,
    of swapping the two models' predictions in blocks of time.
    """

    kind: Literal["baseline"]
    baseline: str
    """The model that must be beaten."""
    layers: Mapping[str, int] = {}
    """The layer of the baseline; its best layer if not given."""
    n_permutations: Count = 1000

    @model_validator(mode="after")
    def _layer_of_the_baseline(self) -> Baseline:
        if others := sorted(self.layers.keys() - {self.baseline}):
            raise ValueError(
                f"layers names {others[0]!r}: only the baseline's layer can be set; every layer of "
                "the other models is tested"
            )
        return self

    @property
    def models_named(self) -> frozenset[str]:
        """Every model that a field of the figure names."""
        return super().models_named | {self.baseline}

    def run_of(self, inputs: FigureInputs, model: str) -> RecipeRun:
        """The run of a model's layers, with predictions kept."""
        return RecipeRun(((model, inputs.model_layers[model]),), predictions=True)

    def runs(self, inputs: FigureInputs) -> list[RecipeRun]:
        """The runs of all models, then of the baseline."""
        return [*super().runs(inputs), self.run_of(inputs, self.baseline)]

    def compute(self, inputs: FigureInputs) -> FigureResult:
        """A row for each model, layer and subject, and a verdict in words."""
        numbers = FigureResult(axes=Axes("layer", "mean_r", "model"))
        base = self.results_of(inputs, self.baseline)
        layer = self.layers.get(self.baseline)
        if layer is None:
            layer = best_layer(self.baseline, base, read_r)
        reference = {
            subject: result.read_held_out()
            for subject, result in at_layer(self.baseline, base, layer).items()
        }
        numbers.rows.extend(self._rows(self.baseline, base, {}))
        comparisons = []
        for model, results in self.available(inputs, numbers).items():
            rows = self._rows(model, results, reference)
            numbers.rows.extend(rows)
            if comparison := _compare(model, rows):
                comparisons.append(comparison)
        numbers.statistics["verdict"] = "; ".join(c.verdict(self.baseline) for c in comparisons)
        for comparison in comparisons:
            numbers.statistics |= comparison.statistics()
        return numbers

    def _rows(self, model: str, results: RunResults, reference: Mapping[str, HeldOut]) -> list[Row]:
        """A row for each layer and subject, compared with the reference if there is one."""
        from voxelzoo.science.paired_tests import paired_test
        from voxelzoo.science.significance import permutation_test

        n, rows = self.n_permutations, []
        for layer in layers_of(results):
            for subject, result in at_layer(model, results, layer).items():
                held_out = result.read_held_out()
                row: Row = {
                    "model": model,
                    "layer": layer,
                    "subject": subject,
                    "mean_r": mean_or_none(held_out.r),
                    "p": permutation_test(held_out, n_permutations=n).regions[EVERYWHERE],
                }
                if subject in reference:
                    paired = paired_test(held_out, reference[subject], n_permutations=n)
                    row["over_baseline"] = mean_or_none(paired.r)
                    row["p_paired"] = paired.regions[EVERYWHERE]
                rows.append(row)
        return rows


@dataclass(frozen=True)
class _Comparison:
    """A model's layers against the baseline."""

    model: str
    layers: Mapping[int, tuple[float, float]]
    """Mean difference over subjects, and its p, by layer."""

    @property
    def best(self) -> int:
        return max(self.layers, key=lambda layer: self.layers[layer][0])

    @property
    def n_better(self) -> int:
        n = len(self.layers)
        return sum(gain > 0 and p * n < LEVEL for gain, p in self.layers.values())

    def statistics(self) -> dict[str, float | int | str | None]:
        gain, p = self.layers[self.best]
        return {
            f"{self.model}.layers_above_baseline": self.n_better,
            f"{self.model}.best_layer": self.best,
            f"{self.model}.best_over_baseline": gain,
            f"{self.model}.best_p": p,
        }

    def verdict(self, baseline: str) -> str:
        n, (gain, p) = len(self.layers), self.layers[self.best]
        conclusion = (
            f"{self.n_better} of {n} layers of {self.model} beat"
            if self.n_better
            else f"{self.model} adds nothing beyond"
        )
        corrected = f" corrected for {n} layers" if n > 1 else ""
        return (
            f"{conclusion} {baseline} (best layer {self.best}: {gain:+.4f}, "
            f"p = {min(1.0, p * n):.3g}{corrected})"
        )


def _compare(model: str, rows: Sequence[Row]) -> _Comparison | None:
    """The model's layers that could be compared with the baseline; ``None`` if there are none."""
    layers = {}
    for layer in sorted({row["layer"] for row in rows}):
        difference = _over_subjects([row for row in rows if row["layer"] == layer])
        if difference is not None:
            layers[layer] = difference
    return _Comparison(model, layers) if layers else None


def _over_subjects(rows: Sequence[Row]) -> tuple[float, float] | None:
    """Mean difference of one layer over subjects, and its p."""
    from voxelzoo.science.paired_tests import subjects_test

    known = [row for row in rows if row.get("over_baseline") is not None]
    if len(known) > 1:
        test = subjects_test(np.asarray([row["over_baseline"] for row in known]))
        return test.mean, test.p
    return (known[0]["over_baseline"], known[0]["p_paired"]) if known else None
