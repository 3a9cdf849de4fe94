"""Which layer to report: chosen within the training data, beside the optimistic best.

The layer that scores best on the test stories has seen them: its score is biased up, the more so
the more layers there are and the smaller the region. Chosen by out-of-fold scores within the
training data (``cv_r``), the same test score is an honest estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.errors import UsageError
from voxelzoo.science.bootstrap import LEVEL, N_DRAWS, TRS_PER_BLOCK, region_draws
from voxelzoo.science.held_out import HeldOut
from voxelzoo.science.regions import region_mean

Floats = NDArray[np.floating[Any]]


Per = Literal["model", "voxel"]


@dataclass(frozen=True)
class LayerChoice:
    """A layer for each voxel, and its score on the test data."""

    layer: NDArray[np.intp]
    """(voxel,) position of the layer."""
    r: Floats
    """(voxel,) test score at that layer; NaN where it is not defined."""


def choose_layers_by(scores: Floats, test: Floats, per: Per) -> LayerChoice:
    """The layer that is best by ``scores``, and what it gives on the test data.

    ``scores`` and ``test`` are (layer, voxel). ``per="model"`` takes one layer, that with the best
    mean over the voxels that every layer defines; ``per="voxel"`` one for each voxel.
    """
    if per not in ("model", "voxel"):
        raise UsageError(f"layers are chosen per 'model' or per 'voxel', not {per!r}")
    voxels = np.arange(scores.shape[1])
    layer: NDArray[np.intp] = np.nan_to_num(scores, nan=-np.inf).argmax(axis=0)
    if per == "model":
        defined = np.isfinite(scores).all(axis=0)
        best = scores[:, defined].mean(axis=1).argmax() if defined.any() else 0
        layer = np.full(len(voxels), best)
    return LayerChoice(layer, test[layer, voxels])


@dataclass(frozen=True)
class LayerSet:
    """Layers of which none is shown to be worse than the best, in one region."""

    best: int
    """The layer with the highest mean r."""
    layers: tuple[int, ...]
    """All that may be the best, in order."""
    level: float


def layer_sets(
    results: Mapping[int, Sequence[HeldOut]],
    *,
    level: float = LEVEL,
    n_draws: int = N_DRAWS,
    block: int = TRS_PER_BLOCK,
    seed: int = 0,
) -> dict[str, LayerSet]:
    """By region, the layers that may be the best: the truly best one is among them with
    probability ``level``, whichever it is.

    ``results`` are held-out predictions by layer, one for each subject, in the same order; regions
    are means over voxels, then over subjects. A layer is left out where the others' lead over it
    is larger than what blocks of time, drawn with replacement, make of no lead at all: multiple
    comparisons with the best (Hsu 1996), the layers' draws being paired.
    """
    layers = sorted(results)
    r: dict[str, list[float]] = {}
    drawn: dict[str, list[Floats]] = {}
    for layer in layers:
        draws = [
            region_draws(each, block=block, n_draws=n_draws, seed=seed + subject)
            for subject, each in enumerate(results[layer])
        ]
        for region in draws[0]:
            of_subjects = [region_mean(each.r, each.regions[region]) for each in results[layer]]
            r.setdefault(region, []).append(float(np.mean(of_subjects)))
            drawn.setdefault(region, []).append(np.mean([each[region] for each in draws], axis=0))
    found = {}
    for region, means in r.items():
        mean, draw = np.array(means), np.stack(drawn[region])
        if not np.isfinite(draw).all():
            continue
        kept = []
        for i, layer in enumerate(layers):
            lead, of_draws = mean - mean[i], draw - draw[i]
            noise = (of_draws - lead[:, None]).max(axis=0)
            if lead.max() <= np.quantile(noise, level):
                kept.append(layer)
        found[region] = LayerSet(layers[int(mean.argmax())], tuple(kept), level)
    return found
