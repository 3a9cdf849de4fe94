"""What extractors and datasets must have, and what they may have.

This module and :mod:`voxelzoo.contract.regression` are the whole contract: the host reads nothing
of a plugin's objects that is not there. :class:`Extractor`, :class:`Aligner`, :class:`Regressor`
and :class:`Dataset` are required. The other protocols are optional: an object that has the methods
or attributes of one gets what its docstring promises, and ``zoo check`` then tests them. Nothing
has to be inherited or registered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pluggy

from voxelzoo.contract.specs import DatasetSpec, ModelEntry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from voxelzoo.stimuli.clocks import ScanClock
    from voxelzoo.stimuli.stories import Story

hookimpl = pluggy.HookimplMarker("voxelzoo")
"""Marks a function of a plugin as the implementation of a ``zoo_*`` hook."""


# ------------------------------------------------------------------------------------ extractors


@dataclass(frozen=True)
class ExtractorRequest:
    """Which model an extractor is to run, and how."""

    model: ModelEntry
    """The model's row of the catalogue."""
    untrained: bool = False
    """Build the true architecture with random weights from ``seed``, downloading nothing."""
    seed: int = 0
    """Seed of random weights."""
    device: str = "cpu"
    """A torch device: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``."""
    dtype: str = "float32"
    """Precision of the network: ``float32``, ``float16`` or ``bfloat16``."""
    protocol: str = "clean"
    """``clean`` or ``antonello2023``."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The user's settings, such as ``window``, ``stride`` (seconds) or ``context`` (a policy)."""
    allow_pickle: bool = False
    """Weights may be read from a pickle, which can run any code that is in it."""
    trust_remote_code: bool = False
    """Code that a checkpoint brings may run, if the model's row allows it too."""
    notify: Callable[[str], None] = lambda _: None
    """Shows the user one line (which tokenizer was used; that a batch was halved)."""


@dataclass(frozen=True)
class StateBlock:
    """Consecutive states of one story."""

    start: int
    """Row of :meth:`Extractor.times` to which the first state belongs."""
    states: NDArray[np.float32]
    """(layer, time, unit), layers in the requested order."""


@dataclass(frozen=True)
class Cost:
    """What extracting one story takes, estimated before anything is loaded."""

    n_passes: int
    """Passes through the network."""
    n_fed: int
    """Tokens or frames that pass through it, in all."""
    flops: float
    """Floating-point operations."""
    seconds: float
    """On the requested device, without loading."""
    peak_bytes: float
    """Memory of the device: the network, and a batch on its way through it."""
    load_seconds: float = 0.0
    """Once, however many stories are read: importing libraries and loading the weights."""


@runtime_checkable
class Extractor(Protocol):
    """Yields the hidden states of one model for a story.

    Building it and asking for its layers, fingerprint and times must be quick: weights are loaded
    by the first :meth:`extract`. Optional: :class:`EstimatesCost`, :class:`Resumes`,
    :class:`HasFirstToken`, :class:`DescribesModel`.
    """

    def layers(self) -> Sequence[int]:
        """Layers it has, numbered as ``hidden_states``: 0 precedes the first block."""
        ...

    def fingerprint(self) -> Mapping[str, Any]:
        """Everything that affects its values beyond plugin version, model row, seed and dtype.

        JSON values: the window rule, the tokenizer, preprocessing. Part of the artefact's key.
        """
        ...

    def times(self, story: Story) -> NDArray[np.float64]:
        """Time of each state of a story.

        Parameters
        ----------
        story : Story
            The stimulus.

        Returns
        -------
        ndarray of float64
            Seconds on the story's clock, (time,), never decreasing.

        Raises
        ------
        DataError
            The story does not have what the model needs (words or sound).
        """
        ...

    def extract(self, story: Story, layers: Sequence[int]) -> Iterator[StateBlock]:
        """States of a story, block by block.

        Parameters
        ----------
        story : Story
            The stimulus.
        layers : sequence of int
            Some of :meth:`layers`, in any order.

        Yields
        ------
        StateBlock
            Together the blocks cover :meth:`times` in order, without gaps.

        Raises
        ------
        DataError
            The story does not have what the model needs, or cannot be read.
        MissingError
            The weights are not on this machine.
        """
        ...

    def close(self) -> None:
        """Frees the model's memory."""
        ...


@runtime_checkable
class EstimatesCost(Protocol):
    """An extractor that knows what a story will take: ``zoo plan`` shows it."""

    def cost(self, story: Story, layers: Sequence[int]) -> Cost:
        """Estimate what extracting layers of a story takes; nothing is loaded.

        Parameters
        ----------
        story : Story
            The stimulus.
        layers : sequence of int
            The layers to extract.

        Returns
        -------
        Cost
            Passes, operations, seconds and memory.
        """
        ...


@runtime_checkable
class Resumes(Extractor, Protocol):
    """An extractor that can begin within a story: an interrupted run continues where it stopped.

    An extractor whose ``extract`` has no parameter ``start`` begins the story again.
    """

    def extract(self, story: Story, layers: Sequence[int], start: int = 0) -> Iterator[StateBlock]:
        """As :meth:`Extractor.extract`, but not from the beginning of the story.

        Parameters
        ----------
        story : Story
            The stimulus.
        layers : sequence of int
            The layers to extract.
        start : int, default 0
            First row of :meth:`Extractor.times` whose state is returned.

        Yields
        ------
        StateBlock
            Blocks that cover the rows from ``start`` on.
        """
        ...


@runtime_checkable
class HasFirstToken(Protocol):
    """An extractor that says which special token begins every context; results record it."""

    def describe_first_token(self) -> str:
        """Say which token it is. Nothing is downloaded.

        Returns
        -------
        str
            The token as people read it, such as ``<s>``, or ``none``.
        """
        ...


@runtime_checkable
class DescribesModel(Protocol):
    """An extractor that reads a model's figures from its checkpoint, for models without a row."""

    def describe_model(self) -> ModelEntry:
        """Describe the model. Nothing is loaded or downloaded.

        Returns
        -------
        ModelEntry
            The row, with ``n_parameters``, ``n_layers`` and ``embed_dim`` where it has none.
        """
        ...

    def describe_weights(self) -> str | None:
        """Say which weights the model has; results record it as ``revision``.

        Returns
        -------
        str or None
            Their commit, or a digest of their files; ``None`` for random weights.
        """
        ...


# -------------------------------------------------------------------------------------- datasets


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset's name, summary, licence and citation."""

    name: str
    """Short name, as ``--dataset`` takes it."""
    summary: str
    """One line: who heard what, and how it was recorded."""
    licence: str | None = None
    """SPDX identifier of the data's licence."""
    citation: str | None = None
    """One line for people."""
    delays: str | None = None
    """Default FIR delays, such as ``"0.1s-0.4s"``, if responses are not haemodynamic;
    ``None``: those of the protocol, 2 to 8 s."""
    preparation: str | None = None
    """What the dataset did to responses, as clauses: ``"a cosine drift was removed"``."""

    @classmethod
    def of(cls, spec: DatasetSpec, summary: str | None = None, **more: str | None) -> DatasetInfo:
        """What a spec says, so that a dataset's licence and citation are stated once.

        Parameters
        ----------
        spec
            The dataset's own spec.
        summary
            Replaces the spec's summary.
        **more
            ``delays`` and ``preparation``, where the dataset has them.
        """
        return cls(spec.name, summary or spec.summary, spec.licence, spec.citation, **more)


@runtime_checkable
class Dataset(Protocol):
    """Subjects who heard stories, and the responses of their voxels.

    Row ``i`` of every response belongs to ``clock(story).times[i]``. Optional:
    :class:`OpensResponses`, :class:`HasOwnStories`, :class:`HasUnusableSubjects`,
    :class:`HasAverages`, :class:`HasDisagreements`.
    """

    def info(self) -> DatasetInfo:
        """Name, licence and citation."""
        ...

    def subjects(self) -> Sequence[str]:
        """Subjects that can be fitted."""
        ...

    def train_stories(self) -> Sequence[str]:
        """Stories for fitting, which every subject heard."""
        ...

    def test_stories(self) -> Sequence[str]:
        """Held-out stories; empty if evaluation is by contiguous folds."""
        ...

    def story(self, name: str) -> Story:
        """The stimulus: words, sound, or features computed elsewhere.

        Parameters
        ----------
        name : str
            A training or test story.

        Returns
        -------
        Story

        Raises
        ------
        NotFoundError
            No story has this name.
        DataError
            Its files are damaged.
        """
        ...

    def clock(self, story: str) -> ScanClock:
        """When each response row of a story was acquired.

        Parameters
        ----------
        story : str
            A training or test story.

        Returns
        -------
        ScanClock
        """
        ...

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """Responses of one subject to one story.

        Parameters
        ----------
        subject : str
            One of :meth:`subjects`.
        story : str
            A story that this subject heard.

        Returns
        -------
        ndarray of float32
            (TR, voxel), or (repeat, TR, voxel) if the subject heard the story more than once.

        Raises
        ------
        NotFoundError
            No subject, or no story, has this name.
        DataError
            The subject's data cannot be used; the message says why.
        """
        ...

    def voxel_labels(self, subject: str) -> Sequence[str] | None:
        """Region of each voxel.

        Parameters
        ----------
        subject : str
            One of :meth:`subjects`.

        Returns
        -------
        sequence of str or None
            One name for each voxel; ``None`` if regions are not known.
        """
        ...

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of everything that affects :meth:`responses`: content and preparation.

        Parameters
        ----------
        subject : str
            One of :meth:`subjects`.
        story : str
            A story that this subject heard.

        Returns
        -------
        str
            Equal digests mean equal responses. Part of the key of a result.
        """
        ...


class StoredResponses(Protocol):
    """Responses on disk, read some voxels at a time: ``stored[..., first:stop]``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(TR, voxel) or (repeat, TR, voxel)."""
        ...

    @property
    def dtype(self) -> Any:
        """A NumPy dtype."""
        ...

    def __getitem__(self, index: Any) -> Any:
        """The values of some voxels, as an array."""
        ...


@runtime_checkable
class OpensResponses(Protocol):
    """A dataset whose responses can be read in voxel blocks, for those too large for memory."""

    def open_responses(self, subject: str, story: str) -> AbstractContextManager[StoredResponses]:
        """Open responses without reading them.

        Parameters
        ----------
        subject : str
            One of :meth:`Dataset.subjects`.
        story : str
            A story that this subject heard.

        Returns
        -------
        context manager of StoredResponses
            The values of :meth:`Dataset.responses`, still on disk.
        """
        ...


@runtime_checkable
class HasOwnStories(Protocol):
    """A dataset in which some subjects heard training stories that others did not."""

    def own_stories(self, subject: str) -> Sequence[str]:
        """Training stories that this subject heard and not every other subject did.

        Parameters
        ----------
        subject : str
            One of :meth:`Dataset.subjects`.

        Returns
        -------
        sequence of str
            None of them is in :meth:`Dataset.train_stories`.
        """
        ...


@runtime_checkable
class HasUnusableSubjects(Protocol):
    """A dataset that has subjects who cannot be fitted."""

    def unusable_subjects(self) -> Mapping[str, str]:
        """Each such subject with the reason; none of them is in :meth:`Dataset.subjects`."""
        ...


@runtime_checkable
class HasAverages(Protocol):
    """A dataset in which some "subjects" are means over others.

    They are fitted like any other, but never count as a further subject: not in a test over
    subjects, nor among the others of an inter-subject noise ceiling.
    """

    def averages(self) -> Sequence[str]:
        """Names of :meth:`Dataset.subjects` that are means over other subjects."""
        ...


@runtime_checkable
class HasDisagreements(Protocol):
    """A dataset that compares what it reads with what was published."""

    def disagreements(self) -> Sequence[str]:
        """One line for each number that is not the published one."""
        ...
