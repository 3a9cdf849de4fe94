"""What became of a recipe: a line for every expectation, and the numbers behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from voxelzoo.recipes.figures import FigureResult
from voxelzoo.recipes.runner import Outcomes
from voxelzoo.recipes.schema import Figure, Recipe

Status = Literal["match", "mismatch", "partial", "not compared", "not run"]


@dataclass(frozen=True)
class Line:
    """One row of the table: what was expected, and what came out."""

    id: str
    figure: str | None
    statistic: str | None
    expected: str | None
    obtained: float | str | None
    status: Status
    why: str
    low: float | None = None
    high: float | None = None
    """Interval of what was obtained, by bootstrap, where the figure gives one."""
    tolerance: str | None = None
    """Where the tolerance comes from."""
    meaning: str | None = None
    """What the statistic is, in words."""
    source: str | None = None

    def record(self) -> dict[str, Any]:
        """As a flat record."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Difference:
    """Where the data at hand are not those that the recipe speaks of."""

    text: str
    subjects: frozenset[str] = frozenset()
    """Whom it concerns; everybody, if empty."""
    story: str | None = None
    """The test story it concerns; all, if ``None``."""

    def concerns(self, figure: Figure) -> bool:
        """Whether the figure's numbers are of other data than the recipe's for this."""
        if figure.subjects and self.subjects and self.subjects.isdisjoint(figure.subjects):
            return False
        return None in (self.story, figure.story) or self.story == figure.story


@dataclass
class Reproduction:
    """Everything a recipe gave."""

    recipe: Recipe
    lines: list[Line] = field(default_factory=list)
    numbers: dict[str, FigureResult] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    """Figures of which nothing could be computed, with the reason."""
    notes: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    statistics: dict[str, float] = field(default_factory=dict)
    """Of the call as a whole: what it took."""
    outcomes: Outcomes = field(default_factory=Outcomes)
    only_subjects: tuple[str, ...] = ()
    """Subjects asked for, where not all of the recipe's were."""

    def record(self) -> dict[str, Any]:
        """All numbers as JSON values; maps are left out."""
        return {
            "recipe": self.recipe.name,
            "title": self.recipe.title,
            "lines": [line.record() for line in self.lines],
            "figures": {
                name: {
                    "statistics": numbers.statistics,
                    "rows": numbers.rows,
                    "missing": numbers.missing,
                }
                for name, numbers in self.numbers.items()
            },
            "not_run": self.reasons,
            "statistics": self.statistics,
            "notes": self.notes,
            "computed": self.outcomes.n_computed,
            "from_store": self.outcomes.n_kept,
        }
