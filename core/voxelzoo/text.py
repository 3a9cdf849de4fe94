"""Numbers and lists as people read them."""

from __future__ import annotations

from typing import Any


def human_bytes(n: float | None) -> str:
    """``1.3 GB`` for 1.3e9."""
    if n is None:
        return "unknown"
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n / 1e3:.3g} kB"


def human_seconds(n: float | None) -> str:
    """``3 min`` for 180."""
    if n is None:
        return "unknown"
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if n >= 2 * size:
            return f"{n / size:.3g} {unit}"
    return f"{n:.2g} s"


def human_count(n: int | None) -> str:
    """``125M`` for 125239296."""
    if n is None:
        return "-"
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if n >= size:
            return f"{n / size:.3g}{letter}" if n < 1000 * size else f"{n // size}{letter}"
    return str(n)


def number(value: Any) -> float | None:
    """A figure for JSON, to six digits; what is not finite is ``None``."""
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return None
    return float(f"{float(value):.6g}")


def one_line(error: BaseException) -> str:
    """An exception as one line: its class and message."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def shortened(text: str) -> str:
    """Text quoted for a line about it, cut where it is long."""
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}..."
