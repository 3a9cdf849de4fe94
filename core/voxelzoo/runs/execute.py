"""Run, plan and extract: each is the Python function behind the command of its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from voxelzoo.api import Dataset, ModelEntry, UsageError, ZooError
from voxelzoo.contract.weights import weights_location
from voxelzoo.data.opening import open_dataset, own_stories_left, plan_evaluation
from voxelzoo.host.blocking import flag
from voxelzoo.host.boundary import as_zoo_error
from voxelzoo.host.zoo import Zoo
from voxelzoo.progress import Progress, Silent
from voxelzoo.runs.estimate import Estimate, estimate
from voxelzoo.runs.extraction import StoryStates, native_states
from voxelzoo.runs.fits import PlanRunner
from voxelzoo.runs.guards import LeakError
from voxelzoo.runs.keys import StateKeys
from voxelzoo.runs.models import ModelChoice, choose_models
from voxelzoo.runs.options import DEFAULTS, RunOptions
from voxelzoo.runs.plan import Plan, make_plan
from voxelzoo.store.results import Result
from voxelzoo.store.store import Store


@dataclass
class RunReport:
    """What a run gave.

    Parameters
    ----------
    results : list of Result
        One for each model, subject and layer; for joint fits, one for each subject.
    failures : list of (ModelEntry, ZooError)
        Models that failed, each with the reason.
    """

    results: list[Result] = field(default_factory=list)
    failures: list[tuple[ModelEntry, ZooError]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 if no model failed; the error's own code if all failed alike; otherwise 1."""
        if not self.failures:
            return 0
        codes = {error.exit_code for _, error in self.failures}
        return codes.pop() if len(codes) == 1 and not self.results else 1


def run(
    zoo: Zoo,
    models: Sequence[str | ModelEntry],
    dataset: str | Dataset | None,
    store: Store,
    options: RunOptions = DEFAULTS,
    progress: Progress | None = None,
) -> RunReport:
    """Predict responses from models: extract, align, fit every voxel, score.

    Everything computed is kept in the store. What is already there is not computed again.

    Parameters
    ----------
    zoo : Zoo
        Plugins and catalogue.
    models : sequence of str or ModelEntry
        Names, as for ``zoo run --plugin``, or rows of the catalogue.
    dataset : str, Dataset or None
        A dataset, its name, ``NAME:PATH``, or the path of a folder; the default dataset if None.
    store : Store
        Where states and results are kept.
    options : RunOptions
        Everything else.
    progress : Progress, optional
        Told what happens; nothing is shown if None.

    Returns
    -------
    RunReport
        A model that fails does not stop the others; it is among the failures.

    Raises
    ------
    ZooError
        If no model can be run: an unknown name, an option that makes no sense, data that are
        damaged or leak, or a joint fit that fails.
    """
    progress = progress or Silent()
    choices = choose_models(zoo, models, options)
    resolved = make_plan(zoo, _opened(zoo, dataset, options), store, options)
    left = own_stories_left(resolved.dataset, resolved.evaluation, resolved.subjects)
    if left:
        progress.say(left)
    return run_models(zoo, resolved, choices, progress)


def run_models(
    zoo: Zoo,
    plan: Plan,
    choices: Sequence[ModelChoice],
    progress: Progress,
    check: Callable[[Plan, StateKeys], None] | None = None,
) -> RunReport:
    """Run every model in turn; one that fails does not stop the others.

    Parameters
    ----------
    zoo : Zoo
        Plugins and catalogue.
    plan : Plan
        The settings. With a regressor of several feature spaces, all models are fitted together.
    choices : sequence of ModelChoice
        The models.
    progress : Progress
        Told what happens.
    check : callable, optional
        Called with the plan and the keys of a model's states before the model is run. It may raise
        :class:`ZooError` to refuse the model.

    Returns
    -------
    RunReport

    Raises
    ------
    ZooError
        If data cannot be read or leak, or a joint fit fails.
    """
    runner = PlanRunner(plan, progress)

    def state_keys(choice: ModelChoice) -> StateKeys:
        model, layers = choice.open(zoo.host, plan.dataset, progress.say)
        keys = StateKeys(model, layers, plan.stimuli, plan.alignment)
        if check is not None:
            check(plan, keys)
        return keys

    report = RunReport()
    strict = flag("ZOO_STRICT_PLUGINS")
    if plan.regressor.spec.spaces:
        report.results.extend(runner.run_joint([state_keys(choice) for choice in choices]))
        return report
    for choice in choices:
        try:
            for result in runner.run_layers(state_keys(choice)):
                report.results.append(result)
        except LeakError:
            raise  # of the data: no other model would do better
        except BaseException as error:  # whatever a plugin raises: the other models go on
            if strict and not isinstance(error, ZooError):
                raise
            report.failures.append((choice.entry, as_zoo_error(error)))
    return report


def plan(
    zoo: Zoo,
    models: Sequence[str | ModelEntry],
    dataset: str | Dataset | None,
    store: Store,
    options: RunOptions = DEFAULTS,
    progress: Progress | None = None,
) -> list[Estimate]:
    """Estimate what :func:`run` would take with the same arguments: time, memory and disk.

    No weights are loaded or downloaded, and nothing is computed. What is already in the store is
    not counted, except for a model whose weights are not on this machine: its keys are not known.

    Parameters
    ----------
    zoo, models, dataset, store, options, progress
        As for :func:`run`.

    Returns
    -------
    list of Estimate
        One for each model.

    Raises
    ------
    ZooError
        As :func:`run`, and for a model that cannot be run.
    """
    progress = progress or Silent()
    choices = choose_models(zoo, models, options)
    resolved = make_plan(zoo, _opened(zoo, dataset, options), store, options)
    return [_estimate(zoo, resolved, choice, progress) for choice in choices]


def _estimate(zoo: Zoo, plan: Plan, choice: ModelChoice, progress: Progress) -> Estimate:
    """The estimate of one model.

    A model whose weights are not on this machine is planned as its architecture alone, as if the
    store were empty: without the weights, keys of its states are unknown.
    """
    entry, request = choice.entry, choice.request
    absent = not request.untrained and entry.architecture and weights_location(entry) is None
    if absent:
        progress.say(f"{entry.name}: weights are not on this machine; planned without")
        choice = replace(choice, request=replace(request, untrained=True))
    model, layers = choice.open(zoo.host, plan.dataset, progress.say)
    keys = StateKeys(model, layers, plan.stimuli, plan.alignment)
    planned = estimate(plan, keys, reuse=not absent)
    return replace(planned, model=entry.name) if absent else planned


def extract(
    zoo: Zoo,
    model: str | ModelEntry,
    dataset: str | Dataset | None,
    options: RunOptions = DEFAULTS,
    *,
    stories: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[str, StoryStates]:
    """Compute a model's hidden states for use elsewhere. No store is read or written.

    Parameters
    ----------
    zoo : Zoo
        Plugins and catalogue.
    model : str or ModelEntry
        Name, as for ``zoo extract --plugin``, or a row of the catalogue.
    dataset : str, Dataset or None
        As for :func:`run`.
    options : RunOptions
        Those that concern models; those of subjects and fits are not used.
    stories : sequence of str, default ()
        Stories to read; all of the dataset's if empty.
    progress : Progress, optional
        Told what happens; nothing is shown if None.

    Returns
    -------
    dict of str to StoryStates
        States of each story at the model's own times.

    Raises
    ------
    ZooError
        For an unknown model or story, and for a story that the model cannot read.
    """
    progress = progress or Silent()
    (choice,) = choose_models(zoo, [model], options)
    data = _opened(zoo, dataset, options)
    known = plan_evaluation(data, own_for=data.subjects()).stories
    if unknown := [name for name in stories if name not in known]:
        raise UsageError(f"no story {unknown[0]!r}; there are {', '.join(known)}")
    opened, layers = choice.open(zoo.host, data, progress.say)
    try:
        return {
            name: native_states(opened, data.story(name), layers, progress)
            for name in stories or known
        }
    finally:
        opened.extractor.close()


def _opened(zoo: Zoo, dataset: str | Dataset | None, options: RunOptions) -> Dataset:
    if dataset is None or isinstance(dataset, str):
        return open_dataset(zoo.host, dataset, allow_pickle=options.allow_pickle)
    return dataset
