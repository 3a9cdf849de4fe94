"""Delays, gaps and blocks: written in TRs or in seconds, and turned into whole TRs.

Seconds mean the same at every TR. A number without a unit is a number of TRs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from voxelzoo.api import UsageError

Duration = int | str
"""A length of time: whole TRs (``5``, ``"5"``), or seconds (``"10s"``)."""

TOLERANCE = 0.05
"""Share of a TR by which times may miss a whole TR: 10 s are 5 TRs at a TR of 1.995 s too."""

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)\s*(s?)"
_ITEM, _RANGE = re.compile(_NUMBER), re.compile(rf"{_NUMBER}\s*-\s*{_NUMBER}")


def in_trs(duration: Duration, tr: float | None, name: str = "duration") -> int:
    """A length of time in whole TRs: the fewest that are as long.

    Parameters
    ----------
    duration : int or str
        TRs (``5``), or seconds (``"10s"``).
    tr : float or None
        Seconds per TR; ``None`` if it is not the same in all stories.
    name : str
        What it is, for errors.

    Returns
    -------
    int

    Raises
    ------
    UsageError
        If it is neither, or in seconds while there is no one TR.

    Examples
    --------
    >>> in_trs("10s", 2.0), in_trs("10s", 1.5), in_trs(5, 1.5)
    (5, 7, 5)
    """
    text = str(duration).strip()
    amount = _ITEM.fullmatch(text)
    if isinstance(duration, bool) or not amount or not (amount[2] or amount[1].isdigit()):
        raise UsageError(f"{name} {duration!r}: use whole TRs, such as 5, or seconds, such as 10s")
    if not amount[2]:
        return int(amount[1])
    return math.ceil(float(amount[1]) / _one(tr, name, text) - TOLERANCE)


@dataclass(frozen=True)
class Delays:
    """Delays of a finite impulse response, in TRs or in seconds.

    Parameters
    ----------
    text : str
        TRs (``1,2,3,4`` or ``1-4``) or seconds: single delays (``2s,4s``), or a range (``2s-8s``).

    Raises
    ------
    UsageError
        For anything else.

    Examples
    --------
    >>> Delays("2s-8s").in_trs(2.0), Delays("2s-8s").in_trs(1.5)
    ((1, 2, 3, 4), (1, 2, 3, 4, 5))
    >>> Delays("1-3").in_trs(0.7)
    (1, 2, 3)
    """

    text: str

    def __post_init__(self) -> None:
        self._read()

    @classmethod
    def of(cls, delays: str | Sequence[int | str]) -> Delays:
        """Delays as text, or a sequence of TRs or of times such as ``"4s"``."""
        return cls(delays if isinstance(delays, str) else ",".join(map(str, delays)))

    @property
    def in_seconds(self) -> bool:
        """Whether they are in seconds, and so the same at every TR."""
        return self._read()[2]

    def in_trs(self, tr: float | None) -> tuple[int, ...]:
        """The delays in whole TRs.

        Seconds become the nearest TR, but at least one unless they are 0; a range has every TR
        between its ends. A sample stands for one TR, half of it on either side, so that a range is
        covered: at a TR of 1.5 s, 2 to 8 s are the TRs 1 to 5, from 0.75 to 8.25 s.

        Parameters
        ----------
        tr : float or None
            Seconds per TR; ``None`` if it is not the same in all stories.

        Returns
        -------
        tuple of int

        Raises
        ------
        UsageError
            For seconds, if there is no one TR.
        """
        numbers, is_range, seconds = self._read()
        if not seconds:
            whole = [int(number) for number in numbers]
            return tuple(range(whole[0], whole[1] + 1) if is_range else whole)
        step = _one(tr, "delays", self.text)
        nearest = [max(math.floor(each / step + 0.5), 1 if each > 0 else 0) for each in numbers]
        if not is_range:
            return tuple(dict.fromkeys(nearest))
        return tuple(range(nearest[0], nearest[1] + 1))

    def _read(self) -> tuple[list[float], bool, bool]:
        """The numbers, whether they are the ends of a range, and whether they are in seconds."""
        text = self.text.strip()
        if ends := _RANGE.fullmatch(text):
            numbers, units, is_range = [ends[1], ends[3]], {ends[2] or ends[4], ends[4]}, True
        else:
            items = [_ITEM.fullmatch(part.strip()) for part in text.split(",")]
            numbers = [item[1] for item in items if item]
            units = {item[2] if item else "?" for item in items}
            is_range = False
        seconds = units == {"s"}
        values = [float(number) for number in numbers]
        whole = all(number.isdigit() for number in numbers)
        if not (seconds or (units == {""} and whole)) or (is_range and values[0] > values[1]):
            raise UsageError(
                f"delays {self.text!r}: use whole TRs, such as 1,2,3,4, or seconds, such as 2s-8s"
            )
        return values, is_range, seconds


def _one(tr: float | None, name: str, text: str) -> float:
    if tr is None:
        raise UsageError(
            f"{name} {text!r}: the TR is not the same in all stories; give whole TRs instead"
        )
    return tr
