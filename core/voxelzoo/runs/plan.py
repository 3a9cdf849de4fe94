"""The settings of one run, resolved: what is fitted to what, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from voxelzoo.api import Dataset, UsageError
from voxelzoo.data.leaks import check_guards
from voxelzoo.data.opening import choose_subjects, plan_evaluation
from voxelzoo.host.zoo import Zoo
from voxelzoo.runs.inputs import DatasetReader, Stimulus
from voxelzoo.runs.models import Alignment
from voxelzoo.runs.options import RunOptions
from voxelzoo.runs.regression import ChosenRegressor
from voxelzoo.science.ceilings import DEFAULT, find_method
from voxelzoo.science.durations import Delays
from voxelzoo.science.protocols import FitProtocol, find_protocol
from voxelzoo.science.splits import Evaluation, HeldOutStories, train_on_fewer
from voxelzoo.store.store import Store


@dataclass(frozen=True)
class MeanTraining:
    """What subjects train on, in the mean, if their training stories differ."""

    n_stories: float
    hours: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings of one run, made by :func:`make_plan`.

    Parameters
    ----------
    reader : DatasetReader
        Reads the dataset.
    store : Store
        Where artefacts are kept.
    subjects : tuple of str
        Subjects to fit.
    evaluation : HeldOutStories or ContiguousFolds
        What is trained on and what is held out.
    protocol : FitProtocol
        Every choice between states and scores.
    delays : tuple of int
        FIR delays in TRs.
    alignment : Alignment
        Resamples states to scan times.
    regressor : ChosenRegressor
        Fits the design to the responses.
    keep : frozenset of str
        What is kept in the store beside scores and TR-rate states.
    shift : float
        Seconds by which the stimulus is moved later.
    subset_seed : int or None
        Seed with which the training stories were drawn; None if all are used.
    allowed_leaks : tuple of str
        Leak guards that do not stop the run.
    ceiling : str or None
        Method of the noise ceiling; None for the default, where held-out stories were repeated.
    mean_training : MeanTraining or None
        Set if subjects train on different stories.
    """

    reader: DatasetReader
    store: Store
    subjects: tuple[str, ...]
    evaluation: Evaluation
    protocol: FitProtocol
    delays: tuple[int, ...]
    alignment: Alignment
    regressor: ChosenRegressor
    keep: frozenset[str]
    shift: float
    subset_seed: int | None
    allowed_leaks: tuple[str, ...]
    ceiling: str | None
    mean_training: MeanTraining | None = None

    @property
    def dataset(self) -> Dataset:
        """The dataset that is read."""
        return self.reader.dataset

    @property
    def stimuli(self) -> dict[str, Stimulus]:
        """Every story with its clock, moved by ``shift``."""
        return {name: self.reader.stimulus(name, self.shift) for name in self.evaluation.stories}

    @property
    def n_trs(self) -> dict[str, int]:
        """TRs of every story."""
        return {name: clock.n_trs for name, (_, clock) in self.stimuli.items()}

    def hours(self, stories: Sequence[str]) -> float:
        """Total scan time of these stories, in hours."""
        clocks = [self.reader.stimulus(name).clock for name in stories]
        return sum(clock.n_trs * clock.tr for clock in clocks) / 3600


def make_plan(
    zoo: Zoo,
    dataset: Dataset,
    store: Store,
    options: RunOptions,
    *,
    reader: DatasetReader | None = None,
) -> Plan:
    """Resolve the options of a run on a dataset. Nothing is computed.

    Parameters
    ----------
    zoo : Zoo
        Plugins and catalogue.
    dataset : Dataset
        The dataset.
    store : Store
        Where artefacts are kept.
    options : RunOptions
        The options.
    reader : DatasetReader, optional
        One that other plans on this dataset use, so that nothing is read twice.

    Returns
    -------
    Plan

    Raises
    ------
    UsageError, NotFoundError
        For options that this dataset or the installed plugins do not allow.
    DataError
        For a dataset that cannot be split into training and held-out data.
    """
    protocol = find_protocol(options.protocol)
    check_guards(options.allow_leaks)
    find_method(options.ceiling or DEFAULT)
    subjects = choose_subjects(dataset, options.subjects)
    own_for = dataset.subjects() if options.own_stories else ()
    evaluation = plan_evaluation(dataset, options.folds, options.gap, own_for)
    if options.train_stories is not None:
        evaluation = train_on_fewer(
            evaluation, options.train_stories, options.subset_seed, subjects
        )
    host = zoo.host
    regressor = ChosenRegressor(
        host.regressor(options.regressor)
        if options.regressor
        else host.default_regressor(protocol.name),
        options.regressor_options,
        store,
    )
    if options.regressor_options:
        regressor.check_options()
    plan = Plan(
        reader=reader or DatasetReader(dataset, store),
        store=store,
        subjects=tuple(subjects),
        evaluation=evaluation,
        protocol=protocol,
        delays=_delays(dataset, evaluation, options),
        alignment=Alignment.open(
            host.aligner(options.aligner)
            if options.aligner
            else host.default_aligner(protocol.name),
            options.aligner_options,
        ),
        regressor=regressor,
        keep=frozenset(options.keep),
        shift=options.shift,
        subset_seed=None if options.train_stories is None else options.subset_seed,
        allowed_leaks=tuple(dict.fromkeys(options.allow_leaks)),
        ceiling=options.ceiling,
    )
    if "weights" in plan.keep:
        _check_weights(plan)
    return plan


def _delays(dataset: Dataset, evaluation: Evaluation, options: RunOptions) -> tuple[int, ...]:
    """FIR delays in TRs: those asked for, or the dataset's or the protocol's."""
    delays = Delays.of(find_protocol(options.protocol).delays)
    if options.delays is not None:
        delays = Delays.of(options.delays)
    elif delays.in_seconds and (own := dataset.info().delays) is not None:
        delays = Delays.of(own)
    every = {delays.in_trs(dataset.clock(story).tr) for story in evaluation.stories}
    return every.pop() if len(every) == 1 else delays.in_trs(None)


def _check_weights(plan: Plan) -> None:
    if not plan.regressor.has_coefficients:
        raise UsageError(
            f"--keep weights: regressor {plan.regressor.spec.name} does not provide coefficients"
        )
    if not plan.evaluation.joined:
        raise UsageError(
            "--keep weights: this dataset has one story, cut into folds, and each fold has weights "
            "of its own; weights need a held-out story"
        )


def subject_groups(plan: Plan) -> list[Plan]:
    """The plan for each group of subjects who train on the same stories.

    Parameters
    ----------
    plan : Plan
        The plan of all subjects.

    Returns
    -------
    list of Plan
        The plan itself if all subjects train on the same stories. The plans share its reader.
    """
    evaluation = plan.evaluation
    if not evaluation.own:
        return [plan]
    training = [evaluation.train_for(subject) for subject in evaluation.own]
    mean_training = MeanTraining(
        n_stories=round(float(np.mean([len(stories) for stories in training])), 2),
        hours=round(float(np.mean([plan.hours(stories) for stories in training])), 6),
    )
    alike: dict[tuple[str, ...], list[str]] = {}
    for subject in plan.subjects:
        alike.setdefault(evaluation.train_for(subject), []).append(subject)
    return [
        replace(
            plan,
            subjects=tuple(subjects),
            evaluation=HeldOutStories(train, evaluation.held_out),
            mean_training=mean_training,
        )
        for train, subjects in alike.items()
    ]
