"""The numbers of a recipe's figures, from results in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError
from voxelzoo.recipes.runner import Outcomes, Run
from voxelzoo.recipes.schema import Figure, Recipe
from voxelzoo.science.ceilings import estimate_ceiling, headroom, normalised
from voxelzoo.science.held_out import HeldOut
from voxelzoo.science.inter_subject import inter_subject as between_subjects
from voxelzoo.science.regions import EVERYWHERE
from voxelzoo.science.scaling import (
    Measured,
    fit_interaction,
    fit_line,
    gain_per_doubling,
    slope_intervals,
)
from voxelzoo.science.scaling_forms import compare_forms
from voxelzoo.science.scores import signed_square
from voxelzoo.store.results import Result

Floats = NDArray[np.floating[Any]]


Row = dict[str, Any]


Results = Mapping[tuple[str, int | None], Result]
"""Results of one run by subject and layer."""


@dataclass(frozen=True)
class Axes:
    """How rows are drawn: ``y`` against ``x``, a line for each ``series``."""

    x: str
    y: str
    series: str
    log: bool = False
    error: str | None = None


@dataclass
class FigureResult:
    """What was computed for one figure."""

    rows: list[Row] = field(default_factory=list)
    statistics: dict[str, float | int | str | None] = field(default_factory=dict)
    maps: dict[str, Floats] = field(default_factory=dict)
    """Values of every voxel, (voxel,)."""
    axes: Axes | None = None
    missing: dict[str, str] = field(default_factory=dict)
    """What the figure should have had and has not, with the reason."""
    lacking: dict[str, str] = field(default_factory=dict)
    """Statistics that what was run cannot give, with the reason."""


def by_reason(missing: Mapping[str, str]) -> str:
    """Each model with its reason, those alike together."""
    alike: dict[str, list[str]] = {}
    for model, why in missing.items():
        alike.setdefault(why.partition(":")[0], []).append(model)
    return "; ".join(
        f"{', '.join(models)} ({missing[models[0]] if len(models) == 1 else what})"
        for what, models in alike.items()
    )


class FigureError(DataError):
    """A figure that nothing could be computed of, with the reason."""


@dataclass(frozen=True)
class FigureInputs:
    """Everything that a figure's numbers are computed from."""

    recipe: Recipe
    figure: Figure
    outcomes: Outcomes
    n_stories: int
    """Training stories of the subject that has fewest."""
    everything: bool
    """Whether those are all of every subject's."""
    lead: int
    """Rows of a test story before the first moment that is scored, for ``long-context``."""
    responses: Callable[[str], Floats]
    """(subject, TR, voxel) of a story, where subjects' voxels correspond."""
    repeats: Callable[[str, str | None], Floats | None]
    """(repeat, TR, voxel) of a subject and test story as scored; ``None``: the most repeated."""

    # ---------------------------------------------------------------------------------------- runs

    def full(self, model: str) -> Run:
        """The run of all of a model's layers on all stories."""
        kind = self.figure.kind
        return Run(
            ((model, self.recipe.models[model].layers),),
            protocol="clean" if kind == "long-context" else None,
            predictions=kind in ("long-context", "baseline"),
        )

    def subset(self, model: str, n: int, seed: int) -> Run:
        """The run of a model's one layer on ``n`` stories; that of all layers where n is all."""
        if n >= self.n_stories and self.everything:
            return self.full(model)
        return Run(((model, str(self.figure.layers.get(model, "last"))),), n, seed)

    def counts(self) -> list[int]:
        """Sizes of training subsets, none larger than what there is."""
        return sorted({min(n, self.n_stories) for n in self.figure.n_stories})

    def seeds(self, n: int) -> range:
        """Seeds of the subsets of one size; there is one subset of all stories."""
        whole = n >= self.n_stories and self.everything
        return range(1 if whole else self.figure.n_subsets)

    def stack(self) -> Run:
        """The joint run: the even layers of every model, but one layer of those that name one."""
        figure = self.figure
        spaces = tuple((m, str(figure.layers.get(m, "even"))) for m in figure.models)
        return Run(spaces, single=figure.single or figure.models[-1])

    # ------------------------------------------------------------------------------------- results

    def results(self, run: Run) -> Results:
        """Results of a run for the figure's subjects; raises :class:`FigureError`."""
        found = self.outcomes.results.get(run)
        if found is None:
            raise FigureError(self.outcomes.reasons.get(run, "was not run"))
        wanted = self.figure.subjects
        chosen = {at: a for at, a in found.items() if not wanted or at[0] in wanted}
        if not chosen:
            raise FigureError(f"{', '.join(wanted)}: no such subject was run")
        return chosen

    def at_layer(self, model: str, results: Results, layer: int) -> dict[str, Result]:
        """Results of one layer by subject."""
        found = {subject: a for (subject, each), a in results.items() if each == layer}
        if not found:
            raise FigureError(f"{model} has no layer {layer}")
        return found

    def available(self, numbers: FigureResult) -> dict[str, Results]:
        """Results of every model that could be run; why the others could not is noted."""
        found = {}
        for model in self.figure.models:
            try:
                found[model] = self.results(self.full(model))
            except FigureError as error:
                numbers.missing[model] = str(error)
        if not found:
            raise FigureError(by_reason(numbers.missing))
        return found

    def best_layer(self, model: str, results: Results, by: str = "r") -> int:
        """The layer named for the model; else the best on average over voxels and subjects.

        ``by="r"`` is the paper's way, on test data; ``cv_r`` chooses within training data.
        """
        if model in self.figure.layers:
            return self.figure.layers[model]
        means: dict[int, list[float]] = {}
        for (_, layer), artefact in results.items():
            value = artefact.record.scores.mean_cv_r if by == "cv_r" else self.mean(artefact)
            if value is not None and layer is not None:
                means.setdefault(layer, []).append(value)
        if not means:
            raise FigureError(f"{model} has no score to choose a layer by")
        return max(means, key=lambda layer: float(np.mean(means[layer])))

    def r(self, artefact: Result) -> Floats:
        """r of each voxel, (voxel,); NaN where the figure does not look."""
        story = self.figure.story
        if story is not None and story not in artefact.stories:
            raise FigureError(f"story {story!r} was not held out")
        r = artefact.map("r") if story is None else artefact.story(story).r
        return np.where(self.mask(artefact), r, np.nan)

    def mask(self, artefact: Result) -> NDArray[np.bool_]:
        """(voxel,): where the figure looks."""
        mask = np.ones(artefact.record.n_voxels, dtype=np.bool_)
        if self.figure.region is not None:
            labels = artefact.labels
            if labels is None or self.figure.region not in labels:
                raise FigureError(f"needs region labels: the dataset has no {self.figure.region!r}")
            mask &= np.asarray(labels) == self.figure.region
        if self.figure.least_ceiling is not None and self.figure.kind != "ceiling":
            mask &= self.ceiling(artefact) > self.figure.least_ceiling
        return mask

    def ceiling(self, artefact: Result) -> Floats:
        """(voxel,): CCmax from the figure's story, or the one with most repeats."""
        repeats = self.repeats(artefact.record.subject, self.figure.story)
        if repeats is None:
            raise FigureError("needs repeats: no held-out story has single repeats")
        return estimate_ceiling(repeats, "schoppe", self.figure.floor).values

    def mean(self, artefact: Result, square: bool = False) -> float | None:
        """Mean over the voxels the figure looks at, of r or of signed r squared."""
        r = self.r(artefact)
        return _mean(signed_square(r) if square else r)

    def over_subjects(self, artefacts: Mapping[str, Result]) -> Row:
        """Scores averaged over voxels, then subjects, with the standard error over subjects."""
        r = [v for a in artefacts.values() if (v := self.mean(a)) is not None]
        squares = [v for a in artefacts.values() if (v := self.mean(a, True)) is not None]
        if not r:
            raise FigureError("no voxel has a defined score")
        error = float(np.std(r, ddof=1) / np.sqrt(len(r))) if len(r) > 1 else None
        return {
            "mean_r": float(np.mean(r)),
            "se_over_subjects": error,
            "mean_signed_r2": float(np.mean(squares)),
            "n_subjects": len(r),
        }


def size_scaling(canvas: FigureInputs) -> FigureResult:
    """Score of each model's best layer against its parameters; a fit for each family."""
    axes = Axes("n_parameters", "mean_r", "family", log=True, error="se_over_subjects")
    numbers = FigureResult(axes=axes)
    chosen: dict[str, dict[str, Result]] = {}
    for model, results in canvas.available(numbers).items():
        layer = canvas.best_layer(model, results)
        chosen[model] = artefacts = canvas.at_layer(model, results, layer)
        about = next(iter(artefacts.values())).record
        row = {
            "model": model,
            "family": about.family,
            "n_parameters": about.n_parameters,
            "layer": layer,
            **canvas.over_subjects(artefacts),
        }
        if all(a.record.scores.mean_cv_r is not None for a in results.values()):
            honest = canvas.best_layer(model, results, by="cv_r")
            fair = canvas.over_subjects(canvas.at_layer(model, results, honest))
            row |= {"layer_by_training": honest, "mean_r_by_training": fair["mean_r"]}
        numbers.rows.append(row)
    families = list(dict.fromkeys(row["family"] for row in numbers.rows))
    for family in families:
        rows = [row for row in numbers.rows if row["family"] == family and row["n_parameters"]]
        if len({row["n_parameters"] for row in rows}) < 2:
            continue
        prefix = "" if len(families) == 1 else f"{family}."
        for score in ("mean_r", "mean_signed_r2"):
            suffix = "" if score == "mean_r" else f"_{score.removeprefix('mean_')}"
            found: dict[str, Any] = {**fit_decades(rows, "n_parameters", score)}
            found["best_over_smallest_percent"] = _best_over_smallest(rows, score)
            if canvas.figure.plateau_from is not None:
                below = [r for r in rows if r["n_parameters"] < canvas.figure.plateau_from]
                if len({row["n_parameters"] for row in below}) > 1:
                    before = fit_decades(below, "n_parameters", score)
                    found["percent_per_decade_before_plateau"] = before["percent_per_decade"]
            if found["fit_r"] is None:
                numbers.lacking[f"{prefix}fit_r{suffix}"] = _too_few(rows, "n_parameters")
            if score == "mean_r":
                found |= _best_form(rows, "n_parameters", score)
                sizes = [row["n_parameters"] for row in rows]
                found |= _slope_intervals(canvas, sizes, [chosen[row["model"]] for row in rows])
            numbers.statistics |= {f"{prefix}{n}{suffix}": v for n, v in found.items()}
    return numbers


def data_scaling(canvas: FigureInputs) -> FigureResult:
    """Score of each model's layer against training stories, over random subsets."""
    numbers = FigureResult(
        axes=Axes("n_stories", "mean_r", "model", log=True, error="se_over_subsets")
    )
    fewest: dict[str, float] = {}
    for model in canvas.figure.models:
        try:
            points = _subset_points(canvas, model)
        except FigureError as error:
            numbers.missing[model] = str(error)
            continue
        rows = _subset_rows(model, points)
        numbers.rows.extend(rows)
        fewest[model] = rows[0]["mean_r"]
        prefix = "" if len(canvas.figure.models) == 1 else f"{model}."
        if len(rows) < 2:
            continue
        for score in ("mean_r", "mean_signed_r2"):
            suffix = "" if score == "mean_r" else f"_{score.removeprefix('mean_')}"
            found: dict[str, Any] = {**fit_decades(rows, "n_stories", score)}
            if found["fit_r"] is None:
                numbers.lacking[f"{prefix}fit_r{suffix}"] = _too_few(rows, "n_stories")
            if score == "mean_r":
                found |= _best_form(rows, "n_stories", score)
                sizes = [point.n for point in points]
                found |= _slope_intervals(canvas, sizes, [point.artefacts for point in points])
            numbers.statistics |= {f"{prefix}{n}{suffix}": v for n, v in found.items()}
    if not numbers.rows:
        raise FigureError(by_reason(numbers.missing))
    if len(fewest) == 2:
        first, second = fewest.values()
        numbers.statistics["difference_at_fewest"] = second - first
        numbers.statistics |= _interaction(numbers.rows, *fewest)
    return numbers


@dataclass(frozen=True)
class _Point:
    """One model fitted on one subset of the training stories."""

    n: int
    artefacts: Mapping[str, Result]
    """By subject."""
    score: Row
    n_parameters: int | None


def _subset_points(canvas: FigureInputs, model: str) -> list[_Point]:
    """Every subset of a model, by size and seed."""
    points = []
    for n in canvas.counts():
        for seed in canvas.seeds(n):
            results = canvas.results(canvas.subset(model, n, seed))
            layer = canvas.figure.layers.get(model)
            if layer is None:
                layer = max(each for _, each in results if each is not None)
            artefacts = canvas.at_layer(model, results, layer)
            size = next(iter(artefacts.values())).record.n_parameters
            points.append(_Point(n, artefacts, canvas.over_subjects(artefacts), size))
    return points


def _subset_rows(model: str, points: Sequence[_Point]) -> list[Row]:
    """A row for each size: the mean over subsets, and its standard error."""
    rows = []
    for n in sorted({point.n for point in points}):
        here = [point for point in points if point.n == n]
        r = [point.score["mean_r"] for point in here]
        rows.append(
            {
                "model": model,
                "n_parameters": here[0].n_parameters,
                "n_stories": n,
                "n_subsets": len(here),
                "mean_r": float(np.mean(r)),
                "se_over_subsets": float(np.std(r, ddof=1) / np.sqrt(len(r)))
                if len(r) > 1
                else None,
                "mean_signed_r2": float(np.mean([p.score["mean_signed_r2"] for p in here])),
            }
        )
    return rows


def _interaction(rows: Sequence[Row], first: str, second: str) -> dict[str, float]:
    """By how much the second model gains more from a decade of stories than the first.

    ``data_x_size`` is the same for each decade of parameters.
    """
    of = {m: [row for row in rows if row["model"] == m] for m in (first, second)}
    slopes = {m: fit_decades(each, "n_stories", "mean_r")["per_decade"] for m, each in of.items()}
    one, other = slopes[first], slopes[second]
    if one is None or other is None:
        return {}
    found = {"interaction": other - one}
    if len({row["n_parameters"] for row in rows} - {None}) == 2:
        size, data, r = np.asarray(
            [[row["n_parameters"], row["n_stories"], row["mean_r"]] for row in rows], dtype=float
        ).T
        found["data_x_size"] = fit_interaction(np.log10(size), np.log10(data), r).interaction
    return found


def layers(canvas: FigureInputs) -> FigureResult:
    """Score of every layer of every model."""
    numbers = FigureResult(axes=Axes("depth", "mean_signed_r2", "model"))
    best: dict[str, float] = {}
    for model, results in canvas.available(numbers).items():
        each = sorted({layer for _, layer in results if layer is not None})
        rows = []
        for layer in each:
            artefacts = canvas.at_layer(model, results, layer)
            about = next(iter(artefacts.values())).record
            rows.append(
                {
                    "model": model,
                    "family": about.family,
                    "layer": layer,
                    "depth": layer / max(each[-1], 1),
                    **canvas.over_subjects(artefacts),
                }
            )
        numbers.rows.extend(rows)
        top = max(rows, key=lambda row: row["mean_signed_r2"])
        if len(each) > 1:
            numbers.statistics[f"{model}.best_layer"] = top["layer"]
        else:
            numbers.lacking[f"{model}.best_layer"] = f"only layer {each[0]} of {model} was run"
        family = str(top["family"])
        best[family] = max(best.get(family, -np.inf), top["mean_signed_r2"])
    numbers.statistics |= {f"{family}.best_mean_signed_r2": v for family, v in best.items()}
    return numbers


def voxel_map(canvas: FigureInputs) -> FigureResult:
    """r of every voxel, with its mean and its best, by subject and region."""
    numbers = FigureResult()
    best, means, n_voxels = [], [], 0
    for model, results in canvas.available(numbers).items():
        layer = canvas.best_layer(model, results)
        for subject, artefact in canvas.at_layer(model, results, layer).items():
            r = canvas.r(artefact)
            numbers.maps[f"r_{model}_{subject}"] = r
            numbers.rows.extend(
                {"model": model, "layer": layer, "subject": subject, **row}
                for row in _by_region(artefact, {"r": r})
            )
            best.append(float(np.nanmax(r)))
            means.append(float(np.nanmean(r)))
            n_voxels += len(r)
    numbers.statistics |= {
        "mean_r": float(np.mean(means)),
        "best_voxel_r": max(best),
        "n_voxels": n_voxels,
    }
    return numbers


def ceiling(canvas: FigureInputs) -> FigureResult:
    """Noise ceiling, r as a share of it, and what is left, by voxel and by region."""
    numbers = FigureResult()
    totals: dict[str, list[float | None]] = {}
    for model, results in canvas.available(numbers).items():
        layer = canvas.best_layer(model, results)
        for subject, artefact in canvas.at_layer(model, results, layer).items():
            r, bound = canvas.r(artefact), canvas.ceiling(artefact)
            shown = bound > (canvas.figure.least_ceiling or 0.0)
            maps = {
                "ceiling": bound,
                "normalised_r": np.where(shown, normalised(r, bound), np.nan),
                "headroom": np.where(shown, headroom(r, bound), np.nan),
            }
            numbers.maps |= {f"{name}_{model}_{subject}": each for name, each in maps.items()}
            numbers.rows.extend(
                {"model": model, "layer": layer, "subject": subject, **row}
                for row in _by_region(artefact, {"r": r, **maps})
            )
            for name, each in maps.items():
                totals.setdefault(f"mean_{name}", []).append(_mean(each))
            totals.setdefault("share_shown", []).append(float(np.mean(shown)))
    numbers.statistics |= {
        name: float(np.mean(known))
        for name, values in totals.items()
        if (known := [value for value in values if value is not None])
    }
    return numbers


def stacking(canvas: FigureInputs) -> FigureResult:
    """What the stack adds to its single space, and to which layers each voxel is attributed."""
    numbers = FigureResult()
    run = canvas.stack()
    stacked = canvas.results(run)
    single = run.single or ""
    alone = canvas.results(canvas.full(single))
    layer = canvas.best_layer(single, alone)
    gains, means = [], []
    for (subject, _), artefact in stacked.items():
        spaces = artefact.record.spaces or ()
        r = canvas.r(artefact)
        gain = r - canvas.r(canvas.at_layer(single, alone, layer)[subject])
        weights = artefact.map("weights")
        others = [i for i, name in enumerate(spaces) if not name.startswith(f"{single}:")]
        # Weights are not normalised again for what the single space has.
        centre: Floats = weights[:, others] @ np.arange(1, len(others) + 1)
        maps = {"r": r, "gain": gain, "centre_of_mass": centre}
        numbers.maps |= {f"{name}_{subject}": each for name, each in maps.items()}
        numbers.maps |= {
            f"weight_{name}_{subject}": column
            for name, column in zip(spaces, weights.T, strict=True)
        }
        numbers.rows.extend({"subject": subject, **row} for row in _by_region(artefact, maps))
        gains.append(_mean(gain))
        means.append(_mean(r))
    known = [gain for gain in gains if gain is not None]
    numbers.statistics |= {
        "mean_gain": float(np.mean(known)) if known else None,
        "mean_r": float(np.mean([mean for mean in means if mean is not None])),
        "n_spaces": len(next(iter(stacked.values())).record.spaces or ()),
    }
    return numbers


def voxel_scaling(canvas: FigureInputs) -> FigureResult:
    """What each voxel's r gains by doubling the parameters, or the training stories."""
    numbers = FigureResult()
    r: dict[str, dict[float, list[Floats]]] = {}
    artefacts: dict[str, Result] = {}

    def add(subject: str, size: float, artefact: Result) -> None:
        r.setdefault(subject, {}).setdefault(float(np.log10(size)), []).append(canvas.r(artefact))
        artefacts[subject] = artefact

    if canvas.figure.n_stories:
        (model,) = canvas.figure.models[:1]
        for n in canvas.counts():
            for seed in canvas.seeds(n):
                results = canvas.results(canvas.subset(model, n, seed))
                named = canvas.figure.layers.get(model)
                last = max(each for _, each in results if each is not None)
                chosen = last if named is None else named
                for subject, artefact in canvas.at_layer(model, results, chosen).items():
                    add(subject, n, artefact)
    else:
        for model, results in canvas.available(numbers).items():
            layer = canvas.best_layer(model, results)
            for subject, artefact in canvas.at_layer(model, results, layer).items():
                if (size := artefact.record.n_parameters) is not None:
                    add(subject, size, artefact)
    gains = []
    for subject, sizes in r.items():
        if len(sizes) < 2:
            raise FigureError("a slope needs two sizes or more")
        x = np.array(sorted(sizes))
        y = np.stack([np.mean(sizes[size], axis=0) for size in x])
        gain = gain_per_doubling(x, y)
        numbers.maps[f"gain_per_doubling_{subject}"] = gain
        numbers.rows.extend(
            {"subject": subject, **row}
            for row in _by_region(artefacts[subject], {"gain_per_doubling": gain})
        )
        gains.append(_mean(gain))
    numbers.statistics["mean_gain_per_doubling"] = float(
        np.mean([gain for gain in gains if gain is not None])
    )
    numbers.statistics["n_sizes"] = len(next(iter(r.values())))
    return numbers


def long_context(canvas: FigureInputs) -> FigureResult:
    """Scores with and without the first seconds of each test story, which a protocol may skip.

    Models are run under ``clean``, which skips none; both scores are of the same predictions.
    """
    numbers = FigureResult(axes=Axes("layer", "inflation_percent", "model"))
    for model in canvas.figure.models:
        try:
            results = canvas.results(canvas.full(model))
        except FigureError as error:
            numbers.missing[model] = str(error)
            continue
        for layer in sorted({layer for _, layer in results if layer is not None}):
            with_first, without_first = [], []
            for subject, artefact in canvas.at_layer(model, results, layer).items():
                held_out: HeldOut = artefact.read_held_out()
                whole, later = held_out.r, held_out.without_first(canvas.lead).r
                numbers.maps[f"difference_{model}_{layer}_{subject}"] = whole - later
                with_first.append(np.nanmean(whole))
                without_first.append(np.nanmean(later))
            one, other = float(np.mean(with_first)), float(np.mean(without_first))
            numbers.rows.append(
                {
                    "model": model,
                    "layer": layer,
                    "mean_r_whole": one,
                    "mean_r_without_first": other,
                    "inflation": one - other,
                    "inflation_percent": 100 * (one - other) / other if other > 0 else None,
                }
            )
    if not numbers.rows:
        raise FigureError(by_reason(numbers.missing))
    known = [r["inflation_percent"] for r in numbers.rows if r["inflation_percent"] is not None]
    numbers.statistics["largest_inflation_percent"] = max(known) if known else None
    numbers.statistics["largest_inflation"] = max(row["inflation"] for row in numbers.rows)
    numbers.statistics["n_first_trs"] = canvas.lead
    return numbers


def inter_subject(canvas: FigureInputs) -> FigureResult:
    """Ceiling from the other subjects: r of each with the mean of all others, by voxel."""
    run = canvas.full(canvas.figure.models[0]) if canvas.figure.models else None
    story = canvas.figure.story
    if story is None:
        raise FigureError("inter-subject: the figure names no story")
    found = between_subjects(canvas.responses(story))
    labels = None
    if run is not None:
        labels = next(iter(canvas.results(run).values())).labels
    names = labels or [f"voxel {i}" for i in range(found.shape[1])]
    numbers = FigureResult(maps={"ceiling": found.mean(axis=0)})
    for name in dict.fromkeys(names):
        column = found[:, np.asarray(names) == name]
        numbers.rows.append(
            {
                "region": name,
                "mean_ceiling": _mean(column),
                "least_ceiling": float(np.nanmin(column)),
                "greatest_ceiling": float(np.nanmax(column)),
                "n_subjects": len(found),
            }
        )
    numbers.statistics |= {"mean_ceiling": _mean(found), "n_subjects": len(found)}
    return numbers


def baseline(canvas: FigureInputs) -> FigureResult:
    """Each layer's r with its permutation p, and whether the model beats the baseline.

    A layer beats it where it is better and p, times the number of the model's layers, is below
    .05: over subjects by sign flips; of one subject, by swapping predictions in blocks of time.
    """
    name, numbers = (
        canvas.figure.baseline or "",
        FigureResult(axes=Axes("layer", "mean_r", "model")),
    )
    base = canvas.results(canvas.full(name))
    floor = canvas.at_layer(name, base, canvas.best_layer(name, base))
    below = {subject: artefact.read_held_out() for subject, artefact in floor.items()}
    numbers.rows.extend(_tested(canvas, name, base, {}))
    verdicts: list[str] = []
    statistics: dict[str, Any] = {}
    for model, results in canvas.available(numbers).items():
        rows = _tested(canvas, model, results, below)
        numbers.rows.extend(rows)
        layers_of_it = sorted({row["layer"] for row in rows})
        compared = {}
        for layer in layers_of_it:
            found = _over_baseline([row for row in rows if row["layer"] == layer])
            if found is not None:
                compared[layer] = found
        if not compared:
            continue
        best = max(compared, key=lambda layer: compared[layer][0])
        gain, p = compared[best]
        beating = sum(g > 0 and q * len(compared) < 0.05 for g, q in compared.values())
        statistics |= {
            f"{model}.layers_above_baseline": beating,
            f"{model}.best_layer": best,
            f"{model}.best_over_baseline": gain,
            f"{model}.best_p": p,
        }
        said = (
            f"{beating} of {len(compared)} layers of {model} beat"
            if beating
            else (f"{model} adds nothing beyond")
        )
        corrected = f" corrected for {len(compared)} layers" if len(compared) > 1 else ""
        verdicts.append(
            f"{said} {name} (best layer {best}: {gain:+.4f}, "
            f"p = {min(1.0, p * len(compared)):.3g}{corrected})"
        )
    numbers.statistics = {"verdict": "; ".join(verdicts), **statistics}
    return numbers


def _tested(
    canvas: FigureInputs, model: str, results: Results, below: Mapping[str, HeldOut]
) -> list[Row]:
    """A row for each layer and subject, with its difference from ``below`` where that is given."""
    from voxelzoo.science.paired_tests import paired_test
    from voxelzoo.science.significance import permutation_test

    n, rows = canvas.figure.n_permutations, []
    for layer in sorted({layer for _, layer in results if layer is not None}):
        for subject, artefact in canvas.at_layer(model, results, layer).items():
            held_out = artefact.read_held_out()
            row: Row = {
                "model": model,
                "layer": layer,
                "subject": subject,
                "mean_r": _mean(held_out.r),
                "p": permutation_test(held_out, n_permutations=n).regions[EVERYWHERE],
            }
            if subject in below:
                paired = paired_test(held_out, below[subject], n_permutations=n)
                row |= {"over_baseline": _mean(paired.r), "p_paired": paired.regions[EVERYWHERE]}
            rows.append(row)
    return rows


def _over_baseline(rows: Sequence[Row]) -> tuple[float, float] | None:
    """Mean difference of one layer over subjects, and its p."""
    from voxelzoo.science.paired_tests import subjects_test

    known = [row for row in rows if row.get("over_baseline") is not None]
    if len(known) > 1:
        across = subjects_test(np.asarray([row["over_baseline"] for row in known]))
        return across.mean, across.p
    return (known[0]["over_baseline"], known[0]["p_paired"]) if known else None


KINDS: Mapping[str, Callable[[FigureInputs], FigureResult]] = {
    "size-scaling": size_scaling,
    "data-scaling": data_scaling,
    "layers": layers,
    "map": voxel_map,
    "ceiling": ceiling,
    "stacking": stacking,
    "voxel-scaling": voxel_scaling,
    "long-context": long_context,
    "inter-subject": inter_subject,
    "baseline": baseline,
}


def runs_of(canvas: FigureInputs) -> list[Run]:
    """Every run that a figure is computed from."""
    figure = canvas.figure
    if figure.n_stories:
        return [
            canvas.subset(model, n, seed)
            for model in figure.models
            for n in canvas.counts()
            for seed in canvas.seeds(n)
        ]
    if figure.kind == "stacking":
        run = canvas.stack()
        return [canvas.full(run.single or ""), run]
    models = [*figure.models, *([figure.baseline] if figure.baseline else [])]
    return [canvas.full(model) for model in models]


def fit_decades(rows: Sequence[Row], x: str, y: str) -> dict[str, float | None]:
    """A straight line through scores against log10 of size, by least squares.

    ``percent_per_decade`` is its slope as a percentage of the score of the smallest.
    """
    sizes = np.log10([float(row[x]) for row in rows])
    line = fit_line(sizes, np.asarray([float(row[y]) for row in rows]))
    found = {"percent_per_decade": line.percent, "per_decade": line.slope, "fit_r": line.r}
    return {name: value if np.isfinite(value) else None for name, value in found.items()}


def _too_few(rows: Sequence[Row], x: str) -> str:
    return f"r of a fit needs three sizes, {len({row[x] for row in rows})} were run"


def _best_form(rows: Sequence[Row], x: str, y: str) -> dict[str, float | str | None]:
    """The form of least error out of sample, with the errors of all that could be tried."""
    sizes = np.log10([float(row[x]) for row in rows])
    forms = compare_forms(sizes, np.asarray([float(row[y]) for row in rows]))
    tried = {name: form.out_of_sample for name, form in forms.items() if form.out_of_sample}
    if not tried:
        return {}
    errors = {f"out_of_sample_error_{name}": error for name, error in tried.items()}
    return {"best_form": min(tried, key=lambda name: tried[name]), **errors}


def _slope_intervals(
    canvas: FigureInputs, sizes: Sequence[float], points: Sequence[Mapping[str, Result]]
) -> dict[str, float | None]:
    """Interval of the slope in percent, by every source of chance and by all together."""
    subjects = [s for s in points[0] if all(s in point for point in points)]
    r, parts = [], []
    for subject in subjects:
        maps = np.stack([canvas.r(point[subject]) for point in points])
        defined = np.isfinite(maps).all(axis=0)
        if not defined.any():
            return {}
        r.append(maps[:, defined])
        stories = points[0][subject].record.test_stories
        if stories and canvas.figure.story is None:
            means = [
                [np.nanmean(point[subject].story(story).r[defined]) for story in stories]
                for point in points
            ]
            parts.append(np.asarray(means))
    measured = Measured(np.log10(sizes), r, parts if len(parts) == len(r) else None)
    found: dict[str, float | None] = {}
    for source, interval in slope_intervals(measured).items():
        if interval is not None:
            where = "" if source == "all" else f"_over_{source}"
            low, high = interval.percent
            found[f"percent_per_decade_low{where}"] = low
            found[f"percent_per_decade_high{where}"] = high
    return found


def _best_over_smallest(rows: Sequence[Row], score: str) -> float | None:
    """How much better the best model is than the smallest, in percent."""
    smallest = min(rows, key=lambda row: float(row["n_parameters"]))
    best = max(rows, key=lambda row: float(row[score]))
    return gain_percent(smallest[score], best[score])


def gain_percent(before: float, after: float) -> float | None:
    """By how many percent ``after`` is above ``before``; ``None`` where that is not above 0."""
    return 100 * (after - before) / before if before > 0 else None


def _by_region(artefact: Result, maps: Mapping[str, Floats]) -> list[Row]:
    """Means of maps over all voxels and over each label."""
    names = artefact.labels
    n = artefact.record.n_voxels
    regions = {"all": np.ones(n, dtype=np.bool_)}
    if names:
        regions |= {name: np.asarray(names) == name for name in dict.fromkeys(names)}
    return [
        {
            "region": region,
            "n_voxels": int(mask.sum()),
            **{f"mean_{name}": _mean(values[mask]) for name, values in maps.items()},
        }
        for region, mask in regions.items()
    ]


def _mean(values: Floats) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None
