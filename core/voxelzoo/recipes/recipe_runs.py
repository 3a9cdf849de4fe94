"""The runs that a recipe's figures need, and the results of those runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from voxelzoo.store.results import Result

RunResults = Mapping[tuple[str, int | None], Result]
"""Results of one run by subject and layer; the layer of a joint fit is ``None``."""


@dataclass(frozen=True)
class RecipeRun:
    """One run of a recipe: layers of a model, or of several models that are fitted together."""

    models: tuple[tuple[str, str], ...]
    """(model, layers), the layers as for ``zoo run --layer``, or ``even``."""
    n_train: int | None = None
    """Number of training stories to draw; ``None`` for all."""
    subset_seed: int = 0
    """Seed of the draw."""
    single: str | None = None
    """For a joint fit: the model that the stack must beat."""
    protocol: str | None = None
    """Instead of the recipe's protocol."""
    predictions: bool = False
    """Whether to keep held-out predictions, which take as much space as the responses."""

    @property
    def joint(self) -> bool:
        """Whether the models are feature spaces of one stacked fit."""
        return self.single is not None


@dataclass
class RunOutcomes:
    """The results of every run, or the reason why a run has none."""

    results: dict[RecipeRun, dict[tuple[str, int | None], Result]] = field(default_factory=dict)
    reasons: dict[RecipeRun, str] = field(default_factory=dict)
    n_computed: int = 0
    """Results that were computed."""
    n_kept: int = 0
    """Results that were in the store already."""

    def add(self, run: RecipeRun, result: Result) -> None:
        """Add one result of a run."""
        record = result.record
        self.results.setdefault(run, {})[record.subject, record.layer] = result
        self.n_computed += result.computed
        self.n_kept += not result.computed
