"""What extractors, aligners, regressors and datasets must have, and what they may have.

This module is the whole contract: the host reads nothing of a plugin's objects that is not here.
:class:`Extractor`, :class:`Aligner`, :class:`Regressor` and :class:`Dataset` are required. The
other protocols are optional: an object that has the methods or attributes of one gets what its
docstring promises, and ``zoo check`` then tests them. Nothing has to be inherited or registered.
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
    from scipy.sparse import csc_array

    from voxelzoo.stimuli.clocks import ScanClock
    from voxelzoo.stimuli.stories import Story

hookimpl = pluggy.HookimplMarker("voxelzoo")
"""Marks a function of a plugin as the implementation of a ``zoo_*`` hook."""


# ------------------------------------------------------------------------------------ extractors


@dataclass(frozen=True)
class ExtractorRequest:
    """Which model an extractor is to run, and how."""

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
    """Shows the user one line (which tokenizer was used; that a batch was halved)."""


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
    """On the requested device, without loading."""
    peak_bytes: float
    """Memory of the device: the network, and a batch on its way through it."""


@runtime_checkable
class Extractor(Protocol):
    """Yields the hidden states of one model for a story.

    Building it and asking for its layers, fingerprint and times must be quick: weights are loaded
    by the first :meth:`extract`. Optional: :class:`EstimatesCost`, :class:`Resumes`.
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
        """Time of each state on the story's clock, (time,), in seconds, never decreasing.

        Raises
        ------
        DataError
            The story lacks what the model needs (words or sound).
        """
        ...

    def extract(self, story: Story, layers: Sequence[int]) -> Iterator[StateBlock]:
        """States of ``layers`` in blocks that cover :meth:`times` in order, without gaps.

        Raises
        ------
        DataError
            The story lacks what the model needs, or cannot be read.
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
        """Passes, operations, seconds and memory of extracting ``layers`` of a story.

        Nothing is loaded.
        """
        ...


@runtime_checkable
class Resumes(Extractor, Protocol):
    """An extractor that can begin within a story: an interrupted run continues where it stopped.

    An extractor whose ``extract`` has no parameter ``start`` begins the story again.
    """

    def extract(self, story: Story, layers: Sequence[int], start: int = 0) -> Iterator[StateBlock]:
        """As :meth:`Extractor.extract`, from row ``start`` of :meth:`Extractor.times` on."""
        ...


# -------------------------------------------------------------------------------------- aligners


@runtime_checkable
class Aligner(Protocol):
    """Resamples states from their own times to scan times, linearly."""

    def weights(
        self, times: NDArray[np.float64], scan_times: NDArray[np.float64]
    ) -> NDArray[np.float64] | csc_array:
        """Matrix (TR, time) that takes states at ``times`` (s) to ``scan_times`` (s).

        Being linear, it is applied block by block while extraction runs. Dense, or sparse for long
        stories: two hours at 10 Hz make a dense one of 2 GB.
        """
        ...

    def fingerprint(self) -> Mapping[str, Any]:
        """Its parameters, as JSON values."""
        ...


# ------------------------------------------------------------------------------------ regressors


@runtime_checkable
class Regressor(Protocol):
    """A linear model from design to voxels, following the scikit-learn API.

    Optional: :class:`HasAlphas`, :class:`HasCVScores`, :class:`HasCoefficients`,
    :class:`ReportsPath`; for several feature spaces, :class:`StacksSpaces`,
    :class:`HasWeightIntervals`, :class:`SplitsScores`, :class:`PartitionsVariance`; and
    :class:`FormsDelays` or :class:`TakesSpaces` where its :class:`RegressorSpec` says so.
    """

    def fit(self, X: Any, Y: Any, groups: Any = None) -> Regressor:
        """Fits ``Y`` (TR, voxel) from ``X`` (TR, feature); ``groups`` (TR,) names each story."""
        ...

    def predict(self, X: Any) -> Any:
        """Predictions (TR, voxel)."""
        ...

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Its parameters: part of the key of a result.

        One named ``cache``, if it is ``None``, is set to a folder in which fits on the same design
        may share what they can; it must not change a value.
        """
        ...


@runtime_checkable
class FormsDelays(Protocol):
    """A regressor that forms FIR delays itself, declared by ``RegressorSpec(delays="self")``.

    It is given the states as they are. Delays never cross from one group (story) to the next.
    """

    def set_params(self, **parameters: Any) -> Any:
        """Takes ``delays``, a tuple of whole TRs."""
        ...

    def predict(self, X: Any, groups: Any = None) -> Any:
        """Predictions (TR, voxel); ``groups`` (TR,) names the story of each row."""
        ...


@runtime_checkable
class TakesSpaces(Protocol):
    """A regressor for several feature spaces, declared by ``RegressorSpec(spaces=True)``."""

    def set_params(self, **parameters: Any) -> Any:
        """Takes ``spaces``, a mapping of each space's name to its slice of the design's columns."""
        ...


@runtime_checkable
class HasAlphas(Protocol):
    """A fitted regressor with one penalty a voxel; results then have the map ``alpha``."""

    alpha_: NDArray[np.floating[Any]]
    """Penalty of each voxel, (voxel,); NaN where a voxel could not be fitted."""


@runtime_checkable
class HasCVScores(Protocol):
    """A fitted regressor with cross-validated scores; results then have the map ``cv_r``.

    A layer can then be chosen without looking at the held-out data. Without it, the layer is chosen
    on the test data, and reports call that choice optimistic.
    """

    cv_score_: NDArray[np.floating[Any]]
    """Pearson's r of each voxel within the training data, (voxel,): the mean over folds, at the
    chosen parameters. NaN where a voxel could not be fitted."""


@runtime_checkable
class HasCoefficients(Protocol):
    """A fitted regressor with linear weights; ``zoo run --keep weights`` needs them."""

    def coef_block(self, targets: slice) -> NDArray[np.floating[Any]]:
        """Weights (voxel, feature) of some voxels, for the columns of ``X`` that ``fit`` was given.

        With :class:`FormsDelays` the features are the delayed ones: every unit at the first delay,
        then every unit at the next.
        """
        ...


@runtime_checkable
class ReportsPath(Protocol):
    """A fitted regressor that says how it was computed; the result records it."""

    path_: str
    """Device, precision and algorithm, in a few words."""


@runtime_checkable
class StacksSpaces(Protocol):
    """A fitted regressor of several spaces that weighs them; results then have ``weights``."""

    weights_: NDArray[np.floating[Any]]
    """Weight of each space in each voxel's prediction, (voxel, space), in the order of
    ``spaces``."""


@runtime_checkable
class HasWeightIntervals(Protocol):
    """A fitted :class:`StacksSpaces` with an interval of each weight, from resampling."""

    weights_low_: NDArray[np.floating[Any]]
    """Lower end, (voxel, space)."""
    weights_high_: NDArray[np.floating[Any]]
    """Upper end, (voxel, space)."""


@runtime_checkable
class SplitsScores(Protocol):
    """A fitted regressor of several spaces that says what each adds; results have ``split_r``."""

    def score_split(self, X: Any, Y: Any) -> NDArray[np.floating[Any]]:
        """What each space adds to Pearson's r on held-out rows, (space, voxel), in their order.

        Either shares that add up to r, or each space's gain over the others alone; the regressor's
        documentation says which.
        """
        ...


@runtime_checkable
class PartitionsVariance(Protocol):
    """A fitted regressor of several spaces that says what they explain alone and together."""

    def partition(self, X: Any, Y: Any) -> Mapping[frozenset[str], NDArray[np.floating[Any]]]:
        """Held-out R2 (voxel,) that exactly these spaces share, for every non-empty set of them.

        The values of a voxel add up to the R2 of all spaces together.
        """
        ...


# -------------------------------------------------------------------------------------- datasets


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset's name, summary, licence and citation."""

    name: str
    summary: str
    licence: str | None = None
    citation: str | None = None
    """One line for people."""

    @classmethod
    def of(cls, spec: DatasetSpec, summary: str | None = None) -> DatasetInfo:
        """What a spec says, so that a dataset's licence and citation are stated once.

        Parameters
        ----------
        spec
            The dataset's own spec.
        summary
            Replaces the spec's summary.
        """
        return cls(spec.name, summary or spec.summary, spec.licence, spec.citation)


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
        """Stories held out whole; empty where evaluation is by contiguous folds."""
        ...

    def story(self, name: str) -> Story:
        """The stimulus: words, sound, or features computed elsewhere.

        Raises
        ------
        NotFoundError
            No story has this name.
        DataError
            Its files are damaged.
        """
        ...

    def clock(self, story: str) -> ScanClock:
        """When each response row of the story was acquired."""
        ...

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """(TR, voxel), or (repeat, TR, voxel) where the story was heard more than once.

        Raises
        ------
        NotFoundError
            No subject, or no story, has this name.
        DataError
            The subject's data cannot be used; the message says why.
        """
        ...

    def voxel_labels(self, subject: str) -> Sequence[str] | None:
        """A region's name for each voxel, or ``None``."""
        ...

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of everything that affects :meth:`responses`: content and preparation."""
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
        """A context of the responses on disk: the values of :meth:`Dataset.responses`, unread."""
        ...


@runtime_checkable
class HasOwnStories(Protocol):
    """A dataset in which some subjects heard training stories that others did not."""

    def own_stories(self, subject: str) -> Sequence[str]:
        """Training stories that this subject heard and not every other subject did.

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
