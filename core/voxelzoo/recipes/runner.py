"""Many runs, one after another, into one store: what was done before is not done again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from voxelzoo.api import Dataset, ExtractorRequest, MissingError, NotFoundError, ZooError
from voxelzoo.contract.weights import weights_location
from voxelzoo.data.opening import plan_evaluation
from voxelzoo.host.zoo import Zoo
from voxelzoo.progress import Progress
from voxelzoo.recipes.schema import Recipe
from voxelzoo.runs.estimate import estimate_extraction
from voxelzoo.runs.execute import run_models
from voxelzoo.runs.inputs import DatasetReader
from voxelzoo.runs.keys import StateKeys
from voxelzoo.runs.models import ModelChoice, find_model
from voxelzoo.runs.options import RunOptions
from voxelzoo.runs.plan import Plan, make_plan
from voxelzoo.store.results import Result
from voxelzoo.store.store import Store
from voxelzoo.text import human_bytes

NOT_ASKED_FOR = "was not asked for"


@dataclass(frozen=True)
class Run:
    """One fit of a recipe: a model's layers, or several models' as spaces of one fit."""

    models: tuple[tuple[str, str], ...]
    """(model, layers); more than one where they are fitted together."""
    n_train: int | None = None
    """Training stories drawn; ``None``: all."""
    subset_seed: int = 0
    single: str | None = None
    """Stacking: the model that the stack must beat."""
    protocol: str | None = None
    """Instead of the recipe's."""
    predictions: bool = False
    """Whether held-out predictions are kept: as large as the responses, for every layer."""

    @property
    def joint(self) -> bool:
        """Whether the models are spaces of one stacked fit."""
        return self.single is not None


@dataclass
class Outcomes:
    """What came of every run: results by subject and layer, or why there are none."""

    results: dict[Run, dict[tuple[str, int | None], Result]] = field(default_factory=dict)
    reasons: dict[Run, str] = field(default_factory=dict)
    n_computed: int = 0
    n_kept: int = 0

    def add(self, run: Run, result: Result) -> None:
        """Notes one result."""
        record = result.record
        self.results.setdefault(run, {})[record.subject, record.layer] = result
        self.n_computed += result.computed
        self.n_kept += not result.computed


@dataclass
class RecipeRunner:
    """Runs of one recipe on one dataset."""

    installed: Zoo
    recipe: Recipe
    dataset: Dataset
    store: Store
    request: ExtractorRequest
    progress: Progress
    only: frozenset[str]
    """Models asked for; all if empty."""
    chosen: Sequence[str]
    """Subjects, of those that the dataset has."""

    def __post_init__(self) -> None:
        fit = self.recipe.fit
        own_for = self.dataset.subjects() if self.recipe.data.own_stories else ()
        self.evaluation = plan_evaluation(self.dataset, fit.folds, fit.gap, own_for)
        self._reader = DatasetReader(self.dataset, self.store)

    def check(self) -> None:
        """Raises :class:`ZooError` for tools or options that make no sense of any run."""
        self._plan(Run(()))

    def train_stories(self, subject: str) -> tuple[str, ...]:
        """Stories that a subject is fitted on."""
        return self.evaluation.train_for(subject)

    def execute(self, runs: Iterable[Run]) -> Outcomes:
        """Every run in turn; one that fails, or cannot be, does not stop the others."""
        outcomes = Outcomes()
        # What keeps more comes first: it serves those that need less as well.
        for run in sorted(dict.fromkeys(runs), key=lambda run: not run.predictions):
            if reasons := [r for name, _ in run.models if (r := self.obstacle(name))]:
                outcomes.reasons[run] = reasons[0]
                continue
            try:
                for result in self._run(run):
                    outcomes.add(run, result)
            except ZooError as error:
                outcomes.results.pop(run, None)
                outcomes.reasons[run] = str(error)
        return outcomes

    def obstacle(self, name: str) -> str | None:
        """Why a model cannot run here, told before anything is loaded; ``None``: it can."""
        return obstacle(self.installed, self.recipe, self.request, name, self.only)

    def _run(self, run: Run) -> Iterable[Result]:
        plan = self._plan(run)
        choices = [self._choice(name, layers) for name, layers in run.models]
        report = run_models(self.installed, plan, choices, self.progress, _check_size)
        for _, error in report.failures:
            raise error
        return report.results

    def _choice(self, name: str, layers: str) -> ModelChoice:
        entry = find_model(self.installed.host, self.installed.catalogue, name)
        request = replace(
            self.request,
            untrained=self.request.untrained and bool(entry.architecture),
            options={**self.request.options, **self.recipe.models[name].options},
        )
        return ModelChoice(entry, request, layers)

    def _plan(self, run: Run) -> Plan:
        fit = self.recipe.fit
        regressor, settings = fit.regressor, dict(fit.regressor_options)
        if fit.alphas is not None:
            settings["alphas"] = fit.alphas.values
        if run.joint:
            regressor = self.installed.host.stacking_regressor().id
            settings = {"single": self._single(run)}
        options = RunOptions(
            subjects=self.chosen,
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
            allow_leaks=fit.allow_leaks,
            keep=("predictions",) if run.predictions else (),
        )
        return make_plan(self.installed, self.dataset, self.store, options, reader=self._reader)

    def _single(self, run: Run) -> str:
        """Name of the space that the stack must beat: the last layer of that model."""
        for name, layers in run.models:
            if name == run.single:
                host, say = self.installed.host, self.progress.say
                model, numbers = self._choice(name, layers).open(host, self.dataset, say)
                return f"{model.request.model.name}:{numbers[-1]}"
        raise NotFoundError(f"stacking: {run.single!r} is none of its models")


def obstacle(
    installed: Zoo,
    recipe: Recipe,
    request: ExtractorRequest,
    name: str,
    only: frozenset[str] = frozenset(),
) -> str | None:
    """Why a model of a recipe cannot run, so far as it can be told without data; or ``None``."""
    if only and name not in only:
        return NOT_ASKED_FOR
    try:
        entry = find_model(installed.host, installed.catalogue, name)
        installed.host.extractor(entry.plugin, entry.extractor)
    except ZooError as error:
        return str(error)
    if not entry.architecture and entry.repo is None:
        return None  # a baseline: no network
    if not request.untrained and weights_location(entry) is None:
        where = entry.repo or "not published"
        return f"needs weights: {name} ({where}) is not on this machine"
    return None


def _check_size(plan: Plan, keys: StateKeys) -> None:
    """Raises :class:`MissingError` where states that are to be made take more memory than there is.

    By the extractor's own estimate; of one that gives none, by the size of its weights.
    """
    extraction = estimate_extraction(plan, keys, keys.layers)
    if not extraction.n_stories:
        return
    entry, request = keys.model.request.model, keys.model.request
    what, need = "", extraction.peak_bytes
    if need is None:
        what = " for its weights alone"
        need = (entry.n_parameters or 0) * (4 if request.dtype == "float32" else 2)
    there = _memory(request.device)
    if there and need > there:
        raise MissingError(
            f"too big: {entry.name} takes {human_bytes(need)}{what} in {request.dtype}, "
            f"{request.device} has {human_bytes(there)}"
        )


def _memory(device: str) -> int:
    """Bytes of memory of the device; 0 where unknown."""
    if device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            return 0
        return int(torch.cuda.get_device_properties(torch.device(device)).total_memory)
    import os

    sizes: Mapping[str, Any] = os.sysconf_names
    if "SC_PHYS_PAGES" not in sizes:
        return 0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
