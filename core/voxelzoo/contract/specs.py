"""What a plugin declares: frozen data, returned by its hooks.

A spec names its implementation by a lazy target, so that reading it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from voxelzoo.contract.citations import citation_line

API_VERSION = 1
"""The plugin API that this host speaks; a spec carries the version its plugin was written for.

The number is raised when something that plugins use is changed or removed. New optional fields,
hooks and protocols do not raise it. What is to be removed first warns for one minor release of
voxelzoo at least (``DeprecationWarning``, with the replacement), and the old version stays accepted
for as long: see :data:`API_OLDEST`.
"""


API_OLDEST = 1
"""The oldest plugin API that this host still accepts.

A plugin between this and :data:`API_VERSION` is loaded with a warning. One that is older, or newer
than this host, is not loaded, and ``zoo plugins list`` says which of the two to upgrade.
"""


Modality = Literal["text", "audio", "any"]
"""What a model needs of a story: its words, its sound, or (``any``) neither or both."""


Control = Literal["timing", "position", "autocorrelation", "stimulus"]
"""What a baseline controls for: when words are spoken; the place in the story; how alike
neighbouring rows are; or another simple property of the stimulus, such as loudness."""


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
    """What it needs of a story."""
    extractor: str | None = None
    """The plugin's extractor, if it registers more than one."""
    family: str | None = None
    """Models that differ only in size share a family; the plugin's name if not given."""
    repo: str | None = None
    """Hub id ``org/name``, or a local folder. ``None`` for models without weights."""
    revision: str | None = None
    """40-hex commit of the hub repository. ``None``: explicitly unpinned."""
    tokenizer: str | None = None
    """Hub id or folder of the tokenizer, if it is not in ``repo``."""
    n_parameters: int | None = None
    """Number of parameters, without a head."""
    n_layers: int | None = None
    """Transformer blocks. Hidden states are ``n_layers + 1``: state 0 precedes the first block."""
    embed_dim: int | None = None
    """Width of a hidden state, in units."""
    architecture: Mapping[str, Any] = field(default_factory=dict)
    """Configuration that rebuilds the network without its weights (``model_type`` and figures)."""
    sample_rate_hz: int | None = None
    """Samples per second of the sound that it was trained on."""
    causal: bool = True
    """A state depends on nothing later than its time."""
    in_paper: bool = False
    """Used in Antonello, Vaidya and Huth (2023)."""
    licence: str | None = None
    """SPDX or hub identifier."""
    gated: bool = False
    """Its licence must be accepted on the hub before it can be downloaded."""
    weights_format: Literal["safetensors", "pickle"] = "safetensors"
    """How its weights are stored. A pickle is read only with ``--allow-pickle``."""
    trust_remote_code: bool = False
    """Its checkpoint brings code of its own, which runs only if the user allows it."""
    languages: tuple[str, ...] = ()
    """ISO 639 codes of the languages that it was trained on; ``mul`` for many."""
    release_date: str | None = None
    """``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``."""
    reference: str | None = None
    """Address of the paper or model card."""
    citation: str | None = None
    """Key of the model's entry in :attr:`ExtractorSpec.model_bibtex` of its extractor."""
    bibtex: tuple[str, ...] = ()
    """BibTeX entries of the model, if its extractor's spec has none for it."""
    control: Control | None = None
    """For a baseline: what it controls for."""
    summary: str | None = None
    """One line: what it is."""
    aliases: tuple[str, ...] = ()
    """Other names by which it is found."""
    tags: tuple[str, ...] = ()
    """Free labels."""

    @property
    def id(self) -> str:
        """Canonical id, ``plugin/name``."""
        return f"{self.plugin}/{self.name}"

    @property
    def is_network(self) -> bool:
        """Whether there are weights, trained or random: not a baseline or stored features."""
        return bool(self.architecture) or self.repo is not None


@dataclass(frozen=True, kw_only=True)
class _SpecFields:
    """What every spec may say, whatever it names."""

    api_version: int = API_VERSION
    """The plugin API that it was written for."""
    requires: tuple[str, ...] = ()
    """Top-level packages that must be importable before the target is imported."""
    licence: str | None = None
    """SPDX identifier: of the data, for a dataset; else of the code."""
    bibtex: tuple[str, ...] = ()
    """BibTeX entries that every result made with it cites, each ``@type{key, field = {...}}``."""


@dataclass(frozen=True)
class ExtractorSpec(_SpecFields):
    """Names an extractor: what turns a story into states."""

    name: str
    """Name within the plugin, which rows of the catalogue use."""
    target: str
    """``"package.module:Class"``; the host calls it with an :class:`ExtractorRequest` and gets an
    :class:`Extractor`."""
    modality: Modality
    """What it needs of a story."""
    summary: str
    """One line: what it extracts."""
    tiny: ModelEntry | None = None
    """A very small model, which the conformance kit builds untrained and checks."""
    options: tuple[str, ...] = ()
    """Settings it reads from :attr:`ExtractorRequest.options`; the host passes no other."""
    neutral_options: tuple[str, ...] = ()
    """Those of ``options`` that change no value, such as a batch size: not part of a key."""
    schemes: tuple[str, ...] = ()
    """Prefixes by which it takes any checkpoint: with ``hf``, the name ``hf:org/name`` is a model
    whose ``repo`` is ``org/name``; ``hf:org/name@revision`` pins it. No row is needed."""
    reads_features: bool = False
    """It reads states that the dataset has in files (``Story.features``): its models are
    ``plugin/NAME``, one for each name of such a file, without rows."""
    model_bibtex: tuple[str, ...] = ()
    """BibTeX entries of its models; rows of the catalogue name theirs by key (``citation``)."""


@dataclass(frozen=True)
class AlignerSpec(_SpecFields):
    """Names an aligner."""

    name: str
    """Name, as ``--aligner`` takes it."""
    target: str
    """``"package.module:Class"``; ``target(**options)`` is an :class:`Aligner`."""
    summary: str
    """One line: how it resamples."""
    default_for: tuple[str, ...] = ()
    """Protocols that use it if the user names no aligner."""


@dataclass(frozen=True)
class RegressorSpec(_SpecFields):
    """Names a regressor.

    A class with a ``cache`` parameter is given a folder, in which it may keep what other fits on
    the same design can use; it must change no value.
    """

    name: str
    """Name, as ``--regressor`` takes it."""
    target: str
    """``"package.module:Class"``; ``target(**options)`` is a :class:`Regressor`."""
    summary: str
    """One line: what it fits."""
    delays: Literal["host", "self"] = "host"
    """``self``: it is a :class:`FormsDelays`; ``host``: its design comes with delays."""
    spaces: bool = False
    """It is a :class:`TakesSpaces`, and fits several feature spaces at once."""
    streams: bool = False
    """Its ``fit`` reads responses in voxel blocks: they may be on disk, as something with
    ``shape``, ``dtype`` and ``chunks`` that is sliced by voxel, ``Y[:, first:stop]``. Others are
    given arrays."""
    stacks: bool = False
    """It is the :class:`StacksSpaces` that recipes use for a joint fit. It then has a parameter
    ``single``: the space that the weighted sum must beat in cross-validation, voxel by voxel."""
    neutral_options: tuple[str, ...] = ()
    """Parameters that change no value, such as a device: not part of a result's key."""
    describe: Callable[[Mapping[str, Any]], str] | None = None
    """Says in a clause how parameters (without ``alphas``) choose penalties and fit, for
    ``zoo explain``. Without it, parameters are listed by name."""
    default_for: tuple[str, ...] = ()
    """Protocols that use it if the user names no regressor."""


@dataclass(frozen=True)
class DatasetSpec(_SpecFields):
    """Names a dataset. Results cite ``bibtex`` of the spec named as :meth:`Dataset.info` is."""

    name: str
    """Name, as ``--dataset`` takes it."""
    target: str
    """``"package.module:Class"``; ``target(path, **options)`` is a :class:`Dataset`. ``path`` is
    ``None`` for a dataset that needs none."""
    summary: str
    """One line: who heard what, and how it was recorded."""
    recognise: Callable[[Path], bool] | None = None
    """Whether a folder has this dataset's layout; quick, and imports nothing heavy."""
    needs_path: bool = True
    """It is read from a folder that the user names."""
    default: bool = False
    """Used if the user names no dataset; it needs no path."""
    homepage: str | None = None
    """Address where it is described."""
    obtain: tuple[str, ...] = ()
    """Commands that download it, for people to run, if ``zoo data fetch`` has no checksums."""
    pickles: bool = False
    """It reads pickles, and takes ``allow_pickle="true"`` where the user allows that."""
    manifest: Path | None = None
    """YAML that lists its files for ``zoo data fetch``: path, url and SHA-256 of each."""

    @property
    def citation(self) -> str | None:
        """Its BibTeX entries as one line for people; ``None`` if it has none."""
        return " ".join(map(citation_line, self.bibtex)) or None


Spec = ExtractorSpec | AlignerSpec | RegressorSpec | DatasetSpec
