"""Runs a recipe as far as this machine and its data allow, and compares the numbers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from voxelzoo.api import DataError, Dataset, UsageError, ZooError
from voxelzoo.data.opening import choose_subjects, open_dataset
from voxelzoo.host.zoo import Zoo, open_zoo
from voxelzoo.progress import Progress, Silent
from voxelzoo.recipes.comparison import compare
from voxelzoo.recipes.differences import available_subjects, data_differences
from voxelzoo.recipes.figures.base import BaseFigure
from voxelzoo.recipes.figures.inputs import FigureInputs
from voxelzoo.recipes.figures.result import FigureError
from voxelzoo.recipes.options import ReproduceOptions
from voxelzoo.recipes.recipe_runs import RunOutcomes
from voxelzoo.recipes.reproduction import Reproduction
from voxelzoo.recipes.runner import NOT_SELECTED, RecipeRunner, needs_weights, obstacle
from voxelzoo.recipes.schema import Recipe
from voxelzoo.runs.models import find_model
from voxelzoo.runs.options import RunOptions
from voxelzoo.science.protocols import find_protocol


def reproduce(
    zoo: Zoo,
    recipe: Recipe,
    options: ReproduceOptions | None = None,
    progress: Progress | None = None,
) -> Reproduction:
    """Run a recipe and compare its numbers with those that are expected.

    What cannot be run, because weights, data or memory are missing, does not stop the rest: its
    lines give the reason. Results that are in the store are not computed again.

    Parameters
    ----------
    zoo : Zoo
        Plugins and catalogue, with the recipe's own registry: see :func:`open_zoo_for`.
    recipe : Recipe
        See :func:`voxelzoo.recipes.loading.open_recipe`.
    options : ReproduceOptions, optional
        What to run, on what data, and how.
    progress : Progress, optional
        Where messages go; nowhere if not given.

    Returns
    -------
    Reproduction
        Lines of the comparison, numbers and maps of each figure.

    Raises
    ------
    UsageError
        If the recipe has no model or figure of a selected name.
    NotFoundError
        If the data have no subject of a selected name, or no plugin has what the recipe names.
    DataError
        If the dataset cannot be read.
    """
    options, progress = options or ReproduceOptions(), progress or Silent()
    started = time.process_time()
    figures = _selected_figures(recipe, options)
    reproduction = Reproduction(
        recipe,
        only_subjects=options.subjects,
        not_comparable=_why_not_comparable(recipe, options),
        notes=_notes(recipe),
        not_selected=frozenset(recipe.figures.keys() - figures.keys()),
    )
    missing_data = _missing_data(zoo, recipe, options)
    if missing_data is None:
        _compute(_open_runner(zoo, recipe, options, progress), figures, reproduction)
    else:
        for name, figure in figures.items():
            obstacles = _obstacles(zoo, recipe, options, figure)
            reproduction.reasons[name] = "; ".join([missing_data, *obstacles])
    reproduction.reasons |= dict.fromkeys(reproduction.not_selected, NOT_SELECTED)
    if reproduction.outcomes.n_computed:
        reproduction.statistics["cpu_hours"] = round((time.process_time() - started) / 3600, 4)
    reproduction.lines.extend(compare(reproduction))
    if _any_needs_weights(zoo, recipe, options, figures.values()):
        reproduction.notes.append(WEIGHTS_NOTE)
    return reproduction


WEIGHTS_NOTE = (
    "zoo reproduce does not download weights. Get them with `hf download REPO`; `zoo show MODEL` "
    "names the repository. --miniature and --untrained need no weights."
)


def open_zoo_for(recipe: Recipe, registries: Sequence[Path] = ()) -> Zoo:
    """Plugins and catalogue for a recipe.

    Parameters
    ----------
    recipe : Recipe
        Its own registry is read first.
    registries : sequence of Path
        Further registry files; the last one wins.
    """
    if recipe.registry_path is None:
        return open_zoo(registries, None, False)
    with recipe.located("registry"):
        return open_zoo([recipe.registry_path, *registries], None, False)


def _selected_figures(recipe: Recipe, options: ReproduceOptions) -> dict[str, BaseFigure]:
    """Figures to compute; names that the recipe does not have are refused."""
    selections: list[tuple[str, Sequence[str], Mapping[str, object]]] = [
        ("model", options.models, recipe.models),
        ("figure", options.figures, recipe.figures),
    ]
    for kind, names, known in selections:
        for name in names:
            if name not in known:
                raise UsageError(
                    f"recipe {recipe.name} has no {kind} {name!r}; it has {', '.join(known)}"
                )
    selected = options.figures or tuple(recipe.figures)
    return {name: figure for name, figure in recipe.figures.items() if name in selected}


def _why_not_comparable(recipe: Recipe, options: ReproduceOptions) -> str | None:
    """Why no number can be compared with the paper's; ``None`` if numbers can be."""
    if options.shift:
        return f"the stimulus is shifted by {options.shift:g} s"
    if recipe.compares:
        return None
    if recipe.stands_for:
        return "a miniature"
    return "random weights" if recipe.fit.untrained else "the recipe is not for comparison"


def _notes(recipe: Recipe) -> list[str]:
    notes = []
    if recipe.stands_for:
        notes.append(
            "A miniature has neither the paper's data nor its models: nothing is compared."
        )
    if recipe.notes:
        notes.append(recipe.notes)
    return notes


def _missing_data(zoo: Zoo, recipe: Recipe, options: ReproduceOptions) -> str | None:
    """What is missing if the recipe's dataset lives in a folder and the user named none."""
    name = recipe.data.dataset
    if options.dataset is not None:
        return None
    for registered in zoo.host.datasets:
        if registered.spec.name == name and registered.spec.needs_path:
            return f"needs data: --dataset {name}:PATH (see zoo data describe {name})"
    return None


def _obstacles(
    zoo: Zoo, recipe: Recipe, options: ReproduceOptions, figure: BaseFigure
) -> list[str]:
    """Why models of a figure cannot be run: each cause with its models."""
    by_cause: dict[str, list[str]] = {}
    for model in figure.models:
        if reason := obstacle(zoo, recipe, model, options):
            by_cause.setdefault(reason.partition(":")[0], []).append(model)
    return [f"{cause}: {', '.join(models)}" for cause, models in by_cause.items()]


def _any_needs_weights(
    zoo: Zoo, recipe: Recipe, options: ReproduceOptions, figures: Iterable[BaseFigure]
) -> bool:
    """Whether weights of a selected model of these figures are not on this machine."""
    models = {model for figure in figures for model in figure.models_named}
    for name in models.intersection(options.models or models):
        with suppress(ZooError):  # a model that is unknown has a reason of its own
            if needs_weights(recipe, find_model(zoo.host, zoo.catalogue, name)):
                return True
    return False


def _open_runner(
    zoo: Zoo, recipe: Recipe, options: ReproduceOptions, progress: Progress
) -> RecipeRunner:
    """The runner of a recipe, with its dataset, subjects and tools checked."""
    dataset = _open_dataset(zoo, recipe, options)
    # Errors name the recipe's line, unless they are about what the user chose instead.
    with nullcontext() if options.subjects else recipe.located("data", "subjects"):
        names = options.subjects or available_subjects(recipe, dataset)
        subjects = choose_subjects(dataset, names)
    runner = RecipeRunner(zoo, recipe, dataset, subjects, options, progress)
    is_recipes_own = (tuple(options.keep), options.shift) == (RunOptions.keep, RunOptions.shift)
    with recipe.located("fit") if is_recipes_own else nullcontext():
        runner.check()
    return runner


def _open_dataset(zoo: Zoo, recipe: Recipe, options: ReproduceOptions) -> Dataset:
    name, host, pickles = recipe.data.dataset, zoo.host, options.allow_pickle
    settings = {**recipe.data.options, **options.dataset_options}
    if options.dataset is None:
        with nullcontext() if options.dataset_options else recipe.located("data", "dataset"):
            return open_dataset(host, name, settings, pickles)
    text = options.dataset
    names = {registered.spec.name for registered in host.datasets}
    if text.partition(":")[0] not in names and name in names and Path(text).is_dir():
        try:
            return open_dataset(host, text, settings, pickles)
        except DataError:
            text = f"{name}:{text}"  # a folder that only the recipe's own plugin can read
    return open_dataset(host, text, settings, pickles)


def _compute(
    runner: RecipeRunner, figures: Mapping[str, BaseFigure], reproduction: Reproduction
) -> None:
    """Make the runs of all figures, then compute their numbers."""
    reproduction.differences = data_differences(runner)
    reproduction.notes.extend(f"data: {each.text}" for each in reproduction.differences)
    inputs = _figure_inputs(runner)
    runs = [run for figure in figures.values() for run in figure.runs(inputs)]
    reproduction.outcomes = runner.execute(runs)
    inputs = replace(inputs, outcomes=reproduction.outcomes)
    for name, figure in figures.items():
        try:
            reproduction.figures[name] = figure.compute(inputs)
        except FigureError as error:
            reproduction.reasons[name] = str(error)
        except ZooError as error:
            reproduction.reasons[name] = f"cannot be computed: {error}"


def _figure_inputs(runner: RecipeRunner) -> FigureInputs:
    """What runs and numbers of figures depend on, before anything has been run."""
    recipe, trims = runner.recipe, runner.recipe.data.trims
    return FigureInputs(
        dataset=runner.dataset,
        subjects=runner.subjects,
        protocol=find_protocol(recipe.fit.protocol),
        model_layers={name: model.layers for name, model in recipe.models.items()},
        n_train={subject: len(runner.train_stories(subject)) for subject in runner.subjects},
        outcomes=RunOutcomes(),
        trimmed_test_trs=0 if trims is None else trims.test_start_trs,
    )
