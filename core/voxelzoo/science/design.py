"""From TR-rate states to a design: standardise each story, then delay it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from voxelzoo.api import Regressor
from voxelzoo.science.arrays import Floats, Rows


def zscore(values: Floats, axis: int = 0) -> Floats:
    """Standardises values to zero mean and unit variance along an axis.

    Parameters
    ----------
    values : ndarray of shape (...)
        Such as states (TR, unit).
    axis : int, default 0
        Along which to standardise.

    Returns
    -------
    ndarray of shape (...)
        In the precision of ``values``. Constant columns become zero. The standard deviation
        divides by n (ddof 0), as in the code released with Antonello et al. (2023).

    Examples
    --------
    >>> import numpy as np
    >>> zscore(np.array([[1.0, 5.0], [3.0, 5.0]]))
    array([[-1.,  0.],
           [ 1.,  0.]])
    """
    centred = values - values.mean(axis=axis, keepdims=True, dtype=np.float64)
    deviation = centred.std(axis=axis, keepdims=True)
    # A constant column that was centred holds rounding errors, not signal.
    size = np.abs(values).max(axis=axis, keepdims=True)
    constant = deviation <= np.finfo(values.dtype).eps * size
    standard: Floats = np.where(constant, 0.0, centred / np.where(constant, 1.0, deviation))
    return standard.astype(values.dtype)


def delayed(values: Floats, delays: Sequence[int]) -> Floats:
    """Finite impulse response design of one story (Antonello et al. 2023, section 2.3).

    Parameters
    ----------
    values : ndarray of shape (TR, unit)
        Features of the story.
    delays : sequence of int
        Delays in TRs. A negative delay looks ahead.

    Returns
    -------
    ndarray of shape (TR, delay * unit)
        Row ``t`` holds the features of row ``t - delay`` for each delay in turn. Rows before the
        start or after the end of the story are zero.

    Examples
    --------
    >>> import numpy as np
    >>> delayed(np.array([[1.0], [2.0], [3.0]]), [0, 1])
    array([[1., 0.],
           [2., 1.],
           [3., 2.]])
    """
    n = len(values)
    out = np.zeros((n, len(delays), values.shape[1]), dtype=values.dtype)
    for i, delay in enumerate(delays):
        if abs(delay) < n:
            out[max(0, delay) : n + min(0, delay), i] = values[max(0, -delay) : n - max(0, delay)]
    return out.reshape(n, -1)


@dataclass(frozen=True)
class DesignSpec:
    """How designs are made and fitted.

    Parameters
    ----------
    make_regressor : callable
        Makes a fresh regressor.
    delays : sequence of int
        FIR delays in TRs.
    self_delaying : bool
        Whether the regressor forms the delays, from undelayed states and the story of each row.
    keeps_weights : bool
        Whether the weights of the design's columns are wanted.
    streams : bool
        Whether the regressor reads responses in blocks of voxels; others are given arrays.
    spaces : mapping of str to int, optional
        Feature spaces that are fitted together: the number of units of each, in the order of the
        states' units.
    """

    make_regressor: Callable[[], Regressor]
    delays: Sequence[int]
    self_delaying: bool = False
    keeps_weights: bool = False
    streams: bool = False
    spaces: Mapping[str, int] | None = None

    def columns(self) -> dict[str, slice]:
        """Columns of the design that each space has."""
        edges = np.cumsum([0, *(n * len(self.delays) for n in (self.spaces or {}).values())])
        return {
            name: slice(int(edges[i]), int(edges[i + 1]))
            for i, name in enumerate(self.spaces or {})
        }

    def delay(self, states: Floats) -> Floats:
        """The delayed design (TR, delay * unit) of states (TR, unit), space after space."""
        if self.spaces is None:
            return delayed(states, self.delays)
        edges = np.cumsum(list(self.spaces.values()))[:-1]
        of_spaces = np.split(states, edges, axis=1)
        return np.concatenate([delayed(space, self.delays) for space in of_spaces], axis=1)


@dataclass(frozen=True)
class Design:
    """Rows given to a regressor.

    Parameters
    ----------
    X : (TR, feature)
        Features.
    groups : (TR,) int, optional
        Group of each row for cross-validation.
    delay_groups : (TR,) int, optional
        Story of each row, within which the regressor is to form delays; ``None`` if ``X`` has them.
    """

    X: Floats
    groups: Rows | None = None
    delay_groups: Rows | None = None

    @classmethod
    def of(cls, stories: Sequence[Floats], spec: DesignSpec, across: bool) -> Design:
        """The design of several stories, one below the other.

        Parameters
        ----------
        stories : sequence of (TR, unit)
            States of each story. Each is z-scored by itself.
        spec : DesignSpec
            How to delay.
        across : bool
            Whether delays reach back into the story before; otherwise they stop at its start.
        """
        standard = [zscore(np.asarray(states)) for states in stories]
        groups = np.repeat(np.arange(len(stories)), [len(states) for states in stories])
        if spec.self_delaying and not across:
            return cls(np.concatenate(standard), groups, groups)
        if across:
            return cls(spec.delay(np.concatenate(standard)), groups)
        return cls(np.concatenate([spec.delay(states) for states in standard]), groups)
