from __future__ import annotations

import numpy as np
import pytest
import torch

from regression_data import problem
from voxelzoo_regressors import Ridge
from voxelzoo_regressors.alpha_grid import alpha_grid


@pytest.mark.parametrize("scale", [1e-6, 0.01, 1.0, 1e4])
@pytest.mark.parametrize("shape", [(60, 3), (120, 30), (60, 200)])
def test_the_grid_reaches_beyond_the_spectrum_at_any_scale(shape: tuple, scale: float) -> None:
    X, Y, groups = problem(*shape)
    model = Ridge().fit(scale * X, Y, groups=groups)
    s = np.linalg.svd(scale * (X - X.mean(axis=0)), compute_uv=False)[: min(shape[0] - 1, shape[1])]
    assert model.alphas_[0] <= 0.01 * s[-1] ** 2
    assert model.alphas_[-1] >= 10 * s[0] ** 2
    assert np.isin(model.alpha_, model.alphas_).all()
    assert len(model.alphas_) <= 20


def test_scaled_features_give_the_same_predictions() -> None:
    X, Y, groups = problem(120, 30)
    model = Ridge().fit(X, Y, groups=groups)
    small = Ridge().fit(0.01 * X, Y, groups=groups)
    np.testing.assert_allclose(small.predict(0.01 * X), model.predict(X), atol=1e-8)


def test_grids_are_powers_of_one_step_and_do_not_follow_noise() -> None:
    grid = alpha_grid(torch.tensor([1e8, 1.0, 1e-7]))
    np.testing.assert_allclose(np.log10(grid) * 2, np.arange(0, 19), atol=1e-9)
    assert alpha_grid(torch.empty(0)).tolist() == [1.0]
