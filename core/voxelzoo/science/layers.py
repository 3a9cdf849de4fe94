"""Which layer to report: one chosen within the training data, or the optimistic best.

If the layer with the best score on the test stories is chosen, that score is biased upwards: more
so with more layers, and in small regions. If the layer is chosen by out-of-fold scores within the
training data (``cv_r``), its test score is unbiased.

References
----------
Hsu, J. C. (1996). Multiple comparisons: theory and methods. Chapman & Hall, chapter 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from voxelzoo.errors import UsageError
from voxelzoo.science.arrays import Floats, Rows
from voxelzoo.science.bootstrap import LEVEL, N_DRAWS, TRS_PER_BLOCK, region_draws
from voxelzoo.science.held_out import HeldOut
from voxelzoo.science.layer_choice import best_layer, layer_means
from voxelzoo.science.regions import region_mean

Per = Literal["model", "voxel"]
"""One layer for the whole model, or one for each voxel."""


@dataclass(frozen=True)
class LayerChoice:
    """A layer for each voxel, and its score on the test data.

    Parameters
    ----------
    layer : ndarray of int, shape (voxel,)
        Position of the layer.
    r : ndarray of shape (voxel,)
        Test score at that layer; NaN where undefined.
    """

    layer: Rows
    r: Floats


def choose_layers_by(scores: Floats, test: Floats, per: Per) -> LayerChoice:
    """Chooses the layer that is best by some scores, and reports its test score.

    Parameters
    ----------
    scores : ndarray of shape (layer, voxel)
        Scores that decide.
    test : ndarray of shape (layer, voxel)
        Scores on the test data.
    per : {"model", "voxel"}
        ``"model"``: one layer, with the best mean score; :mod:`voxelzoo.science.layer_choice`
        says over which voxels. ``"voxel"``: the best layer of each voxel.

    Returns
    -------
    LayerChoice

    Raises
    ------
    UsageError
        If ``per`` is something else.

    Examples
    --------
    >>> import numpy as np
    >>> cv_r = np.array([[0.1, 0.3], [0.2, 0.1]])
    >>> test_r = np.array([[0.15, 0.25], [0.18, 0.12]])
    >>> choose_layers_by(cv_r, test_r, per="voxel").r
    array([0.18, 0.25])
    >>> choose_layers_by(cv_r, test_r, per="model").r
    array([0.15, 0.25])
    """
    if per not in ("model", "voxel"):
        raise UsageError(f"layers are chosen per 'model' or per 'voxel', not {per!r}")
    voxels = np.arange(scores.shape[1])
    layer: Rows = np.nan_to_num(scores, nan=-np.inf).argmax(axis=0)
    if per == "model":
        best = best_layer(layer_means(scores)[:, None]) or 0
        layer = np.full(len(voxels), best)
    return LayerChoice(layer, test[layer, voxels])


@dataclass(frozen=True)
class LayerSet:
    """Layers that are not significantly worse than the best, in one region.

    Parameters
    ----------
    best : int
        The layer with the highest mean r.
    layers : tuple of int
        All layers that may be the best, in order.
    level : float
        Probability that the truly best layer is among them.
    """

    best: int
    layers: tuple[int, ...]
    level: float


def layer_sets(
    results: Mapping[int, Sequence[HeldOut]],
    *,
    level: float = LEVEL,
    n_draws: int = N_DRAWS,
    block: int = TRS_PER_BLOCK,
    seed: int = 0,
) -> dict[str, LayerSet]:
    """The layers that may be the best, for each region: multiple comparisons with the best.

    A layer is excluded if the margin by which the best layer exceeds it is larger than the
    ``level`` quantile of the largest bootstrap error of any such margin (Hsu 1996). The truly best
    layer is then in the set with probability ``level``, whichever it is. Bootstrap draws are over
    blocks of time and are paired between layers.

    Parameters
    ----------
    results : mapping of int to sequence of HeldOut
        Held-out predictions by layer, one for each subject, in the same order. Regions are means
        over voxels, then over subjects.
    level : float, default 0.95
        Probability that the set has the truly best layer.
    n_draws : int, default 1000
        Number of draws.
    block : int, default 10
        TRs per block.
    seed : int, default 0
        Seed of the draws.

    Returns
    -------
    dict of str to LayerSet
        Without regions in which a layer is undefined.
    """
    layers = sorted(results)
    r: dict[str, list[float]] = {}
    draws: dict[str, list[Floats]] = {}
    for layer in layers:
        of_subjects = [
            region_draws(each, block=block, n_draws=n_draws, seed=seed + subject)
            for subject, each in enumerate(results[layer])
        ]
        for region in of_subjects[0]:
            means = [region_mean(each.r, each.regions[region]) for each in results[layer]]
            r.setdefault(region, []).append(float(np.mean(means)))
            mean_draws = np.mean([each[region] for each in of_subjects], axis=0)
            draws.setdefault(region, []).append(mean_draws)
    return {
        region: _layer_set(layers, np.array(means), np.stack(draws[region]), level)
        for region, means in r.items()
        if np.isfinite(draws[region]).all()
    }


def _layer_set(layers: Sequence[int], r: Floats, draws: Floats, level: float) -> LayerSet:
    """The set for one region, from its mean r (layer,) and draws of it (layer, draw)."""
    kept = []
    for i, layer in enumerate(layers):
        margin = r - r[i]
        error = (draws - draws[i] - margin[:, None]).max(axis=0)
        if margin.max() <= np.quantile(error, level):
            kept.append(layer)
    return LayerSet(layers[int(r.argmax())], tuple(kept), level)
