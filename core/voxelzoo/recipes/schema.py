"""Recipes: a paper's data, models, fits, figures and expected numbers, as one YAML file.

A recipe is data alone. It names what installed plugins can do; ``zoo reproduce`` runs the part of
it that this machine and its data allow, and compares what came out with what is expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from voxelzoo.api import NotFoundError, PluginError, ZooError
from voxelzoo.runs.options import Dtype, RunOptions
from voxelzoo.strict_yaml import Document, read_yaml

SCHEMA_VERSION = 1


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]


Count = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Trims(_Strict):
    """Volumes that the scores never see. Stated here; the dataset and the protocol drop them."""

    start_trs: int = Field(ge=0)
    """At the start of every scan."""
    end_trs: int = Field(ge=0)
    """At the end of every scan."""
    test_start_trs: int = Field(ge=0)
    """More, at the start of each test story: what the protocol skips."""


class Data(_Strict):
    """Responses and stimuli."""

    dataset: str
    """As for ``zoo run --dataset``; where its plugin needs a folder, the user gives it."""
    options: Mapping[str, str] = {}
    subjects: tuple[str, ...] = ()
    """All, where none is named."""
    train_stories: Mapping[str, Count] = {}
    """How many training stories each subject is expected to have."""
    own_stories: bool = False
    """Whether subjects train on stories as well that not every other heard."""
    lacks: Mapping[str, tuple[str, ...]] = {}
    """Training stories of the others that a subject did not hear."""
    test_stories: tuple[str, ...] = ()
    repeats: Mapping[str, Count] = {}
    trims: Trims | None = None


class Alphas(_Strict):
    """A grid evenly spaced in logarithm."""

    log10_from: float
    log10_to: float
    n: Count

    @property
    def values(self) -> list[float]:
        """Every alpha."""
        import numpy as np

        return [float(alpha) for alpha in np.logspace(self.log10_from, self.log10_to, self.n)]


class Fit(_Strict):
    """How states become scores."""

    protocol: str = RunOptions.protocol
    aligner: str | None = RunOptions.aligner
    """The protocol's, where none is named."""
    aligner_options: Mapping[str, Any] = {}
    regressor: str | None = RunOptions.regressor
    regressor_options: Mapping[str, Any] = {}
    alphas: Alphas | None = None
    delays: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] | None = None
    folds: int = Field(default=RunOptions.folds, ge=2)
    gap: int = Field(default=RunOptions.gap, ge=0)
    untrained: bool = RunOptions.untrained
    seed: int = Field(default=RunOptions.seed, ge=0)
    dtype: Dtype = RunOptions.dtype
    allow_leaks: tuple[str, ...] = ()


class Model(_Strict):
    """A model of the catalogue, as the recipe uses it."""

    layers: str = "all"
    """As for ``zoo run --layer``."""
    options: Mapping[str, str] = {}

    @field_validator("layers", mode="before")
    @classmethod
    def _one_layer(cls, given: object) -> object:
        return str(given) if type(given) is int else given


class Figure(_Strict):
    """Numbers of one figure, and what they are computed from."""

    kind: Literal[
        "size-scaling",
        "data-scaling",
        "layers",
        "map",
        "ceiling",
        "stacking",
        "voxel-scaling",
        "long-context",
        "inter-subject",
        "baseline",
    ]
    summary: str
    models: tuple[str, ...] = ()
    layers: Mapping[str, int] = {}
    """The one layer of a model that is used; all of them, the best being chosen, if not named."""
    region: str | None = None
    """Only voxels of this label."""
    story: str | None = None
    """Scores of this held-out story alone."""
    subjects: tuple[str, ...] = ()
    """Only these subjects."""
    n_stories: tuple[Count, ...] = ()
    """Sizes of training subsets; all stories where the dataset has fewer."""
    n_subsets: Count = 1
    """Random subsets of each size."""
    plateau_from: int | None = None
    """Parameters from which models are left out of the second fit of a slope."""
    single: str | None = None
    """Stacking: the one space the stack must beat."""
    seconds: float = Field(default=100.0, gt=0)
    """Long context: what is dropped from the start of each test story."""
    floor: float | None = 0.25
    """Least noise ceiling."""
    least_ceiling: float | None = None
    """Only voxels with a higher ceiling."""
    baseline: str | None = None
    """Baseline: the model that must be beaten."""
    n_permutations: Count = 1000


class Expectation(_Strict):
    """What a paper says came out: a value and how far off is near, a bound, or a claim in words."""

    figure: str | None = None
    statistic: str | None = None
    readings: Mapping[str, str] = {}
    """Instead of one statistic, several by name: what a number may mean where a paper does not say
    (``{r: ..., r2: ...}``). Each is compared, in a line of its own."""
    models: tuple[str, ...] = ()
    """Models that the number is of, where they are not all of the figure; of ``gain_percent``, the
    two ends: from, to. The number does not depend on whether others could be run."""
    value: float | None = None
    tolerance: float | None = Field(default=None, ge=0)
    """A number so far from the value, or nearer, is a match."""
    interval: tuple[float, float] | None = None
    """Instead of a tolerance: least and greatest number that is a match, the value between them."""
    why: str | None = None
    """Where tolerance or interval come from, in words."""
    at_most: float | None = None
    above: float | None = None
    claim: str | None = None
    """What was concluded in words, where no number is given."""
    source: str

    @model_validator(mode="after")
    def _whole(self) -> Expectation:
        kinds = [self.value, self.at_most, self.above]
        if self.claim is None and sum(kind is not None for kind in kinds) != 1:
            raise ValueError("say one of value (with tolerance), at_most, above or claim")
        given = [self.tolerance, self.interval]
        if sum(each is not None for each in given) != (self.value is not None):
            raise ValueError("value goes with tolerance or with interval")
        if self.value is not None and not self.why:
            raise ValueError("value goes with why: say where its tolerance comes from")
        if self.interval is not None and self.value is not None:
            low, high = self.interval
            if not low <= self.value <= high:
                raise ValueError(f"interval {low:g} to {high:g} does not hold the value")
        if self.statistic is not None and self.readings:
            raise ValueError("say statistic or readings, not both")
        if self.claim is None and (self.figure is None or not (self.statistic or self.readings)):
            raise ValueError("say the figure and the statistic it is compared with")
        if self.is_gain and len(self.models) != 2:
            raise ValueError("gain_percent goes with models: [from, to]")
        return self

    @property
    def expected(self) -> str:
        """What is expected, for people."""
        between = f" ({self.models[0]} to {self.models[1]})" if self.is_gain else ""
        if self.value is not None and self.interval is not None:
            low, high = self.interval
            return f"{self.value:g} ({low:g} to {high:g}){between}"
        if self.value is not None:
            return f"{self.value:g} ± {self.tolerance:g}{between}"
        if self.at_most is not None:
            return f"at most {self.at_most:g}{between}"
        if self.above is not None:
            return f"above {self.above:g}{between}"
        return self.claim or ""

    @property
    def is_claim(self) -> bool:
        """Whether no number is expected."""
        return self.value is None and self.at_most is None and self.above is None

    @property
    def is_gain(self) -> bool:
        """Whether the number compares two models."""
        return any(
            name.startswith("gain_percent")
            for name in (self.statistic or "", *self.readings.values())
        )

    def met_by(self, obtained: float) -> bool:
        """Whether a number is what was expected."""
        if self.value is not None and self.interval is not None:
            low, high = self.interval
            return low <= obtained <= high
        if self.value is not None and self.tolerance is not None:
            return abs(obtained - self.value) <= self.tolerance
        if self.at_most is not None:
            return obtained <= self.at_most
        return self.above is not None and obtained > self.above


class Recipe(_Strict):
    """A paper as data."""

    schema_version: Literal[1]
    name: Name
    title: str
    citation: str | None = None
    """A key of the bibliography, or a reference in words."""
    notes: str | None = None
    registry: str | None = None
    """A catalogue overlay, relative to the recipe."""
    miniature: str | None = None
    """A recipe of the same figures at a size that any machine can run, relative to this one."""
    stands_for: Mapping[str, str] = {}
    """In a miniature, the paper's model or family that each of its own stands for."""
    compares: bool = True
    """False: numbers are not the paper's (a miniature), so none is called match or mismatch."""
    data: Data
    fit: Fit = Fit()
    models: Mapping[str, Model]
    statistics: Mapping[str, str] = {}
    """What each statistic that is used means, in words."""
    figures: Mapping[str, Figure]
    expect: Mapping[str, Expectation] = {}
    _document: Document | None = PrivateAttr(None)

    def expecting(self, paper: Recipe) -> Recipe:
        """A miniature with what the paper expects of the models that its own stand for."""
        own = {theirs: ours for ours, theirs in self.stands_for.items()}
        expect = {}
        for name, expected in paper.expect.items():
            models = tuple(own[model] for model in expected.models if model in own)
            of, dot, what = (expected.statistic or "").rpartition(".")
            if (expected.is_gain and len(models) < 2) or (of and of not in own):
                continue
            statistic = f"{own[of]}{dot}{what}" if of else expected.statistic
            expect[name] = expected.model_copy(update={"models": models, "statistic": statistic})
        return self.model_copy(update={"expect": expect, "statistics": paper.statistics})

    @contextmanager
    def located(self, *keys: str) -> Iterator[None]:
        """An error within is what this part of the recipe says: names its file and line too."""
        try:
            yield
        except ZooError as error:
            if self._document is None:
                raise
            where = f"{self._document.path}:{self._document.line(*keys)}: {'.'.join(keys)}"
            raise type(error)(f"{where}: {error}") from error


def find_recipe(name: str) -> Path:
    """Path of a recipe: a file, or the name of one that the package ships.

    Raises :class:`NotFoundError` where there is neither.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name).expanduser()
        if not path.is_file():
            raise NotFoundError(f"{name}: no such recipe file")
        return path
    folder = Path(str(resources.files("voxelzoo") / "recipes"))
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob("*.yaml") if not p.stem.endswith("-models"))
        raise NotFoundError(
            f"no recipe {name!r}; there are {', '.join(known)}, or say the path of a file"
        )
    return path


def load_recipe(path: Path) -> Recipe:
    """Reads and checks a recipe.

    Raises :class:`PluginError` as ``file:line: problem`` for the first thing that is wrong.
    """
    document = read_yaml(path)
    problems = list(document.problems)
    recipe = None
    if not problems:
        try:
            recipe = Recipe.model_validate(document.value)
        except ValidationError as error:
            details = error.errors(include_url=False)
            # A field that is missing is mostly one that is misspelt: say that first.
            misspelt = any(detail["type"] == "extra_forbidden" for detail in details)
            problems = [
                _problem(document, detail)
                for detail in details
                if not (misspelt and detail["type"] == "missing")
            ]
        else:
            problems = list(_contradictions(document, recipe))
    if recipe is None or problems:
        line, problem = min(problems)
        more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
        raise PluginError(f"{path}:{line}: {problem}{more}")
    recipe._document = document
    return recipe


def _problem(document: Document, detail: Any) -> tuple[int, str]:
    keys = tuple(str(key) for key in detail["loc"])
    where, kind = ".".join(keys), detail["type"]
    if kind == "extra_forbidden":
        said = f"unknown field {keys[-1]!r}"
        where = ".".join(keys[:-1])
    elif kind == "missing":
        said, where = f"{keys[-1]!r} is missing", ".".join(keys[:-1])
    elif kind == "value_error":
        said = str(detail["ctx"]["error"])
    else:
        said = str(detail["msg"])[:1].lower() + str(detail["msg"])[1:]
    return document.line(*keys), f"{where}: {said}" if where else said


def _contradictions(document: Document, recipe: Recipe) -> list[tuple[int, str]]:
    """Names that one part of a recipe uses and another does not have."""
    from voxelzoo.science.protocols import PROTOCOLS

    found: list[tuple[int, str]] = []

    def complain(problem: str, *keys: str) -> None:
        found.append((document.line(*keys), f"{'.'.join(keys)}: {problem}"))

    protocol = PROTOCOLS.get(recipe.fit.protocol)
    if protocol is None:
        complain(f"no protocol {recipe.fit.protocol!r}", "fit", "protocol")
    elif (trims := recipe.data.trims) and trims.test_start_trs != protocol.skip_test_trs:
        complain(
            f"is {trims.test_start_trs}, but protocol {protocol.name} skips "
            f"{protocol.skip_test_trs}",
            "data", "trims", "test_start_trs",
        )  # fmt: skip
    for subject in recipe.data.lacks.keys() - set(recipe.data.subjects):
        complain(f"{subject!r} is not one of subjects", "data", "lacks", subject)
    for name in recipe.data.repeats.keys() - set(recipe.data.test_stories):
        complain(f"{name!r} is not one of the test stories", "data", "repeats", name)
    for name, figure in recipe.figures.items():
        used = {*figure.models, *figure.layers}
        used |= {figure.baseline} if figure.baseline is not None else set()
        for model in sorted(used - recipe.models.keys()):
            complain(f"model {model!r} is not one of models", "figures", name, "models")
        if figure.kind != "inter-subject" and not figure.models:
            complain("names no models", "figures", name)
        if figure.kind == "baseline" and figure.baseline is None:
            complain("names no baseline", "figures", name)
    for name, expected in recipe.expect.items():
        if expected.figure is None:
            continue
        if expected.figure not in recipe.figures:
            complain(f"no figure {expected.figure!r}", "expect", name, "figure")
            continue
        for model in sorted(set(expected.models) - set(recipe.figures[expected.figure].models)):
            complain(f"model {model!r} is not of {expected.figure}", "expect", name, "models")
    return found
