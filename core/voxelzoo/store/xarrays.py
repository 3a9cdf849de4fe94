"""Arrays of a result as labelled xarray objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xarray

    from voxelzoo.store.records import ResultRecord

NAMES = {
    "r": "Pearson r of predicted and measured responses",
    "signed_r2": "signed r squared, |r| r",
    "r2": "share of the variance predicted",
    "cv_r": "out-of-fold Pearson r within the training data",
    "ceiling": "noise ceiling of r",
    "r_repeated": "Pearson r over the stories that the noise ceiling is of",
    "r_normalised": "r over the stories that the noise ceiling is of, divided by it",
    "alpha": "penalty",
    "weights": "weight of each feature space",
    "weights_low": "weight of each feature space, lower end of the interval",
    "weights_high": "weight of each feature space, upper end of the interval",
    "split_r": "share of r of each feature space",
    "partition": "share of the variance that exactly these feature spaces predict",
    "prediction": "predicted response",
    "response": "measured response, mean over repeats",
    "coefficient": "weight of each delay and unit",
}
"""What arrays hold, in words."""


OF_CEILING = frozenset({"ceiling", "r_repeated", "r_normalised"})
"""Maps over the stories that the noise ceiling is of."""


STANDARDISED = "standard deviations"


def voxel_map(
    record: ResultRecord, labels: Sequence[str] | None, name: str, values: NDArray[Any]
) -> xarray.DataArray:
    """One map with its axes named: voxels, and feature spaces if there are several."""
    coords = _voxels(labels, record.n_voxels)
    if name == "partition":
        return _labelled(record, name, values, ("spaces", "voxel"), coords | _partition(record))
    spaces = {"space": list(record.spaces or ())}
    if name == "split_r":
        return _labelled(record, name, values, ("space", "voxel"), coords | spaces)
    if values.ndim == 2:
        return _labelled(record, name, values, ("voxel", "space"), coords | spaces)
    return _labelled(record, name, values, ("voxel",), coords)


def by_part(
    record: ResultRecord, labels: Sequence[str] | None, name: str, parts: Mapping[str, NDArray[Any]]
) -> xarray.DataArray:
    """(voxel,) or (TR, voxel) of every held-out story or fold, one along a new axis.

    Stories that are shorter than the longest are NaN after their end.

    Parameters
    ----------
    record : ResultRecord
        The result.
    labels : sequence of str or None
        Region of each voxel.
    name : str
        Name of the array.
    parts : mapping of str to ndarray
        (voxel,) or (TR, voxel) of each held-out story or fold.

    Returns
    -------
    DataArray
        (story, voxel) or (story, TR, voxel); of folds, ``fold`` instead of ``story``.
    """
    dim = "story" if record.kind == "stories" else "fold"
    coords = _voxels(labels, record.n_voxels) | {dim: list(parts)}
    arrays = list(parts.values())
    if arrays[0].ndim == 1:
        return _labelled(record, name, np.stack(arrays), (dim, "voxel"), coords)
    n_trs = max(map(len, arrays))
    values = np.full((len(arrays), n_trs, record.n_voxels), np.nan, dtype=arrays[0].dtype)
    for row, each in zip(values, arrays, strict=True):
        row[: len(each)] = each
    array = _labelled(record, name, values, (dim, "time", "voxel"), coords)
    array.attrs["units"] = STANDARDISED if record.standardised_responses else "as in the dataset"
    return _with_seconds(array, "time", np.arange(n_trs), record.tr)


def coefficients(
    record: ResultRecord, labels: Sequence[str] | None, voxels: slice, values: NDArray[Any]
) -> xarray.DataArray:
    """Weights (delay, unit, voxel) of some voxels."""
    coords = {
        name: (dim, np.asarray(each)[voxels])
        for name, (dim, each) in _voxels(labels, record.n_voxels).items()
    }
    array = _labelled(record, "coefficient", values, ("delay", "unit", "voxel"), coords)
    array = array.assign_coords(unit=np.arange(values.shape[1]))
    return _with_seconds(array, "delay", np.asarray(record.delays), record.tr)


def _voxels(labels: Sequence[str] | None, n_voxels: int) -> dict[str, Any]:
    coords: dict[str, Any] = {"voxel": ("voxel", np.arange(n_voxels))}
    return coords if labels is None else coords | {"region": ("voxel", np.asarray(labels))}


def _partition(record: ResultRecord) -> dict[str, Any]:
    return {"spaces": list(record.scores.mean_partition or {})}


def _labelled(
    record: ResultRecord,
    name: str,
    values: NDArray[Any],
    dims: tuple[str, ...],
    coords: Mapping[str, Any],
) -> xarray.DataArray:
    from xarray import DataArray

    attrs: dict[str, Any] = {
        "long_name": NAMES.get(name, name),
        "model": record.model,
        "subject": record.subject,
        "dataset": record.dataset,
    }
    if record.layer is not None:
        attrs["layer"] = record.layer
    if name in OF_CEILING and record.ceiling_stories:
        attrs["stories"] = list(record.ceiling_stories)
    if name not in ("alpha", "coefficient"):
        attrs["units"] = "1"
    return DataArray(values, dims=dims, coords=coords, name=name, attrs=attrs)


def _with_seconds(
    array: xarray.DataArray, dim: str, trs: NDArray[np.intp], tr: float | None
) -> xarray.DataArray:
    """A time axis in seconds; in TRs if the scanner's clock differs between stories."""
    array = array.assign_coords({dim: trs if tr is None else trs * tr})
    array[dim].attrs["units"] = "TR" if tr is None else "s"
    return array
