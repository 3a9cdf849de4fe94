"""Float32, and bfloat16 products, choose float64's alphas and give its scores."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone

from voxelzoo_regressors import BandedRidge, BootstrapRidge, Ridge, Stacking
from voxelzoo_regressors.alpha_search import AlphaSearch
from voxelzoo_regressors.closed_form import ClosedForm
from voxelzoo_regressors.decomposition import decompose
from voxelzoo_regressors.design import Design
from voxelzoo_regressors.fold_refits import FoldRefits
from voxelzoo_regressors.folds import group_folds
from voxelzoo_regressors.ridge import ALPHAS

VOXELS = 100


def data(
    n: int, p: int, mean: float = 0.0, scale: float = 1.0, decades: float = 0.0
) -> tuple[NDArray, NDArray, NDArray]:
    """Features whose eigenvalues span ``decades``, weak signal, eight stories."""
    rng = np.random.default_rng(n + p)
    X = rng.standard_normal((n, p)) * 10 ** -np.linspace(0, decades / 2, p)
    signal = X @ rng.standard_normal((p, VOXELS))
    gain = rng.uniform(0, 0.3, VOXELS)
    Y = gain * signal / signal.std(axis=0) + rng.standard_normal((n, VOXELS))
    Y = (Y - Y.mean(axis=0)) / Y.std(axis=0) + mean
    return (scale * X).astype("f4"), Y.astype("f4"), np.arange(n) * 8 // n


def assert_as_float64(X: NDArray, Y: NDArray, groups: NDArray, **options: object) -> None:
    """At least 98 percent of alphas are float64's or score within 1e-4; so does ``cv_score_``."""
    single = Ridge(ALPHAS, **options).fit(X, Y, groups)
    options["sweep_dtype"] = "same"
    double = Ridge(ALPHAS, **options).fit(X.astype("f8"), Y.astype("f8"), groups)
    chosen = [int(np.argmin(np.abs(np.log(ALPHAS) - np.log(a)))) for a in single.alpha_]
    lost = double.cv_scores_.max(axis=0) - double.cv_scores_[chosen, range(VOXELS)]
    assert (np.isclose(single.alpha_, double.alpha_) | (lost < 1e-4)).mean() >= 0.98
    np.testing.assert_allclose(single.cv_score_, double.cv_score_, atol=1e-4)


@pytest.mark.parametrize("sweep", ["same", "bfloat16"])
@pytest.mark.parametrize("mean", [0.0, 100.0])
@pytest.mark.parametrize(("n", "p"), [(300, 1), (300, 4), (300, 100), (300, 290), (200, 900)])
def test_at_every_width(n: int, p: int, mean: float, sweep: str) -> None:
    assert_as_float64(*data(n, p, mean), sweep_dtype=sweep)


@pytest.mark.slow
@pytest.mark.parametrize("sweep", ["same", "bfloat16"])
@pytest.mark.parametrize(("n", "p"), [(300, 30_000), (3000, 200), (2000, 600)])
def test_at_large_sizes(n: int, p: int, sweep: str) -> None:
    assert_as_float64(*data(n, p), sweep_dtype=sweep)


@pytest.mark.parametrize("sweep", ["same", "bfloat16"])
@pytest.mark.parametrize(("n", "p"), [(300, 4), (200, 900)])
@pytest.mark.parametrize("kind", [{"scale": 0.01}, {"decades": 8}, {"decades": 8, "mean": 100}])
def test_with_small_features_and_steep_spectra(n: int, p: int, kind: dict, sweep: str) -> None:
    assert_as_float64(*data(n, p, **kind), sweep_dtype=sweep)


@pytest.mark.parametrize("options", [{"delays": [1, 2, 3, 4]}, {"cv": "blocks"}, {"cv": 3}])
@pytest.mark.parametrize("scoring", ["correlation", "r2", "signed_root_r2"])
def test_with_delays_blocks_and_other_scores(options: dict, scoring: str) -> None:
    assert_as_float64(*data(300, 20), scoring=scoring, **options)
    assert_as_float64(*data(240, 90), scoring=scoring, fit_intercept=False, **options)


def test_with_columns_that_only_one_story_has() -> None:
    X, Y, groups = data(200, 900)
    X[:, :8] = np.eye(8, dtype="f4")[groups] * X[:, :8]
    assert_as_float64(X, Y, groups)


@pytest.mark.parametrize(("n", "p"), [(300, 4), (300, 150)])
def test_both_ways_to_hold_rows_out_agree(n: int, p: int) -> None:
    """A fit for each fold, and the closed form: same sums, same predictions."""
    X, Y, groups = data(n, p, mean=3)
    fits = Ridge(ALPHAS).fit(X.astype("f8"), Y.astype("f8"), groups)._fits
    search = fits.search
    y = search.project(torch.tensor(Y, dtype=torch.float64))
    ways = [
        FoldRefits(search.decomposition, search.folds, ALPHAS, search.decomposition.Q),
        ClosedForm(
            search.decomposition, search.folds, ALPHAS, search.decomposition.Q, torch.float64
        ),
    ]
    for one, two in zip(*(way.sums(y, with_bias=True) for way in ways), strict=True):
        for name in ("yy", "py", "pp", "bias", "ee"):
            a, b = getattr(one, name), getattr(two, name)
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9 * float(a.abs().max()))
    choice = torch.arange(VOXELS) % len(ALPHAS)
    one, two = (way.predict(y, choice) for way in ways)
    torch.testing.assert_close(one, two, rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "p", "stories", "n_voxels"), [(6000, 4, 6, 8), (3000, 400, 4, 8), (1500, 500, 60, 500)]
)
def test_the_cheaper_way_to_hold_rows_out_is_taken(
    n: int, p: int, stories: int, n_voxels: int
) -> None:
    rng = np.random.default_rng(0)
    X = torch.tensor(rng.standard_normal((n, p)), dtype=torch.float32)
    decomposition = decompose(Design(X, [slice(0, n)]))
    folds = group_folds(np.arange(n) * stories // n)
    search = AlphaSearch(decomposition, folds, ALPHAS, torch.float32, n_voxels)
    y = search.project(torch.tensor(rng.standard_normal((n, n_voxels)), dtype=torch.float32))

    def seconds(way: type) -> float:
        more = (torch.float32,) if way is ClosedForm else ()
        held_out = way(decomposition, folds, ALPHAS, decomposition.Q.float(), *more)
        start = time.process_time()
        list(held_out.sums(y, with_bias=False))
        return time.process_time() - start

    taken = type(search._held_out)
    (other,) = {ClosedForm, FoldRefits} - {taken}
    assert seconds(taken) < seconds(other)


def test_predictions_smaller_than_the_rounding_of_their_mean_keep_their_correlation() -> None:
    X, Y, groups = data(300, 4, mean=100)
    single = Ridge([1e9]).fit(X, Y, groups).predict(X)
    double = Ridge([1e9]).fit(X.astype("f8"), Y.astype("f8"), groups).predict(X.astype("f8"))
    for v in range(0, VOXELS, 7):
        assert np.corrcoef(single[:, v], double[:, v])[0, 1] > 0.999


def test_a_story_in_which_the_design_is_constant_has_no_correlation() -> None:
    X, Y, groups = data(300, 4)
    X[groups == 2] = X[0]
    for dtype in ("float32", "float64"):
        model = Ridge(dtype=dtype, store_cv_predictions=True).fit(X, Y, groups)
        r = [
            np.corrcoef(model.cv_predictions_[groups == g, 0], Y[groups == g, 0])[0, 1]
            for g in range(8)
            if g != 2
        ]
        np.testing.assert_allclose(model.cv_score_[0], np.sum(r) / 8, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 0.01])
@pytest.mark.parametrize(
    "model",
    [BandedRidge([12, 12], n_iter=4), Stacking([12, 12]), BootstrapRidge(np.logspace(-1, 4, 11))],
    ids=lambda model: type(model).__name__,
)
def test_regressors_of_several_spaces_and_the_bootstrap(model: Any, scale: float) -> None:
    X, Y, groups = data(240, 24, mean=100, scale=scale)
    single = clone(model).fit(X, Y, groups)
    double = clone(model).fit(X.astype("f8"), Y.astype("f8"), groups)
    np.testing.assert_allclose(single.cv_score_, double.cv_score_, atol=1e-4)
    predictions = single.predict(X), double.predict(X.astype("f8"))
    for ours, exact in zip(*(p.T for p in predictions), strict=True):
        assert np.corrcoef(ours, exact)[0, 1] > 0.999
