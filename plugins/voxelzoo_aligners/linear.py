"""Linear aligners: each is a sparse matrix from state times to scan times.

A scan time is the middle of its volume; the volume's interval reaches half a TR to either side,
its end excluded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from voxelzoo.api import DataError, UsageError

Floats = NDArray[np.float64]


def _tr(scan_times: Floats) -> float:
    """Mean time between scans, in seconds."""
    if len(scan_times) < 2:
        raise DataError("alignment needs two scan times or more")
    return float(np.diff(scan_times).mean())


def _near(
    times: Floats, first: NDArray[np.intp], last: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(TR, state) index pairs: for state ``i``, every TR in ``first[i]..last[i]`` (exclusive)."""
    counts = np.maximum(last - first, 0).astype(np.intp)
    columns = np.repeat(np.arange(len(times)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(first, counts).astype(np.intp) + within, columns


@dataclass(frozen=True)
class _Kernel:
    """A windowed low-pass kernel, not normalised: it sums over states, so that how many fell in
    a TR (the word rate) stays in (Antonello et al. 2023, released code)."""

    window: float = 3.0
    """Lobes to either side."""
    cutoff: float = 1.0
    """Cut-off frequency, in units of half the scan rate."""

    def __post_init__(self) -> None:
        for name in ("window", "cutoff"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise UsageError(
                    f"{type(self).__name__.lower()}: {name}={value!r}, must be above 0"
                )

    def weights(self, times: Floats, scan_times: Floats) -> scipy.sparse.csc_array:
        """Sparse (TR, time): the kernel at each distance."""
        rate = self.cutoff / _tr(scan_times)
        reach = self.window / rate
        first = np.searchsorted(scan_times, times - reach, side="left")
        last = np.searchsorted(scan_times, times + reach, side="right")
        rows, columns = _near(times, first, last)
        values = self._kernel((scan_times[rows] - times[columns]) * rate)
        return scipy.sparse.csc_array(
            (values, (rows, columns)), shape=(len(scan_times), len(times))
        )

    def _kernel(self, lobes: Floats) -> Floats:
        raise NotImplementedError

    def fingerprint(self) -> Mapping[str, Any]:
        """Its parameters."""
        return asdict(self)


class Lanczos(_Kernel):
    """Lanczos resampling: ``sinc(t) sinc(t / window)`` for ``|t| <= window``, ``t`` in lobes."""

    def _kernel(self, lobes: Floats) -> Floats:
        value: Floats = np.sinc(lobes) * np.sinc(lobes / self.window)
        return value


class Sinc(_Kernel):
    """Sinc resampling, cut off after ``window`` lobes without a taper."""

    def _kernel(self, lobes: Floats) -> Floats:
        value: Floats = np.sinc(lobes)
        return value


@dataclass(frozen=True)
class Sum:
    """Sum of the states within each TR; zero where there is none."""

    def weights(self, times: Floats, scan_times: Floats) -> scipy.sparse.csc_array:
        """Sparse (TR, time): one where the state falls within the TR."""
        half = _tr(scan_times) / 2
        row = np.searchsorted(scan_times - half, times, side="right") - 1
        inside = (row >= 0) & (times < scan_times[row] + half)
        columns = np.flatnonzero(inside)
        return scipy.sparse.csc_array(
            (np.ones(len(columns)), (row[inside], columns)), shape=(len(scan_times), len(times))
        )

    def fingerprint(self) -> Mapping[str, Any]:
        """No parameters."""
        return {}


@dataclass(frozen=True)
class Mean(Sum):
    """Mean of the states within each TR; zero where there is none."""

    def weights(self, times: Floats, scan_times: Floats) -> scipy.sparse.csc_array:
        """Sparse (TR, time): one over the number of states in the TR."""
        sums = super().weights(times, scan_times)
        counts = np.asarray(sums.sum(axis=1)).ravel()
        return scipy.sparse.csc_array(scipy.sparse.diags_array(1 / np.maximum(counts, 1)) @ sums)


@dataclass(frozen=True)
class Last:
    """The latest state before each TR's end; zero before the first state."""

    def weights(self, times: Floats, scan_times: Floats) -> scipy.sparse.csc_array:
        """Sparse (TR, time): one at the latest state."""
        column = np.searchsorted(times, scan_times + _tr(scan_times) / 2, side="left") - 1
        rows = np.flatnonzero(column >= 0)
        return scipy.sparse.csc_array(
            (np.ones(len(rows)), (rows, column[rows])), shape=(len(scan_times), len(times))
        )

    def fingerprint(self) -> Mapping[str, Any]:
        """No parameters."""
        return {}
