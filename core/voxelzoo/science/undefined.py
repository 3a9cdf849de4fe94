"""Why voxels have no defined r: nothing to predict, nothing fitted, or nothing that varies."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from voxelzoo.science.scores import Scores
from voxelzoo.science.voxel_arrays import voxel_blocks

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "undefined_response": "held-out responses do not vary or are not finite",
        "not_fitted": "training responses do not vary or are not finite",
        "constant_prediction": "predictions do not vary: the features are constant over time, as "
        "at a constant word rate, or the penalty left nothing of them",
    }
)
"""Every reason, and what it means."""


def why_undefined(scores: Scores) -> dict[str, int]:
    """How many voxels have no defined r, by reason.

    Parameters
    ----------
    scores : Scores
        Scores of one fit.

    Returns
    -------
    dict of str to int
        Voxels by the first of :data:`REASONS` that holds; only reasons of some voxel.
    """
    undefined = ~np.isfinite(scores.r)
    if not undefined.any():
        return {}
    parts = list(scores.parts.values())
    # r of stories is over all of them, concatenated; r of folds needs each of them to vary.
    together = np.all if scores.kind == "stories" else np.any
    counts = dict.fromkeys(REASONS, 0)
    for block in voxel_blocks(parts[0].response):
        if not (asked := undefined[block]).any():
            continue
        responses = [np.asarray(part.response[:, block])[:, asked] for part in parts]
        predictions = [np.asarray(part.prediction[:, block])[:, asked] for part in parts]
        missing = ~np.all([np.isfinite(each).all(axis=0) for each in responses], axis=0)
        unfitted = ~np.all([np.isfinite(each).all(axis=0) for each in predictions], axis=0)
        with np.errstate(invalid="ignore"):
            flat = together([np.ptp(each, axis=0) == 0 for each in responses], axis=0)
        left = np.ones(int(asked.sum()), dtype=np.bool_)
        for reason, holds in (
            ("undefined_response", missing | flat),
            ("not_fitted", unfitted),
            ("constant_prediction", left.copy()),
        ):
            counts[reason] += int((left & holds).sum())
            left &= ~holds
    return {reason: n for reason, n in counts.items() if n}
