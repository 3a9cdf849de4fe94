"""Models ready to read stories: found by name, opened, their layers chosen."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from voxelzoo.api import (
    Aligner,
    AlignerSpec,
    Dataset,
    Extractor,
    ExtractorRequest,
    ExtractorSpec,
    ModelEntry,
    Resumes,
    Story,
    UsageError,
)
from voxelzoo.contract.weights import is_local
from voxelzoo.host.catalogue import Catalogue
from voxelzoo.host.host import Host
from voxelzoo.host.records import Registered
from voxelzoo.host.targets import build, load_target


@dataclass(frozen=True)
class Model:
    """A model ready to read stories: its row, who runs it, and the extractor."""

    registered: Registered[ExtractorSpec]
    request: ExtractorRequest
    extractor: Extractor

    @classmethod
    def open(cls, registered: Registered[ExtractorSpec], request: ExtractorRequest) -> Model:
        """Builds the extractor; its weights are loaded by the first story."""
        return cls(registered, request, load_target(registered)(request))

    @property
    def label(self) -> str:
        """Name for people: ``whisper-tiny``, with ``(untrained)`` where it is."""
        return self.request.model.name + (" (untrained)" if self.request.untrained else "")

    def provenance(self, story: Story, layer: int | None) -> dict[str, Any]:
        """All that determines this model's states for a story."""
        model, request = self.request.model, self.request
        return {
            "extractor": {
                "id": self.registered.id,
                "distribution": self.registered.distribution,
                "version": self.registered.version,
                "fingerprint": dict(self.extractor.fingerprint()),
            },
            "model": {
                "id": model.id,
                "repo": model.repo,
                "revision": model.revision,
                "architecture": dict(model.architecture),
            },
            "untrained": request.untrained,
            "seed": request.seed if request.untrained else None,
            "dtype": request.dtype,
            "protocol": request.protocol,
            "options": {
                name: value
                for name, value in request.options.items()
                if name not in self.registered.spec.neutral_options
            },
            "story": story.digest(model.modality),
            "layer": layer,
        }


@dataclass(frozen=True)
class Alignment:
    """An aligner ready to use, and who brought it."""

    registered: Registered[AlignerSpec]
    aligner: Aligner

    @classmethod
    def open(cls, registered: Registered[AlignerSpec], options: Mapping[str, Any]) -> Alignment:
        """Builds the aligner with its options."""
        return cls(registered, build(registered, options))

    def provenance(self) -> dict[str, Any]:
        """All that determines what it does."""
        return {
            "id": self.registered.id,
            "distribution": self.registered.distribution,
            "version": self.registered.version,
            "fingerprint": dict(self.aligner.fingerprint()),
        }


def choose_layers(model: Model, asked: str | None) -> list[int]:
    """Layers as typed: ``all``, ``last``, ``9``, ``0,4,8`` or ``0-12``."""
    known = list(model.extractor.layers())
    if asked is None or asked == "all":
        return known
    chosen: list[int] = []
    try:
        for part in asked.split(","):
            first, dash, stop = part.strip().partition("-")
            if first == "last":
                chosen.append(known[-1])
            elif dash:
                chosen.extend(range(int(first), int(stop) + 1))
            else:
                chosen.append(int(first))
    except ValueError:
        raise UsageError(f"--layer {asked!r}: say all, last, 9, 0,4,8 or 0-12") from None
    if unknown := [layer for layer in chosen if layer not in known]:
        raise UsageError(
            f"{model.label} has no layer {unknown[0]}; its layers are {known[0]} to {known[-1]}"
        )
    return list(dict.fromkeys(chosen))


def starts_anywhere(extractor: Extractor) -> TypeGuard[Resumes]:
    """Whether ``extract`` takes ``start``, so that a run can continue within a story.

    The method's name alone does not tell, as ``isinstance`` would have it.
    """
    return "start" in inspect.signature(extractor.extract).parameters


def find_model(host: Host, catalogue: Catalogue, name: str) -> ModelEntry:
    """The row of a model named by the user.

    Parameters
    ----------
    host, catalogue
        Where models are looked up.
    name
        A name of the catalogue; ``SCHEME:REPO``, any checkpoint that an extractor's scheme takes;
        or ``PLUGIN/NAME``, states computed elsewhere, if the plugin reads such.

    Raises
    ------
    NotFoundError
        The name is unknown, or several models have it.
    """
    scheme, colon, repo = name.partition(":")
    if colon and repo:
        for registered in host.extractors:
            if scheme in registered.spec.schemes:
                return any_checkpoint(registered, repo)
    plugin, slash, rest = name.partition("/")
    if slash and rest:
        for registered in host.extractors:
            if registered.plugin == plugin and registered.spec.reads_features:
                return ModelEntry(
                    name=rest,
                    plugin=plugin,
                    extractor=registered.spec.name,
                    modality=registered.spec.modality,
                    family=plugin,
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


def with_layers(host: Host, entry: ModelEntry, dataset: Dataset) -> ModelEntry:
    """The row with its layers and width; of states computed elsewhere, those of the first story."""
    if not host.extractor(entry.plugin, entry.extractor).spec.reads_features:
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
