"""One run: extract, align, fit and score models on a dataset, keeping every artefact.

Keys are computed before anything else, so that a result already in the store costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import ModelEntry, ZooError
from voxelzoo.progress import Progress
from voxelzoo.runs.extraction import aligned_states
from voxelzoo.runs.models import Model
from voxelzoo.runs.plan import Features, Plan
from voxelzoo.runs.summary import summarise
from voxelzoo.science.evaluation import evaluate
from voxelzoo.science.scores import Scores
from voxelzoo.science.voxel_arrays import Responses
from voxelzoo.store.artefacts import Artefact
from voxelzoo.store.layout import kept_with, result_arrays
from voxelzoo.store.results import Result


@dataclass
class RunReport:
    """Everything a run gave: results, and the models that failed with the reason."""

    results: list[Result] = field(default_factory=list)
    failures: list[tuple[ModelEntry, ZooError]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0; the error's own code where the only model failed; 1 where some did."""
        if not self.failures:
            return 0
        codes = {error.exit_code for _, error in self.failures}
        return codes.pop() if len(codes) == 1 and not self.results else 1


def run_model(
    plan: Plan, model: Model, layers: Sequence[int], progress: Progress
) -> Iterator[Result]:
    """Results of every layer and subject, in that order of nesting: subject, then layer."""
    yield from _run(plan, [Features(((model, layer),)) for layer in layers], progress)


def run_joint(
    plan: Plan, models: Sequence[tuple[Model, Sequence[int]]], progress: Progress
) -> Iterator[Result]:
    """One result a subject: every layer of every model as a feature space of one fit."""
    parts = tuple((model, layer) for model, layers in models for layer in layers)
    yield from _run(plan, [Features(parts, joint=True)], progress)


def _run(plan: Plan, fits: Sequence[Features], progress: Progress) -> Iterator[Result]:
    for part in plan.parts:
        with part.cache() as cache:
            yield from _run_with(part, fits, cache, progress)


def _run_with(
    plan: Plan, fits: Sequence[Features], cache: Path | None, progress: Progress
) -> Iterator[Result]:
    dataset, store = plan.dataset, plan.store
    keys = {(s, i): plan.provenance(s, fit) for s in plan.subjects for i, fit in enumerate(fits)}
    found = {at: plan.find(provenance) for at, provenance in keys.items()}
    lacking = [fit for i, fit in enumerate(fits) if any(not found[s, i] for s in plan.subjects)]
    states = _extract(plan, lacking, progress)
    for subject in plan.subjects:
        todo = [i for i in range(len(fits)) if found[subject, i] is None]
        responses = plan.responses(subject) if todo else {}
        leaks = plan.leaks(responses) if todo else []
        if todo:
            plan.noise_ceiling(subject)  # one that cannot be had is said before anything is fitted
        with progress.task(f"{fits[0].label}: fit {subject}", len(todo)) as advance:
            for i, fit in enumerate(fits):
                if (kept := found[subject, i]) is not None:
                    yield Result(kept, computed=False)
                    continue
                keep = plan.keep
                if (before := store.find("results", keys[subject, i])) is not None:
                    keep |= kept_with(before)  # which the new one replaces
                scores = _fit(plan, fit, cache, states, responses, "weights" in keep)
                scores = replace(scores, ceiling=plan.noise_ceiling(subject))
                labels = dataset.voxel_labels(subject)
                artefact = store.put(
                    "results",
                    keys[subject, i],
                    result_arrays(scores, labels, "predictions" in keep),
                    summarise(plan, fit, subject, scores, labels, leaks).to_json(),
                    replace=True,
                )
                advance(1)
                yield Result(artefact, computed=True)


States = Mapping[tuple[str, int], Mapping[str, Artefact]]
"""By model and layer, each story's TR-rate states."""


def _extract(plan: Plan, fits: Sequence[Features], progress: Progress) -> States:
    """States of all that the fits are made from, one model after another."""
    from voxelzoo.runs.estimate import CostCheck

    wanted: dict[str, tuple[Model, list[int]]] = {}
    for fit in fits:
        for model, layer in fit.parts:
            _, layers = wanted.setdefault(model.request.model.id, (model, []))
            if layer not in layers:
                layers.append(layer)
    states: dict[tuple[str, int], dict[str, Artefact]] = {}
    for of, (model, layers) in wanted.items():
        watch = CostCheck(plan, model, layers)
        for name, (story, clock) in plan.stimuli.items():
            keep = "states" in plan.keep
            aligned = aligned_states(
                model, story, clock, plan.alignment, layers, plan.store, progress, keep
            )
            for layer, artefact in aligned.items():
                states.setdefault((of, layer), {})[name] = artefact
        model.extractor.close()
        if line := watch.compared():
            progress.say(line)
    return states


def _fit(
    plan: Plan,
    fit: Features,
    cache: Path | None,
    states: States,
    responses: Mapping[str, Responses],
    keeps_weights: bool,
) -> Scores:
    """Scores of one fit; its states are read now, and forgotten after."""
    design: dict[str, NDArray[Any]] = {}
    widths: dict[str, int] = {}
    for story in plan.stimuli:
        spaces = {
            name: states[model.request.model.id, layer][story].read("states")
            for name, (model, layer) in fit.spaces().items()
        }
        widths = {name: space.shape[1] for name, space in spaces.items()}
        design[story] = np.concatenate(list(spaces.values()), axis=1)
    fitting = plan.fitting(cache, widths if fit.joint else None, keeps_weights)
    return evaluate(plan.evaluation, plan.protocol, fitting, design, responses)
