"""What one run does: data, protocol and tools, all resolved."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    DataError,
    Dataset,
    HasCoefficients,
    Regressor,
    RegressorSpec,
    ScanClock,
    Story,
    UsageError,
)
from voxelzoo.data.leaks import check_guards, check_leaks
from voxelzoo.data.opening import averages, unusable_subjects
from voxelzoo.data.responses import ResponseCache, read_responses
from voxelzoo.host.records import Registered
from voxelzoo.host.targets import build
from voxelzoo.runs.extraction import states_provenance
from voxelzoo.runs.models import Alignment, Model
from voxelzoo.science.ceilings import (
    DEFAULT,
    INTER_SUBJECT,
    estimate_ceiling,
    find_method,
    inter_subject_ceiling,
)
from voxelzoo.science.design import DesignSpec
from voxelzoo.science.evaluation import held_out_repeats, held_out_responses
from voxelzoo.science.protocols import FitProtocol
from voxelzoo.science.splits import Evaluation, HeldOutStories
from voxelzoo.science.traces import ResponseTrace
from voxelzoo.science.voxel_arrays import Responses, voxel_blocks
from voxelzoo.store.artefacts import (
    Artefact,
    artefact_key,
    draft_path,
    remove_abandoned_drafts,
)
from voxelzoo.store.layout import KEPT, kept_with
from voxelzoo.store.store import Store

Floats = NDArray[np.floating[Any]]


SCORES_VERSION = 4
"""Raised when scores change for the same states and responses, so that old results are not used."""


@dataclass(frozen=True)
class Features:
    """What one fit is made from: a layer of a model, or several as feature spaces side by side."""

    parts: tuple[tuple[Model, int], ...]
    joint: bool = False

    def spaces(self) -> dict[str, tuple[Model, int]]:
        """Each space by name, ``opt-125m:9``."""
        return {
            f"{model.request.model.name}:{layer}": (model, layer) for model, layer in self.parts
        }

    @property
    def label(self) -> str:
        """Name for people."""
        if self.joint:
            return " + ".join(self.spaces())
        return self.parts[0][0].label


def new_response_cache(store: Store) -> ResponseCache:
    """For responses that one plan or several of a dataset read, in the store's drafts."""
    remove_abandoned_drafts(store.root)
    return ResponseCache(draft_path(store.root))


@dataclass(frozen=True)
class Plan:
    """What one run does with every model: data, protocol and tools, all resolved."""

    dataset: Dataset
    subjects: Sequence[str]
    evaluation: Evaluation
    protocol: FitProtocol
    delays: Sequence[int]
    alignment: Alignment
    regressor: Registered[RegressorSpec]
    regressor_options: Mapping[str, Any]
    store: Store
    keep: frozenset[str] = frozenset()
    """What is kept beside results and TR-rate states: ``states``, ``predictions``, ``weights``,
    ``decompositions``."""
    shift: float = 0.0
    """Seconds by which the stimulus is pretended to come later: the misalignment control."""
    subset_seed: int | None = None
    """What the training stories were drawn from, where they are not all."""
    allowed_leaks: tuple[str, ...] = ()
    """Guards of :mod:`voxelzoo.leaks` that do not stop this run."""
    ceiling: str | None = None
    """The noise ceiling asked for; else ``schoppe``, where held-out stories were repeated."""
    response_cache: ResponseCache | None = None
    """Responses that another plan on this dataset has read."""
    mean_training: tuple[float, float] | None = None
    """Stories and hours that a subject trains on, in the mean over subjects, where they differ."""

    def __post_init__(self) -> None:
        check_guards(self.allowed_leaks)
        find_method(self.ceiling or DEFAULT)
        if any(delay < 0 for delay in self.delays) or not self.delays:
            raise UsageError("--delays are whole TRs, 0 or more, such as 1,2,3,4")
        regressor = self.make_regressor()  # a wrong option is said before anything is computed
        if "weights" in self.keep and not isinstance(regressor, HasCoefficients):
            raise UsageError(
                f"--keep weights: {self.regressor.spec.name} does not provide coefficients"
            )
        if "weights" in self.keep and not isinstance(self.evaluation, HeldOutStories):
            raise UsageError(
                "--keep weights: each fold of a story has a fit of its own; hold a story out"
            )

    def make_regressor(self, **more: Any) -> Regressor:
        """A fresh regressor."""
        regressor: Regressor = build(self.regressor, {**self.regressor_options, **more})
        return regressor

    def fitting(
        self,
        cache: Path | None,
        spaces: Mapping[str, int] | None = None,
        keeps_weights: bool = False,
    ) -> DesignSpec:
        """How a design is made and fitted.

        ``cache``: where fits on one design share what they can. ``spaces``: the units of each
        space, where joint.
        """
        alone = self.regressor.spec.delays == "self"
        more = {} if cache is None else {"cache": str(cache)}
        return DesignSpec(
            partial(self.make_regressor, **more),
            self.delays,
            alone,
            keeps_weights,
            self.regressor.spec.streams,
            spaces,
        )

    @contextmanager
    def cache(self) -> Iterator[Path | None]:
        """A folder in which one subject's fits help the next one's; kept for the next run where
        asked."""
        kept = "decompositions" in self.keep
        known = self.make_regressor().get_params(deep=False)
        if "cache" not in known or known["cache"] is not None:
            yield None
        elif kept:
            yield self.store.root / "decompositions"
        elif len(self.subjects) < 2:
            yield None
        else:
            folder = draft_path(self.store.root)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    @cached_property
    def _regressor_provenance(self) -> dict[str, Any]:
        parameters = self.make_regressor().get_params(deep=False)
        return {
            "id": self.regressor.id,
            "distribution": self.regressor.distribution,
            "version": self.regressor.version,
            "parameters": {
                name: _plain(value)
                for name, value in sorted(parameters.items())
                if name not in self._neutral
            },
        }

    @property
    def _neutral(self) -> set[str]:
        """Settings of the regressor that change no value."""
        return {"cache", *self.regressor.spec.neutral_options}

    @property
    def regressor_settings(self) -> dict[str, Any]:
        """What was set of the regressor, as typed, so far as it changes values."""
        return {
            name: _plain(value)
            for name, value in self.regressor_options.items()
            if name not in self._neutral
        }

    @property
    def stimuli(self) -> dict[str, tuple[Story, ScanClock]]:
        """Every story with its clock, read once and checked for leaks."""
        return self._guarded_stimuli[0]

    @cached_property
    def _guarded_stimuli(self) -> tuple[dict[str, tuple[Story, ScanClock]], list[str]]:
        """The stimuli, and the guards of stimuli that found a leak and were overridden."""
        found = {}
        for name in self.evaluation.stories:
            clock = self.dataset.clock(name)
            found[name] = (
                self.dataset.story(name),
                replace(clock, start=clock.start - self.shift),
            )
        return found, self._guard({name: story for name, (story, _) in found.items()})

    @cached_property
    def parts(self) -> list[Plan]:
        """This plan for all subjects who heard the same stories, one for each set of them."""
        evaluation = self.evaluation
        if not isinstance(evaluation, HeldOutStories) or not evaluation.own:
            return [self]
        training = [evaluation.of(subject).train for subject in evaluation.own]
        hours = [hours(self, stories) for stories in training]
        alike: dict[tuple[str, ...], list[str]] = {}
        for subject in self.subjects:
            alike.setdefault(evaluation.of(subject).train, []).append(subject)
        return [
            replace(
                self,
                subjects=of,
                evaluation=HeldOutStories(train, evaluation.test),
                response_cache=self._response_cache,
                mean_training=(
                    round(float(np.mean([len(stories) for stories in training])), 2),
                    round(float(np.mean(hours)), 6),
                ),
            )
            for train, of in alike.items()
        ]

    @cached_property
    def _response_cache(self) -> ResponseCache:
        return self.response_cache or new_response_cache(self.store)

    def responses(self, subject: str) -> Mapping[str, Responses]:
        """A subject's responses by story, read once for all models."""
        n_trs = {name: clock.n_trs for name, (_, clock) in self.stimuli.items()}
        return self._response_cache.take(
            self.dataset, subject, n_trs, self.protocol.standardise_responses
        )

    def noise_ceiling(self, subject: str) -> Floats | None:
        """Ceiling of each voxel's held-out responses, (voxel,), the same for every model.

        ``None`` where none was asked for and nothing was repeated; where the one asked for cannot
        be had, :class:`DataError`.
        """
        if subject not in self._ceilings:
            of = self._from_others if self.ceiling == INTER_SUBJECT else self._from_repeats
            self._ceilings[subject] = of(subject)
        return self._ceilings[subject]

    @cached_property
    def _ceilings(self) -> dict[str, Floats | None]:
        return {}

    def _from_repeats(self, subject: str) -> Floats | None:
        repeats = held_out_repeats(self.evaluation, self.protocol, self.responses(subject))
        if not repeats:
            if self.ceiling is not None:
                raise DataError(
                    f"--ceiling {self.ceiling} needs a held-out story that subject {subject!r} "
                    f"heard more than once; {INTER_SUBJECT} needs but other subjects"
                )
            return None
        method = find_method(self.ceiling or DEFAULT)
        floor = None if self.protocol.ceiling_floor is None else method.floor
        stories = list(repeats.values())
        found: list[Floats] = []
        for block in voxel_blocks(stories[0]):
            rows = [np.asarray(story[..., block]) for story in stories]
            found.append(estimate_ceiling(rows, method.name, floor).values)
        return np.concatenate(found)

    def _from_others(self, subject: str) -> Floats:
        if subject in averages(self.dataset):
            raise UsageError(f"--ceiling {INTER_SUBJECT}: {subject!r} is a mean over subjects")
        own = self._held_out(self.responses(subject))
        labels = self.dataset.voxel_labels(subject)
        others = {other: partial(self._heard_by, other) for other in self._other_subjects(subject)}
        for other in others:
            if self.dataset.voxel_labels(other) != labels:
                raise DataError(
                    f"--ceiling {INTER_SUBJECT}: voxels of {subject!r} and {other!r} are labelled "
                    "differently, so they do not correspond"
                )
        joined = isinstance(self.evaluation, HeldOutStories)
        return inter_subject_ceiling(own, joined, others).values

    def _heard_by(self, subject: str) -> dict[str, Floats]:
        """A subject's held-out responses, its training stories left unread."""
        held_out = self.evaluation.test if isinstance(self.evaluation, HeldOutStories) else ()
        responses = {
            name: read_responses(
                self.dataset,
                subject,
                name,
                self.stimuli[name][1].n_trs,
                self.protocol.standardise_responses,
            )
            for name in held_out or self.evaluation.stories
        }
        return self._held_out(responses)

    def _held_out(self, responses: Mapping[str, Responses]) -> dict[str, Floats]:
        parts = held_out_responses(self.evaluation, self.protocol, responses)
        return {name: np.asarray(part[...]) for name, part in parts.items()}

    def _other_subjects(self, subject: str) -> list[str]:
        without = {subject, *averages(self.dataset), *unusable_subjects(self.dataset)}
        return [other for other in self.dataset.subjects() if other not in without]

    def leaks(self, responses: Mapping[str, Responses]) -> list[str]:
        """Guards that found a leak and were overridden; one that was not stops the run."""
        traces = {name: each.trace for name, each in responses.items()}
        return sorted({*self._guarded_stimuli[1], *self._guard({}, traces)})

    def _guard(
        self, stories: Mapping[str, Story], traces: Mapping[str, ResponseTrace] | None = None
    ) -> list[str]:
        return check_leaks(
            self.evaluation,
            stories,
            traces,
            self.allowed_leaks,
            protocol=self.protocol,
            delays=self.delays,
        )

    def _fingerprint(self, subject: str, story: str) -> str:
        """Of a subject's responses, asked for once."""
        if (subject, story) not in self._fingerprints:
            self._fingerprints[subject, story] = self.dataset.fingerprint(subject, story)
        return self._fingerprints[subject, story]

    @cached_property
    def _fingerprints(self) -> dict[tuple[str, str], str]:
        return {}

    def provenance(self, subject: str, features: Features) -> dict[str, Any]:
        """All that determines the result of one fit."""
        states = {
            space: {
                name: artefact_key(states_provenance(model, story, clock, self.alignment, layer))
                for name, (story, clock) in self.stimuli.items()
            }
            for space, (model, layer) in features.spaces().items()
        }
        return {
            "scores_version": SCORES_VERSION,
            "evaluation": self.evaluation.fingerprint(),
            "protocol": dict(self.protocol.fingerprint()),
            "delays": list(self.delays),
            "regressor": self._regressor_provenance,
            "states": states if features.joint else next(iter(states.values())),
            "responses": {
                story: self._fingerprint(subject, story) for story in self.evaluation.stories
            },
            **({"allowed_leaks": sorted(self.allowed_leaks)} if self.allowed_leaks else {}),
            # One point of a curve with the other subjects, whatever this one was fitted on before.
            **({"own_stories": True} if self.mean_training else {}),
            **self._ceiling_provenance(subject),
        }

    def _ceiling_provenance(self, subject: str) -> dict[str, Any]:
        if self.ceiling in (None, DEFAULT):
            return {}
        if self.ceiling != INTER_SUBJECT:
            return {"ceiling": self.ceiling}
        evaluation = self.evaluation
        held_out = evaluation.test if isinstance(evaluation, HeldOutStories) else evaluation.stories
        others = {
            other: [self._fingerprint(other, story) for story in held_out]
            for other in self._other_subjects(subject)
        }
        return {"ceiling": self.ceiling, "others": others}

    def find(self, provenance: Mapping[str, Any]) -> Artefact | None:
        """The result already in the store, if it has what is to be kept."""
        found = self.store.find("results", provenance)
        if found is None or self.keep & KEPT - kept_with(found):
            return None
        return found


def _plain(value: Any) -> Any:
    """A regressor's parameter as JSON."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return repr(value)


def hours(plan: Plan, stories: Sequence[str]) -> float:
    """Total scan time of these stories, in hours."""
    clocks = [plan.stimuli[name][1] for name in stories]
    return sum(clock.n_trs * clock.tr for clock in clocks) / 3600
