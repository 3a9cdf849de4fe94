"""From results in a store to points of a scaling law: which are comparable, and at which layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, NotFoundError, UsageError
from voxelzoo.science.regions import EVERYWHERE, region_masks
from voxelzoo.science.scaling import Measured
from voxelzoo.science.scores import signed_square
from voxelzoo.store.records import ResultRecord
from voxelzoo.store.results import Result

Floats = NDArray[np.floating[Any]]


Chooser = Literal["auto", "cv_r", "r"]


Metric = Literal["r", "signed_r2"]


SAME = (
    "dataset",
    "untrained",
    "protocol",
    "kind",
    "test_stories",
    "n_folds",
    "gap_trs",
    "regressor",
    "regressor_options",
    "aligner",
    "delays",
    "shift",
)
"""What results must have in common to lie on one curve."""


@dataclass(frozen=True)
class Setting:
    """One point of a curve before a layer is chosen: a model and what it was trained on."""

    model: str
    n_parameters: int | None
    n_stories: float | None
    subset_seed: int | None
    hours: float | None

    @classmethod
    def of(cls, record: ResultRecord) -> Setting:
        """A result's; where subjects train on stories of their own, in the mean over subjects."""
        return cls(
            record.model,
            record.n_parameters,
            record.mean_train_stories or record.n_train_stories,
            record.subset_seed,
            record.mean_train_hours or record.train_hours,
        )


@dataclass(frozen=True)
class Cell:
    """Results of one setting: by layer, then by subject."""

    setting: Setting
    layers: Mapping[int, Mapping[str, Result]]


@dataclass(frozen=True)
class Chosen:
    """A setting at the layer that stands for it."""

    setting: Setting
    layer: int
    by: str
    """How the layer was chosen, in words."""
    results: Mapping[str, Result]
    """By subject."""


def select(
    artefacts: Sequence[Result],
    *,
    family: str | None = None,
    models: Sequence[str] = (),
    dataset: str | None = None,
    subjects: Sequence[str] = (),
    untrained: bool | None = None,
    protocol: str | None = None,
) -> list[Result]:
    """Results of single layers that fit; :class:`NotFoundError` where none does."""
    found = []
    for artefact in artefacts:
        record = artefact.record
        if (
            record.layer is not None
            and family in (None, record.family)
            and (not models or record.model in models or record.model_id in models)
            and dataset in (None, record.dataset)
            and (not subjects or record.subject in subjects)
            and untrained in (None, record.untrained)
            and protocol in (None, record.protocol)
        ):
            found.append(artefact)
    if not found:
        raise NotFoundError("the store has no such result; `zoo results list` shows what it has")
    return found


def check_comparable(artefacts: Sequence[Result]) -> None:
    """:class:`UsageError` that names what differs, where results do not belong on one curve."""
    options = {
        "dataset": "--dataset",
        "untrained": "--untrained or --trained",
        "protocol": "--protocol",
    }
    for name in SAME:
        values = list(dict.fromkeys(_said(getattr(each.record, name)) for each in artefacts))
        if len(values) > 1:
            say = options.get(name)
            mend = f"say {say}" if say else "keep them in stores of their own"
            raise UsageError(
                f"these results differ in {name} ({', '.join(values[:3])}), so they are not one "
                f"curve: {mend}"
            )


def _said(value: Any) -> str:
    """A setting in words; settings of a tool as they are typed, ``none`` where there are none."""
    if isinstance(value, Mapping):
        value = ",".join(f"{name}={value[name]}" for name in sorted(value))
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    return str(value) if value not in (None, "") else "none"


def cells(artefacts: Sequence[Result]) -> tuple[list[Cell], list[str]]:
    """Results by setting, layer and subject, and notes of what was left out.

    Of two results of the same setting, layer and subject the newer is taken. A layer must have the
    same subjects as every other.
    """
    grouped: dict[Setting, dict[int, dict[str, Result]]] = {}
    replaced = 0
    for artefact in artefacts:
        record = artefact.record
        if record.layer is None:
            continue
        place = grouped.setdefault(Setting.of(record), {}).setdefault(record.layer, {})
        replaced += record.subject in place
        place[record.subject] = artefact
    every = {s for layers in grouped.values() for each in layers.values() for s in each}
    common = sorted(
        s for s in every if all(s in e for layers in grouped.values() for e in layers.values())
    )
    if not common:
        raise DataError("no subject has results of all these models and layers; run the missing")
    notes = []
    if replaced:
        notes.append(f"{replaced} older results of the same model, layer and subject left out")
    if left := sorted(every - set(common)):
        notes.append(f"subjects {', '.join(left)} left out: not all models and layers have them")
    made = [
        Cell(setting, {layer: {s: layers[layer][s] for s in common} for layer in sorted(layers)})
        for setting, layers in grouped.items()
    ]
    return made, notes


def mean_score(results: Mapping[str, Result], name: str = "mean_r") -> float:
    """Mean over subjects of a score of the record; NaN where a subject has none."""
    values = [getattr(artefact.record.scores, name) for artefact in results.values()]
    return float(np.mean([np.nan if value is None else value for value in values]))


def choose_layer(cell: Cell, layer: int | None = None, by: Chooser = "auto") -> Chosen:
    """The layer that stands for a model.

    ``cv_r`` is the out-of-fold correlation within the training data, which no held-out row has
    seen; choosing by ``r`` itself is optimistic, and is labelled so. ``auto`` takes ``cv_r`` where
    every layer has it. Scores are means over voxels, then over subjects.
    """
    if layer is not None:
        if layer not in cell.layers:
            raise NotFoundError(
                f"{cell.setting.model} has no result of layer {layer}; it has "
                f"{', '.join(map(str, cell.layers))}"
            )
        return Chosen(cell.setting, layer, "as asked", cell.layers[layer])
    if len(cell.layers) == 1:
        (only,) = cell.layers
        return Chosen(cell.setting, only, "the only one", cell.layers[only])
    inner = {n: mean_score(results, "mean_cv_r") for n, results in cell.layers.items()}
    honest = all(np.isfinite(value) for value in inner.values())
    if by == "cv_r" and not honest:
        raise DataError(
            f"{cell.setting.model}: not every layer has a cv_r; use a regressor that gives it "
            "(ridge does), or --by r"
        )
    use_r = by == "r" or not honest
    scores = {n: mean_score(results) for n, results in cell.layers.items()} if use_r else inner
    scores = {n: value for n, value in scores.items() if np.isfinite(value)}
    if not scores:
        raise DataError(f"{cell.setting.model}: no layer has a defined score")
    best = max(scores, key=lambda n: scores[n])
    said = "best held-out r (optimistic)" if use_r else "best cv_r within training data"
    return Chosen(cell.setting, best, said, cell.layers[best])


def best_layers(cell: Cell) -> list[dict[str, Any]]:
    """The best layer of each region, over all voxels first: by held-out r, and by cv_r.

    Scores are means over a region's voxels that are defined at every layer, then over subjects.
    ``layer_cv_r`` is chosen within the training data and ``r_of_layer_cv_r`` is what it gives held
    out; ``None`` where some layer has no cv_r.
    """
    layers = list(cell.layers)
    sums: dict[str, dict[str, list[Floats]]] = {}
    for subject in cell.layers[layers[0]]:
        results = [cell.layers[layer][subject] for layer in layers]
        held = np.stack([artefact.map("r") for artefact in results])
        honest = all("cv_r" in artefact.maps for artefact in results)
        inner = np.stack([a.map("cv_r") for a in results]) if honest else np.full_like(held, np.nan)
        defined = np.asarray(np.isfinite(held).all(axis=0))
        if honest:
            defined &= np.isfinite(inner).all(axis=0)
        labels = results[0].labels
        for region, mask in region_masks(labels, len(defined)).items():
            mask &= defined
            if mask.any():
                means = sums.setdefault(region, {"r": [], "cv_r": []})
                means["r"].append(held[:, mask].mean(axis=1))
                means["cv_r"].append(inner[:, mask].mean(axis=1))
    rows = []
    for region, means in sums.items():
        r, cv_r = (np.mean(means[name], axis=0) for name in ("r", "cv_r"))
        honest = bool(np.isfinite(cv_r).all())
        by_r, by_cv = int(r.argmax()), int(cv_r.argmax()) if honest else None
        rows.append(
            {
                "model": cell.setting.model,
                "region": region,
                "layer_r": layers[by_r],
                "r": float(r[by_r]),
                "layer_cv_r": None if by_cv is None else layers[by_cv],
                "r_of_layer_cv_r": None if by_cv is None else float(r[by_cv]),
            }
        )
    return rows


@dataclass(frozen=True)
class Curve:
    """Points of a scaling law, in order of size."""

    points: Sequence[Chosen]
    measured: Measured
    regions: Mapping[str, Sequence[NDArray[np.bool_]]]
    """For each region and subject: which of the measured voxels (voxel,) are in it."""
    voxels: Sequence[NDArray[np.intp]]
    """For each subject: places of the measured voxels among all."""
    n_voxels: Sequence[int]
    """For each subject: how many there are in all."""
    subjects: Sequence[str]

    def of_region(self, region: str) -> Floats:
        """Performance in a region, (point,): over its voxels, then subjects who have it."""
        means = [
            each[:, mask].mean(axis=1, dtype=np.float64)
            for each, mask in zip(self.measured.r, self.regions[region], strict=True)
            if mask.any()
        ]
        return np.asarray(np.mean(means, axis=0))

    def whole(self, subject: int, values: Floats) -> Floats:
        """A map of measured voxels spread over all of them, NaN elsewhere."""
        found = np.full(self.n_voxels[subject], np.nan)
        found[self.voxels[subject]] = values
        return found


def make_curve(points: Sequence[Chosen], x: Sequence[float], metric: Metric = "r") -> Curve:
    """Reads scores of every point; only voxels that are defined at all points count.

    ``x`` is ``log10`` of each point's size. Points of one model and ``x`` differ in their training
    subset alone.
    """
    order = np.argsort(x, kind="stable")
    points = [points[i] for i in order]
    subjects = list(points[0].results)
    maps, parts, voxels, totals = [], [], [], []
    regions: dict[str, list[NDArray[np.bool_]]] = {}
    names: list[list[str] | None] = []
    for subject in subjects:
        results = [point.results[subject] for point in points]
        rows = [artefact.map("r") for artefact in results]
        if len({len(row) for row in rows}) > 1:
            raise DataError(f"subject {subject!r} has a different number of voxels in some results")
        r = np.stack(rows)
        defined = np.flatnonzero(np.isfinite(r).all(axis=0))
        if not len(defined):
            raise DataError(f"subject {subject!r} has no voxel that is defined at every point")
        maps.append(_scored(r[:, defined], metric))
        voxels.append(defined)
        totals.append(r.shape[1])
        held = list(results[0].held_out)
        if held and all(list(artefact.held_out) == held for artefact in results):
            means = [[_part(a, name, defined, metric) for name in held] for a in results]
            parts.append(np.array(means))
        labels = results[0].labels
        names.append(labels)
    every = list(dict.fromkeys(label for labels in names if labels for label in labels))
    for region in [EVERYWHERE, *every]:
        regions[region] = [
            np.ones(len(where), dtype=np.bool_)
            if region == EVERYWHERE
            else np.asarray(labels)[where] == region
            if labels
            else np.zeros(len(where), dtype=np.bool_)
            for labels, where in zip(names, voxels, strict=True)
        ]
    regions = {name: masks for name, masks in regions.items() if any(m.any() for m in masks)}
    usable = len(parts) == len(subjects) and all(np.isfinite(each).all() for each in parts)
    at = np.asarray(x, float)[order]
    alike = [(point.setting.model, size) for point, size in zip(points, at, strict=True)]
    groups = np.array([alike.index(each) for each in alike])
    measured = Measured(at, maps, parts if usable else None, groups)
    return Curve(points, measured, regions, voxels, totals, subjects)


def _scored(r: Floats, metric: Metric) -> Floats:
    return signed_square(r) if metric == "signed_r2" else r


def _part(artefact: Result, name: str, voxels: NDArray[np.intp], metric: Metric) -> float:
    """Mean score over some voxels in one held-out story or fold."""
    return float(np.nanmean(_scored(artefact.held_out[name].r[voxels], metric)))
