"""Models ready to read stories: found by name, opened, their layers chosen."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from voxelzoo.api import (
    Aligner,
    AlignerSpec,
    Dataset,
    DescribesModel,
    Extractor,
    ExtractorRequest,
    ExtractorSpec,
    HasFirstToken,
    ModelEntry,
    PluginError,
    Resumes,
    UsageError,
    ZooError,
)
from voxelzoo.contract.weights import is_local
from voxelzoo.host.boundary import plugin_call
from voxelzoo.host.catalogue import Catalogue
from voxelzoo.host.host import Host
from voxelzoo.host.records import Registered
from voxelzoo.host.targets import build, load_target
from voxelzoo.host.zoo import Zoo
from voxelzoo.runs.any_checkpoint import any_checkpoint, told_apart
from voxelzoo.runs.options import RunOptions
from voxelzoo.text import one_line


@dataclass(frozen=True)
class Model:
    """A model ready to read stories.

    Parameters
    ----------
    registered : Registered
        The extractor's spec, and the plugin that registered it.
    request : ExtractorRequest
        The model's row, and how it is run.
    extractor : Extractor
        What reads stories.
    """

    registered: Registered[ExtractorSpec]
    request: ExtractorRequest
    extractor: Extractor

    @classmethod
    def open(cls, registered: Registered[ExtractorSpec], request: ExtractorRequest) -> Model:
        """Build the extractor. Its weights are loaded by the first story."""
        target = load_target(registered)
        with plugin_call(f"{registered.id} of {registered.distribution} {registered.version}"):
            return cls(registered, request, target(request))

    def described(self) -> Model:
        """The model, its row completed by what the checkpoint says."""
        if not isinstance(self.extractor, DescribesModel):
            return self
        row = self.extractor.describe_model()
        return replace(self, request=replace(self.request, model=row))

    @property
    def weights(self) -> str | None:
        """Which weights: a commit, or a digest of files, if the extractor tells."""
        model, extractor = self.request.model, self.extractor
        if isinstance(extractor, DescribesModel) and not self.request.untrained:
            return extractor.describe_weights() or model.revision
        return model.revision

    @property
    def first_token(self) -> str | None:
        """The special token before every context, as people read it; None if it has no such."""
        extractor = self.extractor
        return extractor.describe_first_token() if isinstance(extractor, HasFirstToken) else None

    @property
    def label(self) -> str:
        """Name for people: ``whisper-tiny``, or ``whisper-tiny (untrained)``."""
        return self.request.model.name + (" (untrained)" if self.request.untrained else "")

    def provenance(self) -> dict[str, Any]:
        """Everything that affects its states except story and layer, as JSON values."""
        model, request = self.request.model, self.request
        # The extractor's fingerprint has a digest of local files: wherever they lie, and whatever
        # the folder is called, they are the same model.
        by_content = model.repo is not None and is_local(model.repo)
        return {
            "extractor": {
                **self.registered.identity(self.registered.spec.target),
                "fingerprint": _fingerprint(self.registered, self.extractor),
            },
            "model": {
                "id": None if by_content else model.id,
                "repo": None if by_content else model.repo,
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
        }


@dataclass(frozen=True)
class Alignment:
    """An aligner, and the plugin that registered it."""

    registered: Registered[AlignerSpec]
    aligner: Aligner
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, registered: Registered[AlignerSpec], options: Mapping[str, Any]) -> Alignment:
        """Build the aligner with its options; :class:`UsageError` for one that it does not have."""
        return cls(registered, build(registered, options), options)

    def provenance(self) -> dict[str, Any]:
        """Everything that affects its values, as JSON values."""
        return {
            **self.registered.identity(self.registered.spec.target),
            "fingerprint": (fingerprint := _fingerprint(self.registered, self.aligner)),
            **unlisted(self.options, fingerprint),
        }


def _fingerprint(registered: Registered[Any], plugin: Extractor | Aligner) -> dict[str, Any]:
    """What determines the values of a plugin's object; :class:`PluginError` if it is not JSON."""
    who = f"{registered.id} of {registered.distribution} {registered.version}"
    with plugin_call(who, "in fingerprint()"):
        fingerprint = dict(plugin.fingerprint())
        try:
            json.dumps(fingerprint, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise PluginError(f"{who}: its fingerprint is not JSON ({one_line(error)})") from None
    return fingerprint


def unlisted(options: Mapping[str, Any], listed: Mapping[str, Any]) -> dict[str, Any]:
    """Options that were set and that a plugin's own account of its settings leaves out, for keys.

    Parameters
    ----------
    options : mapping
        The options that were set, as JSON values.
    listed : mapping
        What the plugin says determines its values.

    Returns
    -------
    dict
        ``options``, if there are any.
    """
    missing = {name: value for name, value in options.items() if name not in listed}
    return {"options": missing} if missing else {}


@dataclass(frozen=True)
class ModelChoice:
    """A model that a run uses: its row of the catalogue, how it is run, and which layers.

    Parameters
    ----------
    entry : ModelEntry
        The row.
    request : ExtractorRequest
        How it is run; the row in it is filled in when the model is opened.
    layers : str
        As in :class:`RunOptions`.
    """

    entry: ModelEntry
    request: ExtractorRequest
    layers: str = RunOptions.layers

    def open(
        self, host: Host, dataset: Dataset, notify: Callable[[str], None]
    ) -> tuple[Model, list[int]]:
        """Build the extractor and choose layers. Weights are loaded by the first story.

        Parameters
        ----------
        host : Host
            The plugins.
        dataset : Dataset
            Says which layers states computed elsewhere have.
        notify : callable
            Given lines for the user.

        Returns
        -------
        (Model, list of int)
        """
        entry = with_layers(host, self.entry, dataset)
        model = open_model(host, entry, replace(self.request, notify=notify))
        layers = choose_layers(model, self.layers)  # the checkpoint is downloaded, if it must be
        return model.described(), layers


def choose_models(
    zoo: Zoo, models: Sequence[str | ModelEntry], options: RunOptions
) -> list[ModelChoice]:
    """The models that were asked for, each once.

    Parameters
    ----------
    zoo : Zoo
        Plugins and catalogue.
    models : sequence of str or ModelEntry
        Names, as for ``zoo run --plugin``, or rows of the catalogue.
    options : RunOptions
        How they are run.

    Returns
    -------
    list of ModelChoice

    Raises
    ------
    NotFoundError
        For a name that no model has.
    PluginError
        For a model whose plugin did not load.
    UsageError
        For a model option that none of the models reads.
    """
    if isinstance(models, str):
        raise UsageError(f"models takes a list, not the string {models!r}")
    entries = [
        find_model(zoo.host, zoo.catalogue, model) if isinstance(model, str) else model
        for model in models
    ]
    specs = [zoo.host.extractor(entry.plugin, entry.extractor).spec for entry in entries]
    known = sorted({name for spec in specs for name in spec.options})
    if unknown := [name for name in options.model_options if name not in known]:
        raise UsageError(
            f"model option {unknown[0]}: none of these models reads it; "
            f"they read {', '.join(known) or 'none'}"
        )
    request = extractor_request(options)
    return [ModelChoice(entry, request, options.layers) for entry in told_apart(entries)]


def extractor_request(options: RunOptions) -> ExtractorRequest:
    """How any model is run under these options; its row is filled in when it is opened."""
    seconds = {"window": options.window, "stride": options.stride}
    settings = {name: str(float(value)) for name, value in seconds.items() if value is not None}
    if options.context is not None:
        settings["context"] = options.context
    if options.first_token is not None:
        settings["first_token"] = options.first_token
    return ExtractorRequest(
        model=ModelEntry(name="", plugin="", modality="any"),
        untrained=options.untrained,
        seed=options.seed,
        device=options.device,
        dtype=options.dtype,
        protocol=options.protocol,
        options={**settings, **options.model_options},
        allow_pickle=options.allow_pickle,
    )


def choose_layers(model: Model, layers: str) -> list[int]:
    """Layers of a model by number.

    Parameters
    ----------
    model : Model
        The model.
    layers : str
        ``all``; ``even``, every second layer from 2 on; ``last``; or numbers, such as ``9``,
        ``0,4,8`` or ``0-12``.

    Raises
    ------
    UsageError
        For anything else, and for a layer that the model does not have.
    """
    known = list(model.extractor.layers())
    if layers == "all":
        return known
    if layers == "even":
        return [layer for layer in known if layer and layer % 2 == 0]
    chosen: list[int] = []
    try:
        for part in layers.split(","):
            first, dash, last = part.strip().partition("-")
            if first == "last":
                chosen.append(known[-1])
            elif dash:
                chosen.extend(range(int(first), int(last) + 1))
            else:
                chosen.append(int(first))
    except ValueError:
        raise UsageError(
            f"invalid layers {layers!r}: use all, even, last, 9, 0,4,8 or 0-12"
        ) from None
    if unknown := [layer for layer in chosen if layer not in known]:
        raise UsageError(
            f"{model.label} has no layer {unknown[0]}; its layers are {known[0]} to {known[-1]}"
        )
    return list(dict.fromkeys(chosen))


def starts_anywhere(extractor: Extractor) -> TypeGuard[Resumes]:
    """Whether ``extract`` takes ``start``, so that a run can continue within a story.

    The method's name alone does not tell, as ``isinstance`` would have it.

    Parameters
    ----------
    extractor : Extractor
        The extractor.
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
                return any_checkpoint(registered, repo, catalogue)
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


def describe(host: Host, entry: ModelEntry) -> tuple[ModelEntry, str | None]:
    """What is known of a model without running it; nothing is loaded or downloaded.

    Parameters
    ----------
    host : Host
        The plugins.
    entry : ModelEntry
        The model's row.

    Returns
    -------
    entry : ModelEntry
        The row, completed by what the checkpoint says if that is on this machine.
    first_token : str or None
        The special token before every context of a language model, as people read it.
    """
    if entry.modality != "text" or not entry.is_network:
        return entry, None
    try:
        model = open_model(host, entry, ExtractorRequest(entry)).described()
        return model.request.model, model.first_token
    except ZooError as error:
        return entry, f"not known: {error}"


def with_layers(host: Host, entry: ModelEntry, dataset: Dataset) -> ModelEntry:
    """The row. For states computed elsewhere, layers and width are read from the first story."""
    if not host.extractor(entry.plugin, entry.extractor).spec.reads_features:
        return entry
    import numpy as np  # `zoo show` imports this module, and must start at once

    story = dataset.story(dataset.train_stories()[0])
    try:
        with np.load(story.features[entry.name], allow_pickle=False) as file:
            shape = file["states"].shape
    except Exception:
        return entry  # missing or damaged: the extractor reports it
    return replace(entry, n_layers=shape[0] - 1 if len(shape) == 3 else 0, embed_dim=shape[-1])


def open_model(host: Host, entry: ModelEntry, request: ExtractorRequest) -> Model:
    """Build a model's extractor, with only the options that it reads."""
    registered = host.extractor(entry.plugin, entry.extractor)
    options = {k: v for k, v in request.options.items() if k in registered.spec.options}
    return Model.open(registered, replace(request, model=entry, options=options))
