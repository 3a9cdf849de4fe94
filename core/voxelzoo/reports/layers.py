"""What each way to choose a layer gives, for the results of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from voxelzoo.science.layers import choose_layers_by
from voxelzoo.store.results import Result


def layer_choices(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Records of every way to choose a layer, for each model and subject with several layers.

    ``chosen_on`` is ``training`` or ``test`` (optimistic); ``per`` is ``model`` or ``voxel``;
    ``layer`` is ``None`` where each voxel has its own; ``mean_r`` is over voxels with a defined
    score at every layer. A regressor without out-of-fold scores has no ``training`` record.
    """
    grouped: dict[tuple[str, str], dict[int, Result]] = {}
    for result in results:
        record = result.record
        if record.layer is not None:
            of = grouped.setdefault((record.model_id, record.subject), {})
            of[record.layer] = result
    return [choice for layers in grouped.values() if len(layers) > 1 for choice in _choices(layers)]


def _choices(results: Mapping[int, Result]) -> list[dict[str, Any]]:
    layers = sorted(results)
    test = np.stack([results[layer].map("r") for layer in layers])
    sources = {"test": test}
    if all("cv_r" in results[layer].maps for layer in layers):
        sources = {"training": np.stack([results[n].map("cv_r") for n in layers]), **sources}
    defined = np.logical_and.reduce([np.isfinite(each).all(axis=0) for each in sources.values()])
    if not defined.any():
        return []
    record = results[layers[0]].record
    rows = []
    for source, scores in sources.items():
        for per in ("model", "voxel"):
            choice = choose_layers_by(scores[:, defined], test[:, defined], per)
            rows.append(
                {
                    "model": record.model,
                    "subject": record.subject,
                    "chosen_on": source,
                    "optimistic": source == "test",
                    "per": per,
                    "layer": layers[choice.layer[0]] if per == "model" else None,
                    "mean_r": float(choice.r.mean()),
                }
            )
    return rows
