"""Scores over the layers of a model, and the best layer of each region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from voxelzoo.reports.control_table import ControlTable
from voxelzoo.reports.curves import Cell, layer_scores, mean_score
from voxelzoo.reports.options import SignificanceOptions
from voxelzoo.reports.report import Report, Row
from voxelzoo.science.arrays import Floats
from voxelzoo.science.layer_choice import best_layer
from voxelzoo.science.layers import choose_layers_by, layer_sets
from voxelzoo.science.regions import region_masks
from voxelzoo.store.layout import PREDICTIONS
from voxelzoo.store.results import Result
from voxelzoo.text import number


@dataclass(frozen=True)
class LayerScore:
    """Scores of one layer of one model: means over voxels, then over subjects."""

    model: str
    layer: int
    depth: float
    """Layer divided by the last layer: 0 to 1."""
    n_subjects: int
    mean_r: float | None
    se: float | None
    """Standard error of ``mean_r`` over subjects; ``None`` for one subject."""
    mean_cv_r: float | None
    best_r: bool
    """Whether it has the highest ``mean_r``: an optimistic choice."""
    best_cv_r: bool
    """Whether it has the highest ``mean_cv_r``, which no held-out data has chosen."""


@dataclass(frozen=True)
class BestLayer:
    """The best layer of one region. Scores are means over voxels, then over subjects."""

    model: str
    region: str
    layer_r: int
    """The layer with the highest held-out r: an optimistic choice."""
    r: float
    layer_cv_r: int | None
    """The layer with the highest cv_r; ``None`` if some layer has none."""
    r_of_layer_cv_r: float | None
    """Held-out r of that layer."""
    may_be_best: tuple[int, ...] | None = None
    """Layers not significantly worse than the best (95 %), if predictions were kept."""


@dataclass(frozen=True)
class LayerCurves(Report):
    """Performance against depth, of every model."""

    layers: Sequence[LayerScore]
    best: Sequence[BestLayer]
    """For each model of several layers, all voxels first, then each region."""
    controls: ControlTable
    notes: Sequence[str]
    """What was skipped, in words."""

    def record(self) -> dict[str, Any]:
        """``layers``, ``best``, ``controls`` and ``absent_controls`` as JSON values."""
        best = [
            {**vars(each), "r": number(each.r), "r_of_layer_cv_r": number(each.r_of_layer_cv_r)}
            for each in self.best
        ]
        return {
            "layers": [dict(vars(each)) for each in self.layers],
            "best": [
                row | {"may_be_best": row["may_be_best"] and list(row["may_be_best"])}
                for row in best
            ],
            **self.controls.record(),
        }


def layer_rows(cell: Cell) -> list[LayerScore]:
    """Scores of every layer of one model, in order of depth."""
    layers, last = list(cell.layers), max(cell.layers)
    r, cv_r = layer_scores(cell), layer_scores(cell, "mean_cv_r")
    best_r, best_cv_r = best_layer(r), best_layer(cv_r)
    return [
        LayerScore(
            model=cell.setting.model,
            layer=layer,
            depth=number(layer / last) or 0.0 if last else 0.0,
            n_subjects=r.shape[1],
            mean_r=number(mean_score(cell.layers[layer])),
            se=number(own.std(ddof=1) / np.sqrt(len(own))) if len(own) > 1 else None,
            mean_cv_r=number(mean_score(cell.layers[layer], "mean_cv_r")),
            best_r=i == best_r,
            best_cv_r=i == best_cv_r,
        )
        for i, (layer, own) in enumerate(zip(layers, r, strict=True))
    ]


def best_rows(cell: Cell) -> list[BestLayer]:
    """The best layer of each region of one model.

    Scores are means over the voxels of a region that are defined at every layer, then over
    subjects.

    Parameters
    ----------
    cell : Cell
        Results of the model.

    Returns
    -------
    list of BestLayer
        All voxels first, then each region.
    """
    layers = list(cell.layers)
    may_be_best = _sets(cell)
    rows = []
    for region, (r, cv_r) in _region_scores(cell).items():
        means = r.mean(axis=1)
        best = best_layer(r)
        assert best is not None  # a region without a defined voxel has no row
        chosen = best_layer(cv_r) if np.isfinite(cv_r).all() else None
        rows.append(
            BestLayer(
                model=cell.setting.model,
                region=region,
                layer_r=layers[best],
                r=float(means[best]),
                layer_cv_r=None if chosen is None else layers[chosen],
                r_of_layer_cv_r=None if chosen is None else float(means[chosen]),
                may_be_best=may_be_best.get(region),
            )
        )
    return rows


def _region_scores(cell: Cell) -> dict[str, tuple[Floats, Floats]]:
    """For each region, mean r and cv_r (layer, subject) of the subjects who have it."""
    means: dict[str, list[tuple[Floats, Floats]]] = {}
    for subject in next(iter(cell.layers.values())):
        results = [of_subjects[subject] for of_subjects in cell.layers.values()]
        r = np.stack([result.map("r") for result in results])
        has_cv_r = all("cv_r" in result.maps for result in results)
        cv_r = np.stack([result.map("cv_r" if has_cv_r else "r") for result in results])
        defined = np.isfinite(r).all(axis=0) & np.isfinite(cv_r).all(axis=0)
        cv_r = cv_r if has_cv_r else np.full_like(r, np.nan)
        for region, mask in region_masks(results[0].labels, r.shape[1]).items():
            if (voxels := mask & defined).any():
                own = r[:, voxels].mean(axis=1), cv_r[:, voxels].mean(axis=1)
                means.setdefault(region, []).append(own)
    return {
        region: (np.stack([r for r, _ in own]).T, np.stack([cv_r for _, cv_r in own]).T)
        for region, own in means.items()
    }


def _sets(cell: Cell) -> dict[str, tuple[int, ...]]:
    """By region, the layers not significantly worse than the best; empty without predictions."""
    results = [result for of_subjects in cell.layers.values() for result in of_subjects.values()]
    if not all(PREDICTIONS in result.kept for result in results):
        return {}
    held_out = {n: [each.read_held_out() for each in of.values()] for n, of in cell.layers.items()}
    block = SignificanceOptions().at_tr(results[0].record.tr).block_trs
    return {region: each.layers for region, each in layer_sets(held_out, block=block).items()}


# ---------------------------------------------------------------------------- the results of a run


def layer_choices(results: Sequence[Result]) -> list[Row]:
    """What each way to choose a layer gives, for the results of a run.

    Parameters
    ----------
    results : sequence of Result
        Results of one run.

    Returns
    -------
    list of dict
        A row for each model and subject with several layers, and each way: ``chosen_on`` is
        ``training`` or ``test`` (``optimistic``); ``per`` is ``model`` or ``voxel``; ``layer`` is
        ``None`` if each voxel has its own; ``mean_r`` is the mean over voxels that are defined at
        every layer. Without out-of-fold scores there is no ``training``.
    """
    grouped: dict[tuple[str, str], dict[int, Result]] = {}
    for result in results:
        record = result.record
        if record.layer is not None:
            layers = grouped.setdefault((record.model_id, record.subject), {})
            layers[record.layer] = result
    return [choice for layers in grouped.values() if len(layers) > 1 for choice in _choices(layers)]


def _choices(results: Mapping[int, Result]) -> list[Row]:
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
                    "model_id": record.model_id,
                    "subject": record.subject,
                    "chosen_on": source,
                    "optimistic": source == "test",
                    "per": per,
                    "layer": layers[choice.layer[0]] if per == "model" else None,
                    "mean_r": float(choice.r.mean()),
                }
            )
    return rows
