"""Figure kind ``inter-subject``: how well subjects predict each other."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.recipes.figures.base import BaseFigure
from voxelzoo.recipes.figures.inputs import FigureInputs
from voxelzoo.recipes.figures.result import FigureResult
from voxelzoo.recipes.figures.run_results import mean_or_none
from voxelzoo.science.inter_subject import inter_subject
from voxelzoo.science.regions import label_masks


class InterSubject(BaseFigure):
    """Ceiling from the other subjects: r of each subject with the mean of all others, by voxel.

    Voxels must correspond between subjects.
    """

    kind: Literal["inter-subject"]
    models: tuple[str, ...] = ()
    """A model whose results have the region labels; without it, there is a row for each voxel."""
    story: str
    """The story that every subject heard."""

    def uses_story(self, story: str) -> bool:
        """Whether the figure's numbers depend on a held-out story."""
        return self.story == story

    def compute(self, inputs: FigureInputs) -> FigureResult:
        """A map of the mean over subjects, and a row for each region."""
        r = inter_subject(inputs.responses(self.story, self.subjects))
        regions: dict[str, NDArray[Any]] = {}
        if self.models:
            results = self.results_of(inputs, self.models[0])
            regions |= label_masks(next(iter(results.values())).labels)
        if not regions:
            regions |= {f"voxel {i}": np.array([i]) for i in range(r.shape[1])}
        numbers = FigureResult(maps={"ceiling": r.mean(axis=0)})
        for name, voxels in regions.items():
            in_region = r[:, voxels]
            numbers.rows.append(
                {
                    "region": name,
                    "mean_ceiling": mean_or_none(in_region),
                    "least_ceiling": float(np.nanmin(in_region)),
                    "greatest_ceiling": float(np.nanmax(in_region)),
                    "n_subjects": len(r),
                }
            )
        numbers.statistics |= {"mean_ceiling": mean_or_none(r), "n_subjects": len(r)}
        return numbers
