"""Numbers, lists and errors as people read them. The one place for each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any


def listed(items: Iterable[object], conjunction: str = "and") -> str:
    """Items as a list in a sentence.

    Parameters
    ----------
    items : iterable
        Anything with a ``str``.
    conjunction : str
        The word before the last item.

    Returns
    -------
    str
        Empty without items.

    Examples
    --------
    >>> listed(["S1"]), listed(["S1", "S2"]), listed([0, 4, 8], "or")
    ('S1', 'S1 and S2', '0, 4 or 8')
    """
    texts = [str(item) for item in items]
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} {conjunction} {texts[-1]}"


def counted(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun, singular or plural.

    Parameters
    ----------
    n : int
        How many.
    one : str
        The noun in the singular.
    many : str, optional
        The noun in the plural; ``one`` with an ``s`` by default.

    Examples
    --------
    >>> counted(1, "story", "stories"), counted(0, "story", "stories"), counted(81126, "voxel")
    ('1 story', '0 stories', '81,126 voxels')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def human_bytes(n: float | None) -> str:
    """Bytes in decimal units, to three digits; ``unknown`` if ``None``.

    Examples
    --------
    >>> human_bytes(1.3e9), human_bytes(4000), human_bytes(None)
    ('1.3 GB', '4 kB', 'unknown')
    """
    if n is None:
        return "unknown"
    n = _three_digits(n)
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if n >= size:
            return f"{n / size:g} {unit}"
    return f"{n / 1e3:g} kB"


def human_seconds(n: float | None) -> str:
    """Seconds in the largest unit of which there are two or more; ``unknown`` if ``None``.

    Examples
    --------
    >>> human_seconds(180), human_seconds(100), human_seconds(7.25)
    ('3 min', '100 s', '7.2 s')
    """
    if n is None:
        return "unknown"
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if n >= 2 * size:
            return f"{n / size:.3g} {unit}"
    return f"{n:.0f} s" if n >= 99.5 else f"{n:.2g} s"


def human_count(n: float | None) -> str:
    """A count to three digits with K, M or B (10^9); ``-`` if ``None``.

    Examples
    --------
    >>> human_count(125_239_296), human_count(999_999), human_count(12), human_count(2.5)
    ('125M', '1M', '12', '2.5')
    """
    if n is None:
        return "-"
    n = _three_digits(n)
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if n >= size:
            return f"{n / size:g}{letter}"
    return f"{n:g}"


def _three_digits(n: float) -> float:
    """Rounded before a unit is chosen: 999,999 is 1M, not 1000K."""
    return float(f"{n:.3g}")


def number(value: Any) -> float | None:
    """A number for JSON, to six significant digits; ``None`` if it is missing or not finite.

    Examples
    --------
    >>> number(0.12345678), number(float("nan"))
    (0.123457, None)
    """
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return None
    return float(f"{float(value):.6g}")


_NOT_SHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that a terminal obeys, that reorder a line, or that cannot be encoded. Line feeds and
tabs are not among them."""


def plain(text: object) -> str:
    r"""Text that a terminal shows and does not obey: control characters are written as escapes.

    Names, labels and licences come from files and plugins of others.

    Examples
    --------
    >>> print(plain("\x1b[31mred"), plain("naïve"))
    \x1b[31mred naïve
    """
    return _NOT_SHOWN.sub(lambda match: ascii(match[0])[1:-1], str(text))


def spreadsheet_text(text: str) -> str:
    """Text that a spreadsheet does not take for a formula: one is put behind an apostrophe.

    Examples
    --------
    >>> spreadsheet_text("=1+1"), spreadsheet_text("V1"), spreadsheet_text("-0.5")
    ("'=1+1", 'V1', '-0.5')
    """
    text = plain(text)
    if text.lstrip()[:1] not in ("=", "+", "-", "@"):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def one_line(error: BaseException) -> str:
    """An exception as one line: its class and message.

    Examples
    --------
    >>> one_line(ValueError("no\\nsuch word"))
    'ValueError: no such word'
    """
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shortened(text: str) -> str:
    """Text in quotes, cut after 40 characters: for messages about it.

    Examples
    --------
    >>> shortened("word"), shortened("a" * 41)[-6:]
    ("'word'", "aa'...")
    """
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}..."
