"""Many runs, one after another, into one store: what was done before is not done again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, cast

from voxelzoo.api import Dataset, ExtractorRequest, MissingError, NotFoundError, ZooError
from voxelzoo.contract.weights import weights_location
from voxelzoo.data.opening import plan_evaluation
from voxelzoo.host.catalogue import Catalogue
from voxelzoo.host.host import Host
from voxelzoo.progress import Progress
from voxelzoo.recipes.schema import Recipe
from voxelzoo.runs.estimate import estimate_extraction
from voxelzoo.runs.execute import Result, run_joint, run_model
from voxelzoo.runs.models import (
    Alignment,
    Model,
    choose_layers,
    find_model,
    open_model,
    with_layers,
)
from voxelzoo.runs.plan import Plan, new_response_cache
from voxelzoo.science.protocols import find_protocol
from voxelzoo.science.splits import train_on_fewer
from voxelzoo.store.artefacts import Artefact, Store
from voxelzoo.text import human_bytes

NOT_ASKED_FOR = "was not asked for"


@dataclass(frozen=True)
class Zoo:
    """Plugins and catalogue of one call."""

    host: Host
    catalogue: Catalogue


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

    results: dict[Run, dict[tuple[str, int | None], Artefact]] = field(default_factory=dict)
    reasons: dict[Run, str] = field(default_factory=dict)
    n_computed: int = 0
    n_kept: int = 0

    def add(self, run: Run, result: Result) -> None:
        """Notes one result."""
        summary = result.artefact.summary
        self.results.setdefault(run, {})[summary["subject"], summary["layer"]] = result.artefact
        self.n_computed += result.computed
        self.n_kept += not result.computed


class _ReadOnce:
    """A dataset whose stories are read, and their sound digested, once for all runs."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self.story = cache(dataset.story)
        self.clock = cache(dataset.clock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)


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
        self.dataset = cast(Dataset, _ReadOnce(self.dataset))
        fit = self.recipe.fit
        own_for = self.dataset.subjects() if self.recipe.data.own_stories else ()
        self.evaluation = plan_evaluation(self.dataset, fit.folds, fit.gap, own_for)
        self._models: dict[str, Model] = {}
        self._response_cache = new_response_cache(self.store)

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
        models = []
        for name, layers in run.models:
            model = self._model(name)
            models.append((model, _layers(model, layers)))
            _check_size(plan, *models[-1])
        if run.joint:
            return run_joint(plan, models, self.progress)
        ((model, layers_of_it),) = models
        return run_model(plan, model, layers_of_it, self.progress)

    def _model(self, name: str) -> Model:
        if name not in self._models:
            host, catalogue = self.installed.host, self.installed.catalogue
            entry = with_layers(find_model(host, catalogue, name), self.dataset)
            request = replace(
                self.request,
                untrained=self.request.untrained and bool(entry.architecture),
                options={**self.request.options, **self.recipe.models[name].options},
                notify=self.progress.say,
            )
            self._models[name] = open_model(host, entry, request)
        return self._models[name]

    def _plan(self, run: Run) -> Plan:
        fit, host = self.recipe.fit, self.installed.host
        protocol = find_protocol(run.protocol or fit.protocol)
        evaluation = self.evaluation
        if run.n_train is not None:
            evaluation = train_on_fewer(evaluation, run.n_train, run.subset_seed, self.chosen)
        name, options = fit.regressor or protocol.regressor, dict(fit.regressor_options)
        if fit.alphas is not None:
            options["alphas"] = fit.alphas.values
        if run.joint:
            name, options = "stacking", {"single": self._single(run)}
        return Plan(
            dataset=self.dataset,
            subjects=self.chosen,
            evaluation=evaluation,
            subset_seed=None if run.n_train is None else run.subset_seed,
            protocol=protocol,
            delays=fit.delays or protocol.delays,
            alignment=Alignment.open(
                host.aligner(fit.aligner or protocol.aligner), fit.aligner_options
            ),
            regressor=host.regressor(name),
            regressor_options=options,
            store=self.store,
            keep=frozenset({"predictions"} if run.predictions else ()),
            allowed_leaks=fit.allow_leaks,
            response_cache=self._response_cache,
        )

    def _single(self, run: Run) -> str:
        """Name of the space that the stack must beat: the last layer of that model."""
        for name, layers in run.models:
            if name == run.single:
                model = self._model(name)
                return f"{model.request.model.name}:{_layers(model, layers)[-1]}"
        raise NotFoundError(f"stacking: {run.single!r} is none of its models")


def _layers(model: Model, asked: str) -> list[int]:
    """Layers as typed; ``even``: every even-numbered one but the embedding (layer 0)."""
    if asked == "even":
        return [layer for layer in model.extractor.layers() if layer and layer % 2 == 0]
    return choose_layers(model, asked)


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


def _check_size(plan: Plan, model: Model, layers: Sequence[int]) -> None:
    """Raises :class:`MissingError` where states that are to be made take more memory than there is.

    By the extractor's own estimate; of one that gives none, by the size of its weights.
    """
    extraction = estimate_extraction(plan, model, layers)
    if not extraction.n_stories:
        return
    entry, request = model.request.model, model.request
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
