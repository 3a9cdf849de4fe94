"""What feature spaces explain alone and together, and which layer to report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import UsageError

Floats = NDArray[np.floating[Any]]
Spaces = frozenset[str]


def subsets(names: Iterable[str]) -> list[Spaces]:
    """Every subset of the spaces but the empty one: the joint models a partition needs."""
    names = list(names)
    sizes = range(1, len(names) + 1)
    return [frozenset(s) for s in chain(*(combinations(names, n) for n in sizes))]


def variance_partition(explained: Mapping[Spaces, Floats]) -> dict[Spaces, Floats]:
    """Variance that exactly these spaces share, for each subset, from that of joint models.

    ``explained`` gives R2 (voxel,) of the model of each subset (:func:`subsets`). A part that is
    one space is what it alone explains; parts sum to the R2 of the model of all. By
    inclusion and exclusion; estimates can be below zero (de Heer et al. 2017).
    """
    names: Spaces = frozenset().union(*explained)
    every = subsets(names)
    missing = [s for s in every if s not in explained]
    if missing:
        raise UsageError(
            f"variance partitioning needs the model of {' + '.join(sorted(missing[0]))}"
        )
    none = np.zeros_like(explained[names])
    parts = {}
    for part in every:
        total = -explained.get(names - part, none)
        for inside in subsets(part):
            total = total - (-1) ** len(inside) * explained[(names - part) | inside]
        parts[part] = total
    return parts


@dataclass(frozen=True)
class LayerChoice:
    """A layer for each voxel, or one for all, and its scores on data that did not choose it."""

    chosen: NDArray[np.intp]
    """(voxel,) position of the layer, chosen on training folds alone."""
    nested: Floats
    """(voxel,) test score of the chosen layer: an honest estimate."""
    optimistic: Floats
    """(voxel,) test score of the layer that is best on the test data themselves: biased up."""


def choose_layer(
    training: Floats, test: Floats, per: Literal["voxel", "model"] = "model"
) -> LayerChoice:
    """Chooses layers by held-out training scores, and reports test scores both ways.

    ``training`` and ``test`` are (layer, voxel): the best cross-validated score of each layer's
    fit, and its score on test data. ``per="model"`` takes the layer with the best mean over the
    voxels that every layer defines. A voxel without a defined score is NaN.
    """
    if per not in ("voxel", "model"):
        raise UsageError(f"layers are chosen per 'voxel' or per 'model', not {per!r}")
    voxels = np.arange(training.shape[1])

    def best(scores: Floats) -> NDArray[np.intp]:
        if per == "voxel":
            found: NDArray[np.intp] = np.nan_to_num(scores, nan=-np.inf).argmax(axis=0)
            return found
        defined = np.isfinite(scores).all(axis=0)
        if not defined.any():
            return np.zeros(len(voxels), dtype=np.intp)
        return np.full(len(voxels), scores[:, defined].mean(axis=1).argmax())

    chosen = best(training)
    return LayerChoice(chosen, test[chosen, voxels], test[best(test), voxels])
