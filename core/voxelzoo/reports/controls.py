"""Controls beside a curve: what random weights, fewer features or a baseline predict.

A control is compared with a curve only if it has the curve's subjects, dataset, protocol, training
stories and fit. A missing control is listed with the command that creates it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voxelzoo.contract.specs import Control as ControlKind
from voxelzoo.errors import NotFoundError
from voxelzoo.host.zoo import Zoo
from voxelzoo.reports.curves import SAME, Cell, Chosen, Setting, choose_layer
from voxelzoo.science.durations import Delays
from voxelzoo.science.protocols import find_protocol
from voxelzoo.store.records import ResultRecord
from voxelzoo.store.results import Result

EXPECTED: tuple[ControlKind, ...] = ("timing", "position", "autocorrelation")
"""What a curve needs a baseline for: timing of words, place in the story, and how alike
neighbouring rows are."""


UNTRAINED = "untrained"


_WIDTH = ("width", "reduce", "seed")
"""Settings of a regressor that project a design onto fewer columns."""


_OPEN = {"untrained", "aligner", "regressor_options"}
"""Settings in which a control may differ from the curve; the last but for a width."""


@dataclass(frozen=True)
class Control:
    """One control's results in the settings of a curve's points, at a layer that stands for it."""

    kind: str
    """``untrained``, ``pca to 64``, or a baseline's name."""
    model: str
    points: Sequence[Chosen]
    seed: int | None = None
    """Of the projection that cut the features to a width; seeds of one width are one curve."""

    @property
    def name(self) -> str:
        """For people."""
        return self.kind if self.kind == self.model else f"{self.model}, {self.kind}"


def is_reduced(record: ResultRecord) -> bool:
    """Whether a result is of fewer columns than its model has: a width control, not the model."""
    return bool(record.regressor_options.get("width"))


def controls(
    every: Sequence[Result],
    points: Sequence[Chosen],
    choose: Callable[[Sequence[Cell]], Sequence[Chosen]],
    zoo: Zoo,
) -> list[Control]:
    """Every control of a curve that the store has.

    Of two results of the same setting, layer and subject the newer is taken.

    Parameters
    ----------
    every
        All results of the store, oldest first.
    points
        The curve.
    choose
        Picks the layers of networks, as the curve's were picked.
    zoo
        Its catalogue says which models are baselines.
    """
    baselines = _baselines(zoo)
    subjects = points[0].results
    example = next(iter(subjects.values())).record
    models = {point.setting.model for point in points}
    amounts = {(point.setting.n_stories, point.setting.subset_seed) for point in points}
    found: dict[tuple[str, str, int | None], dict[Setting, dict[int, dict[str, Result]]]] = {}
    for artefact in every:
        record = artefact.record
        kind = _kind(record, example, models, baselines)
        setting = Setting.of(record)
        if (
            kind is None
            or record.layer is None
            or record.scores.mean_r is None
            or record.subject not in subjects
            or (setting.n_stories, setting.subset_seed) not in amounts
            or any(getattr(record, n) != getattr(example, n) for n in SAME if n not in _OPEN)
        ):
            continue
        seed = record.regressor_options.get("seed", 0) if is_reduced(record) else None
        layers = found.setdefault((kind, record.model, seed), {}).setdefault(setting, {})
        layers.setdefault(record.layer, {})[record.subject] = artefact
    order = {point.setting.model: i for i, point in enumerate(points)}
    made = []
    for (kind, model, seed), settings in found.items():
        cells = [
            Cell(setting, whole)
            for setting, layers in settings.items()
            if (whole := {n: e for n, e in sorted(layers.items()) if len(e) == len(subjects)})
        ]
        try:
            own = kind == model
            chosen = [choose_layer(cell) for cell in cells] if own or not cells else choose(cells)
        except NotFoundError:
            continue  # the layer asked for is not among the control's
        if chosen:
            made.append(Control(kind, model, chosen, seed))
    return sorted(
        made,
        key=lambda each: (
            _rank(each.kind, baselines),
            each.kind,
            order.get(each.model, -1),
            each.seed or 0,
        ),
    )


def _baselines(zoo: Zoo) -> dict[str, ControlKind]:
    """Names of the models that are baselines, and what each controls for."""
    return {each.name: each.control for each in zoo.catalogue.entries if each.control is not None}


def _kind(
    record: ResultRecord, example: ResultRecord, models: set[str], baselines: Collection[str]
) -> str | None:
    """Which control of a curve a result is; ``None`` if it is none."""
    options = dict(record.regressor_options)
    width, reduce = options.get("width"), options.get("reduce", "pca")
    full = {name: value for name, value in options.items() if name not in _WIDTH}
    of_curve = dict(example.regressor_options)
    if full != {name: value for name, value in of_curve.items() if name not in _WIDTH}:
        return None
    alike = record.untrained == example.untrained
    if width is not None:
        reduced = record.model in models and alike and not is_reduced(example)
        return f"{reduce} to {width}" if reduced else None
    if record.model in models:
        return UNTRAINED if record.untrained and not alike else None
    return record.model if record.model in baselines else None


def _rank(kind: str, baselines: Mapping[str, ControlKind]) -> int:
    """Untrained networks first, expected baselines last and in their own order."""
    control = baselines.get(kind)
    return EXPECTED.index(control) + 2 if control in EXPECTED else int(kind != UNTRAINED)


@dataclass(frozen=True)
class Absent:
    """A control that the store does not have at some of a curve's points, and how to make it."""

    kind: str
    commands: Sequence[str]
    """One for each training set of the curve that has no such control."""


def absent_controls(points: Sequence[Chosen], found: Sequence[Control], zoo: Zoo) -> list[Absent]:
    """What a reviewer would miss beside the curve, each with the ``zoo run`` that creates it.

    A control is absent if some training set of the curve is without it; untrained networks, if
    one of the models there has none.
    """
    missing: dict[str, list[str]] = {}
    for training in dict.fromkeys(_training(point) for point in points):
        own = [point for point in points if _training(point) == training]
        there = {
            (each.kind, each.model)
            for each in found
            if any(_training(point) == training for point in each.points)
        }
        for kind, command in _missing(own, there, zoo):
            missing.setdefault(kind, []).append(command)
    return [Absent(kind, commands) for kind, commands in missing.items()]


def _training(point: Chosen) -> tuple[float | None, int | None]:
    return point.setting.n_stories, point.setting.subset_seed


def _missing(
    points: Sequence[Chosen], there: set[tuple[str, str]], zoo: Zoo
) -> Iterator[tuple[str, str]]:
    """Kinds of control that are not ``there``, and commands, for points of one training set."""
    first = next(iter(points[0].results.values())).record
    models = list(dict.fromkeys(point.setting.model for point in points))
    subjects = list(points[0].results)
    baselines = _baselines(zoo)
    of_networks = first.model not in baselines
    layers = {point.layer for point in points}
    layer = ["--layer", str(*layers)] if len(layers) == 1 else []
    twins = [model for model in models if (UNTRAINED, model) not in there]
    if of_networks and not first.untrained and twins:
        yield UNTRAINED, _command(zoo, first, subjects, twins, ["--untrained", *layer])
    cut = {model for kind, model in there if " to " in kind}
    if of_networks and not is_reduced(first) and (whole := [m for m in models if m not in cut]):
        more = [*(["--untrained"] if first.untrained else []), *layer]
        command = _command(zoo, first, subjects, whole, more, width="width=W,reduce=pca")
        yield "width", f"{command}, W being at most the narrowest model's width"
    for control in EXPECTED:
        names = [name for name, kind in baselines.items() if kind == control]
        if names and not any(name in models or (name, name) in there for name in names):
            yield names[0], _command(zoo, first, subjects, names[:1])


def _command(
    zoo: Zoo,
    record: ResultRecord,
    subjects: Sequence[str],
    models: Sequence[str],
    more: Sequence[str] = (),
    width: str = "",
) -> str:
    """``zoo run`` with what a curve's results have in common."""
    protocol = find_protocol(record.protocol)
    words = ["zoo", "run"]
    for model in models:
        words += ["--plugin", model]
    words += [*more, "--dataset", str(record.dataset)]
    for subject in subjects:
        words += ["--subject", subject]
    if record.protocol != "clean":
        words += ["--protocol", record.protocol]
    options = dict(record.regressor_options)
    settings = [f"{name}={_typed(value)}" for name, value in options.items() if name not in _WIDTH]
    settings += [width] if width else []
    if record.regressor != zoo.host.default_regressor(protocol.name).spec.name or settings:
        words += ["--regressor", ":".join(filter(None, [record.regressor, ",".join(settings)]))]
    usual = Delays(protocol.delays)
    unknown = usual.in_seconds and record.tr is None
    if unknown or record.delays != usual.in_trs(record.tr):
        words += ["--delays", ",".join(map(str, record.delays))]
    if record.subset_seed is not None:
        words += ["--train-stories", str(record.n_train_stories)]
        words += ["--subset-seed", str(record.subset_seed)]
    return shlex.join(words)


def _typed(value: Any) -> str:
    """A setting as it is typed."""
    return str(value).replace(" ", "")
