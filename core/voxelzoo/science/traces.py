"""A sample of a story's responses, by which shared and shuffled rows are found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.science.regions import usable_voxels

SAMPLE = 256
"""Voxels compared between stories."""


ENOUGH_BITS = 128
"""Rises and falls that make a run of rows unmistakable."""


@dataclass(frozen=True)
class ResponseTrace:
    """What the guards keep of one story's responses: a sample of voxels, and how slow they are.

    ``sample`` is (repeat, TR, voxel) with at most 256 voxels, the mean over repeats last.
    """

    sample: NDArray[np.float32]
    lag1_autocorrelation: tuple[float, ...]
    """Of each repeat: correlation of each row with the next, averaged over voxels; NaN if none."""

    @classmethod
    def of(cls, responses: NDArray[Any]) -> ResponseTrace:
        """From (TR, voxel) or (repeat, TR, voxel)."""
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
        """Which voxels are kept of so many."""
        return np.unique(np.linspace(0, n_voxels - 1, SAMPLE).astype(np.intp))

    @cached_property
    def varies(self) -> NDArray[np.bool_]:
        """Voxels that are finite and vary in every repeat, (voxel,)."""
        return np.asarray(usable_voxels(self.sample).all(axis=0))

    def sample_rises(self, usable: NDArray[np.bool_]) -> tuple[_Rises, ...]:
        """Which of these voxels rise when, in each repeat."""
        if (found := self._known.get(key := usable.tobytes())) is None:
            found = self._known[key] = tuple(_rises(rows, usable) for rows in self.sample)
        return found

    @cached_property
    def _known(self) -> dict[bytes, tuple[_Rises, ...]]:
        """Kept by voxels: most stories have the same ones."""
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
    """Length of the longest run of rows that two stories share, whatever their scale; 0 if none.

    Scaling a voxel keeps which rows rise: runs of rows are found by that, then confirmed by their
    correlation.
    """
    if one.sample.shape[2] != other.sample.shape[2]:
        return 0
    usable = one.varies & other.varies
    return max(
        _longest(a, b, usable) for a in one.sample_rises(usable) for b in other.sample_rises(usable)
    )


@dataclass(frozen=True)
class _Rises:
    """Rows (TR, voxel), and which voxels rise in each run of steps: places by that."""

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
    """Where each pattern of rises and falls is, runs being long enough to be unmistakable."""
    steps = max(8, -(-ENOUGH_BITS // max(1, int(usable.sum()))))
    rose = [row.tobytes() for row in np.packbits(np.diff(rows[:, usable], axis=0) > 0, axis=1)]
    places: dict[bytes, list[int]] = {}
    for i in range(len(rose) - steps + 1 if usable.any() else 0):
        places.setdefault(b"".join(rose[i : i + steps]), []).append(i)
    return _Rises(rows, steps, places)


def _same_course(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    """Whether the voxels run alike in time up to their scale: (TR, voxel) each."""
    x = a - a.mean(axis=0, dtype=np.float64)
    y = b - b.mean(axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (x * y).sum(axis=0) / np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))
    return bool(np.nanmedian(r) > 0.999) if np.isfinite(r).any() else False


def out_of_order(traces: Mapping[str, ResponseTrace]) -> Iterator[tuple[str, int, float, float]]:
    """Stories without the lag-1 autocorrelation that the subject's other stories have.

    Yields (name, repeat, its lag-1 autocorrelation, the others' median).
    """
    every = [
        (name, i, s)
        for name, trace in traces.items()
        for i, s in enumerate(trace.lag1_autocorrelation)
    ]
    for name, i, lag1_autocorrelation in every:
        others = [s for other, j, s in every if (other, j) != (name, i) and np.isfinite(s)]
        if not others:
            continue
        usual = float(np.median(others))
        margin = 2.5 / np.sqrt(traces[name].sample.shape[1])
        if lag1_autocorrelation < usual / 4 and usual - lag1_autocorrelation > margin:
            yield name, i, lag1_autocorrelation, usual
