"""One run: extract, align, fit and score models on a dataset, keeping every artefact.

Keys are computed before anything else, so that a result already in the store costs nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    DataError,
    Dataset,
    ExtractorRequest,
    ExtractorSpec,
    ModelEntry,
    Regressor,
    RegressorSpec,
    ScanClock,
    Story,
    UsageError,
    ZooError,
)
from voxelzoo.ceilings import (
    DEFAULT,
    INTER_SUBJECT,
    estimate_ceiling,
    find_method,
    inter_subject_ceiling,
)
from voxelzoo.datasets import GROUP, Evaluation, HeldOutStories, unusable_subjects
from voxelzoo.evaluation import Fitting, Scores, evaluate, held_out_repeats, held_out_responses
from voxelzoo.extraction import Alignment, Model, aligned_states, build, states_provenance
from voxelzoo.host import Host, Registered
from voxelzoo.leaks import ResponseTrace, check_guards, check_leaks
from voxelzoo.progress import Progress
from voxelzoo.protocols import Protocol
from voxelzoo.registry import Catalogue
from voxelzoo.responses import Responses, Shelf, read_responses, voxel_blocks
from voxelzoo.store import (
    Artefact,
    Store,
    artefact_key,
    draft_path,
    remove_abandoned_drafts,
)
from voxelzoo.weights import is_local

Floats = NDArray[np.floating[Any]]

SCORES_VERSION = 3
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


def new_shelf(store: Store) -> Shelf:
    """For responses that one plan or several of a dataset read, in the store's drafts."""
    remove_abandoned_drafts(store.root)
    return Shelf(draft_path(store.root))


@dataclass(frozen=True)
class Plan:
    """What one run does with every model: data, protocol and tools, all resolved."""

    dataset: Dataset
    subjects: Sequence[str]
    evaluation: Evaluation
    protocol: Protocol
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
    shelf: Shelf | None = None
    """Responses that another plan on this dataset has read."""
    mean_training: tuple[float, float] | None = None
    """Stories and hours that a subject trains on, in the mean over subjects, where they differ."""

    def __post_init__(self) -> None:
        check_guards(self.allowed_leaks)
        find_method(self.ceiling or DEFAULT)
        if any(delay < 0 for delay in self.delays) or not self.delays:
            raise UsageError("--delays are whole TRs, 0 or more, such as 1,2,3,4")
        regressor = self.make_regressor()  # a wrong option is said before anything is computed
        if "weights" in self.keep and not hasattr(regressor, "coef_block"):
            raise UsageError(
                f"--keep weights: {self.regressor.spec.name} has none of a design's columns to "
                "give; ridge and bootstrap-ridge have"
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
    ) -> Fitting:
        """How a design is made and fitted.

        ``cache``: where fits on one design share what they can. ``spaces``: the units of each
        space, where joint.
        """
        alone = self.regressor.spec.delays == "self"
        more = {} if cache is None else {"cache": str(cache)}
        return Fitting(
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
        hours = [_hours(self, stories) for stories in training]
        alike: dict[tuple[str, ...], list[str]] = {}
        for subject in self.subjects:
            alike.setdefault(evaluation.of(subject).train, []).append(subject)
        return [
            replace(
                self,
                subjects=of,
                evaluation=HeldOutStories(train, evaluation.test),
                shelf=self._shelf,
                mean_training=(
                    round(float(np.mean([len(stories) for stories in training])), 2),
                    round(float(np.mean(hours)), 6),
                ),
            )
            for train, of in alike.items()
        ]

    @cached_property
    def _shelf(self) -> Shelf:
        return self.shelf or new_shelf(self.store)

    def responses(self, subject: str) -> Mapping[str, Responses]:
        """A subject's responses by story, read once for all models."""
        n_trs = {name: clock.n_trs for name, (_, clock) in self.stimuli.items()}
        return self._shelf.take(self.dataset, subject, n_trs, self.protocol.standardise_responses)

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
        if subject == GROUP:
            raise UsageError(f"--ceiling {INTER_SUBJECT}: {GROUP!r} is a mean of subjects, not one")
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
        without = {subject, GROUP, *unusable_subjects(self.dataset)}
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
            "evaluation": str(self.evaluation),
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
        if found is None or self.keep & KEPT.keys() - kept_with(found):
            return None
        return found


KEPT = {"predictions": "prediction_", "weights": "coef_"}
"""What results may have beside scores, with how the names of its arrays begin."""


def kept_with(artefact: Artefact) -> set[str]:
    """What of :data:`KEPT` a result has."""
    return {
        what
        for what, begin in KEPT.items()
        if any(name.startswith(begin) for name in artefact.arrays)
    }


@dataclass(frozen=True)
class Result:
    """Scores of one model, layer and subject, as kept in the store."""

    artefact: Artefact
    computed: bool
    """False when it came from the store."""

    def record(self) -> dict[str, Any]:
        """The summary as one flat record, with the artefact's key."""
        return {
            **self.artefact.summary,
            "computed": self.computed,
            "key": self.artefact.key,
        }


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


def find_model(host: Host, catalogue: Catalogue, name: str) -> ModelEntry:
    """The catalogue's row; ``features/NAME``, computed elsewhere; or a checkpoint, ``hf:REPO``."""
    scheme, colon, repo = name.partition(":")
    if colon and repo:
        for registered in host.extractors:
            if scheme in registered.spec.schemes:
                return any_checkpoint(registered, repo)
    plugin, slash, rest = name.partition("/")
    if slash and plugin == "features" and rest:
        return ModelEntry(
            name=rest, plugin="features", extractor="features", modality="any", family="features"
        )
    return catalogue.find(name)


def any_checkpoint(registered: Registered[ExtractorSpec], repo: str) -> ModelEntry:
    """A row for a checkpoint that has none, named after its repository or folder."""
    local = is_local(repo)
    where, _, revision = (repo, "", "") if local else repo.partition("@")
    return ModelEntry(
        name=Path(where).expanduser().resolve().name if local else where,
        plugin=registered.plugin,
        extractor=registered.spec.name,
        modality=registered.spec.modality,
        repo=str(Path(where).expanduser().resolve()) if local else where,
        revision=revision or None,
    )


def with_layers(entry: ModelEntry, dataset: Dataset) -> ModelEntry:
    """States computed elsewhere have the layers that the dataset's files have."""
    if entry.plugin != "features":
        return entry
    story = dataset.story(dataset.train_stories()[0])
    try:
        with np.load(story.features[entry.name], allow_pickle=False) as file:
            shape = file["states"].shape
    except Exception:
        return entry  # absent, or damaged in any way: the extractor says which and how
    return replace(entry, n_layers=shape[0] - 1 if len(shape) == 3 else 0, embed_dim=shape[-1])


def open_model(host: Host, entry: ModelEntry, request: ExtractorRequest) -> Model:
    """The model with its extractor, given only the options it reads."""
    registered = host.extractor(entry.plugin, entry.extractor)
    options = {k: v for k, v in request.options.items() if k in registered.spec.options}
    return Model.open(registered, replace(request, model=entry, options=options))


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
                    {
                        **scores.arrays(),
                        **({"label": _text(labels)} if labels else {}),
                        **(scores.predictions() if "predictions" in keep else {}),
                        **scores.coefficients,
                    },
                    summarise(plan, fit, subject, scores, labels, leaks),
                    replace=True,
                )
                advance(1)
                yield Result(artefact, computed=True)


States = Mapping[tuple[str, int], Mapping[str, Artefact]]
"""By model and layer, each story's TR-rate states."""


def _extract(plan: Plan, fits: Sequence[Features], progress: Progress) -> States:
    """States of all that the fits are made from, one model after another."""
    from voxelzoo.planning import Watch

    wanted: dict[str, tuple[Model, list[int]]] = {}
    for fit in fits:
        for model, layer in fit.parts:
            _, layers = wanted.setdefault(model.request.model.id, (model, []))
            if layer not in layers:
                layers.append(layer)
    states: dict[tuple[str, int], dict[str, Artefact]] = {}
    for of, (model, layers) in wanted.items():
        watch = Watch(plan, model, layers)
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


def summarise(
    plan: Plan,
    features: Features,
    subject: str,
    scores: Scores,
    labels: Sequence[str] | None,
    leaks: Sequence[str] = (),
) -> dict[str, Any]:
    """One record of JSON values: what was run, and the scores over defined voxels.

    An undefined mean is ``None``. The record names the software, so that it can be cited.
    """
    model, _ = features.parts[0]
    info = plan.dataset.info()
    r, defined = scores.r, np.isfinite(scores.r)
    by_label = {}
    if labels:
        names = np.asarray(labels)
        for name in dict.fromkeys(labels):
            chosen = r[(names == name) & defined]
            by_label[str(name)] = {"n_voxels": len(chosen), "mean_r": _mean(chosen)}
    return {
        **_identity(features),
        "subject": subject,
        "dataset": info.name,
        "dataset_licence": info.licence,
        "dataset_citation": info.citation,
        "n_voxels": len(r),
        "n_undefined_voxels": int((~defined).sum()),
        "n_train": scores.n_train,
        "n_test": scores.n_test,
        "mean_r": _mean(r),
        "median_r": _number(np.median(r[defined])) if defined.any() else None,
        "mean_signed_r2": _mean(scores.signed_r2),
        "mean_r2": _mean(scores.r2),
        "mean_cv_r": None if scores.cv_r is None else _mean(scores.cv_r),
        "best_voxel_r": _number(r[defined].max()) if defined.any() else None,
        "mean_ceiling": None if scores.ceiling is None else _mean(scores.ceiling),
        "ceiling_method": None if scores.ceiling is None else plan.ceiling or DEFAULT,
        "by_label": by_label,
        "evaluation": str(plan.evaluation),
        **_training(plan),
        "protocol": plan.protocol.name,
        "aligner": plan.alignment.registered.spec.name,
        "regressor": plan.regressor.spec.name,
        "regressor_options": plan.regressor_settings,
        "spaces": list(features.spaces()) if features.joint else None,
        "mean_weights": None if scores.weights is None else _means(scores.weights.T),
        "mean_split_r": None if scores.split_r is None else _means(scores.split_r),
        "mean_partition": _partition(features, scores),
        "delays": list(plan.delays),
        "shift": plan.shift,
        "leaks": list(leaks),
        "fitted": list(scores.paths),
        "options": dict(model.request.options),
        "dtype": model.request.dtype,
        "seed": model.request.seed,
        "software": _software(),
    }


def _partition(features: Features, scores: Scores) -> dict[str, float | None] | None:
    """Mean R2 that exactly these spaces share, in the order of the array ``partition``."""
    if not scores.partition:
        return None
    order = list(features.spaces())
    return {
        " & ".join(sorted(spaces, key=order.index)): _mean(values)
        for spaces, values in scores.partition.items()
    }


def _identity(features: Features) -> dict[str, Any]:
    """Which model, and which of its layers."""
    if features.joint:
        return {
            "model": features.label,
            "model_id": " + ".join(model.request.model.id for model, _ in features.parts),
            "family": "joint",
            "n_parameters": None,
            "untrained": any(model.request.untrained for model, _ in features.parts),
            "layer": None,
            "repo": None,
            "revision": None,
        }
    ((model, layer),) = features.parts
    entry = model.request.model
    return {
        "model": entry.name,
        "model_id": entry.id,
        "family": entry.family or entry.plugin,
        "n_parameters": entry.n_parameters,
        "untrained": model.request.untrained,
        "layer": layer,
        "repo": entry.repo,
        "revision": entry.revision,
    }


def _training(plan: Plan) -> dict[str, Any]:
    """How much was learnt from, and what was held out."""
    evaluation = plan.evaluation
    apart = isinstance(evaluation, HeldOutStories)
    train = evaluation.train if isinstance(evaluation, HeldOutStories) else evaluation.stories
    n_mean, hours_mean = plan.mean_training or (None, None)
    return {
        "n_train_stories": len(train),
        "train_hours": _number(_hours(plan, train)),
        "mean_train_stories": n_mean,
        "mean_train_hours": hours_mean,
        "train_stories": list(train),
        "test_stories": list(evaluation.stories[len(train) :]) if apart else [],
        "subset_seed": plan.subset_seed,
    }


def _hours(plan: Plan, stories: Sequence[str]) -> float:
    clocks = [plan.stimuli[name][1] for name in stories]
    return sum(clock.n_trs * clock.tr for clock in clocks) / 3600


def _means(rows: NDArray[Any]) -> list[float | None]:
    return [_mean(row) for row in rows]


def _software() -> dict[str, str]:
    names = ("voxelzoo", "numpy", "scipy", "scikit-learn", "torch", "transformers", "zarr")
    return {name: metadata.version(name) for name in names}


def _mean(values: NDArray[Any]) -> float | None:
    finite = values[np.isfinite(values)]
    return _number(finite.mean()) if len(finite) else None


def _number(value: Any) -> float:
    return round(float(value), 6)


def _text(labels: Sequence[str]) -> NDArray[np.uint8]:
    """Labels as UTF-8 bytes, one a line: plain numbers need no special Zarr type."""
    return np.frombuffer("\n".join(labels).encode(), dtype=np.uint8)


def read_labels(artefact: Artefact) -> list[str] | None:
    """The voxels' labels of a result, or ``None``."""
    if "label" not in artefact.arrays:
        return None
    return artefact.read("label").tobytes().decode().split("\n")


def read_weights(artefact: Artefact, voxels: slice = slice(None)) -> NDArray[np.float32]:
    """Weights (delay, unit, voxel) of some voxels of a result made with ``--keep weights``.

    Units are z-scored within each story, as they were fitted; an undefined voxel is NaN. Raises
    :class:`UsageError` for a result that kept none.
    """
    blocks = sorted(name for name in artefact.arrays if name.startswith("coef_"))
    if not blocks:
        raise UsageError(
            f"result {artefact.key[:12]} kept no weights: make it again with zoo run --keep weights"
        )
    n_voxels = len(artefact.read("r"))
    first, stop, _ = voxels.indices(n_voxels)
    edges = [*(int(name.removeprefix("coef_")) for name in blocks), n_voxels]
    found = [
        artefact.read(name)[..., max(0, first - start) : stop - start]
        for name, (start, end) in zip(blocks, pairwise(edges), strict=True)
        if start < stop and first < end
    ]
    return np.concatenate(found, axis=-1)


def _plain(value: Any) -> Any:
    """A regressor's parameter as JSON."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return repr(value)
