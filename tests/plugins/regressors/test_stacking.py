from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.utils.estimator_checks import parametrize_with_checks

from shared_data import SHARED, needs_shared
from voxelzoo.api import UsageError
from voxelzoo_regressors import Ridge, Stacking
from voxelzoo_regressors.simplex import (
    centre_of_mass,
    combine,
    residual_products,
    simplex_weights,
)


def problem() -> tuple[NDArray, NDArray, NDArray]:
    """Voxel 0 needs both spaces, 1 the first, 2 the second, 3 neither; column 4.. is the second."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 12))
    first, second = X[:, :4] @ np.ones(4), X[:, 4:] @ np.ones(8)
    Y = np.stack([first + second, first, second, np.zeros(400)], axis=1)
    return X, Y + 0.5 * rng.standard_normal(Y.shape), np.repeat(np.arange(5), 80)


@needs_shared
def test_weights_equal_the_reference() -> None:
    golden = np.load(SHARED / "golden/reference.npz")
    found = simplex_weights(golden["stack_R"])
    np.testing.assert_allclose(found, golden["stack_weights"], atol=1e-5)


def test_weights_are_optimal_on_the_simplex() -> None:
    rng = np.random.default_rng(1)
    A = 0.3 * rng.standard_normal((3000, 9, 20)) + rng.standard_normal((3000, 1, 20))
    A[1000:1100, 1] = A[1000:1100, 0]  # spaces that predict the same
    A[:50] *= 1e6
    A[50:100] *= 1e-6
    R = A @ A.transpose(0, 2, 1)
    w = simplex_weights(R)
    assert (w >= 0).all()
    np.testing.assert_allclose(w.sum(axis=1), 1)
    # At the optimum no space's gradient is below the level that the spaces in use share.
    gradient = np.einsum("vij,vj->vi", R, w)
    level = (gradient * w).sum(axis=1, keepdims=True)
    assert ((level - gradient).max(axis=1) <= 1e-8 * np.trace(R, axis1=1, axis2=2)).all()


def test_weights_equal_a_solvers_voxel_by_voxel() -> None:
    rng = np.random.default_rng(2)
    A = rng.standard_normal((6, 4, 12)) + rng.standard_normal((6, 1, 12))
    for R, found in zip(
        A @ A.transpose(0, 2, 1), simplex_weights(A @ A.transpose(0, 2, 1)), strict=True
    ):
        solved = minimize(
            lambda w, R=R: w @ R @ w,
            np.full(4, 0.25),
            bounds=[(0, 1)] * 4,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            tol=1e-12,
        )
        np.testing.assert_allclose(found, solved.x, atol=1e-4)


def test_residual_products_equal_a_loop_and_undefined_voxels_stay_nan() -> None:
    rng = np.random.default_rng(3)
    Y, *predictions = rng.standard_normal((4, 30, 5))
    predictions[1][:3] = np.nan  # rows in a gap
    predictions[2][:, 4] = np.nan  # a voxel that could not be fitted
    R = residual_products(predictions, Y)
    for v in range(4):
        for p in range(3):
            for q in range(3):
                expected = ((Y - predictions[p]) * (Y - predictions[q]))[3:, v].mean()
                np.testing.assert_allclose(R[v, p, q], expected)
    weights = simplex_weights(R)
    assert np.isnan(weights[4]).all()
    assert np.isfinite(weights[:4]).all()


def test_weights_favour_the_spaces_that_drive_a_voxel() -> None:
    X, Y, groups = problem()
    spaces = {"first": slice(0, 4), "second": slice(4, 12), "nothing": [0]}
    noise = np.random.default_rng(5).standard_normal((400, 3))
    model = Stacking({**spaces, "nothing": slice(12, 15)}).fit(
        np.hstack([X, noise]), Y, groups=groups
    )
    assert model.names_ == ["first", "second", "nothing"]
    assert model.weights_[1, 0] > 0.9
    assert model.weights_[2, 1] > 0.9
    assert (model.weights_[0, :2] > 0.2).all()
    assert (model.weights_[:3, 2] < 0.1).all()


def test_predictions_are_the_weighted_sum_of_the_spaces_own() -> None:
    X, Y, groups = problem()
    model = Stacking([4, 8]).fit(X, Y, groups=groups)
    parts = [
        Ridge(scoring="r2").fit(X[:, c], Y, groups=groups).predict(X[:, c])
        for c in (slice(0, 4), slice(4, 12))
    ]
    expected = sum(model.weights_[:, i] * part for i, part in enumerate(parts))
    np.testing.assert_allclose(model.predict(X), expected, atol=1e-10)
    np.testing.assert_allclose(combine(model.weights_, parts), expected, atol=1e-10)


def test_the_stack_is_used_only_where_it_predicts_unseen_stories_better() -> None:
    X, Y, groups = problem()
    model = Stacking({"a": slice(0, 4), "b": slice(4, 12)}, single="b").fit(X, Y, groups=groups)
    assert model.stacked_[:2].all()
    alone = Ridge(scoring="r2").fit(X[:, 4:], Y, groups=groups).predict(X[:, 4:])
    found = model.predict(X)
    np.testing.assert_allclose(found[:, ~model.stacked_], alone[:, ~model.stacked_])
    # What decides is not what was fitted on: without its rows the decision's fit is the same.
    assert not (groups == 4)[model._training_rows(groups)].any()


def test_voxel_blocks_from_zarr_change_nothing(tmp_path: Path) -> None:
    X, Y, groups = problem()
    Y[:, 3] = np.nan
    kept = zarr.create_array(tmp_path / "y.zarr", shape=Y.shape, chunks=(400, 2), dtype="f8")
    kept[:] = Y
    whole = Stacking([4, 8]).fit(X, Y, groups=groups)
    lazy = Stacking([4, 8], voxel_block=3).fit(X, kept, groups=groups)
    np.testing.assert_allclose(lazy.weights_, whole.weights_, atol=1e-8)
    np.testing.assert_allclose(lazy.cv_score_, whole.cv_score_, atol=1e-8)
    np.testing.assert_allclose(lazy.predict(X), whole.predict(X), atol=1e-8)
    assert np.isnan(whole.weights_[3]).all()
    assert np.isnan(whole.predict(X)[:, 3]).all()
    whole = Stacking([4, 8], single=0).fit(X, Y, groups=groups)
    lazy = Stacking([4, 8], single=0, voxel_block=3).fit(X, kept, groups=groups)
    np.testing.assert_array_equal(lazy.stacked_, whole.stacked_)
    np.testing.assert_allclose(lazy.predict(X), whole.predict(X), atol=1e-8)


def test_cv_score_uses_weights_that_did_not_see_the_fold() -> None:
    X, Y, groups = problem()
    model = Stacking([4, 8]).fit(X, Y, groups=groups)
    parts = [
        Ridge(scoring="r2", store_cv_predictions=True)
        .fit(X[:, c], Y, groups=groups)
        .cv_predictions_
        for c in (slice(0, 4), slice(4, 12))
    ]
    expected = np.zeros(4)
    for g in range(5):
        own = groups == g
        weights = simplex_weights(residual_products([p[~own] for p in parts], Y[~own]))
        stacked = sum(weights[:, i] * p[own] for i, p in enumerate(parts))
        expected += [np.corrcoef(stacked[:, v], Y[own, v])[0, 1] / 5 for v in range(4)]
    np.testing.assert_allclose(model.cv_score_, expected, atol=1e-8)


def test_tensors_give_tensors() -> None:
    X, Y, groups = problem()
    found = Stacking([4, 8]).fit(torch.tensor(X), torch.tensor(Y), groups).predict(torch.tensor(X))
    assert isinstance(found, torch.Tensor)
    expected = Stacking([4, 8]).fit(X, Y, groups=groups).predict(X)
    np.testing.assert_allclose(found.numpy(), expected)


def test_centre_of_mass() -> None:
    weights = np.array([[1, 0, 0], [0, 0, 1], [0.5, 0, 0.25]])
    np.testing.assert_allclose(centre_of_mass(weights), [1, 3, 1.25])
    np.testing.assert_allclose(centre_of_mass(weights, [2, 4, 6]), [2, 6, 2.5])


def test_spaces_that_do_not_fit_are_an_error() -> None:
    X, Y, groups = problem()
    with pytest.raises(UsageError, match="do not add up to 12 columns"):
        Stacking([4, 4]).fit(X, Y, groups=groups)
    with pytest.raises(UsageError, match="no space 'c'; the spaces are a"):
        Stacking({"a": slice(0, 4)}, single="c").fit(X, Y, groups=groups)
    with pytest.raises(UsageError, match="use a Ridge"):
        Stacking([4, 8], regressor=Stacking()).fit(X, Y, groups=groups)


@parametrize_with_checks([Stacking()])
def test_passes_check_estimator(estimator, check) -> None:
    check(estimator)
