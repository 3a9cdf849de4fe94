"""When each response row was acquired, on the story's clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from voxelzoo.errors import DataError
from voxelzoo.stimuli.audio import Floats


@dataclass(frozen=True)
class ScanClock:
    """When each response row was acquired: row ``i`` begins at ``start + i * tr`` seconds.

    Parameters
    ----------
    tr : float
        Repetition time, in seconds.
    start : float
        Beginning of row 0 on the story's clock, in seconds.
    n_trs : int
        Number of rows.
    n_dropped : int, optional
        Volumes acquired before row 0 and not kept, if known. It changes no time.

    Raises
    ------
    DataError
        If ``tr`` is not positive or ``start`` is not finite.
    """

    tr: float
    start: float
    n_trs: int
    n_dropped: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tr) and self.tr > 0):
            raise DataError(f"TR must be a positive number of seconds, not {self.tr!r}")
        if not math.isfinite(self.start):
            raise DataError(f"start must be a number of seconds, not {self.start!r}")

    @property
    def times(self) -> Floats:
        """Middle of each volume, (TR,), in seconds: where features are sampled."""
        middles = np.arange(self.n_trs, dtype=np.float64) + 0.5
        return self.start + middles * self.tr
