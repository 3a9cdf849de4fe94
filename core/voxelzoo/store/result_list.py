"""Results as a sequence that can be filtered and shown as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import fields
from typing import TYPE_CHECKING, Any, overload

from voxelzoo.api import UsageError
from voxelzoo.store.notebook import COLUMNS, html_table
from voxelzoo.store.records import ResultRecord, ScoreSummary
from voxelzoo.store.result_columns import (
    SPREAD,
    check_columns,
    matches,
    result_row,
    telling_columns,
)
from voxelzoo.store.results import Result

if TYPE_CHECKING:
    import pandas

MOST_SHOWN = 20


IDENTITY = ("key", "model", "layer", "untrained", "subject", "dataset")


SCORES = tuple(
    field.name
    for field in fields(ScoreSummary)
    if field.name not in ("by_region", "mean_weights", "mean_split_r", "mean_partition")
)


MEASURES = (*SCORES, "tr", "mean_train_stories", "mean_train_hours")
"""Real numbers that some results do not have."""


COUNTS = ("layer", "n_parameters", "n_folds", "gap_trs", "subset_seed")
"""Whole numbers that some results do not have."""


class Results(Sequence[Result]):
    """Results of a store, oldest first.

    Parameters
    ----------
    results : iterable of Result
        The results.

    Examples
    --------
    ::

        results = open_store("zoo-store").results(dataset="lebel2023")
        results.where(model=["opt-125m", "opt-1.3b"], untrained=False).table()
        results[0].array("r")
    """

    def __init__(self, results: Iterable[Result] = ()) -> None:
        self._results = tuple(results)

    @overload
    def __getitem__(self, index: int) -> Result: ...

    @overload
    def __getitem__(self, index: slice) -> Results: ...

    def __getitem__(self, index: int | slice) -> Result | Results:
        chosen = self._results[index]
        return Results(chosen) if isinstance(chosen, tuple) else chosen

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Results) and self._results == other._results

    def __hash__(self) -> int:
        return hash(self._results)

    def where(self, **wanted: Any) -> Results:
        """The results whose fields have these values.

        Parameters
        ----------
        **wanted
            Fields of the record by name, such as ``model``, ``layer``, ``subject``, ``dataset``,
            ``untrained``, ``protocol``, ``regressor``; a list or set of values means any of them,
            and ``None`` a field without a value. ``model`` is a short or a canonical name. Settings
            are columns of :meth:`table`: ``where(**{"options.stride": "1.0"})``.

        Returns
        -------
        Results

        Raises
        ------
        UsageError
            If there is no field of that name.
        """
        names = {field.name for field in fields(ResultRecord)} - {"scores"}
        settings = {name for name in wanted if name.partition(".")[0] in SPREAD and "." in name}
        if unknown := wanted.keys() - names - settings:
            raise UsageError(
                f"results have no field {min(unknown)!r}; they have {', '.join(sorted(names))}"
            )
        return Results(
            result
            for result in self
            if all(_has(result, name, value) for name, value in wanted.items())
        )

    def matching(self, filters: Mapping[str, str]) -> Results:
        """The results whose columns have these values, as a user types them.

        Parameters
        ----------
        filters : mapping of str to str
            Values by column of :meth:`table`: ``{"untrained": "yes", "options.stride": "1"}``.

        Returns
        -------
        Results

        Raises
        ------
        UsageError
            If no result has such a column.
        """
        rows = [result_row(result) for result in self]
        check_columns(filters, rows)
        return Results(
            result
            for result, row in zip(self, rows, strict=True)
            if all(matches(row, name, value) for name, value in filters.items())
        )

    def differing(self) -> tuple[str, ...]:
        """Columns of :meth:`table`, beside those always shown, that tell these results apart.

        Returns
        -------
        tuple of str
            ``options.stride``, ``shift`` or ``seed``, if that differs; empty if nothing does.
        """
        return tuple(telling_columns([result_row(result) for result in self], IDENTITY))

    def table(self) -> pandas.DataFrame:
        """A row for each result.

        Returns
        -------
        pandas.DataFrame
            Its key, what it is, its scores, then everything else that tells two results apart.
            Options have columns of their own (``options.stride``, ``regressor_options.width``), as
            have the feature spaces of joint fits (``mean_weights.SPACE``) and the versions of the
            software. Several stories or delays are one text.
        """
        from pandas import DataFrame

        rows = [result_row(result) for result in self]
        plain = [field.name for field in fields(ResultRecord) if field.name not in SPREAD]
        derived = ("n_train_stories", "evaluation")
        names = dict.fromkeys(
            [*IDENTITY, *SCORES, *plain, *derived, *(name for row in rows for name in row)]
        )
        table = DataFrame(rows, columns=list(names))
        return table.astype(dict.fromkeys(MEASURES, "float64") | dict.fromkeys(COUNTS, "Int64"))

    def regions(self) -> pandas.DataFrame:
        """A row for each region of each result: ``n_voxels`` with a defined r, and ``mean_r``.

        Returns
        -------
        pandas.DataFrame
            With a column for everything that tells the results apart.
        """
        from pandas import DataFrame

        own = [*IDENTITY, *self.differing()]
        columns = [*own, "region", "n_voxels", "mean_r"]
        rows = [
            (*(row.get(name) for name in own), region, score.n_voxels, score.mean_r)
            for result in self
            for row in [result_row(result)]
            for region, score in result.record.scores.by_region.items()
        ]
        return DataFrame(rows, columns=list(columns)).astype({"layer": "Int64"})

    def __repr__(self) -> str:
        lines = [f"{len(self)} results", *(f"  {result!r}" for result in self[:MOST_SHOWN])]
        more = len(self) - MOST_SHOWN
        return "\n".join([*lines, f"  and {more} more"] if more > 0 else lines)

    def _repr_html_(self) -> str:
        more = len(self) > MOST_SHOWN
        caption = f"{len(self)} results" + (f", the first {MOST_SHOWN} shown" if more else "")
        shown = self[:MOST_SHOWN]
        rows = [result_row(each) for each in shown]
        extra = telling_columns(rows, [name for name in COLUMNS if name != "key"])
        return html_table(rows, caption, extra)


def _has(result: Result, name: str, wanted: Any) -> bool:
    record = result.record
    any_of = wanted if isinstance(wanted, list | tuple | Set) else (wanted,)
    if name in ("train_stories", "test_stories", "delays", "spaces", "leaks", "fitted"):
        any_of = (tuple(wanted),) if isinstance(wanted, list | tuple) else (wanted,)
    if name == "model":
        return any(value in any_of for value in (record.model, record.model_id, record.label))
    if "." in name:
        return result_row(result).get(name) in any_of
    values = (getattr(record, name),)
    return any(value in any_of for value in values)
