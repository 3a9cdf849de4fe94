"""Parse dataset options, which arrive as text from the command line."""

from __future__ import annotations

import math
from collections.abc import Mapping

from voxelzoo.api import UsageError


def check_options(dataset: str, options: Mapping[str, str], allowed: Mapping[str, str]) -> None:
    """Raise :class:`UsageError` for options not in ``allowed``, which maps name to description."""
    for name in options:
        if name not in allowed:
            listing = "; ".join(f"{key}: {text}" for key, text in allowed.items())
            raise UsageError(
                f"dataset {dataset!r} has no option {name!r}; it has {listing or 'no options'}"
            )


def choice(name: str, value: str, among: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``among``, otherwise raise :class:`UsageError`."""
    if value not in among:
        raise UsageError(f"dataset option {name}={value!r}: must be {' or '.join(among)}")
    return value


def whole(name: str, value: str, least: int) -> int:
    """Parse a whole number of at least ``least``, otherwise raise :class:`UsageError`."""
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if number < least:
        raise UsageError(f"dataset option {name}={value!r}: must be a whole number >= {least}")
    return number


def seconds(name: str, value: str, least: float = -math.inf) -> float:
    """Parse a duration of at least ``least`` seconds, otherwise raise :class:`UsageError`."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= least):
        limit = f", at least {least:g}" if math.isfinite(least) else ""
        raise UsageError(f"dataset option {name}={value!r}: must be seconds{limit}")
    return number
