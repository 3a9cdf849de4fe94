from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from shared_data import SHARED, needs_shared
from voxelzoo.api import DataError, NotFoundError
from voxelzoo.science.arrays import Floats
from voxelzoo.science.ceilings import METHODS, estimate_ceiling, headroom
from voxelzoo.science.inter_subject import against_others, inter_subject
from voxelzoo.science.repeats import (
    ceiling,
    explainable_variance,
    powers,
    split_half,
    split_half_r,
)
from voxelzoo.science.scores import correlation, normalised

BY_REPEATS = [name for name, method in METHODS.items() if method.needs == "repeats"]


def planted(n: int, n_trs: int, signal_share: float, n_voxels: int, seed: int) -> Floats:
    """Unit-variance responses (repeat, TR, voxel) that share a signal of this variance."""
    rng = np.random.default_rng(seed)
    signal = np.sqrt(signal_share) * rng.standard_normal((1, n_trs, n_voxels))
    return signal + np.sqrt(1 - signal_share) * rng.standard_normal((n, n_trs, n_voxels))


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


@pytest.mark.parametrize("name", BY_REPEATS)
def test_the_floor_raises_low_ceilings_and_leaves_undefined_voxels_nan(name: str) -> None:
    rng = np.random.default_rng(2)
    repeats = rng.standard_normal((5, 60, 4))
    repeats[:, :, 0] += 5 * rng.standard_normal(60)
    repeats[:, :, 1] -= repeats[:, :, 1].mean(axis=0)  # nothing is left in common
    repeats[:, :, 2] = 1.0
    repeats[0, 3, 3] = np.nan
    found = estimate_ceiling(repeats, name)
    assert found.values[0] > 0.9
    assert found.values[1] == METHODS[name].floor
    assert np.isnan(found.values[2:]).all()
    assert (found.n_undefined, found.n_floored) == (2, 1)
    unfloored = estimate_ceiling(repeats, name, floor=None)
    assert np.isnan(unfloored.values[1])
    assert unfloored.n_undefined == 3


@pytest.mark.parametrize("name", BY_REPEATS)
def test_a_ceiling_is_the_correlation_with_the_true_signal(name: str) -> None:
    share, n = 0.2, 6
    repeats = planted(n, 20_000, share, 3, seed=3)
    expected = np.sqrt(n * share / (1 + (n - 1) * share))
    np.testing.assert_allclose(estimate_ceiling(repeats, name).values, expected, atol=0.02)


def test_split_half_is_the_mean_over_every_split() -> None:
    repeats = planted(4, 50, 0.4, 3, seed=5)
    found = []
    for half in combinations(range(4), 2):
        rest = [i for i in range(4) if i not in half]
        found.append(correlation(repeats[list(half)].mean(axis=0), repeats[rest].mean(axis=0)))
    r = np.mean(found, axis=0)
    np.testing.assert_allclose(split_half_r(repeats), r)
    np.testing.assert_allclose(split_half(repeats), np.maximum(0.3, np.sqrt(2 * r / (1 + r))))


def test_many_repeats_take_a_seeded_sample_of_splits() -> None:
    repeats = planted(14, 100, 0.3, 2, seed=6)
    np.testing.assert_array_equal(split_half_r(repeats, seed=1), split_half_r(repeats, seed=1))
    np.testing.assert_allclose(
        split_half_r(repeats, seed=1), split_half_r(repeats, seed=2), atol=0.05
    )


def test_explainable_variance_of_noise_is_zero_only_when_corrected() -> None:
    noise = planted(5, 200, 0.0, 2000, seed=7)
    corrected = explainable_variance(noise)
    assert abs(corrected.mean()) < 4 * corrected.std() / np.sqrt(corrected.size)
    np.testing.assert_allclose(
        explainable_variance(noise, bias_correction=False).mean(), 0.2, atol=0.01
    )


def test_inter_subject_correlation_leaves_the_subject_out() -> None:
    responses = planted(5, 80, 0.5, 4, seed=8)
    responses[2, :, 1] = np.nan
    responses[:, :, 3] = 1.0
    found = inter_subject(responses)
    with np.errstate(invalid="ignore"):
        standard = responses - responses.mean(axis=1, keepdims=True)
        standard /= standard.std(axis=1, keepdims=True)
    for subject in range(5):
        for voxel in (0, 1, 2):
            others = [s for s in range(5) if s != subject and not (s == 2 and voxel == 1)]
            mean = standard[others][:, :, voxel].mean(axis=0)
            expected = np.corrcoef(responses[subject, :, voxel], mean)[0, 1]
            np.testing.assert_allclose(found[subject, voxel], expected)
    assert np.isnan(found[2, 1])
    assert np.isnan(found[:, 3]).all()
    for subject in range(5):
        others = (each for i, each in enumerate(responses) if i != subject)
        np.testing.assert_allclose(against_others(responses[subject], others), found[subject])


def test_a_negative_correlation_between_subjects_stays_negative() -> None:
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(60, 1))
    responses = np.stack([shared, shared, -shared]) + 0.3 * rng.normal(size=(3, 60, 1))
    found = estimate_ceiling(responses, "inter-subject").values
    np.testing.assert_allclose(found, inter_subject(responses))
    assert found[2, 0] < -0.5


def test_stories_are_taken_end_to_end_in_blocks_of_voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (planted(3, n, 0.5, 7, seed=n) for n in (40, 30))
    expected = ceiling(np.concatenate([one, other], axis=1))
    monkeypatch.setattr("voxelzoo.science.ceilings.BLOCK", 3)
    np.testing.assert_allclose(estimate_ceiling([one, other]).values, expected)
    more = planted(5, 50, 0.5, 7, seed=50)  # of which there are more repeats
    both = np.sqrt((70 * expected**2 + 50 * ceiling(more) ** 2) / 120)
    np.testing.assert_allclose(estimate_ceiling([one, more, other]).values, both)


def test_short_stories_have_the_ceiling_of_a_long_one() -> None:
    whole = planted(4, 2000, 0.5, 200, seed=3)
    stories = np.split(whole, 100, axis=1)
    truth = ceiling(whole).mean()
    assert estimate_ceiling(stories).values.mean() == pytest.approx(truth, abs=0.005)
    assert np.mean([ceiling(story) for story in stories]) < truth - 0.01


def test_headroom_is_the_ceiling_minus_r() -> None:
    r, top = np.array([0.3, 0.6, np.nan, 0.1]), np.array([0.5, 0.5, 0.5, np.nan])
    np.testing.assert_allclose(headroom(r, top), [0.2, -0.1, np.nan, np.nan])
    np.testing.assert_allclose(normalised(r, top), [0.6, 1.2, np.nan, np.nan])


@pytest.mark.parametrize("name", METHODS)
def test_one_repeat_has_no_ceiling(name: str) -> None:
    with pytest.raises(DataError, match=r"at least two (repeats|subjects)"):
        estimate_ceiling(np.zeros((1, 10, 2)), name)


def test_an_unknown_method_is_reported_with_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match="schoppe, split-half"):
        estimate_ceiling(np.zeros((2, 10, 2)), "shoppe")
