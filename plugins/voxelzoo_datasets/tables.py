"""Tables as published (``.csv``, ``.tsv``): rows that know their line, and words made of them."""

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
"""How tables say that a value is not there."""


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    where: str
    """File and line."""
    values: Mapping[str, str]

    def text(self, column: str) -> str:
        """The value as it stands, without blanks around it."""
        return self.values[column].strip()

    def number(self, column: str) -> float:
        """A finite number, or :class:`DataError`."""
        value = self.number_or_none(column)
        if value is None:
            raise DataError(f"{self.where}: no {column}")
        return value

    def number_or_none(self, column: str) -> float | None:
        """A finite number, ``None`` where the table says there is none, or :class:`DataError`."""
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
    """Rows of a table with a header, or with these ``names`` and none.

    Tabs in a ``.tsv``, else commas. Raises :class:`DataError` naming the file, the line and the
    fault: a column of ``need`` that is not there, a row that is too short.
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
    if lacking := [name for name in need if name not in header]:
        raise DataError(f"{path}:1: no column {', '.join(lacking)}; it has {', '.join(header)}")
    rows = []
    for number, fields in lines if names is not None else lines[1:]:
        if len(fields) != len(header):
            raise DataError(f"{path}:{number}: {len(fields)} fields, expected {len(header)}")
        rows.append(Row(f"{path}:{number}", dict(zip(header, fields, strict=True))))
    return rows


def _numbered(path: Path, raw: str) -> Iterable[tuple[int, list[str]]]:
    if "\0" in raw:
        raise DataError(f"{path}: holds NUL bytes; it is not a table")
    reader = csv.reader(
        io.StringIO(raw, newline=""), delimiter="\t" if path.suffix == ".tsv" else ","
    )
    for fields in reader:
        if fields:
            yield reader.line_num, fields


Untimed = tuple[str, float | None, float | None]
"""A word, its onset and its offset in seconds: ``None`` where the aligner did not find it."""


def place_untimed(
    path: Path, items: Iterable[Untimed], spread: bool
) -> list[tuple[str, float, float]]:
    """Words with times: those without share the gap where they stand, or are left out."""
    timed: list[tuple[str, float, float]] = []
    waiting: list[str] = []

    def place(until: float) -> None:
        since = min(timed[-1][2], until) if timed else until
        step = (until - since) / max(len(waiting), 1)
        timed.extend(
            (text, since + i * step, since + (i + 1) * step) for i, text in enumerate(waiting)
        )
        waiting.clear()

    for text, onset, offset in items:
        if onset is not None and offset is not None:
            place(onset)
            timed.append((text, onset, offset))
        elif spread:
            waiting.append(text)
    if not timed:
        raise DataError(f"{path}: none of its words has a time")
    place(timed[-1][2])
    return timed


def make_words(path: Path, items: Iterable[tuple[str, float, float]]) -> Words:
    """Words (text, onset, offset) of a file; :class:`DataError` names it."""
    found = list(items)
    if not any(text for text, _, _ in found):
        raise DataError(f"{path}: no words")
    try:
        return Words(
            tuple(text for text, _, _ in found),
            np.array([onset for _, onset, _ in found], dtype=np.float64),
            np.array([offset for _, _, offset in found], dtype=np.float64),
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
