"""Every path of ridge on a GPU, on a stand-in that refuses to mix devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from elsewhere import Elsewhere
from regression_data import problem
from voxelzoo_regressors import Ridge


@pytest.mark.parametrize(("n", "p"), [(120, 4), (120, 60), (60, 200), (60, 55)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"delays": [1, 2, 3], "scoring": "r2"},
        {"cv": "blocks", "block_length": 12, "gap": 3, "fit_intercept": False},
        {"sweep_dtype": "bfloat16"},
        {"alphas": np.logspace(-4, 6, 21)},
    ],
)
def test_ridge_keeps_to_its_device(n: int, p: int, options: dict) -> None:
    X, Y, groups = problem(n, p)
    X, Y = X.astype("f4"), Y.astype("f4")
    Y[:, 3] = np.nan
    arguments = {"store_cv_predictions": True, "cache": False, **options}
    expected = Ridge(device="cpu", **arguments).fit(X, Y, groups)
    with Elsewhere():
        model = Ridge(device="cuda", **arguments).fit(X, Y, groups)
        predictions = model.predict(X, groups=groups)
        weights = model.coef_
    assert model.path_.startswith("cuda")
    np.testing.assert_allclose(model.cv_score_, expected.cv_score_, atol=1e-4)
    np.testing.assert_allclose(model.cv_predictions_, expected.cv_predictions_, atol=2e-3)
    np.testing.assert_allclose(predictions, expected.predict(X, groups=groups), atol=2e-3)
    np.testing.assert_allclose(weights, expected.coef_, atol=2e-3)


def test_the_stand_in_refuses_what_a_gpu_refuses() -> None:
    with Elsewhere():
        there, here = torch.ones(3, device="cuda"), torch.ones(3)
        assert there.device.type == "cuda"
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        assert (there[torch.tensor([0, 1])] * 2).cpu().numpy().tolist() == [2, 2]
        assert (there * there.to("cpu").sum()).device.type == "cuda"
