"""A recipe: a paper's data, models, fits, figures and expected numbers, as one YAML file.

A recipe is data only. It names what installed plugins can do. ``zoo reproduce`` runs the part of it
that this machine and its data allow, and compares the numbers with those that are expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from voxelzoo.api import UsageError, ZooError
from voxelzoo.recipes.fields import Count, Name, StrictModel
from voxelzoo.recipes.figures import Figure
from voxelzoo.runs.options import Dtype, RunOptions
from voxelzoo.strict_yaml import Document


class Trims(StrictModel):
    """Volumes that are not scored. Stated here; the dataset and the protocol drop them."""

    start_trs: int = Field(ge=0)
    """At the start of every scan."""
    end_trs: int = Field(ge=0)
    """At the end of every scan."""
    test_start_trs: int = Field(ge=0)
    """Further TRs at the start of each test story, which the protocol skips."""


class Data(StrictModel):
    """Responses and stimuli."""

    dataset: str
    """As for ``zoo run --dataset``. If the dataset needs a folder, the user names it."""
    options: Mapping[str, str] = {}
    """As for ``zoo run --dataset-option``."""
    subjects: tuple[str, ...] = ()
    """All, if none is named."""
    train_stories: Mapping[str, Count] = {}
    """How many training stories each subject should have."""
    own_stories: bool = False
    """Whether subjects also train on stories that some other subjects did not hear."""
    lacks: Mapping[str, tuple[str, ...]] = {}
    """Training stories of the other subjects that a subject did not hear."""
    test_stories: tuple[str, ...] = ()
    """Test stories that the dataset should have."""
    repeats: Mapping[str, Count] = {}
    """How often each test story should have been heard."""
    trims: Trims | None = None
    """Volumes that should have been dropped."""


class Alphas(StrictModel):
    """A grid of penalties, evenly spaced on a logarithmic scale."""

    log10_from: float
    """log10 of the smallest."""
    log10_to: float
    """log10 of the largest."""
    n: Count
    """How many there are."""

    @property
    def values(self) -> list[float]:
        """Every alpha."""
        import numpy as np

        return [float(alpha) for alpha in np.logspace(self.log10_from, self.log10_to, self.n)]


class Fit(StrictModel):
    """How states become scores."""

    protocol: str = RunOptions.protocol
    aligner: str | None = RunOptions.aligner
    """The protocol's aligner, if none is named."""
    aligner_options: Mapping[str, Any] = {}
    regressor: str | None = RunOptions.regressor
    """The protocol's regressor, if none is named."""
    regressor_options: Mapping[str, Any] = {}
    alphas: Alphas | None = None
    delays: str | tuple[int | str, ...] | None = None
    """FIR delays in TRs (``[1, 2, 3, 4]``) or in seconds (``2s-8s``); the protocol's, if none are
    given."""
    folds: int = Field(default=RunOptions.folds, ge=2)
    """Number of folds, if there is only one story."""
    gap: int | str = RunOptions.gap
    """TRs, or seconds (``10s``), on both sides of a held-out fold that train nothing."""
    untrained: bool = RunOptions.untrained
    """Whether networks have random weights."""
    seed: int = Field(default=RunOptions.seed, ge=0)
    """Seed of random weights."""
    dtype: Dtype = RunOptions.dtype
    allow_leaks: tuple[str, ...] = ()
    """As for ``zoo run --allow-leak``."""

    @model_validator(mode="after")
    def _times(self) -> Fit:
        try:
            RunOptions(delays=self.delays, gap=self.gap)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return self


class Model(StrictModel):
    """A model of the catalogue, as the recipe uses it."""

    layers: str = "all"
    """As for ``zoo run --layer``."""
    options: Mapping[str, str] = {}
    """As for ``zoo run --model-option``."""

    @field_validator("layers", mode="before")
    @classmethod
    def _one_layer(cls, value: object) -> object:
        return str(value) if type(value) is int else value


class Expectation(StrictModel):
    """What a paper reports: a value with a tolerance, a bound, or a claim in words."""

    figure: str | None = None
    """The figure whose statistic is compared."""
    statistic: str | None = None
    """Name of the statistic."""
    readings: Mapping[str, str] = {}
    """Several statistics by name, instead of one: what a number may mean if the paper does not say
    (``{r: ..., r2: ...}``). Each is compared on its own line."""
    models: tuple[str, ...] = ()
    """Models that the number is about, if not all models of the figure. For ``gain_percent``, the
    two that are compared: from, to. The number does not depend on whether others could be run."""
    value: float | None = None
    """The number that the paper reports."""
    tolerance: float | None = Field(default=None, ge=0)
    """Largest difference from the value that is a match."""
    interval: tuple[float, float] | None = None
    """Lowest and highest number that is a match, instead of a tolerance."""
    why: str | None = None
    """Where tolerance or interval come from, in words."""
    at_most: float | None = None
    """The number matches if it is not above this."""
    above: float | None = None
    """The number matches if it is above this."""
    claim: str | None = None
    """What the paper concludes in words, if it gives no number."""
    source: str
    """Where in the paper."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Expectation:
        bounds = [self.value, self.at_most, self.above]
        if self.claim is None and sum(bound is not None for bound in bounds) != 1:
            raise ValueError("give one of value (with tolerance), at_most, above or claim")
        widths = [self.tolerance, self.interval]
        if sum(width is not None for width in widths) != (self.value is not None):
            raise ValueError("value goes with tolerance or with interval")
        if self.value is not None and not self.why:
            raise ValueError("value goes with why: state where its tolerance comes from")
        if self.interval is not None and self.value is not None:
            low, high = self.interval
            if not low <= self.value <= high:
                raise ValueError(f"interval {low:g} to {high:g} does not contain the value")
        if self.statistic is not None and self.readings:
            raise ValueError("give statistic or readings, not both")
        if self.claim is None and (self.figure is None or not (self.statistic or self.readings)):
            raise ValueError("name the figure and the statistic to compare with")
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
        """Whether a number is as expected."""
        if self.value is not None and self.interval is not None:
            low, high = self.interval
            return low <= obtained <= high
        if self.value is not None and self.tolerance is not None:
            return abs(obtained - self.value) <= self.tolerance
        if self.at_most is not None:
            return obtained <= self.at_most
        return self.above is not None and obtained > self.above


class Recipe(StrictModel):
    """A paper as data."""

    schema_version: Literal[1]
    name: Name
    title: str
    citation: str | None = None
    """A key of the bibliography, or a reference in words."""
    notes: str | None = None
    """Shown with every reproduction."""
    registry: str | None = None
    """A registry file with further models; relative to the recipe."""
    miniature: str | None = None
    """A recipe of the same figures that any machine can run; relative to this one."""
    stands_for: Mapping[str, str] = {}
    """In a miniature: the paper's model or family that each of its own stands for."""
    compares: bool = True
    """False if numbers cannot be the paper's (a miniature): none is a match or a mismatch."""
    data: Data
    fit: Fit = Fit()
    models: Mapping[str, Model]
    statistics: Mapping[str, str] = {}
    """What each statistic means, in words."""
    figures: Mapping[str, Figure]
    expect: Mapping[str, Expectation] = {}
    _document: Document | None = PrivateAttr(None)

    @property
    def path(self) -> Path | None:
        """The file that the recipe was read from."""
        return None if self._document is None else self._document.path

    @property
    def text(self) -> str:
        """The file that the recipe was read from, to copy from."""
        return "" if self.path is None else self.path.read_text(encoding="utf-8")

    @property
    def registry_path(self) -> Path | None:
        """The recipe's own registry file."""
        if self.registry is None:
            return None
        return Path(self.registry) if self.path is None else self.path.parent / self.registry

    @property
    def miniature_path(self) -> Path:
        """The recipe's miniature.

        Raises
        ------
        UsageError
            If it has none.
        """
        if self.miniature is None or self.path is None:
            raise UsageError(f"recipe {self.name} has no miniature")
        return self.path.parent / self.miniature

    def expecting(self, paper: Recipe) -> Recipe:
        """A miniature with the paper's expectations, in terms of the miniature's own models.

        Parameters
        ----------
        paper : Recipe
            The recipe that this is the miniature of.
        """
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

    def with_random_weights(self) -> Recipe:
        """The same recipe with untrained networks, as a control; nothing is compared."""
        fit = self.fit.model_copy(update={"untrained": True})
        return self.model_copy(update={"fit": fit, "compares": False})

    @contextmanager
    def located(self, *keys: str) -> Iterator[None]:
        """Add the file and line of a part of the recipe to errors that are raised inside.

        Parameters
        ----------
        *keys : str
            Where the part is: ``"data", "dataset"``.
        """
        try:
            yield
        except ZooError as error:
            if self._document is None:
                raise
            where = f"{self._document.path}:{self._document.line(*keys)}: {'.'.join(keys)}"
            raise type(error)(f"{where}: {error}") from error
