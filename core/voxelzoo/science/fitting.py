"""One fit: a regressor on training rows, its predictions of held-out rows, and what it reports.

The held-out rows never reach the regressor's ``fit``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from voxelzoo.api import (
    DataError,
    HasAlphaGrid,
    HasAlphas,
    HasCoefficients,
    HasCVScores,
    HasWeightIntervals,
    PartitionsVariance,
    ReportsPath,
    SplitsScores,
    StacksSpaces,
)
from voxelzoo.science.design import Design, DesignSpec
from voxelzoo.science.regions import usable_voxels
from voxelzoo.science.scores import SpaceScores
from voxelzoo.science.voxel_arrays import VoxelArray, block_width, select, voxel_blocks

Floats = NDArray[np.floating[Any]]


SMALL = 2_000_000
"""Numbers in design and responses below which a fit runs on one thread."""


@dataclass(frozen=True)
class Fit:
    """Predictions of held-out rows, and what the regressor reports. NaN for voxels not fitted.

    Parameters
    ----------
    prediction : (TR, voxel) float64
        Predicted responses. A prediction can vary by less than its mean's rounding error in
        float32.
    alpha : (voxel,), optional
        Penalty.
    cv_r : (voxel,), optional
        Out-of-fold correlation within the training rows.
    spaces : SpaceScores
        Of several feature spaces.
    path : str, optional
        How the fit was computed.
    at_edges : (int, int), optional
        Numbers of voxels that chose the smallest and the largest penalty tried, if several were.
    coefficients : mapping of int to callable
        Weights (delay, unit, voxel) of the design's columns in blocks of voxels, by the first voxel
        of each block; made when they are asked for.
    """

    prediction: Floats
    alpha: Floats | None
    cv_r: Floats | None
    spaces: SpaceScores
    path: str | None
    at_edges: tuple[int, int] | None
    coefficients: Mapping[int, Callable[[], Floats]]


@dataclass(frozen=True)
class _Voxels:
    """Which of ``n`` voxels were fitted."""

    n: int
    fitted: NDArray[np.intp]

    def spread(self, values: Any) -> Floats:
        """Values (..., fitted voxel) as (..., voxel), NaN for a voxel that was not fitted."""
        values = np.asarray(values)
        everywhere = np.full((*values.shape[:-1], self.n), np.nan)
        everywhere[..., self.fitted] = values
        return everywhere

    def spread_rows(self, values: Any) -> Floats:
        """Values (fitted voxel, space) as (voxel, space)."""
        return self.spread(np.transpose(values)).T


def fit_predict(
    spec: DesignSpec, train: Design, Y: VoxelArray, test: Design, Y_test: VoxelArray
) -> Fit:
    """Fit the training rows and predict the held-out rows.

    Parameters
    ----------
    spec : DesignSpec
        The regressor, and how it takes a design.
    train : Design
        Training rows.
    Y : (TR, voxel)
        Training responses. A voxel is fitted if they are finite and vary.
    test : Design
        Held-out rows.
    Y_test : (TR, voxel)
        Held-out responses, used only to divide the score of several spaces among them.

    Raises
    ------
    DataError
        If no voxel can be fitted.
    """
    usable = np.concatenate([usable_voxels(Y[:, block]) for block in voxel_blocks(Y)])
    if not usable.any():
        raise DataError("no voxel has finite, varying training responses")
    voxels = _Voxels(Y.shape[-1], np.flatnonzero(usable))
    if not usable.all():
        Y = select(Y, voxels=voxels.fitted)
    regressor: Any = spec.make_regressor()
    if train.delay_groups is not None:
        regressor.set_params(delays=tuple(spec.delays))
    if spec.spaces is not None:
        regressor.set_params(spaces=spec.columns())
    of_test = {} if train.delay_groups is None else {"groups": test.delay_groups}
    prediction = np.full((len(test.X), voxels.n), np.nan)
    # Threads that share small matrices spend their time waiting for each other.
    with threadpool_limits(1 if train.X.size + math.prod(Y.shape) < SMALL else None):
        regressor.fit(train.X, Y if spec.streams else Y[...], groups=train.groups)
        prediction[:, voxels.fitted] = np.asarray(regressor.predict(test.X, **of_test))
    several = spec.spaces is not None
    return Fit(
        prediction,
        alpha=voxels.spread(regressor.alpha_) if isinstance(regressor, HasAlphas) else None,
        cv_r=voxels.spread(regressor.cv_score_) if isinstance(regressor, HasCVScores) else None,
        spaces=_space_scores(regressor, test, Y_test, voxels) if several else SpaceScores(),
        path=regressor.path_ if isinstance(regressor, ReportsPath) else None,
        at_edges=_at_edges(regressor) if isinstance(regressor, HasAlphaGrid) else None,
        coefficients=_coefficients(regressor, spec, train, voxels) if spec.keeps_weights else {},
    )


def _at_edges(regressor: HasAlphaGrid) -> tuple[int, int] | None:
    """Numbers of voxels at the smallest and at the largest penalty tried, if several were."""
    tried, chosen = np.asarray(regressor.alphas_), np.asarray(regressor.alpha_)
    if len(tried) < 2:
        return None
    smallest, largest = (int(np.isclose(chosen, edge).sum()) for edge in (tried.min(), tried.max()))
    return smallest, largest


def _space_scores(regressor: Any, test: Design, Y_test: VoxelArray, voxels: _Voxels) -> SpaceScores:
    """What a fitted regressor of several spaces reports of each."""
    weights = interval = split = None
    partition: dict[frozenset[str], Floats] = {}
    held_out = select(Y_test, voxels=voxels.fitted)[...]
    if isinstance(regressor, StacksSpaces):
        weights = voxels.spread_rows(regressor.weights_)
    if isinstance(regressor, HasWeightIntervals):
        ends = regressor.weights_low_, regressor.weights_high_
        interval = voxels.spread_rows(ends[0]), voxels.spread_rows(ends[1])
    if isinstance(regressor, SplitsScores):
        split = voxels.spread(regressor.score_split(test.X, held_out))
    if isinstance(regressor, PartitionsVariance):
        shared = regressor.partition(test.X, held_out)
        partition = {spaces: voxels.spread(values) for spaces, values in shared.items()}
    return SpaceScores(weights, interval, split, partition)


def _coefficients(
    regressor: HasCoefficients, spec: DesignSpec, train: Design, voxels: _Voxels
) -> dict[int, Callable[[], Floats]]:
    """Weights (delay, unit, voxel) of all voxels, in blocks that are made when asked for."""
    n_delays = len(spec.delays)
    n_units = train.X.shape[1] // (1 if train.delay_groups is not None else n_delays)

    def weights(block: slice) -> Floats:
        first, stop = np.searchsorted(voxels.fitted, [block.start, block.stop])
        of_block = np.full((n_delays * n_units, block.stop - block.start), np.nan, dtype=np.float32)
        if first < stop:
            some = regressor.coef_block(slice(int(first), int(stop)))
            of_block[:, voxels.fitted[first:stop] - block.start] = some.T
        return of_block.reshape(n_delays, n_units, -1)

    width = block_width((n_delays * n_units,), np.dtype(np.float32))
    starts = range(0, voxels.n, width)
    return {start: partial(weights, slice(start, min(voxels.n, start + width))) for start in starts}
