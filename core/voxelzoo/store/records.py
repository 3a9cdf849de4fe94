"""The record of a result: what was fitted, on what, how it was tested, and the scores.

A record is written as JSON beside a result's arrays and read back as the same typed object, so that
nothing is ever read off a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from voxelzoo.api import DataError
from voxelzoo.science.splits import ContiguousFolds, Evaluation, EvaluationKind, HeldOutStories

RECORD_VERSION = 2
"""Raised when a record or the names of a result's arrays change. Version 1 is that of voxelzoo
0.1, which wrote no version."""


class RecordVersionError(DataError):
    """A result that another version of voxelzoo wrote, whose record this one cannot read.

    Attributes
    ----------
    reason : str
        Who wrote it.
    remedy : str
        What to do about it.
    """

    def __init__(self, where: str, version: object) -> None:
        old = version == 1
        self.reason = (
            "written by voxelzoo 0.1, whose results this version cannot read"
            if old
            else f"record version {version} is unknown, this voxelzoo reads {RECORD_VERSION}"
        )
        self.remedy = "delete it and run again" if old else "upgrade voxelzoo"
        super().__init__(f"{where}: {self.reason}; {self.remedy}")


@dataclass(frozen=True, kw_only=True)
class RegionScore:
    """The score of one region."""

    n_voxels: int
    """Voxels with a defined r."""
    mean_r: float | None
    """Mean Pearson r over them; ``None`` if there are none."""


@dataclass(frozen=True, kw_only=True)
class ScoreSummary:
    """Scores over the voxels in which they are defined; ``None`` where no voxel has one.

    Correlations are Pearson's r of predicted and measured held-out responses.
    """

    mean_r: float | None
    """Mean r."""
    median_r: float | None
    """Median r."""
    best_voxel_r: float | None
    """Greatest r of any voxel."""
    mean_signed_r2: float | None
    """Mean of ``|r| r``."""
    mean_r2: float | None
    """Mean share of the held-out variance that is predicted."""
    mean_cv_r: float | None = None
    """Mean out-of-fold r within the training data, if the regressor gives it."""
    mean_ceiling: float | None = None
    """Mean noise ceiling, in units of r."""
    mean_r_repeated: float | None = None
    """Mean r over the stories that the ceiling is of (``ResultRecord.ceiling_stories``);
    ``None`` if the ceiling is not from repeats."""
    mean_r_normalised: float | None = None
    """Mean of r divided by its ceiling, both over the same rows."""
    by_region: Mapping[str, RegionScore] = field(default_factory=dict)
    """The score of each label, if voxels have labels."""
    mean_weights: tuple[float | None, ...] | None = None
    """Joint fits: mean weight of each space, in the order of ``ResultRecord.spaces``."""
    mean_split_r: tuple[float | None, ...] | None = None
    """Joint fits: mean share that each space has of r, in the same order."""
    mean_partition: Mapping[str, float | None] | None = None
    """Joint fits: mean R2 that exactly these spaces share (``a & b``), in the order of the array
    ``partition``."""


@dataclass(frozen=True, kw_only=True)
class ResultRecord:
    """Everything that is known of one result without reading an array.

    One fit of one subject: either one layer of one model, or several layers as feature spaces of a
    joint fit.

    Examples
    --------
    >>> from dataclasses import replace
    >>> record = ResultRecord(
    ...     model="word-rate", model_id="baselines/word-rate", family="baselines", layer=0,
    ...     fit="layer", subject="S1", dataset="mine", n_voxels=2, n_undefined_voxels=0,
    ...     n_train=90, n_test=30, kind="stories", train_stories=("a", "b"), test_stories=("c",),
    ...     train_hours=0.05, protocol="clean", standardised_responses=True, aligner="lanczos",
    ...     regressor="ridge", delays=(1, 2), dtype="float32", seed=0,
    ...     scores=ScoreSummary(mean_r=0.2, median_r=0.2, best_voxel_r=0.3, mean_signed_r2=0.05,
    ...                         mean_r2=0.04))
    >>> record.evaluation
    'held-out stories (c)'
    >>> ResultRecord.from_json(record.to_json()) == record
    True
    """

    # What was fitted
    model: str
    """Short name of the model; of a joint fit, the names of its spaces."""
    model_id: str
    """Canonical name, ``plugin/model``."""
    family: str
    """Model family, ``baselines``, or ``joint``."""
    n_parameters: int | None = None
    """Parameters of the model; ``None`` if that is not known."""
    untrained: bool = False
    """Whether weights were random."""
    fit: Literal["layer", "joint"]
    """``layer``: one layer of one model. ``joint``: several feature spaces side by side."""
    layer: int | None
    """``None`` for a joint fit."""
    spaces: tuple[str, ...] | None = None
    """Names of the feature spaces of a joint fit (``opt-125m:9``); ``None`` otherwise."""
    repo: str | None = None
    """Where the weights come from."""
    revision: str | None = None
    """Commit of the weights, if it was fixed."""

    # Data
    subject: str
    """Whose responses were predicted."""
    is_average: bool = False
    """Whether the "subject" is a mean over other subjects."""
    dataset: str
    """Name of the dataset."""
    dataset_licence: str | None = None
    """SPDX identifier of the data's licence."""
    dataset_citation: str | None = None
    """One line to cite the data."""
    dataset_preparation: str | None = None
    """What the dataset did to responses before they were fitted, as clauses."""
    n_voxels: int
    """Voxels that were fitted."""
    n_undefined_voxels: int
    """Voxels without a defined r."""
    undefined: Mapping[str, int] = field(default_factory=dict)
    """Those voxels by reason: :data:`voxelzoo.science.undefined.REASONS`."""
    tr: float | None = None
    """Seconds from one scan to the next; ``None`` if it differs between stories."""
    n_train: int
    """TRs that a fit was trained on; the fewest of any fold."""
    n_test: int
    """TRs that were predicted."""

    # How it was tested
    kind: EvaluationKind
    """``stories``: whole test stories were held out. ``folds``: one story was cut into folds."""
    train_stories: tuple[str, ...]
    """Stories that were trained on; of ``folds``, the one story."""
    test_stories: tuple[str, ...] = ()
    """Stories that were held out, in the order in which they were predicted."""
    n_folds: int | None = None
    """Number of folds, if ``kind`` is ``folds``."""
    gap_trs: int | None = None
    """TRs on either side of a fold that train nothing, if ``kind`` is ``folds``."""
    train_hours: float
    """Scan time of the training stories, in hours."""
    mean_train_stories: float | None = None
    """Mean number of training stories over subjects, if it differs between them."""
    mean_train_hours: float | None = None
    """Mean scan time of the training stories over subjects, in hours, if it differs."""
    subset_seed: int | None = None
    """Seed with which the training stories were drawn; ``None`` if all were used."""
    ceiling_method: str | None = None
    """How the noise ceiling was estimated; ``None`` if there is none."""
    ceiling_floor: float | None = None
    """Lower limit of the noise ceiling; ``None`` if there is none."""
    ceiling_stories: tuple[str, ...] = ()
    """Held-out stories that a ceiling from repeats is of: those that were heard more than once.
    Empty for other ceilings, which use everything that was held out."""

    # How it was fitted
    protocol: str
    """``clean`` or ``antonello2023``."""
    standardised_responses: bool
    """Whether responses were z-scored within each story."""
    aligner: str
    """Name of the aligner."""
    aligner_settings: Mapping[str, Any] = field(default_factory=dict)
    """All settings of the aligner, defaults included."""
    regressor: str
    """Name of the regressor."""
    regressor_options: Mapping[str, Any] = field(default_factory=dict)
    """Options that were set, other than those that change no value."""
    delays: tuple[int, ...]
    """Delays of the finite impulse response, in TRs."""
    shift: float = 0.0
    """Seconds by which the stimulus was moved later: the misalignment control."""
    leaks: tuple[str, ...] = ()
    """Leak guards that found something and were overridden."""
    n_smallest_alpha: int | None = None
    """Number of voxels that chose the smallest penalty tried, summed over folds; ``None`` if the
    regressor does not choose from several."""
    n_largest_alpha: int | None = None
    """Number of voxels that chose the largest penalty tried."""
    fitted: tuple[str, ...] = ()
    """How each fit was computed (device, precision, algorithm), if the regressor tells."""
    first_token: str | None = None
    """Special token before every context of a language model; ``None`` for other models."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the extractor."""
    dtype: str
    """Precision in which the model was run."""
    seed: int
    """Seed of the model's random weights."""
    software: Mapping[str, str] = field(default_factory=dict)
    """Version of each package."""

    scores: ScoreSummary
    """Scores over voxels."""

    @property
    def schema_version(self) -> int:
        """Version of the record: :data:`RECORD_VERSION`."""
        return RECORD_VERSION

    @property
    def label(self) -> str:
        """The model for people: ``opt-125m``, or ``opt-125m (untrained)``."""
        return f"{self.model} (untrained)" if self.untrained else self.model

    @property
    def n_train_stories(self) -> int:
        """Number of training stories."""
        return len(self.train_stories)

    @property
    def evaluation(self) -> str:
        """How the result was tested, in words."""
        evaluation: Evaluation = (
            HeldOutStories(self.train_stories, self.test_stories)
            if self.kind == "stories"
            else ContiguousFolds(self.train_stories[0], self.n_folds or 0, self.gap_trs or 0)
        )
        return str(evaluation)

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values, with its ``schema_version``."""
        return {"schema_version": RECORD_VERSION, **_lists(asdict(self))}

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str = "record") -> ResultRecord:
        """Read what :meth:`to_json` wrote.

        Parameters
        ----------
        document : mapping
            The record as JSON values.
        where : str
            Where it was read, for errors.

        Raises
        ------
        RecordVersionError
            If another version of voxelzoo wrote it.
        DataError
            If a field is missing or has a value of the wrong type.
        """
        from pydantic import TypeAdapter, ValidationError  # slow to import

        if (version := document.get("schema_version", 1)) != RECORD_VERSION:
            raise RecordVersionError(where, version)
        fields = {name: value for name, value in document.items() if name != "schema_version"}
        try:
            return TypeAdapter(cls).validate_python(fields)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise DataError(f"{where}: damaged record ({name}: {first['msg']})") from None

    def flat(self) -> dict[str, Any]:
        """The record in one level, as ``--json`` and tables show it: a name for each fact."""
        fields = self.to_json()
        scores: dict[str, Any] = fields.pop("scores")
        return {
            **fields,
            **{name: value for name, value in scores.items() if name != "by_region"},
            "by_label": scores["by_region"],
            "n_train_stories": self.n_train_stories,
            **self._seconds(),
            "evaluation": self.evaluation,
        }

    def _seconds(self) -> dict[str, Any]:
        """Delays and gap in seconds; ``None`` if the TR differs between stories."""
        tr, gap = self.tr, self.gap_trs
        return {
            "delays_s": None if tr is None else [round(each * tr, 6) for each in self.delays],
            "gap_s": None if tr is None or gap is None else round(gap * tr, 6),
        }


def _lists(value: Any) -> Any:
    """Tuples as lists, which JSON has."""
    if isinstance(value, Mapping):
        return {name: _lists(each) for name, each in value.items()}
    return [_lists(each) for each in value] if isinstance(value, list | tuple) else value
