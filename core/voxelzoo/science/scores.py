"""Scores of predictions, one value for each voxel; undefined values are NaN, never zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.science.splits import EvaluationKind
from voxelzoo.science.voxel_arrays import VoxelArray, stack_responses, voxel_blocks

Floats = NDArray[np.floating[Any]]


def correlation(prediction: Floats, response: Floats) -> Floats:
    """Pearson's r over time of each voxel.

    Parameters
    ----------
    prediction, response : ndarray
        (TR, voxel).

    Returns
    -------
    ndarray of float64
        (voxel,); NaN where either side is constant or not finite.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        x = prediction - prediction.mean(axis=0, dtype=np.float64)
        y = response - response.mean(axis=0, dtype=np.float64)
        r: Floats = (x * y).sum(axis=0) / np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))
    varies = (np.ptp(prediction, axis=0) > 0) & (np.ptp(response, axis=0) > 0)
    return np.where(varies, np.clip(r, -1.0, 1.0), np.nan)


def explained_variance(prediction: Floats, response: Floats) -> Floats:
    """R2 of each voxel: 1 minus the squared error divided by the response's variance.

    Parameters
    ----------
    prediction, response : ndarray
        (TR, voxel).

    Returns
    -------
    ndarray of float64
        (voxel,); NaN where the response is constant or either side not finite.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.square(response - prediction, dtype=np.float64).sum(axis=0)
        size = np.square(response - response.mean(axis=0, dtype=np.float64)).sum(axis=0)
        r2: Floats = 1 - error / size
    return np.where(np.ptp(response, axis=0) > 0, r2, np.nan)


def signed_square(r: Floats) -> Floats:
    """``|r| r``, the paper's r squared (Antonello et al. 2023, Figure 1)."""
    squared: Floats = np.abs(r) * r
    return squared


def normalised(r: Floats, ceiling: Floats) -> Floats:
    """CCnorm: r as a share of its ceiling (Schoppe et al. 2016).

    Parameters
    ----------
    r, ceiling : ndarray of shape (voxel,)
        Of the same held-out rows.

    Returns
    -------
    ndarray of shape (voxel,)
        NaN where either is undefined, or the ceiling is not above 0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        share: Floats = r / np.where(ceiling > 0, ceiling, np.nan)
    return share


def by_voxel(score: Callable[..., Floats], prediction: Floats, response: VoxelArray) -> Floats:
    """A score (voxel,) of responses that may be on disk, a block of voxels at a time.

    Parameters
    ----------
    score : callable
        Takes prediction and response of some voxels, (TR, voxel) each; returns (voxel,).
    prediction : (TR, voxel)
        Predicted responses.
    response : (TR, voxel)
        Measured responses.
    """
    blocks = voxel_blocks(response)
    return np.concatenate([score(prediction[:, block], response[:, block]) for block in blocks])


@dataclass(frozen=True)
class HeldOutPart:
    """One held-out story or fold.

    Parameters
    ----------
    prediction : (TR, voxel)
        Predicted responses.
    response : (TR, voxel)
        Measured responses, the mean over repeats.
    repeats : (repeat, TR, voxel), optional
        Responses of each repeat, if there were several.
    """

    prediction: Floats
    response: VoxelArray
    repeats: VoxelArray | None = None

    @cached_property
    def r(self) -> Floats:
        """Correlation of each voxel, (voxel,)."""
        return by_voxel(correlation, self.prediction, self.response)

    def arrays(self) -> dict[str, Callable[[], Floats]]:
        """``prediction`` and ``response``, and ``repeats`` if there are any.

        They are float32, except predictions that it would round to little more than their mean.
        Each is made when it is asked for: on disk there may be more than fits in memory.
        """
        named = {"prediction": self.prediction, "response": self.response, "repeats": self.repeats}
        return {
            name: partial(_float32, values) for name, values in named.items() if values is not None
        }


_LEAST_VARIATION = 1e-4
"""Standard deviation, as a share of the mean, below which float32 rounds too much of it."""


def _float32(values: VoxelArray) -> Floats:
    values = np.asarray(values[...])
    if values.dtype == np.float64:
        variation = values.std(axis=-2)
        fine = (variation == 0) | (variation > _LEAST_VARIATION * np.abs(values.mean(axis=-2)))
        if not (fine | ~np.isfinite(variation)).all():
            return values
    return values.astype(np.float32)


@dataclass(frozen=True)
class SpaceScores:
    """What a regressor of several feature spaces reports of each.

    Parameters
    ----------
    weights : (voxel, space), optional
        What each space contributes.
    weights_interval : pair of (voxel, space), optional
        Lower and upper ends of an interval of the weights.
    split_r : (space, voxel), optional
        Each space's share of r.
    partition : mapping of frozenset of str to (voxel,)
        R2 that exactly these spaces share.
    """

    weights: Floats | None = None
    weights_interval: tuple[Floats, Floats] | None = None
    split_r: Floats | None = None
    partition: Mapping[frozenset[str], Floats] = field(default_factory=dict)


@dataclass(frozen=True)
class Scores:
    """Scores of one model, layer and subject. Maps are (voxel,), NaN where undefined.

    Parameters
    ----------
    kind : {"stories", "folds"}
        What was held out.
    r : (voxel,)
        Pearson correlation of predicted and measured held-out responses.
    r2 : (voxel,)
        Share of the held-out variance that is predicted; negative if the mean predicts better.
    alpha : (voxel,), optional
        Penalty of the regressor.
    cv_r : (voxel,), optional
        Out-of-fold correlation within the training data, by which a layer may be chosen.
    paths : tuple of str
        How each fit was computed (device, precision, algorithm), if the regressor reports it.
    parts : mapping of str to HeldOutPart
        Each held-out story or fold.
    n_train : int
        TRs of training data; of folds, the fewest.
    n_test : int
        TRs that were predicted.
    spaces : SpaceScores
        Of several feature spaces.
    at_edges : (int, int), optional
        Numbers of voxels that chose the smallest and the largest penalty tried; of folds, summed
        over them. ``None`` if the regressor does not choose from several.
    ceiling : (voxel,), optional
        Noise ceiling of r.
    ceiling_stories : tuple of str
        The held-out stories that a ceiling from repeats is of: those heard more than once. Empty
        if there is no such ceiling.
    coefficients : mapping of int to callable
        Weights (delay, unit, voxel) of the design's columns in blocks of voxels, by the first voxel
        of each block; made when they are asked for.
    """

    kind: EvaluationKind
    r: Floats
    r2: Floats
    alpha: Floats | None
    cv_r: Floats | None
    paths: tuple[str, ...]
    parts: Mapping[str, HeldOutPart]
    n_train: int
    n_test: int
    spaces: SpaceScores = SpaceScores()
    at_edges: tuple[int, int] | None = None
    ceiling: Floats | None = None
    ceiling_stories: tuple[str, ...] = ()
    coefficients: Mapping[int, Callable[[], Floats]] = field(default_factory=dict)

    @property
    def signed_r2(self) -> Floats:
        """``|r| r`` (Antonello et al. 2023, Figure 1)."""
        return signed_square(self.r)

    @cached_property
    def r_repeated(self) -> Floats | None:
        """r over the stories that a ceiling from repeats is of, (voxel,); else ``None``."""
        if not self.ceiling_stories:
            return None
        if set(self.ceiling_stories) == set(self.parts):
            return self.r
        repeated = [self.parts[story] for story in self.ceiling_stories]
        prediction = np.concatenate([part.prediction for part in repeated])
        return by_voxel(
            correlation, prediction, stack_responses([part.response for part in repeated])
        )

    @cached_property
    def r_normalised(self) -> Floats | None:
        """r divided by its ceiling, both over the same held-out rows; ``None`` without one."""
        if self.ceiling is None:
            return None
        return normalised(self.r if self.r_repeated is None else self.r_repeated, self.ceiling)

    def maps(self) -> dict[str, Floats]:
        """Every map by name, (voxel,) or with an axis of feature spaces."""
        spaces = self.spaces
        maps: dict[str, Floats | None] = {"r": self.r, "signed_r2": self.signed_r2, "r2": self.r2}
        maps |= {"ceiling": self.ceiling, "r_repeated": self.r_repeated}
        maps["r_normalised"] = self.r_normalised
        maps |= {"alpha": self.alpha, "cv_r": self.cv_r, "weights": spaces.weights}
        if spaces.weights_interval is not None:
            maps["weights_low"], maps["weights_high"] = spaces.weights_interval
        maps["split_r"] = spaces.split_r
        if spaces.partition:
            maps["partition"] = np.stack(list(spaces.partition.values()))
        return {name: values for name, values in maps.items() if values is not None}
