"""Read published tables (``.csv``, ``.tsv``) and the words in them; errors name the line."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxelzoo.api import DataError, Words, require_downloaded

MISSING = ("", "n/a", "na", "nan", "none")
"""Text that marks a missing value, in lower case."""


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    where: str
    """File and line, for error messages."""
    values: Mapping[str, str]

    def text(self, column: str) -> str:
        """The text of a column, without surrounding blanks."""
        return self.values[column].strip()

    def number(self, column: str) -> float:
        """The number in a column; :class:`DataError` if it is missing or not finite."""
        value = self.number_or_none(column)
        if value is None:
            raise DataError(f"{self.where}: no {column}")
        return value

    def number_or_none(self, column: str) -> float | None:
        """The number in a column, or ``None`` if missing; :class:`DataError` if not finite."""
        text = self.text(column)
        if text.lower() in MISSING:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(f"{self.where}: {column} is {text[:40]!r}, expected a number")
        return value


def read_table(
    path: Path, need: Sequence[str] = (), names: Sequence[str] | None = None
) -> list[Row]:
    """Read a table into rows.

    Parameters
    ----------
    path : Path
        Separated by tabs if the name ends in ``.tsv``, otherwise by commas.
    need : sequence of str
        Columns that the table must have.
    names : sequence of str, optional
        Column names of a table without a header. By default the first line is the header.

    Returns
    -------
    list of Row
        The rows in order; empty lines are skipped.

    Raises
    ------
    DataError
        If the file cannot be read, a needed column is missing, or a row has too few or too many
        fields. The message names the file and the line.
    """
    try:
        raw = require_downloaded(path).read_text(encoding="utf-8-sig")
        lines = list(_numbered(path, raw))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except csv.Error as error:
        raise DataError(f"{path}: not a table ({error})") from error
    header = list(names) if names is not None else [c.strip() for c in lines[0][1]] if lines else []
    if missing := [name for name in need if name not in header]:
        raise DataError(f"{path}:1: no column {', '.join(missing)}; it has {', '.join(header)}")
    rows = []
    for number, fields in lines if names is not None else lines[1:]:
        if len(fields) != len(header):
            raise DataError(f"{path}:{number}: {len(fields)} fields, expected {len(header)}")
        rows.append(Row(f"{path}:{number}", dict(zip(header, fields, strict=True))))
    return rows


def _numbered(path: Path, raw: str) -> Iterable[tuple[int, list[str]]]:
    if "\0" in raw:
        raise DataError(f"{path}: contains NUL bytes; it is not a table")
    reader = csv.reader(
        io.StringIO(raw, newline=""), delimiter="\t" if path.suffix == ".tsv" else ","
    )
    for fields in reader:
        if fields:
            yield reader.line_num, fields


Untimed = tuple[str, float | None, float | None]
"""Word, onset and offset in seconds; times are ``None`` if the aligner did not find the word."""


UNTIMED = ("keep", "spread", "drop")
"""What can be done with words without times."""


def place_untimed(path: Path, items: Iterable[Untimed], how: str) -> list[tuple[str, float, float]]:
    """Give every word an onset and an offset, which may be NaN.

    Parameters
    ----------
    path : Path
        The file that the words come from, for error messages.
    items : iterable of (word, onset, offset)
        Times in seconds, ``None`` if unknown.
    how : {"keep", "spread", "drop"}
        Words without times keep their place in the text, with NaN as times; or divide the gap
        between their timed neighbours equally; or are skipped.

    Returns
    -------
    list of (word, onset, offset)
        Times in seconds.

    Raises
    ------
    DataError
        If no word has a time.
    """
    timed: list[tuple[str, float, float]] = []
    untimed: list[str] = []

    def place(until: float) -> None:
        since = min(timed[-1][2], until) if timed else until
        step = (until - since) / max(len(untimed), 1)
        timed.extend(
            (text, since + i * step, since + (i + 1) * step) for i, text in enumerate(untimed)
        )
        untimed.clear()

    for text, onset, offset in items:
        if onset is not None and offset is not None:
            place(onset)
            timed.append((text, onset, offset))
        elif how == "spread":
            untimed.append(text)
        elif how == "keep":
            timed.append((text, math.nan, math.nan))
    if all(math.isnan(onset) for _, onset, _ in timed):
        raise DataError(f"{path}: no word has a time")
    place(timed[-1][2])
    return timed


def make_words(path: Path, items: Iterable[tuple[str, float, float]]) -> Words:
    """Words from (text, onset, offset) in seconds; :class:`DataError` names ``path``."""
    rows = list(items)
    if not any(text for text, _, _ in rows):
        raise DataError(f"{path}: no words")
    try:
        return Words(
            tuple(text for text, _, _ in rows),
            np.array([onset for _, onset, _ in rows], dtype=np.float64),
            np.array([offset for _, _, offset in rows], dtype=np.float64),
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
