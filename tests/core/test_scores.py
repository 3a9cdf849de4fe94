from __future__ import annotations

import numpy as np
import pytest

from shared_data import SHARED, needs_shared
from voxelzoo.scores import ceiling, correlation, powers, signed_square


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


@needs_shared
def test_powers_and_ceiling_equal_the_reference() -> None:
    golden = np.load(SHARED / "golden/reference.npz")
    repeats = golden["ceiling_repeats"]
    total, signal = powers(repeats)
    np.testing.assert_allclose(total, golden["ceiling_total_power"])
    np.testing.assert_allclose(signal, golden["ceiling_signal_power"])
    # The reference writes 0 where signal power is negative; here that is undefined.
    expected = golden["ceiling_ccmax_unfloored"]
    found = ceiling(repeats, floor=None)
    np.testing.assert_allclose(found[signal > 0], expected[signal > 0])
    assert np.isnan(found[signal <= 0]).all()


def test_the_floor_lifts_low_ceilings_and_leaves_undefined_voxels_undefined() -> None:
    rng = np.random.default_rng(2)
    repeats = rng.standard_normal((5, 60, 4))
    repeats[:, :, 0] += 5 * rng.standard_normal(60)
    repeats[:, :, 2] = 1.0
    repeats[0, 3, 3] = np.nan
    found = ceiling(repeats, floor=0.25)
    assert found[0] > 0.9
    assert found[1] >= 0.25
    assert np.isnan(found[2:]).all()


def test_the_ceiling_is_the_correlation_with_the_true_signal() -> None:
    rng = np.random.default_rng(3)
    signal = rng.standard_normal((1, 20000, 1))
    repeats = signal + 2 * rng.standard_normal((4, 20000, 1))
    r = correlation(signal[0], repeats.mean(axis=0))
    np.testing.assert_allclose(ceiling(repeats), r, atol=0.02)


def test_one_repeat_has_no_ceiling() -> None:
    with pytest.raises(ValueError, match="two repeats"):
        ceiling(np.zeros((1, 10, 2)))
