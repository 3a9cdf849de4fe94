"""Options as typed on the command line, read strictly."""

from __future__ import annotations

import math
from collections.abc import Mapping

from voxelzoo.api import UsageError


def only_known(dataset: str, options: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Refuses options not in ``known`` (name to meaning) with :class:`UsageError`."""
    for name in options:
        if name not in known:
            has = "; ".join(f"{key}: {meaning}" for key, meaning in known.items())
            raise UsageError(
                f"dataset {dataset!r} has no option {name!r}; it has {has or 'no options'}"
            )


def choice(name: str, value: str, among: tuple[str, ...]) -> str:
    """One of ``among``, or :class:`UsageError`."""
    if value not in among:
        raise UsageError(f"dataset option {name}={value!r}: must be {' or '.join(among)}")
    return value


def whole(name: str, value: str, least: int) -> int:
    """A whole number of at least ``least``, or :class:`UsageError`."""
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if number < least:
        raise UsageError(f"dataset option {name}={value!r}: must be a whole number >= {least}")
    return number


def seconds(name: str, value: str, least: float = -math.inf) -> float:
    """A number of seconds of at least ``least``, or :class:`UsageError`."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= least):
        limit = f", at least {least:g}" if math.isfinite(least) else ""
        raise UsageError(f"dataset option {name}={value!r}: must be seconds{limit}")
    return number
