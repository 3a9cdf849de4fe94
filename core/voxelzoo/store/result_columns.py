"""Results as rows of a table, and the columns that tell one from another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from voxelzoo.api import UsageError
from voxelzoo.store.records import ResultRecord, ScoreSummary
from voxelzoo.store.results import Result

Row = Mapping[str, Any]

SPREAD = ("scores", "options", "regressor_options", "aligner_settings", "software")
"""Fields of a record that are several columns of a table, such as ``options.stride``."""

_SETTINGS = (
    "untrained",
    "seed",
    "layer",
    "fit",
    "spaces",
    "is_average",
    "options",
    "first_token",
    "dtype",
    "protocol",
    "aligner",
    "aligner_settings",
    "shift",
    "delays",
    "regressor",
    "regressor_options",
    "standardised_responses",
    "kind",
    "n_folds",
    "gap_trs",
    "test_stories",
    "n_train_stories",
    "subset_seed",
    "ceiling_method",
    "ceiling_floor",
    "leaks",
)
"""What a user chooses: each is shown where it differs, also if something else tells rows apart."""

_OUTCOMES = frozenset(field.name for field in fields(ScoreSummary)) | {
    "key",
    "computed",
    "evaluation",
    "n_undefined_voxels",
    "undefined",
    "ceiling_stories",
    "delays_s",
    "gap_s",
}
"""What follows from the settings and the data."""


def result_row(result: Result) -> dict[str, Any]:
    """One result in one level, of values that a table can hold.

    Parameters
    ----------
    result : Result
        The result.

    Returns
    -------
    dict of str to Any
        Facts and scores by name. Settings have names of their own (``options.stride``,
        ``regressor_options.width``), as have the feature spaces of joint fits
        (``mean_weights.SPACE``). Several stories or delays are one text.
    """
    record = result.record
    flat = {"key": result.key} | record.flat()
    for name in ("schema_version", "by_label"):
        del flat[name]
    flat["undefined"] = ", ".join(f"{n} {reason}" for reason, n in record.undefined.items())
    for name in ("mean_weights", "mean_split_r"):
        flat[name] = dict(zip(record.spaces or (), flat[name] or (), strict=False))
    row: dict[str, Any] = {}
    for name, value in flat.items():
        if isinstance(value, Mapping) or name == "mean_partition":
            row |= {f"{name}.{inner}": _text(each) for inner, each in (value or {}).items()}
        else:
            row[name] = _text(value)
    return row


def region_columns(record: ResultRecord) -> dict[str, float | None]:
    """Mean r of each region, by the name of its column.

    Parameters
    ----------
    record : ResultRecord
        The result.

    Returns
    -------
    dict of str to float or None
        ``mean_r[REGION]``; empty if voxels have no labels.
    """
    return {f"mean_r[{name}]": score.mean_r for name, score in record.scores.by_region.items()}


def telling_columns(rows: Sequence[Row], shown: Iterable[str] = ()) -> list[str]:
    """Columns that tell rows apart.

    Every setting that differs is one of them: what a user chose is not left to be guessed from
    another column. Anything else, such as a version of some software, is one only if rows are alike
    without it.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of :func:`result_row`.
    shown : iterable of str
        Columns that are shown in any case.

    Returns
    -------
    list of str
        Columns that are not in ``shown``.
    """
    shown = list(shown)
    names = list(dict.fromkeys(name for row in rows for name in row))
    differing = [
        name
        for name in names
        if name not in shown and len({repr(row.get(name)) for row in rows}) > 1
    ]
    columns = [
        name for setting in _SETTINGS for name in differing if name.partition(".")[0] == setting
    ]
    alike = [name for name in shown if not _is_outcome(name)]
    for name in differing:
        if name in columns or _is_outcome(name):
            continue
        if _n_groups(rows, [*alike, *columns, name]) > _n_groups(rows, [*alike, *columns]):
            columns.append(name)
    return columns


def matches(row: Row, name: str, wanted: str) -> bool:
    """Whether a column has the value that a user typed.

    Parameters
    ----------
    row : mapping
        A row of :func:`result_row`.
    name : str
        The column.
    wanted : str
        The value as a table shows it: ``yes`` or ``no``, a number, a text, or nothing.

    Returns
    -------
    bool
    """
    value = row.get(name)
    if value is None:
        return wanted.strip().lower() in ("", "none")
    if isinstance(value, bool):
        return wanted.strip().lower() in (("yes", "true") if value else ("no", "false"))
    if isinstance(value, int | float):
        try:
            return float(wanted) == value
        except ValueError:
            return False
    return "".join(str(value).split()) == "".join(wanted.split())


def parse_filters(typed: Iterable[str]) -> dict[str, str]:
    """Filters as typed, ``COLUMN=VALUE``.

    Parameters
    ----------
    typed : iterable of str
        The filters.

    Returns
    -------
    dict of str to str
        Values by column.

    Raises
    ------
    UsageError
        For a filter that is not of this form.
    """
    filters = {}
    for each in typed:
        name, equals, value = each.partition("=")
        if not (name.strip() and equals):
            raise UsageError(f"filter {each!r}: write COLUMN=VALUE, such as untrained=yes")
        filters[name.strip()] = value
    return filters


def check_columns(names: Iterable[str], rows: Sequence[Row]) -> None:
    """Refuse columns that no result can have.

    Parameters
    ----------
    names : iterable of str
        The columns.
    rows : sequence of mapping
        Rows of :func:`result_row`.

    Raises
    ------
    UsageError
        For a column that is neither a field of a record nor in any row.
    """
    known = {field.name for field in fields(ResultRecord)} | {name for row in rows for name in row}
    for name in names:
        if name not in known and name.partition(".")[0] not in SPREAD:
            raise UsageError(
                f"results have no column {name!r}; they have {', '.join(sorted(known))}"
            )


def _is_outcome(name: str) -> bool:
    return name.partition(".")[0] in _OUTCOMES


def _n_groups(rows: Sequence[Row], columns: Sequence[str]) -> int:
    """Number of groups of rows that are alike in some columns."""
    return len({tuple(repr(row.get(name)) for name in columns) for row in rows})


def _text(value: Any) -> Any:
    """Several values as one text, so that a column can be grouped by."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
