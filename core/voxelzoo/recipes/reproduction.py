"""The outcome of a reproduction: a line for every expectation, and the numbers behind the lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from voxelzoo.recipes.figures.base import BaseFigure
from voxelzoo.recipes.figures.result import FigureResult
from voxelzoo.recipes.recipe_runs import RunOutcomes
from voxelzoo.recipes.schema import Recipe

if TYPE_CHECKING:
    import pandas

Status = Literal["match", "mismatch", "partial", "not compared", "not run"]


@dataclass(frozen=True)
class ComparisonLine:
    """One line of the table: what was expected, and what was obtained."""

    id: str
    figure: str | None
    statistic: str | None
    expected: str | None
    obtained: float | str | None
    status: Status
    why: str
    low: float | None = None
    high: float | None = None
    """Bootstrap interval of the obtained number, if the figure gives one."""
    tolerance: str | None = None
    """Where the tolerance comes from."""
    meaning: str | None = None
    """What the statistic is, in words."""
    source: str | None = None
    """Where in the paper."""

    def record(self) -> dict[str, Any]:
        """The line as a flat record."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class DataDifference:
    """How the data differ from those that the recipe describes."""

    text: str
    subjects: frozenset[str] = frozenset()
    """The subjects affected; all if empty."""
    story: str | None = None
    """The test story affected; all if ``None``."""

    def affects(self, figure: BaseFigure) -> bool:
        """Whether the figure's numbers depend on these data."""
        if figure.subjects and self.subjects and self.subjects.isdisjoint(figure.subjects):
            return False
        return self.story is None or figure.uses_story(self.story)


SHOWN = ("id", "figure", "statistic", "expected", "obtained", "status", "why")
"""Columns of the table that people see."""


@dataclass(repr=False)
class Reproduction:
    """Everything that a recipe gave.

    Examples
    --------
    ::

        reproduction = voxelzoo.reproduce("antonello2023", miniature=True)
        reproduction.table()
        reproduction.figures["fig1a"].table()
        reproduction.figures["fig2"].maps
    """

    recipe: Recipe
    only_subjects: tuple[str, ...] = ()
    """The subjects selected, if not all of the recipe's were."""
    not_comparable: str | None = None
    """Why no number is compared with the paper's; ``None`` if numbers are compared."""
    lines: list[ComparisonLine] = field(default_factory=list)
    figures: dict[str, FigureResult] = field(default_factory=dict)
    """Numbers of the figures that could be computed."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why the other figures could not be computed."""
    notes: list[str] = field(default_factory=list)
    differences: Sequence[DataDifference] = ()
    statistics: dict[str, float] = field(default_factory=dict)
    """Of the call as a whole: ``cpu_hours``."""
    outcomes: RunOutcomes = field(default_factory=RunOutcomes)
    not_selected: frozenset[str] = frozenset()
    """Figures that were not to be computed."""

    def table(self) -> pandas.DataFrame:
        """What was expected and what was obtained.

        Returns
        -------
        pandas.DataFrame
            A row for each line, with the fields of :class:`ComparisonLine`.
        """
        from pandas import DataFrame

        return DataFrame(
            [line.record() for line in self.lines],
            columns=[field.name for field in fields(ComparisonLine)],
        )

    def __repr__(self) -> str:
        counts = Counter(line.status for line in self.lines)
        totals = ", ".join(f"{n} {status}" for status, n in counts.items())
        return f"<Reproduction of {self.recipe.name}: {totals or 'nothing compared'}>"

    def _repr_html_(self) -> str:
        table: str = self.table()[list(SHOWN)].to_html(index=False, na_rep="")
        return table

    def record(self) -> dict[str, Any]:
        """All numbers as JSON values, without maps. A number that is not finite is null."""
        record = {
            "recipe": self.recipe.name,
            "title": self.recipe.title,
            "lines": [line.record() for line in self.lines],
            "figures": {
                name: {
                    "statistics": result.statistics,
                    "rows": result.rows,
                    "missing": result.missing,
                }
                for name, result in self.figures.items()
            },
            "not_run": self.reasons,
            "statistics": self.statistics,
            "notes": self.notes,
            "computed": self.outcomes.n_computed,
            "from_store": self.outcomes.n_kept,
        }
        return {name: _plain(value) for name, value in record.items()}


def _plain(value: Any) -> Any:
    """A value as JSON."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
