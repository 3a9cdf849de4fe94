"""A sample of each story's responses, to detect shared rows and shuffled rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.science.regions import usable_voxels
from voxelzoo.science.scores import correlation

SAMPLE = 256
"""Voxels to compare between stories."""


ENOUGH_BITS = 128
"""Rises and falls that two runs of rows must share to count as the same."""


@dataclass(frozen=True)
class ResponseTrace:
    """What the leak guards keep of one story's responses.

    Parameters
    ----------
    sample : ndarray of float32, shape (repeat, TR, voxel)
        At most 256 voxels. If there are several repeats, their mean comes last.
    lag1_autocorrelation : tuple of float
        For each repeat, the correlation of each row with the next, averaged over voxels. NaN if
        there are too few rows, or no usable voxel.
    """

    sample: NDArray[np.float32]
    lag1_autocorrelation: tuple[float, ...]

    @classmethod
    def of(cls, responses: NDArray[Any]) -> ResponseTrace:
        """The trace of responses (TR, voxel) or (repeat, TR, voxel)."""
        repeats = np.asarray(responses[..., cls.sampled(responses.shape[-1])], dtype=np.float32)
        repeats = repeats.reshape(-1, *repeats.shape[-2:])
        with np.errstate(invalid="ignore", over="ignore"):
            mean = repeats.mean(axis=0, keepdims=True)
            lag1_autocorrelation = tuple(_lag1_autocorrelation(repeat) for repeat in repeats)
        return cls(
            np.concatenate([repeats, mean]) if len(repeats) > 1 else repeats, lag1_autocorrelation
        )

    @staticmethod
    def sampled(n_voxels: int) -> NDArray[np.intp]:
        """Positions of the voxels in the sample, for a brain of ``n_voxels``."""
        return np.unique(np.linspace(0, n_voxels - 1, SAMPLE).astype(np.intp))

    @cached_property
    def varies(self) -> NDArray[np.bool_]:
        """Voxels that are finite and vary in every repeat, (voxel,)."""
        return np.asarray(usable_voxels(self.sample).all(axis=0))

    def sample_rises(self, usable: NDArray[np.bool_]) -> tuple[_Rises, ...]:
        """When each of the usable voxels rises, for each repeat."""
        key = usable.tobytes()
        if key not in self._rises_by_voxels:
            self._rises_by_voxels[key] = tuple(_rises(rows, usable) for rows in self.sample)
        return self._rises_by_voxels[key]

    @cached_property
    def _rises_by_voxels(self) -> dict[bytes, tuple[_Rises, ...]]:
        """Kept by the usable voxels, which are the same for most pairs of stories."""
        return {}


def _lag1_autocorrelation(rows: NDArray[np.float32]) -> float:
    """Mean over voxels of the lag-one autocorrelation of (TR, voxel)."""
    usable = usable_voxels(rows)
    if len(rows) < 3 or not usable.any():
        return float("nan")
    centred = rows[:, usable] - rows[:, usable].mean(axis=0, dtype=np.float64)
    power = (centred**2).sum(axis=0)
    return float(((centred[1:] * centred[:-1]).sum(axis=0) / power).mean())


def shared_rows(one: ResponseTrace, other: ResponseTrace) -> int:
    """Length of the longest run of rows that two stories share.

    Rows count as shared whatever the scale and offset of each voxel. These do not change in which
    rows a voxel rises, so candidate runs are those with equal rises. Their correlation confirms
    them.

    Parameters
    ----------
    one, other : ResponseTrace
        Traces of two stories.

    Returns
    -------
    int
        Number of rows (TRs); 0 if none are shared.
    """
    if one.sample.shape[2] != other.sample.shape[2]:
        return 0
    usable = one.varies & other.varies
    return max(
        _longest(a, b, usable) for a in one.sample_rises(usable) for b in other.sample_rises(usable)
    )


@dataclass(frozen=True)
class _Rises:
    """When voxels rise in one repeat.

    Parameters
    ----------
    rows : ndarray of shape (TR, voxel)
        Responses.
    steps : int
        Length of a run of steps from row to row.
    places : mapping of bytes to sequence of int
        First rows of the runs with each pattern of rises.
    """

    rows: NDArray[np.float32]
    steps: int
    places: Mapping[bytes, Sequence[int]]


def _longest(a: _Rises, b: _Rises, usable: NDArray[np.bool_]) -> int:
    matches = {
        (i, j)
        for key in a.places.keys() & b.places.keys()
        for i in a.places[key]
        for j in b.places[key]
    }
    longest = 0
    for i, j in matches:
        if (i - 1, j - 1) in matches:
            continue
        length = 1
        while (i + length, j + length) in matches:
            length += 1
        n = length + a.steps
        if n > longest and _same_course(a.rows[i : i + n, usable], b.rows[j : j + n, usable]):
            longest = n
    return longest


def _rises(rows: NDArray[np.float32], usable: NDArray[np.bool_]) -> _Rises:
    """Finds the places of each pattern; runs are long enough that no two agree by chance."""
    steps = max(8, -(-ENOUGH_BITS // max(1, int(usable.sum()))))
    rose = [row.tobytes() for row in np.packbits(np.diff(rows[:, usable], axis=0) > 0, axis=1)]
    places: dict[bytes, list[int]] = {}
    for i in range(len(rose) - steps + 1 if usable.any() else 0):
        places.setdefault(b"".join(rose[i : i + steps]), []).append(i)
    return _Rises(rows, steps, places)


def _same_course(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether responses (TR, voxel) are the same up to the scale and offset of each voxel."""
    r = correlation(a, b)
    return bool(np.nanmedian(r) > 0.999) if np.isfinite(r).any() else False


def out_of_order(traces: Mapping[str, ResponseTrace]) -> Iterator[tuple[str, int, float, float]]:
    """Stories without the lag-1 autocorrelation of the subject's other stories.

    The rows of such a story are probably not in order of time.

    Parameters
    ----------
    traces : mapping of str to ResponseTrace
        Traces of one subject's stories.

    Yields
    ------
    name : str
        The story.
    repeat : int
        Its repeat, from 0.
    lag1_autocorrelation : float
        Of that repeat.
    median : float
        Of all others.
    """
    every = [
        (name, i, value)
        for name, trace in traces.items()
        for i, value in enumerate(trace.lag1_autocorrelation)
    ]
    for name, i, lag1_autocorrelation in every:
        others = [
            value for other, j, value in every if (other, j) != (name, i) and np.isfinite(value)
        ]
        if not others:
            continue
        usual = float(np.median(others))
        margin = 2.5 / np.sqrt(traces[name].sample.shape[1])
        if lag1_autocorrelation < usual / 4 and usual - lag1_autocorrelation > margin:
            yield name, i, lag1_autocorrelation, usual
