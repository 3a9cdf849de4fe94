from __future__ import annotations

import sys

import numpy as np
import pytest
import sklearn.linear_model
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from voxelzoo.api import MissingError, UsageError
from voxelzoo_regressors import BandedRidge

himalaya_backend = pytest.importorskip("himalaya.backend")

SPACES = {"first": slice(0, 4), "second": slice(4, 24)}


def problem() -> tuple[NDArray, NDArray, NDArray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 24)) + 2
    Y = np.stack([X[:, 0] + X[:, 1], X[:, 4:] @ np.ones(20), X[:, 0]], axis=1)
    return X, Y + 0.5 * rng.standard_normal(Y.shape) + 1, np.repeat(np.arange(4), 50)


def fitted(**options) -> tuple[BandedRidge, NDArray, NDArray, NDArray]:
    X, Y, groups = problem()
    Y = np.insert(Y, 1, np.nan, axis=1)
    return BandedRidge(SPACES, n_iter=10, **options).fit(X, Y, groups=groups), X, Y, groups


def test_equals_ridge_on_columns_scaled_by_their_penalties() -> None:
    model, X, Y, _ = fitted()
    for v in (0, 2, 3):
        scaled = X.copy()
        for i, columns in enumerate(SPACES.values()):
            scaled[:, columns] /= np.sqrt(model.penalties_[i, v])
        expected = sklearn.linear_model.Ridge(1.0).fit(scaled, Y[:, v]).predict(scaled)
        np.testing.assert_allclose(model.predict(X)[:, v], expected, rtol=1e-6)


def test_a_space_that_explains_nothing_is_penalised_more() -> None:
    model, *_ = fitted()
    assert model.penalties_[1, 0] > model.penalties_[0, 0]
    assert model.penalties_[0, 2] > model.penalties_[1, 2]


def test_split_scores_sum_to_the_joint_correlation() -> None:
    model, X, Y, _ = fitted()
    shares = model.score_split(X, Y)
    for v in (0, 2, 3):
        joint = np.corrcoef(model.predict(X)[:, v], Y[:, v])[0, 1]
        np.testing.assert_allclose(shares[:, v].sum(), joint)
    assert shares[0, 0] > 0.9 * shares[:, 0].sum()


def test_split_scores_equal_himalayas() -> None:
    from himalaya.scoring import correlation_score_split

    model, X, Y, _ = fitted()
    kept = [0, 2, 3]
    expected = correlation_score_split(Y[:, kept], model.predict_split(X)[:, :, kept])
    np.testing.assert_allclose(model.score_split(X, Y)[:, kept], expected)


def test_undefined_voxels_stay_nan_and_the_seed_fixes_the_search() -> None:
    model, X, *rest = fitted()
    assert np.isnan(model.predict(X)[:, 1]).all()
    assert np.isnan(model.penalties_[:, 1]).all()
    again = clone(model).fit(X, rest[0], groups=rest[1])
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_cv_score_is_the_held_out_correlation_at_the_chosen_penalties() -> None:
    model, X, Y, groups = fitted()
    for v in (0, 2, 3):
        scaled = X.copy()
        for i, columns in enumerate(SPACES.values()):
            scaled[:, columns] /= np.sqrt(model.penalties_[i, v])
        found = []
        for g in range(4):
            own = groups == g
            fit = sklearn.linear_model.Ridge(1.0).fit(scaled[~own], Y[~own, v])
            found.append(np.corrcoef(fit.predict(scaled[own]), Y[own, v])[0, 1])
        np.testing.assert_allclose(model.cv_score_[v], np.mean(found), rtol=1e-5)
    assert np.isnan(model.cv_score_[1])


def test_tensors_give_tensors() -> None:
    X, Y, groups = problem()
    model = BandedRidge(SPACES, n_iter=2).fit(torch.tensor(X), torch.tensor(Y), groups)
    found = model.predict(torch.tensor(X))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), model.predict(X))
    np.testing.assert_allclose(model.score_split(X, torch.tensor(Y)), model.score_split(X, Y))


def test_himalayas_backend_is_restored() -> None:
    himalaya_backend.set_backend("torch")
    try:
        fitted()
        assert himalaya_backend.get_backend().name == "torch"
    finally:
        himalaya_backend.set_backend("numpy")


def test_a_missing_himalaya_is_reported_with_the_command_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "himalaya.backend", None)
    with pytest.raises(MissingError, match=r"voxelzoo\[banded\]"):
        fitted()


def test_an_invalid_setting_is_named() -> None:
    with pytest.raises(UsageError, match="n_iter"):
        BandedRidge(n_iter=0).fit(np.eye(20), np.eye(20))


@parametrize_with_checks([BandedRidge(n_iter=2)])
def test_passes_check_estimator(estimator, check) -> None:
    check(estimator)
