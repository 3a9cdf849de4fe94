"""What a plugin says of itself: frozen data, returned by its hooks.

A spec names its implementation by a lazy target, so that reading it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

API_VERSION = 1
"""The contract this host speaks. A spec carries the version its plugin was written for."""


API_OLDEST = 1
"""The oldest contract this host still accepts."""


Modality = Literal["text", "audio", "any"]
"""What a model needs of a story: its words, its sound, or (``any``) neither or both."""


@dataclass(frozen=True)
class ModelEntry:
    """One row of the catalogue: a checkpoint, or a feature space that needs none.

    Rows come from ``registry.yaml``, from a plugin's ``zoo_register_models`` and from users'
    overlays; all are validated alike. Figures are those of the network as it is used here (for
    Whisper: the encoder).
    """

    name: str
    """Short name, such as ``whisper-large``; the canonical one is ``plugin/name``."""
    plugin: str
    """Entry-point name of the plugin that runs it."""
    modality: Modality
    extractor: str | None = None
    """The plugin's extractor, where it registers more than one."""
    family: str | None = None
    """Models that differ by size alone share a family; the plugin's name where not given."""
    repo: str | None = None
    """Hub id ``org/name``, or a local folder. ``None`` for models without weights."""
    revision: str | None = None
    """40-hex commit of the hub repository. ``None``: explicitly unpinned."""
    tokenizer: str | None = None
    """Hub id or folder of the tokenizer, where it is not in ``repo``."""
    n_parameters: int | None = None
    n_layers: int | None = None
    """Transformer blocks. Hidden states are ``n_layers + 1``: state 0 precedes the first block."""
    embed_dim: int | None = None
    """Width of a hidden state, in units."""
    architecture: Mapping[str, Any] = field(default_factory=dict)
    """Configuration that rebuilds the network without its weights (``model_type`` and figures)."""
    sample_rate_hz: int | None = None
    causal: bool = True
    """The state of a moment depends on nothing later."""
    in_paper: bool = False
    """Used in Antonello, Vaidya and Huth (2023)."""
    license: str | None = None
    gated: bool = False
    weights_format: Literal["safetensors", "pickle"] = "safetensors"
    trust_remote_code: bool = False
    languages: tuple[str, ...] = ()
    release_date: str | None = None
    reference: str | None = None
    citation: str | None = None
    summary: str | None = None
    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Canonical id, ``plugin/name``."""
        return f"{self.plugin}/{self.name}"


@dataclass(frozen=True)
class ExtractorSpec:
    """Names an extractor: what turns a story into states.

    ``target`` is ``"package.module:Class"``; the host calls it with an :class:`ExtractorRequest`
    and gets an :class:`Extractor`. ``tiny`` is a very small model of the family, which the
    conformance kit builds untrained and puts through every check.
    """

    name: str
    target: str
    modality: Modality
    summary: str
    api_version: int = API_VERSION
    tiny: ModelEntry | None = None
    requires: tuple[str, ...] = ()
    """Top-level packages that must be importable before it runs."""
    options: tuple[str, ...] = ()
    """Settings it reads from :attr:`ExtractorRequest.options`; the host passes no other."""
    neutral_options: tuple[str, ...] = ()
    """Those of ``options`` that change no value, such as a batch size: no part of a key."""
    schemes: tuple[str, ...] = ()
    """Prefixes by which it takes any checkpoint: with ``hf``, the name ``hf:org/name`` is a model
    whose ``repo`` is ``org/name``; ``hf:org/name@revision`` pins it. No row is needed."""


@dataclass(frozen=True)
class AlignerSpec:
    """Names an aligner: states at their times onto scan times.

    ``target(**options)`` is an :class:`Aligner`.
    """

    name: str
    target: str
    summary: str
    api_version: int = API_VERSION


@dataclass(frozen=True)
class RegressorSpec:
    """Names a regressor: ``target(**options)`` is a :class:`Regressor`.

    ``delays="self"`` says that the class takes a ``delays`` parameter and forms the FIR delays
    itself, within groups, and its ``predict`` takes ``groups``; otherwise (``"host"``) it is given
    a design that has them. ``spaces=True`` says that it takes a ``spaces`` parameter, a mapping of
    name to slice of the design's columns, and fits several feature spaces at once.

    ``streams=True`` says that its ``fit`` reads the responses a block of voxels at a time: they may
    lie on disk, as something with ``shape``, ``dtype`` and ``chunks`` that is sliced by voxel,
    ``Y[:, first:stop]``. Others are given arrays.

    A class with a ``cache`` parameter is given a folder, where it may keep what other fits on the
    same design can use; it changes no value.
    """

    name: str
    target: str
    summary: str
    api_version: int = API_VERSION
    delays: Literal["host", "self"] = "host"
    spaces: bool = False
    streams: bool = False
    neutral_options: tuple[str, ...] = ()
    """Parameters that change no value, such as a device: no part of a result's key."""


@dataclass(frozen=True)
class DatasetSpec:
    """Names a dataset: ``target(path, **options)`` is a :class:`Dataset`.

    ``path`` is ``None`` for a dataset that needs none. ``recognise`` looks at a folder and says
    whether it has this dataset's layout; it must be quick and import nothing heavy.
    """

    name: str
    target: str
    summary: str
    api_version: int = API_VERSION
    recognise: Callable[[Path], bool] | None = None
    needs_path: bool = True
    licence: str | None = None
    citation: str | None = None
    homepage: str | None = None
    obtain: tuple[str, ...] = ()
    """Commands that get it, for people to run, where ``zoo data fetch`` has no checksums of it."""
    pickles: bool = False
    """It reads pickles, and takes ``allow_pickle="true"`` where the user allows that."""
    manifest: Path | None = None
    """YAML that lists its files for ``zoo data fetch``: path, url and SHA-256 of each."""


Spec = ExtractorSpec | AlignerSpec | RegressorSpec | DatasetSpec
