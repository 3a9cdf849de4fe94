"""Stimulus logs of the Huth lab (``.report``): times of scanner triggers and of the sound.

Each line is ``<seconds> <label>``. The scanner sends one trigger per volume; occasionally one is
missing from the log.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, require_downloaded

_GAP = 1.5
"""Gaps longer than this many medians miss a trigger (as in the lab's released code)."""


@dataclass(frozen=True)
class Triggers:
    """Times of volumes, (volume,), in seconds from the start of the sound, without gaps."""

    times: NDArray[np.float64]
    n_repaired: int

    @property
    def tr(self) -> float:
        """Mean repetition time, in seconds: 2.0045 where the protocol says 2.0."""
        return float(np.diff(self.times).mean())


def read_report(path: Path) -> Triggers:
    """Read the triggers of a log and fill gaps.

    Parameters
    ----------
    path : Path
        The log.

    Returns
    -------
    Triggers
        Gaps of more than 1.5 medians are filled with evenly spaced triggers.

    Raises
    ------
    DataError
        If the file is not a log of a scan; the message names the line.
    """
    try:
        lines = require_downloaded(path).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    logged: list[float] = []
    sound: list[float] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        time, _, label = line.strip().partition(" ")
        try:
            seconds = float(time)
        except ValueError:
            seconds = math.nan
        if not math.isfinite(seconds):
            raise DataError(f"{path}:{number}: {line[:60]!r} is not '<seconds> <label>'")
        label = label.strip().lower()
        if label in ("init-trigger", "trigger") or label.startswith("first"):
            if logged and seconds <= logged[-1]:
                raise DataError(f"{path}:{number}: a trigger at {seconds:g} s, not after the last")
            logged.append(seconds)
        elif label == "sound-start" or label.startswith("start"):
            sound.append(seconds)
    if len(logged) < 2:
        raise DataError(f"{path}: {len(logged)} triggers; not a log of a scan")
    if len(sound) != 1:
        raise DataError(f"{path}: the sound starts {len(sound)} times, expected once")
    gaps = np.diff(logged)
    median = float(np.median(gaps))
    times = [logged[0]]
    for begin, gap in zip(logged, gaps, strict=False):
        n = round(gap / median) if gap > _GAP * median else 1
        times += [begin + gap * i / n for i in range(1, n + 1)]
    return Triggers(np.array(times) - sound[0], len(times) - len(logged))
