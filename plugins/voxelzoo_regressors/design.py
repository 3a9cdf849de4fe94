"""Delayed (FIR) designs that are never built: only their products are computed."""

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


def story_slices(groups: NDArray[Any] | None, n: int) -> list[slice]:
    """Rows of each story, in order.

    Parameters
    ----------
    groups : ndarray of shape (row,) or None
        Story of each row. None: all rows are one story.
    n : int
        Number of rows.

    Returns
    -------
    list of slice
        One slice per story.

    Raises
    ------
    FitError
        If the rows of a story are not consecutive.
    """
    if groups is None:
        return [slice(0, n)]
    edges = [0, *(np.flatnonzero(groups[1:] != groups[:-1]) + 1).tolist(), n]
    if len(edges) - 1 != len(np.unique(groups)):
        raise FitError("delays: the rows of each group (story) must be consecutive")
    return [slice(start, end) for start, end in itertools.pairwise(edges)]


@dataclass(frozen=True)
class Design:
    """The design whose row ``t`` holds ``X[t - delay]`` for each delay.

    Before a story's first row the features are zero. Columns are ordered delay by delay.

    Parameters
    ----------
    X : Tensor of shape (row, unit)
        Features without delays.
    stories : sequence of slice
        Rows of each story. Delays do not cross from one story into the next.
    delays : sequence of int, default (0,)
        Delays in rows (TRs), 0 or more. ``(0,)`` gives ``X`` itself.
    """

    X: Tensor
    stories: Sequence[slice]
    delays: Sequence[int] = (0,)

    @property
    def n_rows(self) -> int:
        """Number of rows (TRs)."""
        return len(self.X)

    @property
    def n_features(self) -> int:
        """Number of columns: delays times units."""
        return self.X.shape[1] * len(self.delays)

    @property
    def is_undelayed(self) -> bool:
        """Whether the design is ``X`` itself."""
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

        The block of delays ``d <= e`` sums ``x[t - d] x[t - e]'`` over each story. That is the
        covariance at lag ``e - d``, minus the products of the story's last ``d`` rows, which no
        delayed row reaches. So one large product is needed per lag, not per pair of delays.
        """
        X, delays = self.X, sorted(set(self.delays))
        if self.is_undelayed:
            return _self_product(X.T)
        unit = X.shape[1]
        blocks: dict[tuple[int, int], Tensor] = {}
        for lag in sorted({e - d for d in delays for e in delays if e >= d}):
            earlier = self._sources(lag)
            whole = X[earlier + lag].T @ X[earlier]
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
        """Inner products of this design's rows with another's.

        The delayed products are a sum of shifted copies of the undelayed ones.

        Parameters
        ----------
        other : Design
            Design with the same units and delays. May be this design itself.

        Returns
        -------
        Tensor of shape (row, row of ``other``)
        """
        product = _self_product(self.X) if self is other else self.X @ other.X.T
        if self.is_undelayed and other.is_undelayed:
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
        """The design times ``V`` (feature, k): (row, k)."""
        if self.is_undelayed:
            return self.X @ V
        out = self.X.new_zeros((self.n_rows, V.shape[1]))
        for delay, of_delay in zip(self.delays, V.chunk(len(self.delays)), strict=True):
            sources = self._sources(delay)
            out.index_add_(0, sources + delay, (self.X @ of_delay)[sources])
        return out

    def transpose_times(self, Q: Tensor) -> Tensor:
        """The transposed design times ``Q`` (row, k): (feature, k)."""
        if self.is_undelayed:
            return self.X.T @ Q
        products = []
        for delay in self.delays:
            sources = self._sources(delay)
            products.append(self.X[sources].T @ Q[sources + delay])
        return torch.cat(products)


def _self_product(A: Tensor) -> Tensor:
    """``A A'``. On the CPU, NumPy notices the symmetry and computes half of it."""
    if A.device.type != "cpu":
        return A @ A.T
    values = A.numpy()
    return torch.from_numpy(values @ values.T)
