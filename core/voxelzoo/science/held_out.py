"""What a test needs of a result: held-out predictions and responses, cut into blocks of voxels.

The r of a voxel is either over all held-out parts end to end (whole test stories) or the mean over
parts (folds, each of which has a fit, so an offset, of its own). Once both sides are standardised,
either is one inner product over rows, which is what permutations and bootstraps are built on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

from voxelzoo.api import DataError, UsageError
from voxelzoo.blocks import blocks
from voxelzoo.science.regions import region_masks
from voxelzoo.science.scores import correlation, explained_variance

Floats = NDArray[np.floating[Any]]


Found = TypeVar("Found")


BLOCK = 256
"""Voxels worked on at a time: a thousand permutations of them stay in the cache."""


@dataclass(frozen=True)
class HeldOut:
    """Predictions and responses (TR, voxel) of each held-out part: a story, or a fold."""

    parts: Mapping[str, tuple[Floats, Floats]]
    """Prediction and response by part, in order of presentation."""
    joined: bool = True
    """r is over all parts end to end; else the mean of the parts' own."""
    labels: Sequence[str] | None = None
    """A region's name for each voxel."""
    repeats: Mapping[str, Floats] = field(default_factory=dict)
    """(repeat, TR, voxel) of the parts that were repeated."""

    def __post_init__(self) -> None:
        if not self.parts:
            raise DataError("nothing was held out")
        for name, (prediction, response) in self.parts.items():
            if prediction.shape != response.shape or prediction.shape[1] != self.n_voxels:
                raise DataError(
                    f"part {name!r}: predictions {prediction.shape} and responses "
                    f"{response.shape} of {self.n_voxels} voxels do not match"
                )

    @property
    def n_voxels(self) -> int:
        """Voxels of every part."""
        prediction, _ = next(iter(self.parts.values()))
        return int(prediction.shape[1])

    @property
    def n_trs(self) -> tuple[int, ...]:
        """Rows of each part."""
        return tuple(len(prediction) for prediction, _ in self.parts.values())

    @property
    def r(self) -> Floats:
        """Correlation of each voxel, (voxel,)."""
        return self._scored(correlation)

    @property
    def r_of_parts(self) -> Mapping[str, Floats]:
        """Correlation of each voxel in each part, (voxel,)."""
        return {name: correlation(*pair) for name, pair in self.parts.items()}

    @property
    def r2(self) -> Floats:
        """Share of the variance predicted of each voxel, (voxel,)."""
        return self._scored(explained_variance)

    def of_part(self, name: str) -> HeldOut:
        """The part by itself."""
        return replace(self, parts={name: self.parts[name]}, repeats={})

    def _scored(self, score: Callable[[Floats, Floats], Floats]) -> Floats:
        found = []
        for voxels in voxel_blocks(self.n_voxels):
            pairs = [(x[:, voxels], y[:, voxels]) for x, y in self.parts.values()]
            if self.joined:
                x, y = (np.concatenate(side) for side in zip(*pairs, strict=True))
                found.append(score(x, y))
            else:
                found.append(np.mean([score(x, y) for x, y in pairs], axis=0))
        return np.concatenate(found)

    @property
    def regions(self) -> dict[str, NDArray[np.bool_]]:
        """Voxels (voxel,) of all, then of each label in order of appearance."""
        return region_masks(self.labels, self.n_voxels)

    def without_first(self, n_trs: int) -> HeldOut:
        """The same without the first ``n_trs`` rows of each part.

        Raises :class:`UsageError` where that leaves too little of a part.
        """
        if n_trs < 0 or min(self.n_trs) <= n_trs + 2:
            raise UsageError(
                f"cannot drop {n_trs} TRs of a held-out part that has {min(self.n_trs)}"
            )
        return replace(
            self,
            parts={name: (x[n_trs:], y[n_trs:]) for name, (x, y) in self.parts.items()},
            repeats={name: each[:, n_trs:] for name, each in self.repeats.items()},
        )

    def first_rows(self, n_trs: Sequence[int]) -> HeldOut:
        """The same with the first ``n_trs`` rows of each part alone."""
        return replace(
            self,
            parts={
                name: (x[:n], y[:n])
                for n, (name, (x, y)) in zip(n_trs, self.parts.items(), strict=True)
            },
            repeats={},
        )

    def answered_by(self, other: HeldOut) -> HeldOut:
        """The same predictions of the other's responses: no rounding of its own apart."""
        return replace(
            self,
            parts={name: (x, other.parts[name][1]) for name, (x, _) in self.parts.items()},
        )

    def standardised(self, voxels: slice) -> list[tuple[Floats, Floats]]:
        """Each part's sides (TR, voxel), float64, scaled so that their inner product is r.

        An undefined voxel is NaN.
        """
        pairs = [(x[:, voxels], y[:, voxels]) for x, y in self.parts.values()]
        if not self.joined:
            return [(_unit(x) / len(pairs), _unit(y)) for x, y in pairs]
        edges = np.cumsum(self.n_trs)[:-1]
        sides = [np.split(_unit(np.concatenate(s)), edges) for s in zip(*pairs, strict=True)]
        return list(zip(*sides, strict=True))


def voxel_blocks(n: int, size: int = BLOCK) -> Iterator[slice]:
    """Slices that cover ``n`` voxels."""
    return blocks(n, size)


def over_voxels(n: int, work: Callable[[slice], Found]) -> Iterator[tuple[slice, Found]]:
    """What ``work`` finds of each block of ``n`` voxels, in order; blocks are done side by side.

    In as many threads as matrix products would have: those of a block are too small to share.
    ``work`` returns little, since all of it may wait here.
    """
    voxels = list(voxel_blocks(n))
    n_threads = max((library["num_threads"] for library in threadpool_info()), default=1)
    with threadpool_limits(1), ThreadPoolExecutor(n_threads) as pool:
        yield from zip(voxels, pool.map(work, voxels), strict=True)


def _unit(values: Floats) -> Floats:
    """Columns of mean 0 and length 1; NaN where constant or not finite."""
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = values - values.mean(axis=0, dtype=np.float64)
        varies = np.ptp(values, axis=0) > 0
        unit: Floats = centred / np.where(varies, np.linalg.norm(centred, axis=0), np.nan)
    return unit
