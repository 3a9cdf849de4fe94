"""What figures read from results of a run, and means over regions of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from voxelzoo.recipes.figures.result import FigureError, Row
from voxelzoo.recipes.recipe_runs import RunResults
from voxelzoo.science.arrays import Floats
from voxelzoo.science.regions import finite_mean, label_masks
from voxelzoo.store.results import Result


def layers_of(results: RunResults) -> list[int]:
    """Layers of a run, in order."""
    return sorted({layer for _, layer in results if layer is not None})


def at_layer(model: str, results: RunResults, layer: int) -> dict[str, Result]:
    """Results of one layer by subject.

    Raises
    ------
    FigureError
        If the run has no such layer.
    """
    by_subject = {subject: each for (subject, of), each in results.items() if of == layer}
    if not by_subject:
        raise FigureError(f"{model} has no layer {layer}")
    return by_subject


def read_r(result: Result, story: str | None = None) -> Floats:
    """r of each voxel, (voxel,), over all held-out stories or on one of them.

    Raises
    ------
    FigureError
        If that story was not held out.
    """
    if story is None:
        return result.map("r")
    if story not in result.stories:
        raise FigureError(f"story {story!r} was not held out")
    return result.story(story).r


def rows_by_region(result: Result, maps: Mapping[str, Floats]) -> list[Row]:
    """Means of maps over all voxels, then over the voxels of each region.

    Parameters
    ----------
    result : Result
        A result, whose region labels are used.
    maps : mapping of str to (voxel,)
        Values by name. Only finite values count.

    Returns
    -------
    list of dict
        A row for each region, with ``mean_NAME`` for each map.
    """
    regions = {"all": np.ones(result.record.n_voxels, dtype=np.bool_)}
    return [
        {
            "region": region,
            "n_voxels": int(mask.sum()),
            **{f"mean_{name}": mean_or_none(values[mask]) for name, values in maps.items()},
        }
        for region, mask in (regions | label_masks(result.labels)).items()
    ]


def mean_or_none(values: Floats) -> float | None:
    """Mean of the finite values, whatever the shape; ``None`` if there are none."""
    mean = finite_mean(values)
    return None if np.isnan(mean) else mean


def mean_over_known(values: list[float | None]) -> float | None:
    """Mean of the values that are not ``None``; ``None`` if there are none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
