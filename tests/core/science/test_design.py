from __future__ import annotations

import numpy as np
import pytest

from shared_data import SHARED, needs_shared
from voxelzoo.science.design import delayed, zscore


@needs_shared
@pytest.mark.parametrize("name", ["1234", "neg"])
def test_delays_equal_the_reference(name: str) -> None:
    golden = np.load(SHARED / "golden/reference.npz")
    values, expected = golden["delay_in"], golden[f"delay_out_{name}"]
    delays = [1, 2, 3, 4] if name == "1234" else [-2, 0, 3]
    np.testing.assert_array_equal(delayed(values, delays), expected)


@pytest.mark.parametrize("delays", [[1, 2, 3, 4], [0], [2, 0, 2], [-2, 5], [9, -9]])
def test_delays_equal_a_loop(delays: list[int]) -> None:
    values = np.random.default_rng(0).standard_normal((6, 3))
    expected = np.zeros((6, len(delays) * 3))
    for t in range(6):
        for i, delay in enumerate(delays):
            if 0 <= t - delay < 6:
                expected[t, 3 * i : 3 * i + 3] = values[t - delay]
    np.testing.assert_array_equal(delayed(values, delays), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zscore_standardises_and_leaves_nothing_of_constants(dtype: type) -> None:
    values = np.random.default_rng(1).standard_normal((50, 4)).astype(dtype) * 3 + 100
    values[:, 2] = 0.1
    standard = zscore(values)
    assert standard.dtype == dtype
    kept = [0, 1, 3]
    np.testing.assert_allclose(standard[:, kept].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(standard[:, kept].std(axis=0), 1, rtol=1e-5)
    assert not standard[:, 2].any()
