"""Makes the runs of a recipe one after another; what is in the store is not computed again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from voxelzoo.api import Dataset, ExtractorRequest, ModelEntry, NotFoundError, ZooError
from voxelzoo.contract.weights import weights_location
from voxelzoo.data.opening import plan_evaluation
from voxelzoo.host.zoo import Zoo
from voxelzoo.progress import Progress
from voxelzoo.recipes.memory import check_memory
from voxelzoo.recipes.options import ReproduceOptions
from voxelzoo.recipes.recipe_runs import RecipeRun, RunOutcomes
from voxelzoo.recipes.schema import Recipe
from voxelzoo.runs.execute import run_models
from voxelzoo.runs.inputs import DatasetReader
from voxelzoo.runs.models import ModelChoice, find_model
from voxelzoo.runs.options import RunOptions
from voxelzoo.runs.plan import Plan, make_plan
from voxelzoo.store.results import Result
from voxelzoo.store.store import Store

NOT_SELECTED = "not selected"
"""Why a figure or a model was skipped, if the user selected others."""


@dataclass
class RecipeRunner:
    """Makes the runs of one recipe on one dataset.

    Parameters
    ----------
    zoo : Zoo
        Plugins and catalogue.
    recipe : Recipe
        What is run.
    dataset : Dataset
        The data at hand, which need not be the recipe's.
    subjects : sequence of str
        Subjects of the dataset to run.
    options : ReproduceOptions
        What the user chose.
    progress : Progress
        Where messages go.
    """

    zoo: Zoo
    recipe: Recipe
    dataset: Dataset
    subjects: Sequence[str]
    options: ReproduceOptions
    progress: Progress

    def __post_init__(self) -> None:
        fit = self.recipe.fit
        own_for = self.dataset.subjects() if self.recipe.data.own_stories else ()
        self.evaluation = plan_evaluation(self.dataset, fit.folds, fit.gap, own_for)
        self.store = Store(self.options.store)
        self._reader = DatasetReader(self.dataset, self.store)

    def check(self) -> None:
        """Check the recipe's aligner, regressor and their options before anything is run.

        Raises
        ------
        ZooError
            If one of them is unknown or makes no sense for any run.
        """
        self._plan(RecipeRun(()))

    def train_stories(self, subject: str) -> tuple[str, ...]:
        """Stories that a subject is fitted on."""
        return self.evaluation.train_for(subject)

    def execute(self, runs: Iterable[RecipeRun]) -> RunOutcomes:
        """Make every run in turn; a run that fails or is impossible does not stop the others.

        Parameters
        ----------
        runs : iterable of RecipeRun
            In any order, and with repetitions.

        Returns
        -------
        RunOutcomes
            The results of each run, or the reason why it has none.
        """
        outcomes = RunOutcomes()
        # Runs that keep predictions come first, because their results also serve the others.
        for run in sorted(dict.fromkeys(runs), key=lambda run: not run.predictions):
            obstacles = [
                obstacle(self.zoo, self.recipe, name, self.options) for name, _ in run.models
            ]
            if reasons := [reason for reason in obstacles if reason is not None]:
                outcomes.reasons[run] = reasons[0]
                continue
            try:
                for result in self._run(run):
                    outcomes.add(run, result)
            except ZooError as error:
                outcomes.results.pop(run, None)
                outcomes.reasons[run] = str(error)
        return outcomes

    def _run(self, run: RecipeRun) -> Sequence[Result]:
        plan = self._plan(run)
        choices = [self._choice(name, layers) for name, layers in run.models]
        report = run_models(self.zoo, plan, choices, self.progress, check_memory)
        for _, error in report.failures:
            raise error
        return report.results

    def _choice(self, name: str, layers: str) -> ModelChoice:
        fit = self.recipe.fit
        entry = find_model(self.zoo.host, self.zoo.catalogue, name)
        request = ExtractorRequest(
            model=ModelEntry(name="", plugin="", modality="any"),
            untrained=fit.untrained and bool(entry.architecture),
            seed=fit.seed,
            device=self.options.device,
            dtype=self.options.dtype or fit.dtype,
            protocol=fit.protocol,
            options=self.recipe.models[name].options,
            allow_pickle=self.options.allow_pickle,
        )
        return ModelChoice(entry, request, layers)

    def _plan(self, run: RecipeRun) -> Plan:
        fit = self.recipe.fit
        regressor, settings = fit.regressor, dict(fit.regressor_options)
        if fit.alphas is not None:
            settings["alphas"] = fit.alphas.values
        if run.joint:
            regressor = self.zoo.host.stacking_regressor().id
            settings = {"single": self._single(run)}
        options = RunOptions(
            subjects=self.subjects,
            protocol=run.protocol or fit.protocol,
            aligner=fit.aligner,
            aligner_options=fit.aligner_options,
            regressor=regressor,
            regressor_options=settings,
            delays=fit.delays,
            train_stories=run.n_train,
            subset_seed=run.subset_seed,
            own_stories=self.recipe.data.own_stories,
            folds=fit.folds,
            gap=fit.gap,
            shift=self.options.shift,
            allow_leaks=fit.allow_leaks,
            keep={*self.options.keep, *(("predictions",) if run.predictions else ())},
        )
        return make_plan(self.zoo, self.dataset, self.store, options, reader=self._reader)

    def _single(self, run: RecipeRun) -> str:
        """Name of the space that the stack must beat: the last layer of that model."""
        for name, layers in run.models:
            if name == run.single:
                choice = self._choice(name, layers)
                model, numbers = choice.open(self.zoo.host, self.dataset, self.progress.say)
                return f"{model.request.model.name}:{numbers[-1]}"
        raise NotFoundError(f"stacking: {run.single!r} is not one of its models")


def obstacle(zoo: Zoo, recipe: Recipe, name: str, options: ReproduceOptions) -> str | None:
    """Why a model of a recipe cannot be run, as far as is known without the data.

    Parameters
    ----------
    zoo : Zoo
        Plugins and catalogue.
    recipe : Recipe
        What is run.
    name : str
        The model.
    options : ReproduceOptions
        What the user chose.

    Returns
    -------
    str or None
        ``None`` if it can be run.
    """
    if options.models and name not in options.models:
        return NOT_SELECTED
    try:
        entry = find_model(zoo.host, zoo.catalogue, name)
        zoo.host.extractor(entry.plugin, entry.extractor)
    except ZooError as error:
        return str(error)
    if needs_weights(recipe, entry):
        repository = entry.repo or "not published"
        return f"needs weights: {name} ({repository}) is not on this machine"
    return None


def needs_weights(recipe: Recipe, entry: ModelEntry) -> bool:
    """Whether a model needs trained weights that are not on this machine."""
    is_network = bool(entry.architecture) or entry.repo is not None
    return is_network and not recipe.fit.untrained and weights_location(entry) is None
