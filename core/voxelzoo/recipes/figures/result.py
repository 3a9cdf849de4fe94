"""What is computed for one figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from voxelzoo.api import DataError
from voxelzoo.science.arrays import Floats

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]
"""One row of a figure's table, by column."""


@dataclass(frozen=True)
class Axes:
    """How rows are drawn: column ``y`` against column ``x``, one line for each ``series``."""

    x: str
    y: str
    series: str
    log: bool = False
    """Whether x is logarithmic."""
    error: str | None = None
    """The column of error bars."""


@dataclass(repr=False)
class FigureResult:
    """The numbers of one figure."""

    rows: list[Row] = field(default_factory=list)
    """The table that is drawn and written as CSV."""
    statistics: dict[str, float | int | str | None] = field(default_factory=dict)
    """Numbers that a recipe can compare with the paper's, by name."""
    maps: dict[str, Floats] = field(default_factory=dict)
    """Values of every voxel, (voxel,), by name."""
    axes: Axes | None = None
    missing: dict[str, str] = field(default_factory=dict)
    """Models that could not be run, with the reason."""
    undefined: dict[str, str] = field(default_factory=dict)
    """Statistics that these runs cannot give, with the reason."""

    def table(self) -> pandas.DataFrame:
        """The rows as a table."""
        from pandas import DataFrame

        return DataFrame(self.rows)

    def __repr__(self) -> str:
        statistics = ", ".join(self.statistics) or "none"
        return (
            f"<FigureResult: {len(self.rows)} rows, {len(self.maps)} maps, statistics {statistics}>"
        )


class FigureError(DataError):
    """Nothing could be computed for a figure; the message is the reason."""


def reasons_by_cause(missing: Mapping[str, str]) -> str:
    """One line that names each model with its reason; models with one cause are listed together.

    Parameters
    ----------
    missing : mapping of str to str
        Reasons by model. The cause of a reason is its text before the first colon.

    Returns
    -------
    str
        Empty if no model is missing.

    Examples
    --------
    >>> reasons_by_cause({"opt-13b": "needs weights: a", "opt-30b": "needs weights: b"})
    'opt-13b, opt-30b (needs weights)'
    """
    by_cause: dict[str, list[str]] = {}
    for model, reason in missing.items():
        by_cause.setdefault(reason.partition(":")[0], []).append(model)
    return "; ".join(
        f"{', '.join(models)} ({missing[models[0]] if len(models) == 1 else cause})"
        for cause, models in by_cause.items()
    )
