"""Results as a sequence that can be filtered and shown as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import fields
from typing import TYPE_CHECKING, Any, overload

from voxelzoo.api import UsageError
from voxelzoo.store.notebook import html_table
from voxelzoo.store.records import ResultRecord, ScoreSummary
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
            and ``None`` a field without a value. ``model`` is a short or a canonical name.

        Raises
        ------
        UsageError
            If there is no field of that name.
        """
        names = {field.name for field in fields(ResultRecord)} - {"scores"}
        if unknown := wanted.keys() - names:
            raise UsageError(
                f"results have no field {min(unknown)!r}; they have {', '.join(sorted(names))}"
            )
        return Results(
            result
            for result in self
            if all(_has(result.record, name, value) for name, value in wanted.items())
        )

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

        rows = [_row(result) for result in self]
        plain = [field.name for field in fields(ResultRecord) if field.name not in _SPREAD]
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
        """
        from pandas import DataFrame

        columns = (*IDENTITY, "region", "n_voxels", "mean_r")
        rows = [
            (*(flat[name] for name in IDENTITY), region, score.n_voxels, score.mean_r)
            for result in self
            for flat in [{"key": result.key} | result.record.flat()]
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
        return html_table([each.flat() for each in self[:MOST_SHOWN]], caption)


_SPREAD = ("scores", "options", "regressor_options", "aligner_settings", "software")
"""Fields that are columns of their own in a table."""


def _has(record: ResultRecord, name: str, wanted: Any) -> bool:
    any_of = wanted if isinstance(wanted, list | tuple | Set) else (wanted,)
    if name in ("train_stories", "test_stories", "delays", "spaces", "leaks", "fitted"):
        any_of = (tuple(wanted),) if isinstance(wanted, list | tuple) else (wanted,)
    values = {record.model, record.model_id} if name == "model" else (getattr(record, name),)
    return any(value in any_of for value in values)


def _row(result: Result) -> dict[str, Any]:
    """One result in one level, of values that a table can hold."""
    record = result.record
    flat = {"key": result.key} | record.flat()
    for name in ("schema_version", "by_label"):
        del flat[name]
    for name in ("mean_weights", "mean_split_r"):
        flat[name] = dict(zip(record.spaces or (), flat[name] or (), strict=False))
    row: dict[str, Any] = {}
    for name, value in flat.items():
        if isinstance(value, Mapping) or name == "mean_partition":
            row |= {f"{name}.{inner}": _text(each) for inner, each in (value or {}).items()}
        else:
            row[name] = _text(value)
    return row


def _text(value: Any) -> Any:
    """Several values as one text, so that a column can be grouped by."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
