"""Keys of states and results: digests of everything that affects a value.

Keys of states are made once for a model and a plan. Result keys, extraction and estimates all take
them from the same table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from voxelzoo.host.source_code import source_digest
from voxelzoo.runs.ceilings import ceiling_provenance
from voxelzoo.runs.inputs import Stimulus
from voxelzoo.runs.models import Alignment, Model
from voxelzoo.runs.plan import Plan
from voxelzoo.store.artefacts import artefact_key

SCORES_VERSION = 5
"""Raised when scores change for the same states and responses, so that old results are not used."""


@dataclass(frozen=True)
class StateKey:
    """What determines the states of one layer of one story."""

    native: Mapping[str, Any]
    """Provenance of the states at the model's own times."""
    aligned: Mapping[str, Any]
    """Provenance of the states at scan times."""
    key: str
    """Key of the states at scan times."""


class StateKeys:
    """The states that are needed of one model, with a key for each layer and story.

    A key is made when it is first asked for, and then kept. The model and the aligner are asked for
    their fingerprints once, a story for its digest once.

    Parameters
    ----------
    model : Model
        The model.
    layers : iterable of int
        Its layers.
    stimuli : mapping of str to Stimulus
        Stories and clocks by name.
    alignment : Alignment
        Resamples states to scan times.
    """

    def __init__(
        self,
        model: Model,
        layers: Iterable[int],
        stimuli: Mapping[str, Stimulus],
        alignment: Alignment,
    ) -> None:
        self.model = model
        self.layers = tuple(layers)
        self.stimuli = stimuli
        self.alignment = alignment
        self._digests: dict[str, str] = {}
        self._keys: dict[tuple[int, str], StateKey] = {}

    def __getitem__(self, layer_and_story: tuple[int, str]) -> StateKey:
        if layer_and_story not in self._keys:
            self._keys[layer_and_story] = self._make(*layer_and_story)
        return self._keys[layer_and_story]

    def _make(self, layer: int, name: str) -> StateKey:
        story, clock = self.stimuli[name]
        if name not in self._digests:
            self._digests[name] = story.digest(self.model.request.model.modality)
        of_clock = {"tr": clock.tr, "start": clock.start, "n_trs": clock.n_trs}
        native = {**self._of_model, "story": self._digests[name], "layer": layer}
        aligned = {**native, "aligner": self._of_aligner, "clock": of_clock}
        return StateKey(native, aligned, artefact_key(aligned))

    @cached_property
    def _of_model(self) -> dict[str, Any]:
        return self.model.provenance()

    @cached_property
    def _of_aligner(self) -> dict[str, Any]:
        return self.alignment.provenance()


@dataclass(frozen=True)
class ModelLayer:
    """One layer of a model, as a feature space."""

    states: StateKeys
    layer: int

    @property
    def name(self) -> str:
        """Its name as a feature space, ``opt-125m:9``."""
        return f"{self.states.model.request.model.name}:{self.layer}"


@dataclass(frozen=True)
class Features:
    """What one fit is made from: a layer of a model, or several as feature spaces side by side."""

    layers: tuple[ModelLayer, ...]
    joint: bool = False

    @property
    def spaces(self) -> dict[str, ModelLayer]:
        """Each feature space by name."""
        return {each.name: each for each in self.layers}

    @property
    def label(self) -> str:
        """Name for people."""
        return " + ".join(self.spaces) if self.joint else self.layers[0].states.model.label


def _code_of(plan: Plan) -> str | None:
    """Digest of the source of what reads the dataset: its files alone do not tell its numbers."""
    return source_digest(type(plan.dataset).__module__, "")


def result_provenance(plan: Plan, subject: str, features: Features) -> dict[str, Any]:
    """Everything that affects the result of one fit.

    Parameters
    ----------
    plan : Plan
        The settings.
    subject : str
        The subject that is fitted.
    features : Features
        What the design is made from.

    Returns
    -------
    dict
        JSON values.
    """
    stories = plan.evaluation.stories
    # States of a local folder are keyed by what it holds; its name is in the result alone.
    models = {name: each.states.model.request.model.id for name, each in features.spaces.items()}
    states = {
        name: {story: each.states[each.layer, story].key for story in stories}
        for name, each in features.spaces.items()
    }
    return {
        "scores_version": SCORES_VERSION,
        "evaluation": dict(plan.evaluation.fingerprint()),
        "protocol": dict(plan.protocol.fingerprint()),
        "delays": list(plan.delays),
        "regressor": plan.regressor.provenance,
        "models": models if features.joint else next(iter(models.values())),
        "states": states if features.joint else next(iter(states.values())),
        "responses": {story: plan.reader.fingerprint(subject, story) for story in stories},
        **({} if (code := _code_of(plan)) is None else {"dataset_code": code}),
        **({"allowed_leaks": sorted(plan.allowed_leaks)} if plan.allowed_leaks else {}),
        # One point of a curve with the other subjects, whatever this one was fitted on before.
        **({"own_stories": True} if plan.mean_training else {}),
        **ceiling_provenance(plan, subject),
    }
