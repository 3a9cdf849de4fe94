from __future__ import annotations

import numpy as np

from voxelzoo.science.scores import correlation, explained_variance, signed_square


def test_correlation_equals_numpys_voxel_by_voxel() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 40, 6)).astype(np.float32)
    expected = [np.corrcoef(x[:, v], y[:, v])[0, 1] for v in range(6)]
    np.testing.assert_allclose(correlation(x, y), expected, atol=1e-6)


def test_an_undefined_correlation_is_nan_not_zero() -> None:
    x, y = np.random.default_rng(1).standard_normal((2, 20, 4))
    x[:, 0] = 0.1
    y[:, 1] = -3.3
    y[4, 2] = np.nan
    found = correlation(x, y)
    assert np.isnan(found[:3]).all()
    assert np.isfinite(found[3])


def test_signed_square_keeps_the_sign() -> None:
    np.testing.assert_allclose(signed_square(np.array([0.5, -0.5])), [0.25, -0.25])


def test_explained_variance_is_one_for_the_response_zero_for_its_mean_and_else_by_the_loop() -> (
    None
):
    rng = np.random.default_rng(4)
    prediction, response = rng.standard_normal((2, 30, 4))
    prediction[:, 0] = response[:, 0]
    prediction[:, 1] = response[:, 1].mean()
    response[:, 3] = 2.0
    found = explained_variance(prediction, response)
    np.testing.assert_allclose(found[:2], [1, 0], atol=1e-12)
    y, guess = response[:, 2], prediction[:, 2]
    expected = 1 - sum((a - b) ** 2 for a, b in zip(y, guess, strict=True)) / sum(
        (a - y.mean()) ** 2 for a in y
    )
    np.testing.assert_allclose(found[2], expected)
    assert np.isnan(found[3])
