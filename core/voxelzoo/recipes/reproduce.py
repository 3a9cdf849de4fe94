"""A recipe, run as far as this machine and its data allow, and held against what is expected."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, Dataset, ExtractorRequest, ModelEntry, UsageError, ZooError
from voxelzoo.data.opening import choose_subjects, open_dataset
from voxelzoo.data.responses import read_responses
from voxelzoo.host.zoo import Zoo
from voxelzoo.progress import Progress
from voxelzoo.recipes.comparison import compare
from voxelzoo.recipes.differences import differences, subjects_there
from voxelzoo.recipes.figures import KINDS, FigureError, FigureInputs, runs_of
from voxelzoo.recipes.outcome import Reproduction
from voxelzoo.recipes.runner import NOT_ASKED_FOR, Outcomes, RecipeRunner, obstacle
from voxelzoo.recipes.schema import Figure, Recipe
from voxelzoo.science.protocols import find_protocol
from voxelzoo.store.store import Store


@dataclass(frozen=True)
class ReproduceOptions:
    """What the user asked of a recipe."""

    dataset: str | None = None
    models: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    store: Path = Path("zoo-store")
    device: str = "cpu"
    dtype: str | None = None
    """Instead of the recipe's."""
    dataset_options: Mapping[str, str] = field(default_factory=dict)
    """Beside the recipe's."""
    allow_pickle: bool = False


def reproduce(
    installed: Zoo, recipe: Recipe, asked: ReproduceOptions, progress: Progress
) -> Reproduction:
    """Runs what can be run; says of the rest why not.

    Raises :class:`UsageError` for a model or figure that the recipe does not have.
    """
    for what, names, known in (
        ("model", asked.models, recipe.models),
        ("figure", asked.figures, recipe.figures),
    ):
        if unknown := [name for name in names if name not in known]:
            raise UsageError(
                f"recipe {recipe.name} has no {what} {unknown[0]!r}; it has {', '.join(known)}"
            )
    begun = time.process_time()
    found = Reproduction(recipe, only_subjects=asked.subjects)
    if recipe.stands_for:
        found.notes.append("a miniature has neither the paper's data nor its models: no comparison")
    if recipe.notes:
        found.notes.append(recipe.notes)
    figures = {n: f for n, f in recipe.figures.items() if n in asked.figures or not asked.figures}
    request = _request(recipe, asked)
    lacking = _lacking_data(installed, recipe, asked)
    if lacking is not None:
        for name, figure in figures.items():
            found.reasons[name] = "; ".join(
                [lacking, *_obstacles(installed, recipe, request, figure)]
            )
    else:
        _run_figures(installed, recipe, asked, request, progress, figures, found)
    skipped = dict.fromkeys(recipe.figures.keys() - figures.keys(), NOT_ASKED_FOR)
    found.reasons |= skipped
    if found.outcomes.n_computed:
        found.statistics["cpu_hours"] = round((time.process_time() - begun) / 3600, 4)
    found.lines.extend(compare(found))
    if any("needs weights" in line.why for line in found.lines):
        found.notes.append(
            "weights are not downloaded by zoo reproduce: hf download REPO (zoo show MODEL names "
            "it); --miniature needs none, nor does the control --untrained"
        )
    return found


def _request(recipe: Recipe, asked: ReproduceOptions) -> ExtractorRequest:
    fit = recipe.fit
    return ExtractorRequest(
        model=ModelEntry(name="", plugin="", modality="any"),
        untrained=fit.untrained,
        seed=fit.seed,
        device=asked.device,
        dtype=asked.dtype or fit.dtype,
        allow_pickle=asked.allow_pickle,
        protocol=fit.protocol,
    )


def _lacking_data(installed: Zoo, recipe: Recipe, asked: ReproduceOptions) -> str | None:
    """What is lacking where the dataset lives in a folder that nobody named."""
    name = recipe.data.dataset
    if asked.dataset is not None:
        return None
    for registered in installed.host.datasets:
        if registered.spec.name == name and registered.spec.needs_path:
            return f"needs data: --dataset {name}:PATH (zoo data describe {name})"
    return None


def _obstacles(
    installed: Zoo, recipe: Recipe, request: ExtractorRequest, figure: Figure
) -> list[str]:
    """What else keeps a figure from being made: each model's reason, those alike together."""
    reasons: dict[str, list[str]] = {}
    for model in figure.models:
        if reason := obstacle(installed, recipe, request, model):
            reasons.setdefault(reason.partition(":")[0], []).append(model)
    return [f"{reason}: {', '.join(models)}" for reason, models in reasons.items()]


def _open(installed: Zoo, recipe: Recipe, asked: ReproduceOptions) -> Dataset:
    name = recipe.data.dataset
    options = {**recipe.data.options, **asked.dataset_options}
    host, pickles = installed.host, asked.allow_pickle
    if asked.dataset is None:
        with nullcontext() if asked.dataset_options else recipe.located("data", "dataset"):
            return open_dataset(host, name, options, pickles)
    text = asked.dataset
    known = {registered.spec.name for registered in host.datasets}
    if text.partition(":")[0] not in known and name in known and Path(text).is_dir():
        try:
            return open_dataset(host, text, options, pickles)
        except DataError:
            text = f"{name}:{text}"
    return open_dataset(host, text, options, pickles)


def _run_figures(
    installed: Zoo,
    recipe: Recipe,
    asked: ReproduceOptions,
    request: ExtractorRequest,
    progress: Progress,
    figures: Mapping[str, Figure],
    found: Reproduction,
) -> None:
    dataset = _open(installed, recipe, asked)
    with nullcontext() if asked.subjects else recipe.located("data", "subjects"):
        subjects = choose_subjects(dataset, asked.subjects or subjects_there(recipe, dataset))
    sweep = RecipeRunner(
        installed,
        recipe,
        dataset,
        Store(asked.store),
        request,
        progress,
        frozenset(asked.models),
        subjects,
    )
    with recipe.located("fit"):
        sweep.check()
    found.differences = differences(sweep)
    found.notes.extend(f"data: {each.text}" for each in found.differences)
    canvases = {name: _canvas(sweep, figure, found.outcomes) for name, figure in figures.items()}
    done = sweep.execute(run for canvas in canvases.values() for run in runs_of(canvas))
    found.outcomes.results |= done.results
    found.outcomes.reasons |= done.reasons
    found.outcomes.n_computed, found.outcomes.n_kept = done.n_computed, done.n_kept
    for name, canvas in canvases.items():
        try:
            found.numbers[name] = KINDS[canvas.figure.kind](canvas)
        except FigureError as error:
            found.reasons[name] = str(error)
        except ZooError as error:
            found.reasons[name] = f"cannot be computed: {error}"


def _canvas(sweep: RecipeRunner, figure: Figure, outcomes: Outcomes) -> FigureInputs:
    dataset, trims = sweep.dataset, sweep.recipe.data.trims
    stories = list(dataset.test_stories() or dataset.train_stories())
    clock = dataset.clock(stories[0])
    lead = int((clock.times < figure.seconds).sum())
    if trims is not None and trims.test_start_trs:
        lead = trims.test_start_trs  # the paper's rows, where the recipe says them

    def responses(story: str) -> NDArray[np.floating[Any]]:
        subjects = [s for s in sweep.chosen if not figure.subjects or s in figure.subjects]
        each = [dataset.responses(subject, story) for subject in subjects]
        return np.stack([one.mean(axis=0) if one.ndim == 3 else one for one in each])

    @cache
    def repeats(subject: str, story: str | None) -> NDArray[np.floating[Any]] | None:
        protocol = find_protocol(sweep.recipe.fit.protocol)
        found = []
        for name in [story] if story is not None else dataset.test_stories():
            n_trs = dataset.clock(name).n_trs
            read = read_responses(dataset, subject, name, n_trs, protocol.standardise_responses)
            if read.repeats is not None:
                found.append(read.repeats[:, protocol.skip_test_trs :])
        return max(found, key=len) if found else None

    n_train = [len(sweep.train_stories(subject)) for subject in sweep.chosen]
    n_stories, everything = min(n_train), len(set(n_train)) == 1
    return FigureInputs(
        sweep.recipe, figure, outcomes, n_stories, everything, lead, responses, repeats
    )


def miniature_of(path: Path, recipe: Recipe) -> str:
    """Path of a recipe's miniature; :class:`UsageError` where it names none."""
    if recipe.miniature is None:
        raise UsageError(f"recipe {recipe.name} names no miniature")
    return str(path.parent / recipe.miniature)


def with_untrained(recipe: Recipe) -> Recipe:
    """The same recipe with random weights, as a control; its numbers are compared with nothing."""
    return recipe.model_copy(
        update={"fit": recipe.fit.model_copy(update={"untrained": True}), "compares": False}
    )
