"""What extractors, aligners, regressors and datasets must and may have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pluggy

from voxelzoo.contract.specs import ModelEntry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csc_array

    from voxelzoo.stimuli.clocks import ScanClock
    from voxelzoo.stimuli.stories import Story

hookimpl = pluggy.HookimplMarker("voxelzoo")
"""Marks a function of a plugin as the implementation of a ``zoo_*`` hook."""


@dataclass(frozen=True)
class ExtractorRequest:
    """What is asked of an extractor: one model, and how to run it."""

    model: ModelEntry
    untrained: bool = False
    """Build the true architecture with random weights from ``seed``, downloading nothing."""
    seed: int = 0
    device: str = "cpu"
    dtype: str = "float32"
    protocol: str = "clean"
    """``clean`` or ``antonello2023``."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The user's settings, such as ``window``, ``stride`` (seconds) or ``context`` (a policy)."""
    allow_pickle: bool = False
    trust_remote_code: bool = False
    notify: Callable[[str], None] = lambda message: None
    """Says a line to the user (which tokenizer was used; that a batch was halved)."""


@dataclass(frozen=True)
class StateBlock:
    """Consecutive states of one story: rows ``start, start + 1, ...`` of :meth:`Extractor.times`.

    ``states`` is (layer, time, unit), float32, its layers in the order they were asked for.
    """

    start: int
    states: NDArray[np.float32]


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
    """On the device asked for, loading left out."""
    peak_bytes: float
    """Memory of the device: the network, and a batch on its way through it."""


@runtime_checkable
class Extractor(Protocol):
    """Yields the hidden states of one model for a story.

    Building it and asking its layers, fingerprint and times must be quick: weights are loaded by
    the first :meth:`extract`. It may also have ``cost(story, layers) -> Cost``, for ``zoo plan``.
    """

    def layers(self) -> Sequence[int]:
        """Layers it can give, numbered as ``hidden_states``: 0 precedes the first block."""
        ...

    def fingerprint(self) -> Mapping[str, Any]:
        """All that determines its values beyond plugin version, model row, seed and dtype.

        JSON values: the window rule, the tokenizer, preprocessing. Part of the artefact's key.
        """
        ...

    def times(self, story: Story) -> NDArray[np.float64]:
        """Time of each state on the story's clock, (time,), in seconds, never decreasing."""
        ...

    def extract(self, story: Story, layers: Sequence[int]) -> Iterator[StateBlock]:
        """States of ``layers`` in blocks that cover :meth:`times` in order, without gaps.

        Where it also takes ``start: int = 0``, the first row wanted, a run that was cut off goes on
        from there; else it begins the story again.
        """
        ...

    def close(self) -> None:
        """Frees the model's memory."""
        ...


@runtime_checkable
class Aligner(Protocol):
    """Brings states at their own times onto scan times, linearly."""

    def weights(
        self, times: NDArray[np.float64], scan_times: NDArray[np.float64]
    ) -> NDArray[np.float64] | csc_array:
        """Matrix (TR, time) that takes states at ``times`` (s) to ``scan_times`` (s).

        Being linear, it is applied block by block while extraction runs. Dense, or sparse where
        a story is long: two hours at 10 Hz make a dense one of 2 GB.
        """
        ...

    def fingerprint(self) -> Mapping[str, Any]:
        """Its parameters, as JSON values."""
        ...


@runtime_checkable
class Regressor(Protocol):
    """A linear map from design to voxels, with scikit-learn's manners."""

    def fit(self, X: Any, Y: Any, groups: Any = None) -> Regressor:
        """Fits ``Y`` (TR, voxel) from ``X`` (TR, feature); ``groups`` (TR,) names each story."""
        ...

    def predict(self, X: Any) -> Any:
        """Predictions (TR, voxel)."""
        ...

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Its parameters."""
        ...


@dataclass(frozen=True)
class DatasetInfo:
    """What a dataset says of itself."""

    name: str
    summary: str
    licence: str | None = None
    citation: str | None = None


@runtime_checkable
class Dataset(Protocol):
    """Subjects who heard stories, and the responses of their voxels.

    Row ``i`` of every response belongs to ``clock(story).times[i]``.

    A dataset may also have ``unusable_subjects()``, a mapping of subjects that are there and cannot
    be fitted to the reason; ``own_stories(subject)``, training stories that this subject heard and
    not every other did, none of them among :meth:`train_stories`; ``disagreements()``, a line for
    each number that is not the published one; and ``open_responses(subject, story)``, a context of
    an array on disk that is sliced by voxel (``opened[..., first:stop]``), for those too large to
    be read whole.
    """

    def info(self) -> DatasetInfo:
        """Name, licence and citation."""
        ...

    def subjects(self) -> Sequence[str]:
        """Subjects that can be fitted."""
        ...

    def train_stories(self) -> Sequence[str]:
        """Stories for fitting."""
        ...

    def test_stories(self) -> Sequence[str]:
        """Stories held out whole; empty where evaluation is by contiguous folds."""
        ...

    def story(self, name: str) -> Story:
        """The stimulus: words, sound, or features computed elsewhere."""
        ...

    def clock(self, story: str) -> ScanClock:
        """When each response row of the story was acquired."""
        ...

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """(TR, voxel), or (repeat, TR, voxel) where the story was heard more than once.

        Raises :class:`NotFoundError` for an unknown subject, :class:`DataError` for one whose data
        cannot be used, with the reason.
        """
        ...

    def voxel_labels(self, subject: str) -> Sequence[str] | None:
        """A region's name for each voxel, or ``None``."""
        ...

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of all that determines :meth:`responses`: content and preparation."""
        ...
