"""Fits every layer of a model, or several models together, to every subject of a plan.

Keys are made before anything else, so that a result already in the store costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError
from voxelzoo.disk.drafts import Draft
from voxelzoo.progress import Progress, Silent
from voxelzoo.runs.ceilings import NoiseCeilings
from voxelzoo.runs.estimate import CostCheck
from voxelzoo.runs.extraction import aligned_states
from voxelzoo.runs.guards import check_responses, check_stimuli, check_subjects
from voxelzoo.runs.keys import Features, ModelLayer, StateKeys, result_provenance
from voxelzoo.runs.plan import Plan, subject_groups
from voxelzoo.runs.summary import summarise
from voxelzoo.science.design import DesignSpec
from voxelzoo.science.evaluation import evaluate
from voxelzoo.science.responses import Responses
from voxelzoo.science.scores import Scores
from voxelzoo.science.undefined import REASONS, why_undefined
from voxelzoo.store.artefacts import Artefact
from voxelzoo.store.layout import KEPT, kept_with, result_arrays
from voxelzoo.store.results import Result

Provenance = Mapping[str, Any]


States = Mapping[tuple[str, int], Mapping[str, Artefact]]
"""TR-rate states of each story, by model id and layer."""


class PlanRunner:
    """Fits models under one plan. Whatever does not depend on the model is computed once.

    Parameters
    ----------
    plan : Plan
        The settings.
    progress : Progress
        Told what happens.

    Raises
    ------
    DataError
        If a story cannot be read.
    """

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self.plan = plan
        self._groups = [_GroupRunner(group, progress) for group in subject_groups(plan)]

    def run_layers(self, states: StateKeys) -> Iterator[Result]:
        """Fit every layer of a model by itself.

        Parameters
        ----------
        states : StateKeys
            The model and its layers.

        Yields
        ------
        Result
            One for each subject and layer: all layers of a subject, then the next subject.
        """
        yield from self._run([Features((ModelLayer(states, layer),)) for layer in states.layers])

    def run_joint(self, models: Sequence[StateKeys]) -> Iterator[Result]:
        """Fit every layer of every model together, each as a feature space of one fit.

        Parameters
        ----------
        models : sequence of StateKeys
            The models and their layers.

        Yields
        ------
        Result
            One for each subject.
        """
        layers = tuple(ModelLayer(states, layer) for states in models for layer in states.layers)
        yield from self._run([Features(layers, joint=True)])

    def _run(self, fits: Sequence[Features]) -> Iterator[Result]:
        for group in self._groups:
            with _decomposition_folder(group.plan) as folder:
                yield from group.run(fits, folder)


class _GroupRunner:
    """Fits subjects who train on the same stories."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self.plan = plan
        self._progress = progress
        self.ceilings = NoiseCeilings(plan)

    @cached_property
    def leaks(self) -> list[str]:
        """Guards of stories that found a leak and are allowed to."""
        return check_stimuli(self.plan)

    @cached_property
    def averages(self) -> dict[str, str]:
        """Subjects that are undeclared means over others, if that is allowed, and the guard."""
        return check_subjects(self.plan)

    def run(self, fits: Sequence[Features], folder: Path | None) -> Iterator[Result]:
        """Every fit of every subject; only what is not in the store is computed."""
        plan = self.plan
        provenances = {
            (subject, i): result_provenance(plan, subject, fit)
            for subject in plan.subjects
            for i, fit in enumerate(fits)
        }
        stored = {at: self._stored(provenance) for at, provenance in provenances.items()}
        incomplete = [
            fit for i, fit in enumerate(fits) if any(not stored[s, i] for s in plan.subjects)
        ]
        # Both raise before anything is computed.
        averages, leaks = (self.averages, self.leaks) if incomplete else ({}, [])
        states = self._extract(incomplete)
        for subject in plan.subjects:
            missing = {i: fit for i, fit in enumerate(fits) if not stored[subject, i]}
            own = [*leaks, averages[subject]] if subject in averages else leaks
            of_subject = _SubjectRunner(self, subject, own) if missing else None
            progress = self._progress if missing else Silent()
            with progress.task(f"{fits[0].label}: fit {subject}", len(missing)) as advance:
                for i, fit in enumerate(fits):
                    if (artefact := stored[subject, i]) is not None:
                        yield Result(artefact, computed=False)
                        continue
                    assert of_subject is not None
                    yield of_subject.fit(fit, states, provenances[subject, i], folder)
                    advance(1)

    def _stored(self, provenance: Provenance) -> Artefact | None:
        """The result in the store, if it has everything that is to be kept."""
        artefact = self.plan.store.find_intact("results", provenance, self._progress.say)
        if artefact is None or self.plan.keep & KEPT - kept_with(artefact):
            return None
        return artefact

    def _extract(self, fits: Sequence[Features]) -> States:
        """States of everything that the fits are made from, one model after another."""
        plan, progress = self.plan, self._progress
        needed: dict[str, tuple[StateKeys, list[int]]] = {}
        for fit in fits:
            for each in fit.layers:
                _, layers = needed.setdefault(each.states.model.request.model.id, (each.states, []))
                if each.layer not in layers:
                    layers.append(each.layer)
        states: dict[tuple[str, int], dict[str, Artefact]] = {}
        for model_id, (keys, layers) in needed.items():
            check = CostCheck(plan, keys, layers)
            try:
                for story in plan.evaluation.stories:
                    artefacts = aligned_states(
                        keys, story, layers, plan.store, progress, "states" in plan.keep
                    )
                    for layer, artefact in artefacts.items():
                        states.setdefault((model_id, layer), {})[story] = artefact
            finally:
                keys.model.extractor.close()
            if line := check.compared():
                progress.say(line)
        return states


class _SubjectRunner:
    """Fits one subject, whose responses, ceiling and labels are read once."""

    def __init__(self, group: _GroupRunner, subject: str, leaks: Sequence[str]) -> None:
        self._plan = plan = group.plan
        self._subject = subject
        self._responses = plan.reader.responses(
            subject, plan.n_trs, plan.protocol.standardise_responses
        )
        self._leaks = sorted({*leaks, *check_responses(plan, self._responses)})
        self._ceiling = group.ceilings.of(subject)
        self._labels = plan.dataset.voxel_labels(subject)

    def fit(
        self, features: Features, states: States, provenance: Provenance, folder: Path | None
    ) -> Result:
        """Fit, score and keep one result."""
        plan, keep = self._plan, self._plan.keep
        if (before := plan.store.find_intact("results", provenance)) is not None:
            keep |= kept_with(before)  # the new result replaces it
        scores = _fit(plan, features, states, self._responses, folder, "weights" in keep)
        if np.isnan(scores.r).all():
            raise DataError(
                f"{features.label}: r of subject {self._subject!r} is undefined in every voxel: "
                f"{'; '.join(REASONS[reason] for reason in why_undefined(scores))}"
            )
        if (ceiling := self._ceiling) is not None:
            scores = replace(scores, ceiling=ceiling.values, ceiling_stories=ceiling.stories)
        labels = self._labels
        artefact = plan.store.put(
            "results",
            provenance,
            result_arrays(scores, labels, "predictions" in keep),
            summarise(plan, features, self._subject, scores, labels, self._leaks).to_json(),
            replace=True,
        )
        plan.regressor.remember()
        return Result(artefact, computed=True)


def _fit(
    plan: Plan,
    features: Features,
    states: States,
    responses: Mapping[str, Responses],
    folder: Path | None,
    keeps_weights: bool,
) -> Scores:
    """Scores of one fit; its states are read now, and forgotten after."""
    design: dict[str, NDArray[Any]] = {}
    widths: dict[str, int] = {}
    for story in plan.evaluation.stories:
        spaces = {
            name: states[each.states.model.request.model.id, each.layer][story].read("states")
            for name, each in features.spaces.items()
        }
        widths = {name: space.shape[1] for name, space in spaces.items()}
        design[story] = np.concatenate(list(spaces.values()), axis=1)
    spec = plan.regressor.spec
    fitting = DesignSpec(
        lambda: plan.regressor.make(folder),
        plan.delays,
        self_delaying=spec.delays == "self",
        keeps_weights=keeps_weights,
        streams=spec.streams,
        spaces=widths if features.joint else None,
    )
    return evaluate(plan.evaluation, plan.protocol, fitting, design, responses)


@contextmanager
def _decomposition_folder(plan: Plan) -> Iterator[Path | None]:
    """A folder in which fits share decompositions of designs, if the regressor wants one.

    It is in the store, for later runs, if the plan keeps decompositions. Otherwise it serves the
    subjects of this run, and is removed.
    """
    if not plan.regressor.takes_cache:
        yield None
    elif "decompositions" in plan.keep:
        yield plan.store.root / "decompositions"
    elif len(plan.subjects) < 2:
        yield None
    else:
        with Draft(plan.store.root) as draft:
            yield draft.path
