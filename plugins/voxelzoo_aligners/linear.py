"""Linear aligners: each is a sparse matrix from state times to scan times.

A scan time is the middle of its volume. The volume's interval reaches half a TR to either side;
its end is not part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, UsageError

if TYPE_CHECKING:
    import scipy.sparse

Floats = NDArray[np.float64]


def _tr(scan_times: Floats) -> float:
    """Mean time between scans, in seconds."""
    if len(scan_times) < 2:
        raise DataError("alignment needs at least two scan times")
    return float(np.diff(scan_times).mean())


def _sparse(
    values: Floats, rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, int]
) -> scipy.sparse.csc_array:
    """A sparse matrix with these values."""
    from scipy.sparse import csc_array  # slow to import

    return csc_array((values, (rows, columns)), shape=shape)


def _pairs_within(first: NDArray[np.intp], stop: NDArray[np.intp]) -> tuple[Any, Any]:
    """(TR, state) index pairs: for state ``i``, every TR in ``range(first[i], stop[i])``."""
    counts = np.maximum(stop - first, 0).astype(np.intp)
    columns = np.repeat(np.arange(len(first)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(first, counts).astype(np.intp) + within, columns


@dataclass(frozen=True)
class _Kernel:
    """A windowed low-pass kernel.

    Its weights are not normalised: aligned values are sums over states, so that the number of
    states per TR (the word rate) stays in them, as in the code released with Antonello et al.
    (2023).
    """

    window: float = 3.0
    cutoff: float = 1.0

    def __post_init__(self) -> None:
        for name in ("window", "cutoff"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise UsageError(
                    f"{type(self).__name__.lower()}: {name}={value!r}; use a number above 0"
                )

    def weights(self, times: Floats, scan_times: Floats) -> scipy.sparse.csc_array:
        """Weights of the states in each scan.

        Parameters
        ----------
        times : ndarray of shape (time,)
            Time of each state, in seconds, ascending.
        scan_times : ndarray of shape (TR,)
            Middle of each volume, in seconds, ascending.

        Returns
        -------
        scipy.sparse.csc_array of shape (TR, time)
            The kernel at each distance in time.

        Raises
        ------
        DataError
            If there are fewer than two scan times.
        """
        rate = self.cutoff / _tr(scan_times)
        reach = self.window / rate
        first = np.searchsorted(scan_times, times - reach, side="left")
        stop = np.searchsorted(scan_times, times + reach, side="right")
        rows, columns = _pairs_within(first, stop)
        values = self._kernel((scan_times[rows] - times[columns]) * rate)
        return _sparse(values, rows, columns, (len(scan_times), len(times)))

    def _kernel(self, lobes: Floats) -> Floats:
        """Value of the kernel at distances in lobes, at most ``window``."""
        raise NotImplementedError

    def fingerprint(self) -> Mapping[str, Any]:
        """The parameters, for the keys of artefacts."""
        return asdict(self)


@dataclass(frozen=True)
class Lanczos(_Kernel):
    """Lanczos resampling: a low-pass filter that suppresses what the scans cannot follow.

    With distance ``d`` in seconds between scan and state, the weight is ::

        sinc(t) sinc(t / window)   if |t| <= window, else 0,   where  t = d * cutoff / TR

    and ``sinc(t) = sin(pi t) / (pi t)`` (Duchon 1979, J Appl Meteorol 18, 1016-1022).

    Parameters
    ----------
    window : float, default 3
        Lobes of the kernel to either side.
    cutoff : float, default 1
        Cut-off frequency, in units of the Nyquist frequency of the scans, ``1 / (2 TR)``.

    Raises
    ------
    UsageError
        If a parameter is not above 0.

    Examples
    --------
    A word at each of three times, and scans every 2 s:

    >>> import numpy as np
    >>> weights = Lanczos().weights(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 5.0]))
    >>> weights.toarray().round(2)
    array([[ 1.  ,  0.61,  0.  ],
           [ 0.  ,  0.61,  1.  ],
           [-0.  , -0.14,  0.  ]])
    """

    def _kernel(self, lobes: Floats) -> Floats:
        value: Floats = np.sinc(lobes) * np.sinc(lobes / self.window)
        return value


@dataclass(frozen=True)
class Sinc(_Kernel):
    """Sinc resampling: as :class:`Lanczos`, but cut off after ``window`` lobes without a taper.

    Parameters
    ----------
    window : float, default 3
        Lobes of the kernel to either side.
    cutoff : float, default 1
        Cut-off frequency, in units of the Nyquist frequency of the scans, ``1 / (2 TR)``.

    Raises
    ------
    UsageError
        If a parameter is not above 0.
    """

    def _kernel(self, lobes: Floats) -> Floats:
        value: Floats = np.sinc(lobes)
        return value


@dataclass(frozen=True)
class Sum:
    """Sum of the states within each volume; zero if there is none.

    Examples
    --------
    >>> import numpy as np
    >>> Sum().weights(np.array([1.0, 2.5, 3.0]), np.array([1.0, 3.0])).toarray()
    array([[1., 0., 0.],
           [0., 1., 1.]])
    """

    def weights(self, times: Floats, scan_times: Floats) -> scipy.sparse.csc_array:
        """Weights (TR, time): 1 if the state falls within the volume. Times are in seconds."""
        half = _tr(scan_times) / 2
        row = np.searchsorted(scan_times - half, times, side="right") - 1
        inside = (row >= 0) & (times < scan_times[row] + half)
        columns = np.flatnonzero(inside)
        ones, shape = np.ones(len(columns)), (len(scan_times), len(times))
        return _sparse(ones, row[inside], columns, shape)

    def fingerprint(self) -> Mapping[str, Any]:
        """Empty: there are no parameters."""
        return {}


@dataclass(frozen=True)
class Mean(Sum):
    """Mean of the states within each volume; zero if there is none."""

    def weights(self, times: Floats, scan_times: Floats) -> scipy.sparse.csc_array:
        """Weights (TR, time): 1 / n for each of n states in the volume. Times are in seconds."""
        import scipy.sparse  # slow to import

        sums = super().weights(times, scan_times)
        counts = np.asarray(sums.sum(axis=1)).ravel()
        return scipy.sparse.csc_array(scipy.sparse.diags_array(1 / np.maximum(counts, 1)) @ sums)


@dataclass(frozen=True)
class Last:
    """The latest state before the end of each volume; zero before the first state."""

    def weights(self, times: Floats, scan_times: Floats) -> scipy.sparse.csc_array:
        """Weights (TR, time): 1 for the latest state. Times are in seconds."""
        column = np.searchsorted(times, scan_times + _tr(scan_times) / 2, side="left") - 1
        rows = np.flatnonzero(column >= 0)
        return _sparse(np.ones(len(rows)), rows, column[rows], (len(scan_times), len(times)))

    def fingerprint(self) -> Mapping[str, Any]:
        """Empty: there are no parameters."""
        return {}
