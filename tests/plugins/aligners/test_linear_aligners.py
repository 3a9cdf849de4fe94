from __future__ import annotations

import numpy as np
import pytest

from shared_data import SHARED, needs_shared
from voxelzoo.api import Aligner, UsageError
from voxelzoo_aligners.linear import Lanczos, Last, Mean, Sinc, Sum

TIMES = np.array([0.2, 0.9, 1.0, 2.5, 2.9, 3.0, 6.9, 9.5])
SCANS = np.array([2.0, 4.0, 6.0, 8.0])  # volumes [1, 3), [3, 5), [5, 7), [7, 9)


def dense(aligner: Aligner, times: np.ndarray = TIMES, scans: np.ndarray = SCANS) -> np.ndarray:
    found = aligner.weights(times, scans)
    return found.toarray() if hasattr(found, "toarray") else np.asarray(found)


@needs_shared
@pytest.mark.parametrize("window", [1, 3, 5])
@pytest.mark.parametrize("cutoff", [0.5, 1.0, 2.0])
def test_lanczos_equals_the_reference(window: int, cutoff: float) -> None:
    golden = np.load(SHARED / "golden/reference.npz")
    weights = dense(Lanczos(window, cutoff), golden["lanczos_oldtime"], golden["lanczos_newtime"])
    np.testing.assert_allclose(
        weights @ golden["lanczos_data"],
        golden[f"lanczos_out_window{window}_cutoff{cutoff}"],
        atol=1e-12,
    )


@pytest.mark.parametrize("tapered", [True, False])
def test_kernels_equal_a_loop(tapered: bool) -> None:
    aligner = Lanczos(2, 0.7) if tapered else Sinc(2, 0.7)
    expected = np.zeros((len(SCANS), len(TIMES)))
    for i, scan in enumerate(SCANS):
        for j, time in enumerate(TIMES):
            t = (scan - time) * 0.7 / 2.0
            if abs(t) <= 2:
                expected[i, j] = np.sinc(t) * (np.sinc(t / 2) if tapered else 1)
    np.testing.assert_allclose(dense(aligner), expected, atol=1e-12)


def test_sum_counts_a_state_in_the_one_volume_it_falls_in() -> None:
    inside = [[2, 3, 4], [5], [6], []]
    expected = np.zeros((4, 8))
    for row, columns in enumerate(inside):
        expected[row, columns] = 1
    np.testing.assert_array_equal(dense(Sum()), expected)


def test_mean_of_a_volume_without_states_is_zero() -> None:
    states = np.arange(8.0)[:, None] + 10
    np.testing.assert_allclose(dense(Mean()) @ states, [[13], [15], [16], [0]])


def test_last_carries_the_latest_state_on_and_excludes_the_volumes_end() -> None:
    states = np.arange(8.0)[:, None] + 10
    np.testing.assert_allclose(dense(Last()) @ states, [[14], [15], [16], [16]])


def test_before_the_first_state_there_is_nothing() -> None:
    assert not dense(Last(), np.array([5.5]))[:2].any()


@pytest.mark.parametrize("aligner", [Lanczos(), Sinc(), Mean(), Sum(), Last()])
def test_is_an_aligner_and_takes_a_story_without_states(aligner: Aligner) -> None:
    assert isinstance(aligner, Aligner)
    assert dense(aligner, np.empty(0)).shape == (4, 0)


@pytest.mark.parametrize("options", [{"window": 0}, {"cutoff": -1.0}, {"window": "three"}])
def test_an_invalid_setting_is_named(options: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        Lanczos(**options)


def test_fingerprint_tells_settings_apart() -> None:
    assert Lanczos(3, 1.0).fingerprint() != Lanczos(3, 0.5).fingerprint()
