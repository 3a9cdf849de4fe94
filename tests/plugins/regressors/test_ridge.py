from __future__ import annotations

import numpy as np
import pytest
import sklearn.linear_model
import torch
import zarr
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.random_projection import GaussianRandomProjection
from sklearn.utils.estimator_checks import parametrize_with_checks

from regression_data import ALPHAS, SHAPES, problem
from shared_data import SHARED, needs_shared
from voxelzoo.api import Regressor, UsageError
from voxelzoo.science.design import delayed
from voxelzoo_regressors import Ridge, voxel_fits
from voxelzoo_regressors.alpha_search import AlphaSearch, ProjectedResponses
from voxelzoo_regressors.errors import FitError
from voxelzoo_regressors.folds import make_folds
from voxelzoo_regressors.profiles import ShrinkageProfiles
from voxelzoo_regressors.scoring import Score

CPU_OUT_OF_MEMORY = RuntimeError("DefaultCPUAllocator: can't allocate memory")


def refits(X: NDArray, Y: NDArray, folds: list, alpha: float, intercept: bool = True) -> NDArray:
    """Held-out predictions, one scikit-learn fit a fold."""
    found = np.full_like(Y, np.nan)
    for fold in folds:
        kept = np.setdiff1d(np.arange(len(X)), fold.held)
        model = sklearn.linear_model.Ridge(alpha, fit_intercept=intercept, solver="svd")
        found[fold.scored] = model.fit(X[kept], Y[kept]).predict(X[fold.scored])
    return found


def naive_score(name: str, p: NDArray, y: NDArray) -> float:
    if name == "correlation":
        return float(np.corrcoef(p, y)[0, 1])
    if name == "r2":
        return 1 - ((y - p) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    r2 = 1 - (y - p).var() / ((1 + y.var()) / 2)
    return float(np.sign(r2) * np.sqrt(abs(r2)))


@needs_shared
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-8), ("float32", 1e-3)])
def test_held_out_predictions_equal_the_reference(dtype: str, tolerance: float) -> None:
    golden = np.load(SHARED / "golden/reference.npz")
    for alpha, expected in zip(golden["ridge_alphas"], golden["blockcv_predictions"], strict=True):
        model = Ridge(
            [alpha],
            alpha_convention="squared",
            fit_intercept=False,
            cv=8,
            gap=0,
            dtype=dtype,
            store_cv_predictions=True,
        ).fit(golden["ridge_X"], golden["ridge_Y"])
        np.testing.assert_allclose(model.alpha_, alpha**2)
        error = np.linalg.norm(model.cv_predictions_ - expected) / np.linalg.norm(expected)
        assert error < tolerance


@pytest.mark.parametrize(("n", "p"), SHAPES)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("cv", ["groups", "blocks", 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-8), ("float32", 1e-3)])
def test_scores_predictions_and_weights_equal_explicit_refits(
    n: int, p: int, intercept: bool, cv: str | int, dtype: str, tolerance: float
) -> None:
    X, Y, groups = problem(n, p)
    model = Ridge(
        ALPHAS,
        cv=cv,
        block_length=20,
        gap=4,
        fit_intercept=intercept,
        dtype=dtype,
        store_cv_predictions=True,
    ).fit(X, Y, groups=groups)
    folds = make_folds(cv, n, groups, gap=4, block_length=20)
    by_alpha = [refits(X, Y, folds, alpha, intercept) for alpha in ALPHAS]
    scores = np.array(
        [
            [
                np.mean([naive_score("correlation", P[f.scored, v], Y[f.scored, v]) for f in folds])
                for v in range(Y.shape[1])
            ]
            for P in by_alpha
        ]
    )
    np.testing.assert_allclose(model.cv_scores_, scores, atol=tolerance)
    best = [int(np.flatnonzero(alpha == ALPHAS)[0]) for alpha in model.alpha_]
    assert (scores.max(axis=0) - scores[best, range(7)]).max() < 1e-5
    held_out = np.stack([by_alpha[i][:, v] for v, i in enumerate(best)], axis=1)
    np.testing.assert_allclose(
        model.cv_predictions_, held_out, atol=tolerance * np.abs(held_out).max()
    )
    final = [
        sklearn.linear_model.Ridge(a, fit_intercept=intercept, solver="svd").fit(X, Y[:, v])
        for v, a in enumerate(model.alpha_)
    ]
    fresh = np.random.default_rng(9).standard_normal((11, p))
    expected = np.stack([fit.predict(fresh) for fit in final], axis=1)
    scale = tolerance * np.abs(expected).max()
    np.testing.assert_allclose(model.predict(fresh), expected, atol=scale)
    np.testing.assert_allclose(fresh @ model.coef_.T + model.intercept_, expected, atol=scale)


@pytest.mark.parametrize("scoring", ["correlation", "r2", "signed_root_r2"])
def test_scores_equal_a_loop(scoring: str) -> None:
    X, Y, groups = problem(120, 30)
    model = Ridge(ALPHAS, scoring=scoring).fit(X, Y, groups=groups)
    folds = make_folds("groups", 120, groups, 0, 50)
    for i, alpha in enumerate(ALPHAS):
        P = refits(X, Y, folds, alpha)
        for v in range(7):
            found = [naive_score(scoring, P[f.scored, v], Y[f.scored, v]) for f in folds]
            np.testing.assert_allclose(model.cv_scores_[i, v], np.mean(found), atol=1e-9)


def test_sklearn_splitters_can_be_used_as_cv() -> None:
    X, Y, groups = problem(120, 30)
    ours = Ridge(ALPHAS).fit(X, Y, groups=groups)
    theirs = Ridge(ALPHAS, cv=LeaveOneGroupOut()).fit(X, Y, groups=groups)
    np.testing.assert_allclose(ours.cv_scores_, theirs.cv_scores_)


def test_alpha_scopes_choose_by_the_mean_score_of_their_voxels() -> None:
    X, Y, groups = problem(120, 30)
    Y[:, 3:] = np.random.default_rng(0).standard_normal((120, 4))
    labels = np.array(["v1"] * 3 + ["a1"] * 4)
    each = Ridge(ALPHAS).fit(X, Y, groups=groups)
    shared = Ridge(ALPHAS, alpha_scope="shared").fit(X, Y, groups=groups)
    grouped = Ridge(ALPHAS, alpha_scope=labels).fit(X, Y, groups=groups)
    scores = each.cv_scores_
    assert (shared.alpha_ == ALPHAS[scores.mean(axis=1).argmax()]).all()
    for label in ("v1", "a1"):
        chosen = ALPHAS[scores[:, labels == label].mean(axis=1).argmax()]
        assert (grouped.alpha_[labels == label] == chosen).all()


@pytest.mark.parametrize(("n", "unit"), [(160, 5), (80, 60)])
def test_delays_within_stories_equal_the_dense_design(n: int, unit: int) -> None:
    X, Y, groups = problem(n, unit)
    groups = np.repeat(
        [3, 1, 2, 0, 9], [n // 2, n // 4, 2, n // 8, n - n // 2 - n // 4 - 2 - n // 8]
    )
    delays = [1, 2, 3, 4, 0]
    edges = np.flatnonzero(np.diff(groups)) + 1

    def dense(values: NDArray) -> NDArray:
        return np.concatenate([delayed(story, delays) for story in np.split(values, edges)])

    inside = Ridge(ALPHAS, delays=delays, store_cv_predictions=True).fit(X, Y, groups=groups)
    outside = Ridge(ALPHAS, store_cv_predictions=True).fit(dense(X), Y, groups=groups)
    fresh = np.random.default_rng(1).standard_normal(X.shape)
    np.testing.assert_allclose(inside.cv_scores_, outside.cv_scores_, atol=1e-8)
    np.testing.assert_allclose(inside.cv_predictions_, outside.cv_predictions_, atol=1e-8)
    np.testing.assert_allclose(
        inside.predict(fresh, groups=groups), outside.predict(dense(fresh)), atol=1e-8
    )
    np.testing.assert_allclose(inside.coef_, outside.coef_, atol=1e-8)


def test_delays_need_consecutive_rows_of_each_story() -> None:
    X, Y, _ = problem(120, 5)
    with pytest.raises(FitError, match="consecutive"):
        Ridge(delays=[1]).fit(X, Y, groups=np.repeat([0, 1, 0], 40))


def test_undefined_voxels_stay_undefined_and_change_no_other() -> None:
    X, Y, groups = problem(120, 30)
    damaged = np.insert(Y, [2, 5], np.nan, axis=1)
    damaged[:, 2] = 0.1
    kept = np.isfinite(damaged).all(axis=0) & (np.ptp(damaged, axis=0) > 0)
    whole = Ridge(ALPHAS).fit(X, Y, groups=groups)
    model = Ridge(ALPHAS, store_cv_predictions=True).fit(X, damaged, groups=groups)
    assert model.n_undefined_ == 2
    np.testing.assert_array_equal(model.alpha_[kept], whole.alpha_)
    np.testing.assert_allclose(model.predict(X)[:, kept], whole.predict(X))
    for values in (model.alpha_[None], model.predict(X), model.cv_predictions_, model.coef_.T):
        assert np.isnan(values[:, ~kept]).all()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, CPU_OUT_OF_MEMORY])
def test_running_out_of_memory_makes_blocks_smaller_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    X, Y, groups = problem(120, 30, n_voxels=150)
    whole = Ridge(ALPHAS, voxel_block=100).fit(X, Y, groups=groups)
    real, widths = AlphaSearch.scores, []

    def greedy(search: AlphaSearch, y: ProjectedResponses, *scores: Score) -> torch.Tensor:
        widths.append(y.Z.shape[1])
        if widths[-1] > 40:
            raise error
        return real(search, y, *scores)

    monkeypatch.setattr(AlphaSearch, "scores", greedy)
    model = Ridge(ALPHAS, voxel_block=100).fit(X, Y, groups=groups)
    np.testing.assert_allclose(model.cv_scores_, whole.cv_scores_, atol=1e-10)
    np.testing.assert_allclose(model.predict(X), whole.predict(X), atol=1e-10)
    # 100 voxels, then half and half again; those that follow are read in the smaller blocks.
    assert widths == [100, 50, 32, 18, 50, 32, 18, 32, 18]
    assert model.path_.endswith("32 voxels at once")


def test_memory_that_never_suffices_is_an_error_not_an_endless_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, Y, groups = problem(120, 30, n_voxels=100)

    def never(search: AlphaSearch, y: ProjectedResponses, *scores: Score) -> torch.Tensor:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(AlphaSearch, "scores", never)
    with pytest.raises(torch.OutOfMemoryError):
        Ridge(ALPHAS).fit(X, Y, groups=groups)


def test_an_alpha_below_working_precision_is_an_error() -> None:
    X, Y, groups = problem(60, 200)
    X[1] = X[0]  # so that rows do not span all responses
    with pytest.raises(FitError, match="too small"):
        Ridge([1e-13, 1.0]).fit(X, Y, groups=groups)


def test_a_design_without_variance_predicts_the_mean() -> None:
    _, Y, groups = problem(60, 5)
    model = Ridge(ALPHAS).fit(np.ones((60, 3)), Y, groups=groups)
    np.testing.assert_allclose(model.predict(np.ones((2, 3))), Y.mean(axis=0)[None].repeat(2, 0))


def test_no_usable_voxel_is_an_error() -> None:
    X, Y, _ = problem(60, 5)
    with pytest.raises(FitError, match="no voxel"):
        Ridge().fit(X, np.zeros_like(Y))


@pytest.mark.parametrize("shape", SHAPES)
def test_features_that_are_constant_or_repeated_change_no_prediction(shape: tuple) -> None:
    X, Y, groups = problem(*shape)
    twice = np.hstack([X, X, np.full((len(X), 1), 7.0)]) / np.sqrt(2)
    model = Ridge(ALPHAS).fit(X, Y, groups=groups)
    again = Ridge(ALPHAS).fit(twice, Y, groups=groups)
    np.testing.assert_allclose(again.predict(twice), model.predict(X), atol=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_voxel_blocks_change_nothing(shape: tuple) -> None:
    X, Y, groups = problem(*shape)
    whole = Ridge(ALPHAS, store_cv_predictions=True).fit(X, Y, groups=groups)
    parts = Ridge(ALPHAS, store_cv_predictions=True, voxel_block=2).fit(X, Y, groups=groups)
    np.testing.assert_allclose(parts.cv_scores_, whole.cv_scores_, atol=1e-10)
    np.testing.assert_allclose(parts.cv_predictions_, whole.cv_predictions_, atol=1e-10)
    np.testing.assert_allclose(parts.predict(X), whole.predict(X), atol=1e-10)
    np.testing.assert_allclose(parts.coef_block(slice(1, 4)), whole.coef_[1:4], atol=1e-10)


def test_zarr_responses_are_read_and_predictions_written_in_blocks(tmp_path) -> None:
    X, Y, groups = problem(120, 30)
    Y[3, 1] = np.nan
    kept = zarr.create_array(tmp_path / "y.zarr", shape=Y.shape, chunks=(120, 3), dtype="f8")
    kept[:] = Y
    out = zarr.create_array(tmp_path / "p.zarr", shape=(50, 7), chunks=(50, 3), dtype="f8")
    lazy = Ridge(ALPHAS, voxel_block=3).fit(X, kept, groups=groups)
    model = Ridge(ALPHAS).fit(X, Y, groups=groups)
    assert lazy.predict(X[:50], out=out) is out
    np.testing.assert_array_equal(lazy.alpha_, model.alpha_)
    np.testing.assert_allclose(out[:], model.predict(X[:50]), atol=1e-10)


@pytest.mark.parametrize("reduce", ["pca", "random"])
def test_width_equals_a_fit_on_projected_units(reduce: str) -> None:
    X, Y, groups = problem(120, 30)
    delays = [1, 2]
    model = Ridge(ALPHAS, width=6, reduce=reduce, seed=3, delays=delays).fit(X, Y, groups=groups)
    if reduce == "pca":
        directions = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)[2][:6].T
    else:
        directions = GaussianRandomProjection(6, random_state=3).fit(X).components_.T
    expected = Ridge(ALPHAS, delays=delays).fit(X @ directions, Y, groups=groups)
    fresh = np.random.default_rng(9).standard_normal((120, 30))
    found = model.predict(fresh, groups=groups)
    np.testing.assert_allclose(found, expected.predict(fresh @ directions, groups), atol=1e-8)
    edges = np.flatnonzero(groups[1:] != groups[:-1]) + 1
    dense = np.concatenate([delayed(part, delays) for part in np.split(fresh, edges)])
    np.testing.assert_allclose(dense @ model.coef_.T + model.intercept_, found, atol=1e-8)


def test_a_width_above_the_number_of_units_is_an_error() -> None:
    X, Y, _ = problem(120, 30)
    for reduce in ("pca", "random"):
        with pytest.raises(UsageError, match="30 units"):
            Ridge(width=31, reduce=reduce).fit(X, Y)


@pytest.mark.parametrize("scoring", ["correlation", "r2"])
@pytest.mark.parametrize("scope", ["voxel", "shared"])
def test_cv_score_is_the_held_out_correlation_of_the_chosen_alpha(scoring: str, scope: str) -> None:
    X, Y, groups = problem(120, 30)
    Y[:, 2] = 0
    for alphas in (ALPHAS, ALPHAS[4:5]):
        model = Ridge(alphas, scoring=scoring, alpha_scope=scope, store_cv_predictions=True).fit(
            X, Y, groups=groups
        )
        assert np.isnan(model.cv_score_[2])
        for v in (0, 1, 3, 4, 5, 6):
            found = [
                np.corrcoef(model.cv_predictions_[groups == g, v], Y[groups == g, v])[0, 1]
                for g in "abcd"
            ]
            np.testing.assert_allclose(model.cv_score_[v], np.mean(found), atol=1e-8)


def test_held_out_predictions_of_some_voxels_equal_all() -> None:
    X, Y, groups = problem(120, 30)
    Y[:, 2] = 0
    model = Ridge(ALPHAS, store_cv_predictions=True).fit(X, Y, groups=groups)
    found = model.cv_predictions_block(Y, slice(1, 5))
    np.testing.assert_allclose(found, model.cv_predictions_[:, 1:5], atol=1e-10)


@pytest.mark.parametrize("has", [True, False])
@pytest.mark.parametrize("saves", [True, False])
def test_auto_precision_is_bfloat16_if_supported_and_worth_it(
    monkeypatch: pytest.MonkeyPatch, has: bool, saves: bool
) -> None:
    X, Y, groups = problem(60, 200, n_voxels=40)
    monkeypatch.setattr(voxel_fits, "has_bfloat16", lambda device: has)
    monkeypatch.setattr(ShrinkageProfiles, "n_columns", 10**6 if saves else 0)
    model = Ridge(ALPHAS, dtype="float32", sweep_dtype="auto").fit(X, Y, groups=groups)
    taken = "bfloat16" if has and saves else "same"
    asked = Ridge(ALPHAS, dtype="float32", sweep_dtype=taken).fit(X, Y, groups=groups)
    np.testing.assert_array_equal(model.cv_scores_, asked.cv_scores_)
    assert ("bfloat16" in model.path_) == (taken == "bfloat16")
    exact = Ridge(ALPHAS, dtype="float64", sweep_dtype="auto").fit(X, Y, groups=groups)
    assert "bfloat16" not in exact.path_


def test_one_story_is_cross_validated_in_five_blocks_with_gaps() -> None:
    X, Y, _ = problem(120, 30)
    one = Ridge(ALPHAS).fit(X, Y, groups=np.zeros(120))
    none = Ridge(ALPHAS).fit(X, Y)
    blocks = Ridge(ALPHAS, cv=5, gap=5).fit(X, Y)
    for model in (one, none):
        np.testing.assert_array_equal(model.cv_scores_, blocks.cv_scores_)
    assert len(blocks.folds_) == 5
    assert len(blocks.folds_[1].held) == len(blocks.folds_[1].scored) + 10


def test_a_story_of_one_row_has_no_correlation_and_counts_as_zero() -> None:
    X, Y, groups = problem(120, 30)
    lone = groups.copy()
    lone[-1] = "e"
    model = Ridge(ALPHAS, store_cv_predictions=True).fit(X, Y, groups=lone)
    assert np.isfinite(model.cv_scores_).all()
    expected = refits(X, Y, model.folds_, model.alpha_[0])[:, 0]
    np.testing.assert_allclose(model.cv_predictions_[:, 0], expected, atol=1e-8)
    r = [np.corrcoef(expected[lone == g], Y[lone == g, 0])[0, 1] for g in "abcd"]
    np.testing.assert_allclose(model.cv_score_[0], np.sum(r) / 5, atol=1e-8)


def test_tensors_give_tensors() -> None:
    X, Y, groups = problem(120, 30)
    model = Ridge(ALPHAS).fit(torch.tensor(X), torch.tensor(Y), groups=torch.arange(120) // 30)
    found = model.predict(torch.tensor(X))
    assert isinstance(found, torch.Tensor)
    expected = Ridge(ALPHAS).fit(X, Y, groups=groups).predict(X)
    np.testing.assert_allclose(found.numpy(), expected)


def test_in_a_pipeline_and_cloned() -> None:
    X, Y, _ = problem(120, 30)
    pipeline = make_pipeline(StandardScaler(), Ridge(ALPHAS, cv=4))
    assert clone(pipeline).fit(X, Y).score(X, Y) > 0.5
    assert isinstance(Ridge(), Regressor)


@pytest.mark.parametrize(
    "options",
    [
        {"alphas": [0.0]},
        {"alphas": "many"},
        {"scoring": "mse"},
        {"alpha_scope": "brain"},
        {"alpha_convention": "cubed"},
        {"delays": [-1]},
        {"dtype": "float8"},
        {"gap": -1},
        {"voxel_block": 0},
        {"width": 0},
        {"reduce": "umap"},
        {"device": "abacus"},
        {"cache": True},
    ],
)
def test_an_invalid_setting_is_named(options: dict) -> None:
    X, Y, _ = problem(60, 5)
    with pytest.raises(UsageError, match=next(iter(options))):
        Ridge(**options).fit(X, Y)


@parametrize_with_checks([Ridge()])
def test_passes_check_estimator(estimator, check) -> None:
    check(estimator)
