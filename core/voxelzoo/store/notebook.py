"""How results show themselves in a notebook: small tables."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = (
    "model", "layer", "untrained", "subject", "dataset", "mean_r", "best_voxel_r", "mean_ceiling",
    "evaluation", "key",
)  # fmt: skip
"""What is shown of a result."""


def html_table(rows: Sequence[Mapping[str, Any]], caption: str, extra: Sequence[str] = ()) -> str:
    """A table with a row for each result, and columns that tell these results apart."""
    columns = [*COLUMNS[:-1], *extra, COLUMNS[-1]]
    head = "".join(f"<th>{_name(column)}</th>" for column in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{_text(column, row.get(column))}</td>' for column in columns)}</tr>"
        for row in rows
    )
    caption = f"<caption>{html.escape(caption)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_facts(row: Mapping[str, Any]) -> str:
    """A table of one result, with a row for each fact."""
    body = "".join(
        f"<tr><th>{_name(column)}</th><td>{_text(column, row[column])}</td></tr>"
        for column in COLUMNS
    )
    return f"<table><tbody>{body}</tbody></table>"


def _name(column: str) -> str:
    return column.replace("_", " ")


def _text(column: str, value: Any) -> str:
    if isinstance(value, bool):
        value = "yes" if value else "no"
    elif isinstance(value, float):
        value = f"{value:.3f}"
    elif column == "key":
        value = value[:12]
    return "" if value is None else html.escape(str(value))
