"""One run: extract, align, fit and score models on a dataset, keeping every artefact.

Keys are computed before anything else, so that a result already in the store costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
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
from voxelzoo.datasets import Evaluation, check_leaks
from voxelzoo.evaluation import Fitting, Scores, evaluate, read_responses
from voxelzoo.extraction import Alignment, Model, aligned_states, build, states_provenance
from voxelzoo.host import Host, Registered
from voxelzoo.progress import Progress
from voxelzoo.protocols import Protocol
from voxelzoo.registry import Catalogue
from voxelzoo.store import Artefact, Store, artefact_key
from voxelzoo.weights import is_local

SCORES_VERSION = 2
"""Raised when scores change for the same states and responses, so that old results are not used."""


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
    """What is kept beside results and TR-rate states: ``states``, ``predictions``."""
    shift: float = 0.0
    """Seconds by which the stimulus is pretended to come later: the misalignment control."""

    def __post_init__(self) -> None:
        if any(delay < 0 for delay in self.delays) or not self.delays:
            raise UsageError("--delays are whole TRs, 0 or more, such as 1,2,3,4")
        self.make_regressor()  # a wrong option is said before anything is computed

    def make_regressor(self) -> Regressor:
        """A fresh regressor."""
        regressor: Regressor = build(self.regressor, self.regressor_options)
        return regressor

    @property
    def fitting(self) -> Fitting:
        """How every design is made and fitted."""
        return Fitting(self.make_regressor, self.delays, self.regressor.spec.delays == "self")

    @cached_property
    def _regressor_provenance(self) -> dict[str, Any]:
        parameters = self.make_regressor().get_params(deep=False)
        return {
            "id": self.regressor.id,
            "distribution": self.regressor.distribution,
            "version": self.regressor.version,
            "parameters": {name: _plain(value) for name, value in sorted(parameters.items())},
        }

    @cached_property
    def stimuli(self) -> dict[str, tuple[Story, ScanClock]]:
        """Every story with its clock, read once and checked for leaks."""
        found = {}
        for name in self.evaluation.stories:
            clock = self.dataset.clock(name)
            found[name] = (
                self.dataset.story(name),
                replace(clock, start=clock.start - self.shift),
            )
        check_leaks(self.evaluation, {name: story for name, (story, _) in found.items()})
        return found

    @cached_property
    def _responses(self) -> dict[str, dict[str, str]]:
        return {
            subject: {
                story: self.dataset.fingerprint(subject, story) for story in self.evaluation.stories
            }
            for subject in self.subjects
        }

    def provenances(
        self, model: Model, layers: Sequence[int]
    ) -> dict[tuple[str, int], dict[str, Any]]:
        """All that determines each result, by subject and layer."""
        states = {
            layer: {
                name: artefact_key(states_provenance(model, story, clock, self.alignment, layer))
                for name, (story, clock) in self.stimuli.items()
            }
            for layer in layers
        }
        return {
            (subject, layer): {
                "scores_version": SCORES_VERSION,
                "evaluation": str(self.evaluation),
                "protocol": dict(self.protocol.fingerprint()),
                "delays": list(self.delays),
                "regressor": self._regressor_provenance,
                "states": states[layer],
                "responses": self._responses[subject],
            }
            for subject in self.subjects
            for layer in layers
        }

    def find(self, provenance: Mapping[str, Any]) -> Artefact | None:
        """The result already in the store, if it has what is to be kept."""
        found = self.store.find("results", provenance)
        if found is None or "predictions" not in self.keep:
            return found
        return found if any(name.startswith("prediction_") for name in found.arrays) else None


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
    dataset, store = plan.dataset, plan.store
    keys = plan.provenances(model, layers)
    found = {at: plan.find(provenance) for at, provenance in keys.items()}
    missing = [layer for layer in layers if any(not found[s, layer] for s in plan.subjects)]
    states: dict[str, dict[int, Artefact]] = {}
    if missing:
        from voxelzoo.planning import Watch

        watch = Watch(plan, model, missing)
        for name, (story, clock) in plan.stimuli.items():
            states[name] = aligned_states(
                model,
                story,
                clock,
                plan.alignment,
                missing,
                store,
                progress,
                keep_states="states" in plan.keep,
            )
        model.extractor.close()
        if line := watch.compared():
            progress.say(line)
    for subject in plan.subjects:
        todo = [layer for layer in layers if found[subject, layer] is None]
        if not todo:
            yield from (_stored(found[subject, layer]) for layer in layers)
            continue
        responses = {
            name: read_responses(
                dataset, subject, name, clock.n_trs, plan.protocol.standardise_responses
            )
            for name, (_, clock) in plan.stimuli.items()
        }
        with progress.task(f"{model.label}: fit {subject}", len(todo)) as advance:
            for layer in layers:
                if (kept := found[subject, layer]) is not None:
                    yield _stored(kept)
                    continue
                scores = evaluate(
                    plan.evaluation,
                    plan.protocol,
                    plan.fitting,
                    {name: made[layer].read("states") for name, made in states.items()},
                    responses,
                )
                labels = dataset.voxel_labels(subject)
                artefact = store.put(
                    "results",
                    keys[subject, layer],
                    scores.arrays()
                    | ({"label": _text(labels)} if labels else {})
                    | (scores.predictions() if "predictions" in plan.keep else {}),
                    summarise(plan, model, layer, subject, scores, labels),
                    replace=True,
                )
                advance(1)
                yield Result(artefact, computed=True)


def _stored(artefact: Artefact | None) -> Result:
    assert artefact is not None
    return Result(artefact, computed=False)


def summarise(
    plan: Plan,
    model: Model,
    layer: int,
    subject: str,
    scores: Scores,
    labels: Sequence[str] | None,
) -> dict[str, Any]:
    """One record of JSON values: what was run, and the scores over defined voxels.

    An undefined mean is ``None``. The record names the software, so that it can be cited.
    """
    entry = model.request.model
    r, defined = scores.r, np.isfinite(scores.r)
    by_label = {}
    if labels:
        names = np.asarray(labels)
        for name in dict.fromkeys(labels):
            chosen = r[(names == name) & defined]
            by_label[str(name)] = {"n_voxels": len(chosen), "mean_r": _mean(chosen)}
    return {
        "model": entry.name,
        "model_id": entry.id,
        "family": entry.family or entry.plugin,
        "n_parameters": entry.n_parameters,
        "untrained": model.request.untrained,
        "layer": layer,
        "subject": subject,
        "dataset": plan.dataset.info().name,
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
        "by_label": by_label,
        "evaluation": str(plan.evaluation),
        "protocol": plan.protocol.name,
        "aligner": plan.alignment.registered.spec.name,
        "regressor": plan.regressor.spec.name,
        "delays": list(plan.delays),
        "shift": plan.shift,
        "options": dict(model.request.options),
        "dtype": model.request.dtype,
        "seed": model.request.seed,
        "software": _software(),
    }


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


def _plain(value: Any) -> Any:
    """A regressor's parameter as JSON."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return repr(value)
