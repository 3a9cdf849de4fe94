"""Words from Praat TextGrid files, in every encoding and both formats."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from voxelzoo.errors import DataError
from voxelzoo.stimuli.files import require_downloaded
from voxelzoo.stimuli.words import Words
from voxelzoo.text import shortened

_SILENCE = re.compile(r"|sp|sil|pau|spn|<.*>|\{.*\}|\[.*\]", re.IGNORECASE)
"""Labels that forced aligners give to silence and noise."""


_OF_SPEAKER = re.compile(r"\s-\s+words?\s*$", re.IGNORECASE)
"""How the name of a speaker's tier of words ends."""


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


_TOKEN = re.compile(rf'"((?:[^"]|"")*)"|<(\w+)>|\[\d*\]|(?<![\w.])({_NUMBER})(?![\w.])')
"""A value of a TextGrid: string, flag or number; the long form's item numbers are none."""


def read_textgrid(path: Path, tier: str | None = None) -> Words:
    """Words from a Praat TextGrid, in the long or short form, in UTF-8, UTF-16 or Latin-1.

    Parameters
    ----------
    path : Path
        The file.
    tier : str, optional
        Name of the interval tier. By default the one called ``word`` or ``words``, or that of the
        only speaker (``NAME - words``), or the only one.

    Returns
    -------
    Words
        Times in seconds. Silences (``sp``, ``sil``, empty, in brackets) are items without text;
        their labels are kept.

    Raises
    ------
    DataError
        If the file cannot be read, is damaged, or has no such tier. The message names the file.
    """
    try:
        raw = require_downloaded(path).read_bytes()
        encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        content = raw.decode(encoding)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        try:
            content = raw.decode("latin-1")
        except UnicodeDecodeError as error:  # pragma: no cover - latin-1 decodes anything
            raise DataError(f"{path}: unknown text encoding") from error
    if "ooTextFile" not in content[:200]:
        raise DataError(f"{path}: not a Praat TextGrid (it does not begin with 'ooTextFile')")
    tiers = _textgrid_tiers(path, content)
    if not tiers:
        raise DataError(f"{path}: no interval tier")
    of_speakers = False
    if tier is not None:
        chosen = [items for name, items in tiers if name == tier]
    else:
        chosen = [items for name, items in tiers if name.strip().lower() in ("word", "words")]
        if not chosen:  # aligners name tiers after speakers, such as "narrator - words"
            chosen = [items for name, items in tiers if _OF_SPEAKER.search(name)]
            of_speakers = True
        if not chosen and len(tiers) == 1:
            chosen = [tiers[0][1]]
    names = ", ".join(repr(name) for name, _ in tiers)
    if not chosen:
        raise DataError(f"{path}: no tier {tier or 'word'!r}; its interval tiers are {names}")
    if len(chosen) > 1:
        called = f"called {tier or 'word'!r}; keep one" if not of_speakers else "of speakers' words"
        raise DataError(f"{path}: {len(chosen)} tiers are {called}; its interval tiers are {names}")
    items = chosen[0]
    labels = tuple(label.strip() for *_, label in items)
    text = tuple("" if _SILENCE.fullmatch(label) else label for label in labels)
    if not any(text):
        raise DataError(f"{path}: no words")
    try:
        return Words(
            text,
            np.array([onset for onset, _, _ in items], dtype=np.float64),
            np.array([offset for _, offset, _ in items], dtype=np.float64),
            labels,
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _textgrid_tiers(path: Path, content: str) -> list[tuple[str, list[tuple[float, float, str]]]]:
    """Interval tiers as (name, [(onset, offset, label)]), whichever form the file has.

    Both forms are the same sequence of values; the long one has labels between them. Strings,
    flags and free-standing numbers are read, everything else is skipped.
    """
    values = (
        float(match[3]) if match[3] else match[2] or match[1].replace('""', '"')
        for match in _TOKEN.finditer(content)
        if match.lastindex  # an item number is no value
    )

    def number() -> float:
        value = next(values)
        if isinstance(value, str):
            raise DataError(f"{path}: expected a number, found {shortened(value)}")
        if not math.isfinite(value):
            raise DataError(f"{path}: a number is too large to be a time")
        return value

    def string() -> str:
        value = next(values)
        if isinstance(value, float):
            raise DataError(f"{path}: expected text, found {value:g}")
        return value

    def count() -> int:
        value = number()
        if value < 0 or not value.is_integer():
            raise DataError(f"{path}: expected how many items follow, found {value:g}")
        return int(value)

    tiers: list[tuple[str, list[tuple[float, float, str]]]] = []
    try:
        if (string(), string()) != ("ooTextFile", "TextGrid"):
            raise DataError(f"{path}: a Praat text file, but not a TextGrid")
        number(), number()
        if string() != "exists":
            return []
        for _ in range(count()):
            kind, name = string(), string()
            number(), number()
            size = count()
            if kind == "IntervalTier":
                tiers.append((name, [(number(), number(), string()) for _ in range(size)]))
            else:
                for _ in range(size):
                    number(), string()
    except StopIteration:
        raise DataError(f"{path}: ends before its last interval; the file is cut short") from None
    return tiers
