"""Figure kind ``ceiling``: noise ceiling, and how near to it a model predicts."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.recipes.figures.base import LayerFigure
from voxelzoo.recipes.figures.inputs import FigureInputs
from voxelzoo.recipes.figures.result import FigureResult
from voxelzoo.recipes.figures.run_results import (
    at_layer,
    mean_or_none,
    mean_over_known,
    read_r,
    rows_by_region,
)
from voxelzoo.science.ceilings import headroom
from voxelzoo.science.scores import normalised
from voxelzoo.store.results import Result


class CeilingMap(LayerFigure):
    """Noise ceiling, r divided by it, and headroom (ceiling minus r), by voxel and by region.

    All are over the same test story: ``story``, or else the one with the most repeats. ``mean_r``
    is over every test story if none is named, ``mean_r_repeated`` over the ceiling's. The last two
    maps are shown only for voxels whose ceiling is above ``least_ceiling``.
    """

    kind: Literal["ceiling"]

    def mask(self, inputs: FigureInputs, result: Result) -> NDArray[np.bool_]:
        """Voxels of the figure's region, (voxel,), whatever their ceiling."""
        return self.region_mask(result)

    def compute(self, inputs: FigureInputs) -> FigureResult:
        """Three maps for each model and subject, and a row for each region of them."""
        numbers = FigureResult()
        totals: dict[str, list[float | None]] = {}
        for model, results in self.available(inputs, numbers).items():
            layer = self.layer_of(inputs, model, results)
            for subject, result in at_layer(model, results, layer).items():
                r, ceiling = self.r(inputs, result), self.ceiling(inputs, result)
                story = self.story or inputs.repeated_story(subject)
                r_repeated = np.where(self.mask(inputs, result), read_r(result, story), np.nan)
                shown = ceiling > (self.least_ceiling or 0.0)
                maps = {
                    "ceiling": ceiling,
                    "normalised_r": np.where(shown, normalised(r_repeated, ceiling), np.nan),
                    "headroom": np.where(shown, headroom(r_repeated, ceiling), np.nan),
                }
                numbers.maps |= {f"{name}_{model}_{subject}": each for name, each in maps.items()}
                numbers.rows.extend(
                    {"model": model, "layer": layer, "subject": subject, "story": story, **row}
                    for row in rows_by_region(result, {"r": r, "r_repeated": r_repeated, **maps})
                )
                for name, each in maps.items():
                    totals.setdefault(f"mean_{name}", []).append(mean_or_none(each))
                totals.setdefault("share_shown", []).append(float(np.mean(shown)))
        means = {name: mean_over_known(values) for name, values in totals.items()}
        numbers.statistics |= {name: mean for name, mean in means.items() if mean is not None}
        return numbers
