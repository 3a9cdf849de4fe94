"""Checks of a regressor, built with its default parameters, on a small linear map.

Optional protocols are checked if the object has them; if not, the check says what is lost.
"""

from __future__ import annotations

import tempfile
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    FormsDelays,
    HasAlphaGrid,
    HasAlphas,
    HasCoefficients,
    HasCVScores,
    HasWeightIntervals,
    PartitionsVariance,
    Regressor,
    RegressorSpec,
    ReportsPath,
    SplitsScores,
    StacksSpaces,
    TakesSpaces,
)
from voxelzoo.host.records import Registered
from voxelzoo.host.targets import load_target
from voxelzoo.science.design import delayed
from voxelzoo.science.scores import correlation, explained_variance
from voxelzoo.testing.report import Named, Skipped

N_VOXELS = 5
N_FEATURES = 6
DELAYS = (1, 2)


def regressor_checks(registered: Registered[RegressorSpec]) -> list[Named]:
    """Checks of a regressor: 240 rows of 6 stories, 6 features, 5 voxels of signal."""
    trial = _Trial(registered)
    checks = [
        ("keeps the protocol", trial.protocol),
        ("predicts a linear map", trial.predicts),
        ("voxels do not interfere", trial.independent),
        ("is repeatable", trial.repeatable),
        ("is rebuilt from its parameters", trial.copies),
        ("cache: changes no value", trial.caches),
        ("optional HasAlphas: a positive penalty for each voxel", trial.alphas),
        ("optional HasAlphaGrid: each voxel's penalty is one of those tried", trial.alpha_grid),
        ("optional HasCVScores: r within the training data", trial.cv_scores),
        ("optional HasCoefficients: weights agree with predictions", trial.coefficients),
        ("optional ReportsPath: one line", trial.path),
    ]
    spec = registered.spec
    if spec.delays == "self":
        checks.append(("delays='self': equals a delayed design", trial.delays))
    if spec.streams:
        checks.append(("streams=True: reads responses in voxel blocks", trial.streams))
    if spec.spaces:
        checks += [
            ("spaces=True: fits two spaces", trial.spaces),
            ("optional StacksSpaces: a weight for each voxel and space", trial.stacks),
            ("optional HasWeightIntervals: low <= high", trial.intervals),
            ("optional SplitsScores: a value for each space and voxel", trial.splits),
            ("optional PartitionsVariance: parts add up to R2", trial.partitions),
        ]
    return checks


class _Trial:
    """A regressor's class, the data, and each check."""

    def __init__(self, registered: Registered[RegressorSpec]) -> None:
        random = np.random.default_rng(0)
        self.registered = registered
        self.X = random.standard_normal((240, N_FEATURES))
        weights = random.standard_normal((N_FEATURES, N_VOXELS))
        self.Y = self.X @ weights + 0.1 * random.standard_normal((240, N_VOXELS))
        self.X_new = random.standard_normal((60, N_FEATURES))
        self.Y_new = self.X_new @ weights + 0.5 * random.standard_normal((60, N_VOXELS))
        self.groups = np.repeat(np.arange(6), 40)
        self.fitted = cache(self.fit)
        self.fitted_on_spaces = cache(self.fit_spaces)

    def make(self, **parameters: Any) -> Any:
        return load_target(self.registered)(**parameters)

    def fit(self) -> Any:
        return self.make().fit(self.X, self.Y, groups=self.groups)

    def fit_spaces(self) -> Any:
        regressor = self.make()
        assert isinstance(regressor, TakesSpaces), "spaces=True, but there is no set_params"
        regressor.set_params(spaces={"a": slice(0, 3), "b": slice(3, N_FEATURES)})
        fitted: Any = regressor
        return fitted.fit(self.X, self.Y, groups=self.groups)

    # ------------------------------------------------------------------------------------ required

    def protocol(self) -> None:
        assert isinstance(self.make(), Regressor), "methods of voxelzoo.api.Regressor are missing"

    def predicts(self) -> None:
        prediction = np.asarray(self.fitted().predict(self.X))
        assert prediction.shape == self.Y.shape, f"predictions have shape {prediction.shape}"
        r = correlation(prediction, self.Y)
        assert r.min() > 0.9, f"a plain linear map is predicted with r = {r.min():.2f}"

    def independent(self) -> None:
        alone = self.make().fit(self.X, self.Y[:, :1], groups=self.groups).predict(self.X)
        together = np.asarray(self.fitted().predict(self.X))
        assert np.allclose(np.asarray(alone)[:, 0], together[:, 0], rtol=1e-3, atol=1e-3), (
            "a voxel fitted alone is predicted otherwise"
        )

    def repeatable(self) -> None:
        again = np.asarray(self.fit().predict(self.X))
        assert np.array_equal(again, self.fitted().predict(self.X)), "two fits differ"

    def copies(self) -> None:
        regressor = self.make()
        again = self.make(**regressor.get_params(deep=False))
        assert repr(again.get_params(deep=False)) == repr(regressor.get_params(deep=False))

    def caches(self) -> None:
        if "cache" not in self.make().get_params(deep=False):
            raise Skipped("it has no parameter cache")
        expected = self.fitted().predict(self.X_new)
        with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
            for _ in range(2):
                regressor = self.make(cache=folder).fit(self.X, self.Y, groups=self.groups)
                predicted = regressor.predict(self.X_new)
                assert np.allclose(predicted, expected), "predictions differ with a cache"

    # ------------------------------------------------------------------- optional, as host uses it

    def alphas(self) -> None:
        fitted = self.fitted()
        if not isinstance(fitted, HasAlphas):
            raise Skipped("it has no alpha_: results have no map alpha")
        alpha = np.asarray(fitted.alpha_)
        assert alpha.shape == (N_VOXELS,), f"alpha_ has shape {alpha.shape}, expected (voxel,)"
        assert (alpha > 0).all(), "alpha_ is not positive"

    def alpha_grid(self) -> None:
        fitted = self.fitted()
        if not isinstance(fitted, HasAlphaGrid):
            raise Skipped("it has no alphas_: results do not count voxels at the edges of a grid")
        tried, chosen = np.asarray(fitted.alphas_), np.asarray(fitted.alpha_)
        assert tried.ndim == 1, f"alphas_ has shape {tried.shape}, expected (alpha,)"
        known = np.isclose(chosen[:, None], tried).any(axis=1)
        assert known.all(), f"{int((~known).sum())} voxels have an alpha_ that is not in alphas_"

    def cv_scores(self) -> None:
        fitted = self.fitted()
        if not isinstance(fitted, HasCVScores):
            raise Skipped(
                "it has no cv_score_: layers are chosen on the test data, which is optimistic"
            )
        score = np.asarray(fitted.cv_score_)
        assert score.shape == (N_VOXELS,), f"cv_score_ has shape {score.shape}, expected (voxel,)"
        assert (np.abs(score) <= 1).all(), "cv_score_ is not a correlation"
        assert score.min() > 0.5, f"cv_score_ of a plain linear map is {score.min():.2f}"
        noise = np.random.default_rng(1).standard_normal(self.Y.shape)
        of_noise = np.asarray(self.make().fit(self.X, noise, groups=self.groups).cv_score_)
        assert of_noise.mean() < 0.5, f"cv_score_ of noise is {of_noise.mean():.2f}"

    def coefficients(self) -> None:
        fitted = self.fitted()
        if not isinstance(fitted, HasCoefficients):
            raise Skipped("it has no coef_block: --keep weights is refused")
        weights = np.asarray(fitted.coef_block(slice(0, N_VOXELS)))
        expected = (N_VOXELS, N_FEATURES)
        assert weights.shape == expected, f"coef_block has shape {weights.shape}, not {expected}"
        some = np.asarray(fitted.coef_block(slice(1, 3)))
        assert np.allclose(some, weights[1:3], rtol=1e-4, atol=1e-5), "a block differs from the all"
        predict = self.fitted().predict
        difference = np.asarray(predict(self.X_new)) - np.asarray(predict(0 * self.X_new))
        assert np.allclose(difference, self.X_new @ weights.T, rtol=1e-3, atol=1e-3), (
            "predictions are not the design times coef_block"
        )

    def path(self) -> None:
        fitted = self.fitted()
        if not isinstance(fitted, ReportsPath):
            raise Skipped("it has no path_: results do not say how they were computed")
        assert isinstance(fitted.path_, str), f"path_ is {fitted.path_!r}"
        assert len(fitted.path_.splitlines()) == 1, f"path_ is not one line: {fitted.path_!r}"

    # ----------------------------------------------------------------------- declared by the spec

    def delays(self) -> None:
        regressor = self.make()
        assert isinstance(regressor, FormsDelays), "delays='self', but there is no set_params"
        regressor.set_params(delays=DELAYS)
        fitted: Any = regressor
        fitted.fit(self.X, self.Y, groups=self.groups)
        predicted = np.asarray(regressor.predict(self.X, groups=self.groups))
        stories = np.split(self.X, 6)
        design = np.concatenate([delayed(story, DELAYS) for story in stories])
        plain = self.make().fit(design, self.Y, groups=self.groups)
        expected = np.asarray(plain.predict(design))
        assert np.allclose(predicted, expected, rtol=1e-3, atol=1e-3), (
            "predictions differ from those on a design delayed within stories"
        )
        if isinstance(fitted, HasCoefficients):
            weights = np.asarray(fitted.coef_block(slice(0, N_VOXELS)))
            assert np.allclose(
                weights, plain.coef_block(slice(0, N_VOXELS)), rtol=1e-3, atol=1e-3
            ), "coef_block is not (voxel, delay * unit), every unit at one delay and then the next"

    def streams(self) -> None:
        fitted = self.make().fit(self.X, _Stored(self.Y), groups=self.groups)
        predicted = np.asarray(fitted.predict(self.X_new))
        expected = np.asarray(self.fitted().predict(self.X_new))
        assert np.allclose(predicted, expected, rtol=1e-4, atol=1e-4), (
            "responses read in voxel blocks give other predictions"
        )

    def spaces(self) -> None:
        prediction = np.asarray(self.fitted_on_spaces().predict(self.X_new))
        assert prediction.shape == self.Y_new.shape, f"predictions have shape {prediction.shape}"

    def stacks(self) -> None:
        fitted = self.fitted_on_spaces()
        if not isinstance(fitted, StacksSpaces):
            raise Skipped("it has no weights_: results have no map weights")
        weights = np.asarray(fitted.weights_)
        expected = (N_VOXELS, 2)
        assert weights.shape == expected, f"weights_ has shape {weights.shape}, not {expected}"
        assert np.isfinite(weights).all(), "weights_ is not finite"

    def intervals(self) -> None:
        fitted = self.fitted_on_spaces()
        if not isinstance(fitted, HasWeightIntervals):
            raise Skipped("it has no weights_low_ and weights_high_ with its default parameters")
        low, high = np.asarray(fitted.weights_low_), np.asarray(fitted.weights_high_)
        assert low.shape == high.shape == (N_VOXELS, 2), f"shapes are {low.shape}, {high.shape}"
        assert (low <= high).all(), "weights_low_ exceeds weights_high_"

    def splits(self) -> None:
        fitted = self.fitted_on_spaces()
        if not isinstance(fitted, SplitsScores):
            raise Skipped("it has no score_split: results have no map split_r")
        parts = np.asarray(fitted.score_split(self.X_new, self.Y_new))
        assert parts.shape == (2, N_VOXELS), f"score_split has shape {parts.shape}, not (2, 5)"
        assert np.isfinite(parts).all(), "score_split is not finite"

    def partitions(self) -> None:
        fitted = self.fitted_on_spaces()
        if not isinstance(fitted, PartitionsVariance):
            raise Skipped("it has no partition: results have no map partition")
        parts = fitted.partition(self.X_new, self.Y_new)
        expected = {frozenset("a"), frozenset("b"), frozenset("ab")}
        assert set(parts) == expected, f"sets of spaces are {sorted(map(sorted, parts))}"
        total = np.sum([np.asarray(values) for values in parts.values()], axis=0)
        joint = np.asarray(self.fitted_on_spaces().predict(self.X_new))
        r2 = explained_variance(joint, self.Y_new)
        assert np.allclose(total, r2, rtol=1e-3, atol=1e-4), "parts do not add up to the joint R2"


class _Stored:
    """Responses as they are on disk: sliced by voxel only, three voxels a chunk."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._values = values
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim
        self.chunks = (len(values), 3)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: Any) -> NDArray[np.float64]:
        block: NDArray[np.float64] = self._values[index]
        return block
