"""Held-out predictions and responses, for significance tests and confidence intervals.

The r of a voxel is either over the concatenated test stories, or the mean over folds, each of which
has a fit, and so an offset, of its own. Once predictions and responses are standardised, either is
one inner product over rows, on which permutations and bootstraps are built.
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


T = TypeVar("T")


BLOCK = 256
"""Voxels that are computed at a time: a thousand permutations of them fit in the CPU's cache."""


@dataclass(frozen=True)
class HeldOut:
    """Predictions and responses of every held-out part: each story, or each fold.

    Parameters
    ----------
    parts : mapping of str to pair of (TR, voxel)
        Prediction and response of each part, in order of presentation.
    joined : bool
        Whether r is over the concatenated parts; otherwise it is the mean over parts.
    labels : sequence of str, optional
        The region of each voxel.
    repeats : mapping of str to (repeat, TR, voxel)
        Responses of each repeat, of the parts that were repeated.

    Raises
    ------
    DataError
        If there is no part, or predictions and responses have different shapes.
    """

    parts: Mapping[str, tuple[Floats, Floats]]
    joined: bool = True
    labels: Sequence[str] | None = None
    repeats: Mapping[str, Floats] = field(default_factory=dict)

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
        """Number of voxels, the same in every part."""
        prediction, _ = next(iter(self.parts.values()))
        return int(prediction.shape[1])

    @property
    def n_trs(self) -> tuple[int, ...]:
        """Number of TRs of each part."""
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
        """Share of the variance of each voxel that is predicted, (voxel,)."""
        return self._scored(explained_variance)

    @property
    def of_ceiling(self) -> HeldOut:
        """Only the parts that were repeated, which a ceiling is of; all if none was."""
        if not self.repeats or self.repeats.keys() == self.parts.keys():
            return self
        return replace(self, parts={name: self.parts[name] for name in self.repeats})

    def of_part(self, name: str) -> HeldOut:
        """One part by itself, without repeats."""
        return replace(self, parts={name: self.parts[name]}, repeats={})

    def _scored(self, score: Callable[[Floats, Floats], Floats]) -> Floats:
        scores = []
        for voxels in voxel_blocks(self.n_voxels):
            pairs = [(x[:, voxels], y[:, voxels]) for x, y in self.parts.values()]
            if self.joined:
                x, y = (np.concatenate(side) for side in zip(*pairs, strict=True))
                scores.append(score(x, y))
            else:
                scores.append(np.mean([score(x, y) for x, y in pairs], axis=0))
        return np.concatenate(scores)

    @property
    def regions(self) -> dict[str, NDArray[np.bool_]]:
        """All voxels, then those of each label in order of appearance, (voxel,) bool each."""
        return region_masks(self.labels, self.n_voxels)

    def without_first(self, n_trs: int) -> HeldOut:
        """The same without the first TRs of each part.

        Parameters
        ----------
        n_trs : int
            TRs to drop.

        Returns
        -------
        HeldOut

        Raises
        ------
        UsageError
            If that leaves fewer than three TRs of a part.
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
        """The same with only the first ``n_trs`` TRs of each part."""
        return replace(
            self,
            parts={
                name: (x[:n], y[:n])
                for n, (name, (x, y)) in zip(n_trs, self.parts.items(), strict=True)
            },
            repeats={},
        )

    def answered_by(self, other: HeldOut) -> HeldOut:
        """The same predictions with the other's responses, to share its rounding."""
        return replace(
            self,
            parts={name: (x, other.parts[name][1]) for name, (x, _) in self.parts.items()},
        )

    def standardised(self, voxels: slice) -> list[tuple[Floats, Floats]]:
        """Prediction and response of each part, scaled so that their inner product is r.

        Parameters
        ----------
        voxels : slice
            Which voxels.

        Returns
        -------
        list of pair of (TR, voxel) float64
            NaN for a voxel whose r is undefined.
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


def over_voxels(n: int, work: Callable[[slice], T]) -> Iterator[tuple[slice, T]]:
    """Compute blocks of voxels in parallel.

    There are as many threads as matrix products would have; those of one block are too small to
    gain from several.

    Parameters
    ----------
    n : int
        Number of voxels.
    work : callable
        Called with each block. It should return little: all of it may be held in memory.

    Yields
    ------
    (slice, result)
        Each block with what ``work`` returned, in order.
    """
    voxels = list(voxel_blocks(n))
    n_threads = max((library["num_threads"] for library in threadpool_info()), default=1)
    with threadpool_limits(1), ThreadPoolExecutor(n_threads) as pool:
        yield from zip(voxels, pool.map(work, voxels), strict=True)


def _unit(values: Floats) -> Floats:
    """Columns of mean 0 and norm 1; NaN if a column is constant or not finite."""
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = values - values.mean(axis=0, dtype=np.float64)
        varies = np.ptp(values, axis=0) > 0
        unit: Floats = centred / np.where(varies, np.linalg.norm(centred, axis=0), np.nan)
    return unit
