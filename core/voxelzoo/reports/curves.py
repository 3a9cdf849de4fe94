"""From results in a store to points of a curve: which are comparable, and at which layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, NotFoundError, UsageError
from voxelzoo.reports.options import Chooser, Metric
from voxelzoo.science.arrays import Floats
from voxelzoo.science.layer_choice import best_layer
from voxelzoo.science.regions import region_masks
from voxelzoo.science.scaling import Measured
from voxelzoo.science.scores import signed_square
from voxelzoo.store.records import ResultRecord
from voxelzoo.store.results import Result
from voxelzoo.text import counted, listed

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
"""Fields of the record that results on one curve have in common."""


REPLACED = ("options", "dtype", "first_token", "revision")
"""Fields of the record that are named where a newer result of a model replaces an older one."""


@dataclass(frozen=True)
class Setting:
    """One point of a curve before a layer is chosen: a model, and what it was trained on."""

    model: str
    n_parameters: int | None
    n_stories: float | None
    """Training stories; the mean over subjects if they differ."""
    subset_seed: int | None
    """Seed with which the training stories were drawn; ``None`` if all were used."""
    hours: float | None
    """Scan time of the training stories; the mean over subjects if they differ."""

    @classmethod
    def of(cls, record: ResultRecord) -> Setting:
        """The setting of a result."""
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
    """A setting, and the layer that stands for it."""

    setting: Setting
    layer: int
    by: str
    """How the layer was chosen, in words."""
    results: Mapping[str, Result]
    """Results of the layer, by subject."""


# ------------------------------------------------------------------------------ comparable results


def select(
    results: Sequence[Result],
    *,
    family: str | None = None,
    models: Sequence[str] = (),
    dataset: str | None = None,
    subjects: Sequence[str] = (),
    untrained: bool | None = None,
    protocol: str | None = None,
) -> list[Result]:
    """Results of single layers that match.

    Parameters
    ----------
    results : sequence of Result
        All results.
    family, dataset, protocol : str, optional
        Only results with this value.
    models, subjects : sequence of str
        Only these models, by short or canonical name, and subjects; all if empty.
    untrained : bool, optional
        Only results of models with random weights, or only of trained ones.

    Raises
    ------
    NotFoundError
        If none matches.
    """
    selected = []
    for result in results:
        record = result.record
        if (
            record.layer is not None
            and family in (None, record.family)
            and (not models or record.model in models or record.model_id in models)
            and dataset in (None, record.dataset)
            and (not subjects or record.subject in subjects)
            and untrained in (None, record.untrained)
            and protocol in (None, record.protocol)
        ):
            selected.append(result)
    if not selected:
        raise NotFoundError("the store has no such result; `zoo results list` shows what it has")
    return selected


def check_comparable(results: Sequence[Result]) -> None:
    """Check that results can be points of one curve.

    Raises
    ------
    UsageError
        If they differ in one of :data:`SAME`; the message names it.
    """
    options = {"dataset": "--dataset", "untrained": "--untrained", "protocol": "--protocol"}
    for name in SAME:
        values = list(dict.fromkeys(_shown(getattr(each.record, name)) for each in results))
        if len(values) > 1:
            option = options.get(name)
            fix = f"choose with {option}" if option else "keep them in different stores"
            raise UsageError(
                f"these results differ in {name} ({', '.join(values[:3])}), so they cannot be on "
                f"one curve: {fix}"
            )


def _shown(value: Any) -> str:
    """A value of the record; options of a tool as they are typed."""
    if isinstance(value, Mapping):
        value = ",".join(f"{name}={value[name]}" for name in sorted(value))
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    return str(value) if value not in (None, "") else "none"


def cells(results: Sequence[Result]) -> tuple[list[Cell], list[str]]:
    """Results by setting, layer and subject.

    Of two results of the same setting, layer and subject the newer is used. Only subjects with
    results of every setting and layer are used.

    Parameters
    ----------
    results : sequence of Result
        Comparable results, oldest first.

    Returns
    -------
    cells : list of Cell
    notes : list of str
        A line on each kind of result that is not used.

    Raises
    ------
    DataError
        If no subject has results of every setting and layer.
    """
    grouped: dict[Setting, dict[int, dict[str, Result]]] = {}
    n_replaced, differing = 0, set[str]()
    for result in results:
        record = result.record
        if record.layer is None:
            continue
        place = grouped.setdefault(Setting.of(record), {}).setdefault(record.layer, {})
        if (older := place.get(record.subject)) is not None:
            n_replaced += 1
            old = older.record
            differing |= {name for name in REPLACED if getattr(old, name) != getattr(record, name)}
        place[record.subject] = result
    means = {each.record.subject for each in results if each.record.is_average}
    every = {s for layers in grouped.values() for each in layers.values() for s in each}
    common = sorted(
        s for s in every if all(s in e for layers in grouped.values() for e in layers.values())
    )
    if people := [s for s in common if s not in means]:
        common = people  # a mean over subjects is no further subject
    if not common:
        raise DataError(
            "no subject has results of all these models and layers; run those that are missing"
        )
    notes = []
    if n_replaced:
        skipped_results = counted(n_replaced, "older result")
        but = f", but differ in {listed(sorted(differing))}" if differing else ""
        notes.append(
            f"{skipped_results} skipped: newer ones have the same model, layer and subject{but}"
        )
    if len(common) != len(every) and (skipped := sorted(means - set(common))):
        notes.append(f"{listed(skipped)} skipped: a mean over subjects is no further subject")
    if others := sorted(every - set(common) - means):
        who = f"subject{'s' if len(others) > 1 else ''} {listed(others)}"
        notes.append(f"{who} skipped: not all models and layers were run for them")
    return [
        Cell(setting, {layer: {s: layers[layer][s] for s in common} for layer in sorted(layers)})
        for setting, layers in grouped.items()
    ], notes


# ------------------------------------------------------------------------------- choosing a layer


def mean_score(results: Mapping[str, Result], name: str = "mean_r") -> float:
    """Mean over subjects of one score of the record; NaN if a subject has none."""
    return float(np.mean([_score(result, name) for result in results.values()]))


def layer_scores(cell: Cell, name: str = "mean_r") -> Floats:
    """One score of the record, of every layer and subject.

    Returns
    -------
    (layer, subject)
        NaN where undefined.
    """
    return np.array(
        [[_score(r, name) for r in results.values()] for results in cell.layers.values()]
    )


def _score(result: Result, name: str) -> float:
    value = getattr(result.record.scores, name)
    return np.nan if value is None else float(value)


def choose_layer(cell: Cell, layer: int | None = None, by: Chooser = "auto") -> Chosen:
    """The layer that stands for a model.

    Parameters
    ----------
    cell : Cell
        Results of the model.
    layer : int, optional
        This layer.
    by : {"auto", "cv_r", "r"}
        If no layer is given, the score by which it is chosen: the mean over voxels, then over
        subjects. ``cv_r`` is the out-of-fold correlation within the training data. ``r`` is that
        of the held-out data, which is optimistic: the same data choose the layer and score it.
        ``auto`` is ``cv_r`` if every layer has one, else ``r``.

    Raises
    ------
    NotFoundError
        If there is no result of that layer.
    DataError
        If no layer has a score to choose by.

    See Also
    --------
    voxelzoo.science.layer_choice : which voxels, layers and subjects count.
    """
    layers = list(cell.layers)
    if layer is not None:
        if layer not in cell.layers:
            raise NotFoundError(
                f"{cell.setting.model} has no result of layer {layer}; it has {listed(layers)}"
            )
        return Chosen(cell.setting, layer, "as asked", cell.layers[layer])
    if len(layers) == 1:
        return Chosen(cell.setting, layers[0], "the only one", cell.layers[layers[0]])
    scores = layer_scores(cell, "mean_cv_r")
    has_cv_r = bool(np.isfinite(scores).all())
    if by == "cv_r" and not has_cv_r:
        raise DataError(
            f"{cell.setting.model}: not every layer has a cv_r; use a regressor that gives it "
            "(ridge does), or --by r"
        )
    use_r = by == "r" or not has_cv_r
    best = best_layer(layer_scores(cell) if use_r else scores)
    if best is None:
        raise DataError(f"{cell.setting.model}: no layer has a defined score")
    how = "best held-out r (optimistic)" if use_r else "best cv_r within training data"
    return Chosen(cell.setting, layers[best], how, cell.layers[layers[best]])


def choose_layers(
    cells: Sequence[Cell], layer: int | None = None, by: Chooser = "auto"
) -> list[Chosen]:
    """The layer that stands for each model; as :func:`choose_layer`."""
    return [choose_layer(cell, layer, by) for cell in cells]


def choose_one_layer(
    cells: Sequence[Cell], layer: int | None = None, by: Chooser = "auto"
) -> list[Chosen]:
    """The same layer for every amount of training data: the one chosen with the most data.

    Parameters
    ----------
    cells : sequence of Cell
        One model, trained on different amounts of data.
    layer, by
        As for :func:`choose_layer`.
    """
    if layer is None:
        most = max(cells, key=lambda cell: (cell.setting.hours or 0, cell.setting.n_stories or 0))
        layer = choose_layer(most, None, by).layer
    return choose_layers(cells, layer, by)


def every_layer(cells: Sequence[Cell]) -> list[Chosen]:
    """A point for every layer."""
    return [
        Chosen(cell.setting, layer, "each", results)
        for cell in cells
        for layer, results in cell.layers.items()
    ]


# ----------------------------------------------------------------------------- scores of all points


@dataclass(frozen=True)
class Curve:
    """Points of a scaling law, in order of size, with their scores."""

    points: Sequence[Chosen]
    measured: Measured
    regions: Mapping[str, Sequence[NDArray[np.bool_]]]
    """For each region and subject: which of the measured voxels (voxel,) are in it."""
    voxels: Sequence[NDArray[np.intp]]
    """For each subject: positions of the measured voxels among all."""
    n_voxels: Sequence[int]
    """For each subject: number of all voxels."""
    subjects: Sequence[str]

    @property
    def n_undefined(self) -> list[int]:
        """For each subject: voxels that are undefined at some point."""
        return [n - len(own) for n, own in zip(self.n_voxels, self.voxels, strict=True)]

    def of_region(self, region: str) -> Floats:
        """Performance in a region, (point,): the mean over its voxels, then over subjects."""
        means = [
            each[:, mask].mean(axis=1, dtype=np.float64)
            for each, mask in zip(self.measured.r, self.regions[region], strict=True)
            if mask.any()
        ]
        return np.asarray(np.mean(means, axis=0))

    def whole(self, subject: int, values: Floats) -> Floats:
        """Values of the measured voxels of one subject as a map of all voxels, NaN elsewhere."""
        full = np.full(self.n_voxels[subject], np.nan)
        full[self.voxels[subject]] = values
        return full


@dataclass(frozen=True)
class _SubjectScores:
    """Scores of one subject at every point."""

    r: Floats
    """(point, voxel), of the voxels that are defined at every point."""
    voxels: NDArray[np.intp]
    n_voxels: int
    parts: Floats | None
    """(point, part), mean over voxels in each held-out story or fold; ``None`` if these differ."""
    regions: Mapping[str, NDArray[np.bool_]]


def make_curve(points: Sequence[Chosen], x: Sequence[float], metric: Metric = "r") -> Curve:
    """Read the scores of every point.

    Only voxels that are defined at all points count. Points with the same model and ``x`` are taken
    to differ in the draw of their training stories.

    Parameters
    ----------
    points : sequence of Chosen
        Points with the same subjects.
    x : sequence of float
        ``log10`` of the size of each point.
    metric : {"r", "signed_r2"}
        Score of a voxel.

    Raises
    ------
    DataError
        If a subject's results have different numbers of voxels, or no voxel is defined in all.
    """
    order = np.argsort(x, kind="stable")
    points = [points[i] for i in order]
    subjects = list(points[0].results)
    scores = [_read_subject(subject, points, metric) for subject in subjects]
    names = dict.fromkeys(name for each in scores for name in each.regions)
    regions = {
        name: [
            each.regions.get(name, np.zeros(len(each.voxels), dtype=np.bool_)) for each in scores
        ]
        for name in names
    }
    parts = [each.parts for each in scores if each.parts is not None]
    usable = len(parts) == len(subjects) and all(np.isfinite(each).all() for each in parts)
    at = np.asarray(x, float)[order]
    alike = [(point.setting.model, size) for point, size in zip(points, at, strict=True)]
    groups = np.array([alike.index(each) for each in alike])
    return Curve(
        points,
        Measured(at, [each.r for each in scores], parts if usable else None, groups),
        {name: masks for name, masks in regions.items() if any(mask.any() for mask in masks)},
        [each.voxels for each in scores],
        [each.n_voxels for each in scores],
        subjects,
    )


def _read_subject(subject: str, points: Sequence[Chosen], metric: Metric) -> _SubjectScores:
    results = [point.results[subject] for point in points]
    maps = [result.map("r") for result in results]
    if len({len(each) for each in maps}) > 1:
        raise DataError(f"subject {subject!r} has a different number of voxels in some results")
    r = np.stack(maps)
    voxels = np.flatnonzero(np.isfinite(r).all(axis=0))
    if not len(voxels):
        raise DataError(f"subject {subject!r} has no voxel that is defined at every point")
    names, parts = list(results[0].held_out), None
    if names and all(list(result.held_out) == names for result in results):
        parts = np.array(
            [[_part(each, name, voxels, metric) for name in names] for each in results]
        )
    masks = region_masks(results[0].labels, r.shape[1])
    regions = {name: mask[voxels] for name, mask in masks.items()}
    return _SubjectScores(_scored(r[:, voxels], metric), voxels, r.shape[1], parts, regions)


def _scored(r: Floats, metric: Metric) -> Floats:
    return signed_square(r) if metric == "signed_r2" else r


def _part(result: Result, name: str, voxels: NDArray[np.intp], metric: Metric) -> float:
    """Mean score over some voxels in one held-out story or fold."""
    return float(np.nanmean(_scored(result.held_out[name].r[voxels], metric)))
