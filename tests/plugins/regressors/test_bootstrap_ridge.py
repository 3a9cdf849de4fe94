from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from sklearn.utils.estimator_checks import parametrize_with_checks

from shared_data import SHARED, needs_shared
from voxelzoo.api import DataError
from voxelzoo_regressors import BootstrapRidge, bootstrap
from voxelzoo_regressors.bootstrap import (
    SVD,
    signed_root_r2_score,
    zscore_correlation,
)


@needs_shared
def test_weights_and_scores_equal_the_reference() -> None:
    g = np.load(SHARED / "golden/reference.npz")
    X, Y, Xt, Yt, alphas = (g[f"ridge_{k}"] for k in ("X", "Y", "Xt", "Yt", "alphas"))
    fit = SVD.of(X)
    np.testing.assert_allclose(fit.weights(Y, g["ridge_valphas"]), g["ridge_weights"], atol=1e-12)
    found = fit.scores(Xt @ fit.Vt.T, Y, Yt, alphas, zscore_correlation, signed_root_r2_score)
    np.testing.assert_allclose(found[0], g["ridge_corr_out"], atol=1e-10)
    np.testing.assert_allclose(found[1], g["ridge_signed_sqrt_r2_out"], atol=1e-10)


def test_alphas_are_squared_and_chosen_on_held_out_chunks() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 40))
    Y = np.hstack([X[:, :1], rng.standard_normal((200, 1)) / 2])
    model = BootstrapRidge(alphas=[0.1, 1000.0], chunklen=10).fit(X, Y)
    np.testing.assert_allclose(model.alpha_, [0.1**2, 1000.0**2])
    again = BootstrapRidge(alphas=[0.1, 1000.0], chunklen=10).fit(X, Y)
    np.testing.assert_array_equal(model.boot_scores_, again.boot_scores_)


@pytest.mark.parametrize("use_corr", [True, False])
def test_cv_score_is_the_held_out_correlation_of_the_chosen_alpha(use_corr: bool) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 10))
    Y = X[:, :3] + rng.standard_normal((200, 3))
    model = BootstrapRidge(alphas=[1.0, 30.0], chunklen=10, use_corr=use_corr).fit(X, Y)
    for v in range(3):
        alpha, found = np.sqrt(model.alpha_[v]), []
        for kept, held in model._boots(200):
            fit = SVD.of(X[kept])
            prediction = X[held] @ fit.weights(Y[kept], np.full(3, alpha))
            found.append(np.corrcoef(prediction[:, v], Y[held, v])[0, 1])
        np.testing.assert_allclose(model.cv_score_[v], np.mean(found))


def test_blocks_from_zarr_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 10))
    Y = X[:, :7] + rng.standard_normal((200, 7))
    whole = BootstrapRidge(chunklen=10).fit(X, Y)
    kept = zarr.create_array(tmp_path / "y.zarr", shape=Y.shape, chunks=(200, 2), dtype="f8")
    kept[:] = Y
    monkeypatch.setattr(bootstrap, "_READ_BYTES", 200 * 8 * 3)
    for given in (kept, Y):
        found = BootstrapRidge(chunklen=10).fit(X, given)
        np.testing.assert_array_equal(found.alpha_, whole.alpha_)
        np.testing.assert_allclose(found.boot_scores_, whole.boot_scores_, atol=1e-12)
        np.testing.assert_allclose(found.coef_, whole.coef_, atol=1e-12)
        np.testing.assert_allclose(found.predict(X[:9]), X[:9] @ whole.coef_.T, atol=1e-12)


def test_too_few_rows_for_the_chunks_is_an_error() -> None:
    with pytest.raises(DataError, match="30 rows make 1 chunks of 20"):
        BootstrapRidge().fit(np.eye(30), np.eye(30))


@parametrize_with_checks([BootstrapRidge(chunklen=2)])
def test_passes_check_estimator(estimator, check) -> None:
    check(estimator)
