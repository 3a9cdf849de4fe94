"""FIR designs that are never built: delayed within stories, known by their products alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxelzoo_regressors.errors import FitError

Story = slice


def story_slices(groups: NDArray[Any] | None, n: int) -> list[Story]:
    """Rows of each story, in order; a story whose rows are not together is refused."""
    if groups is None:
        return [slice(0, n)]
    edges = [0, *(np.flatnonzero(groups[1:] != groups[:-1]) + 1).tolist(), n]
    if len(edges) - 1 != len(np.unique(groups)):
        raise FitError("delays: the rows of a group (story) must be consecutive")
    return [slice(start, end) for start, end in itertools.pairwise(edges)]


@dataclass(frozen=True)
class Design:
    """The design (row, delay * unit) whose row ``t`` holds ``X[t - delay]`` for each delay.

    ``X`` is (row, unit). Delays are whole rows, 0 or more; before a story's first row the features
    are zero. Columns are ordered delay by delay. ``delays=(0,)`` is ``X`` itself.
    """

    X: Tensor
    stories: Sequence[Story]
    delays: Sequence[int] = (0,)

    @property
    def n_rows(self) -> int:
        """Rows (TRs)."""
        return len(self.X)

    @property
    def n_features(self) -> int:
        """Columns: delays times units."""
        return self.X.shape[1] * len(self.delays)

    @property
    def plain(self) -> bool:
        """Whether nothing is delayed."""
        return tuple(self.delays) == (0,)

    def to(self, dtype: torch.dtype) -> Design:
        """The same design in another precision."""
        return Design(self.X.to(dtype), self.stories, self.delays)

    @cached_property
    def mean(self) -> Tensor:
        """Column means, (feature,), float64."""
        n = self.n_rows
        return (
            torch.cat([self.X[self._sources(d)].sum(0, dtype=torch.float64) for d in self.delays])
            / n
        )

    def _sources(self, delay: int) -> Tensor:
        """Rows of ``X`` that appear ``delay`` rows later in their story."""
        return torch.cat(
            [torch.arange(s.start, max(s.start, s.stop - delay)) for s in self.stories]
        ).to(self.X.device)

    def feature_gram(self) -> Tensor:
        """Gram matrix of the columns, (feature, feature), not centred.

        The block of delays ``d <= e`` sums ``x[t - d] x[t - e]'`` over each story: the covariance
        at lag ``e - d`` less the products of the story's last ``d`` rows, which no delayed row
        reaches. So there is one large product for each lag, not for each pair of delays.
        """
        X, delays = self.X, sorted(set(self.delays))
        if self.plain:
            return _self_product(X.T)
        unit = X.shape[1]
        blocks: dict[tuple[int, int], Tensor] = {}
        for lag in sorted({e - d for d in delays for e in delays if e >= d}):
            late = self._sources(lag)
            whole = X[late + lag].T @ X[late]
            for d in delays:
                if d + lag not in delays:
                    continue
                # Pairs (t, t - lag) whose later row is among the story's last d.
                tail = torch.cat(
                    [
                        torch.arange(max(s.start + lag, s.stop - d), max(s.start + lag, s.stop))
                        for s in self.stories
                    ]
                ).to(X.device)
                blocks[d, d + lag] = whole - X[tail].T @ X[tail - lag]
        gram = X.new_empty((len(self.delays), unit, len(self.delays), unit))
        for i, d in enumerate(self.delays):
            for j, e in enumerate(self.delays):
                gram[i, :, j, :] = blocks[d, e] if d <= e else blocks[e, d].T
        return gram.reshape(self.n_features, self.n_features)

    def row_gram(self, other: Design) -> Tensor:
        """Products of this design's rows with another's, (row, other row): shifted copies of the
        undelayed products, summed."""
        product = _self_product(self.X) if self is other else self.X @ other.X.T
        if self.plain and other.plain:
            return product
        gram = torch.zeros_like(product)
        for delay in self.delays:
            columns = other._sources(delay)
            for story in self.stories:
                n = story.stop - story.start - delay
                if n > 0:
                    shifted = product[story.start : story.start + n][:, columns]
                    gram[story.start + delay : story.stop].index_add_(1, columns + delay, shifted)
        return gram

    def times(self, V: Tensor) -> Tensor:
        """Design times ``V`` (feature, k): (row, k), a story's shifts applied to the product."""
        if self.plain:
            return self.X @ V
        out = self.X.new_zeros((self.n_rows, V.shape[1]))
        for delay, part in zip(self.delays, V.chunk(len(self.delays)), strict=True):
            sources = self._sources(delay)
            out.index_add_(0, sources + delay, (self.X @ part)[sources])
        return out

    def transpose_times(self, Q: Tensor) -> Tensor:
        """Transposed design times ``Q`` (row, k): (feature, k)."""
        if self.plain:
            return self.X.T @ Q
        parts = []
        for delay in self.delays:
            sources = self._sources(delay)
            parts.append(self.X[sources].T @ Q[sources + delay])
        return torch.cat(parts)


def _self_product(A: Tensor) -> Tensor:
    """``A A'``. NumPy sees on the CPU that it is symmetric, and makes half of it."""
    if A.device.type != "cpu":
        return A @ A.T
    values = A.numpy()
    return torch.from_numpy(values @ values.T)
