"""Figure kind ``map``: r of every voxel."""

from __future__ import annotations

from typing import Literal

import numpy as np

from voxelzoo.recipes.figures.base import LayerFigure
from voxelzoo.recipes.figures.inputs import FigureInputs
from voxelzoo.recipes.figures.result import FigureError, FigureResult
from voxelzoo.recipes.figures.run_results import at_layer, mean_or_none, rows_by_region


class VoxelMap(LayerFigure):
    """r of every voxel, with its mean and its best voxel, by subject and region."""

    kind: Literal["map"]

    def compute(self, inputs: FigureInputs) -> FigureResult:
        """A map for each model and subject, and a row for each region of it."""
        numbers = FigureResult()
        best, means, n_voxels = [], [], 0
        for model, results in self.available(inputs, numbers).items():
            layer = self.layer_of(inputs, model, results)
            for subject, result in at_layer(model, results, layer).items():
                r = self.r(inputs, result)
                mean = mean_or_none(r)
                if mean is None:
                    raise FigureError(f"no voxel of {subject} has a defined score")
                numbers.maps[f"r_{model}_{subject}"] = r
                numbers.rows.extend(
                    {"model": model, "layer": layer, "subject": subject, **row}
                    for row in rows_by_region(result, {"r": r})
                )
                best.append(float(np.nanmax(r)))
                means.append(mean)
                n_voxels += len(r)
        numbers.statistics |= {
            "mean_r": float(np.mean(means)),
            "best_voxel_r": max(best),
            "n_voxels": n_voxels,
        }
        return numbers
