from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from voxelzoo.api import DataError, UsageError
from voxelzoo.science.held_out import HeldOut
from voxelzoo.science.paired_tests import paired_test, subjects_test
from voxelzoo.science.regions import EVERYWHERE
from voxelzoo.science.scores import correlation
from voxelzoo.science.significance import (
    Null,
    circular_products,
    false_discovery_rate,
    permutation_test,
)

Floats = Any


def ar1(rng: np.random.Generator, shape: tuple[int, int], rho: float) -> Floats:
    """Columns of autocorrelated noise of unit variance."""
    values = rng.standard_normal(shape)
    for t in range(1, shape[0]):
        values[t] = rho * values[t - 1] + np.sqrt(1 - rho**2) * values[t]
    return values


def noise(
    n_voxels: int, lengths: tuple[int, ...] = (120, 90), seed: int = 0, *, joined: bool = True
) -> HeldOut:
    """Smooth predictions of smooth responses that have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    return HeldOut(
        {
            f"part{i}": (ar1(rng, (n, n_voxels), 0.7), ar1(rng, (n, n_voxels), 0.7))
            for i, n in enumerate(lengths)
        },
        joined,
    )


def with_signal(held: HeldOut, n: int, share: float = 0.6) -> HeldOut:
    """The first ``n`` voxels follow their predictions."""
    parts = {}
    for name, (x, y) in held.parts.items():
        heard = y.copy()
        heard[:, :n] = share * x[:, :n] + (1 - share) * y[:, :n]
        parts[name] = (x, heard)
    return HeldOut(parts, held.joined, ["signal"] * n + ["noise"] * (held.n_voxels - n))


def within_binomial(count: int, n: int, p: float) -> bool:
    """Inside the central 99.9 % of what chance gives."""
    low, high = binom.interval(0.999, n, p)
    return bool(low <= count <= high)


def test_all_shifts_by_fourier_transform_equal_the_loop() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 37, 4))
    found = circular_products(x, y)
    for shift in range(37):
        np.testing.assert_allclose(found[shift], (x * np.roll(y, -shift, axis=0)).sum(axis=0))


def test_p_of_a_single_story_counts_every_allowed_shift() -> None:
    held = with_signal(noise(6, (61,)), 2)
    ((x, y),) = held.parts.values()
    found = permutation_test(held, least_shift=5)
    chance = [correlation(x, np.roll(y, -s, axis=0)) for s in range(5, 61 - 5 + 1)]
    np.testing.assert_allclose(found.p, (1 + (chance >= held.r).sum(axis=0)) / (1 + len(chance)))
    greatest = np.max(chance, axis=1)
    expected = [(1 + (greatest >= r).sum()) / (1 + len(chance)) for r in held.r]
    np.testing.assert_allclose(found.p_fwer, expected)
    means = np.mean(chance, axis=1)
    np.testing.assert_allclose(
        found.regions[EVERYWHERE], (1 + (means >= held.r.mean()).sum()) / (1 + len(chance))
    )


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("null", ["circular-shift", "blocks"])
def test_p_equals_that_of_permuted_rows(
    null: Null, joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every permutation drawn is done again row by row."""
    held = with_signal(noise(4, (50, 40), joined=joined), 1, share=0.35)
    drawn: list[list[np.ndarray]] = []
    generator = np.random.default_rng(0)
    if null == "blocks":
        for n in (5, 4):
            orders = [generator.permutation(n) for _ in range(200)]
            drawn.append([np.concatenate([np.arange(10) + 10 * b for b in o]) for o in orders])
    else:
        for n in (50, 40):
            shifts = generator.choice(np.arange(6, n - 6 + 1), size=200)
            drawn.append([np.roll(np.arange(n), -s) for s in shifts])
    found = permutation_test(held, null, least_shift=6, block=10, n_permutations=200)
    beaten = np.zeros(4)
    for orders in zip(*drawn, strict=True):
        pairs = [(x, y[o]) for (x, y), o in zip(held.parts.values(), orders, strict=True)]
        permuted = HeldOut({str(i): pair for i, pair in enumerate(pairs)}, joined)
        beaten += permuted.r >= held.r
    np.testing.assert_allclose(found.p, (1 + beaten) / 201)


@pytest.mark.parametrize("lengths", [(300,), (120, 90)])
@pytest.mark.parametrize("null", ["circular-shift", "blocks"])
def test_on_smooth_noise_p_is_calibrated(null: Null, lengths: tuple[int, ...]) -> None:
    """Each voxel has a prediction of its own, so that voxels are independent tests."""
    n = 2000
    found = permutation_test(noise(n, lengths, seed=3), null, n_permutations=400)
    for level in (0.05, 0.2):
        assert within_binomial(int((found.p < level).sum()), n, level)


def test_a_shuffle_of_single_trs_would_not_be_calibrated() -> None:
    """What the blocks are for: of one TR, they call smooth noise significant."""
    found = permutation_test(noise(300, (120,), seed=4), "blocks", block=1, n_permutations=100)
    assert (found.p < 0.05).mean() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("smoothness", [0.0, 0.5, 0.8])
def test_calibration_over_many_voxels(smoothness: float) -> None:
    rng = np.random.default_rng(11)
    shape = (290, 10_000)
    held = HeldOut({"story": (ar1(rng, shape, smoothness), ar1(rng, shape, smoothness))})
    found = permutation_test(held)
    # There are 289 shifts, so the levels are those that p can have.
    for level in (0.05, 0.1):
        assert within_binomial(int((found.p <= level).sum()), shape[1], level)
    blocks = permutation_test(held, "blocks")
    assert 0.04 < (blocks.p <= 0.05).mean() < 0.08


def test_the_maximum_over_voxels_holds_the_family_wise_error() -> None:
    n, rejected = 200, 0
    for seed in range(n):
        found = permutation_test(noise(20, (80, 60), seed=100 + seed), n_permutations=100)
        rejected += int((found.p_fwer < 0.05).any())
    assert within_binomial(rejected, n, 0.05)


def test_signal_is_found_by_every_correction_and_its_region() -> None:
    held = with_signal(noise(200, seed=5), 20)
    found = permutation_test(held)
    assert (found.p_fwer[:20] < 0.05).all()
    assert (found.q[:20] < 0.05).all()
    assert (found.q[20:] < 0.05).mean() < 0.03
    assert found.regions["signal"] < 0.01
    assert found.regions["noise"] > 0.01


def test_undefined_voxels_have_no_p_and_do_not_count_as_tests() -> None:
    held = with_signal(noise(5, seed=6), 2)
    for x, _ in held.parts.values():
        x[:, 4] = 1.5
    found = permutation_test(held)
    assert np.isnan([found.p[4], found.q[4], found.p_fwer[4]]).all()
    assert np.isfinite(found.q[:4]).all()


def test_blocks_of_voxels_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    held = with_signal(noise(9, seed=7), 3)
    whole = permutation_test(held)
    monkeypatch.setattr(
        "voxelzoo.science.held_out.voxel_blocks", lambda n, size=0: [slice(0, 4), slice(4, n)]
    )
    parts = permutation_test(held)
    np.testing.assert_allclose(parts.p_fwer, whole.p_fwer)
    assert parts.regions == whole.regions


def test_false_discovery_rate_is_benjamini_and_hochbergs() -> None:
    p = np.array([0.01, 0.5, np.nan, 0.02, 0.03, 0.9])
    expected = []
    for i, value in enumerate(p):
        tests = np.sort(p[np.isfinite(p)])
        rank = [len(tests) * q / (k + 1) for k, q in enumerate(tests)]
        above = [scaled for scaled, q in zip(rank, tests, strict=True) if q >= value]
        expected.append(np.nan if i == 2 else min(1, *above))
    np.testing.assert_allclose(false_discovery_rate(p), expected)


# ---------------------------------------------------------------------------------- paired tests


def two_models(n_voxels: int, better: int, seed: int, n: int = 200) -> tuple[HeldOut, HeldOut]:
    """Two noisy views of the response, as good as each other but for the first voxels."""
    rng = np.random.default_rng(seed)
    response = ar1(rng, (n, n_voxels), 0.5)
    one, other = (0.5 * response + ar1(rng, (n, n_voxels), 0.5) for _ in range(2))
    one[:, :better] += response[:, :better]
    labels = ["better"] * better + ["same"] * (n_voxels - better)
    scale = 7.0  # of no importance
    return (
        HeldOut({"story": (one, response)}, labels=labels),
        HeldOut({"story": (scale * other, response)}, labels=labels),
    )


def test_paired_test_is_calibrated_and_finds_the_better_model() -> None:
    one, other = two_models(1500, 20, seed=8, n=400)
    found = paired_test(one, other, block=20, n_permutations=400)
    np.testing.assert_allclose(found.r, one.r - other.r)
    assert (found.p[:20] < 0.01).all()
    assert found.regions["better"] < 0.01
    assert within_binomial(int((found.p[20:] < 0.05).sum()), 1480, 0.05)


def test_paired_test_swaps_blocks_of_rows() -> None:
    one, other = two_models(3, 0, seed=9, n=40)
    found = paired_test(one, other, block=10, n_permutations=64)
    swaps = np.random.default_rng(0).integers(0, 2, (64, 4))
    (x, y), (z, _) = one.parts["story"], other.parts["story"]
    x, z = x / x.std(axis=0), z / z.std(axis=0)
    x, z = x - x.mean(axis=0), z - z.mean(axis=0)
    beaten = np.zeros(3)
    for swap in swaps:
        changed = np.repeat(swap, 10)[:, None] == 1
        mixed = correlation(np.where(changed, z, x), y) - correlation(np.where(changed, x, z), y)
        beaten += np.abs(mixed) >= np.abs(found.r) - 1e-9
    np.testing.assert_allclose(found.p, (1 + beaten) / 65)


@pytest.mark.parametrize("joined", [True, False])
def test_swaps_of_several_stories_equal_those_of_rows(joined: bool) -> None:
    """Each swap is done again on rows, predictions standardised over what is scored together."""
    rng = np.random.default_rng(14)
    lengths, n_voxels = (50, 30), 3
    one, other, y = (
        [ar1(rng, (n, n_voxels), 0.5).astype(np.float32) + 2 for n in lengths] for _ in range(3)
    )
    one[0][:, 2] = one[1][:, 2] = 4.0  # undefined
    held = [
        HeldOut({str(i): pair for i, pair in enumerate(zip(x, y, strict=True))}, joined)
        for x in (one, other)
    ]
    found = paired_test(*held, block=10, n_permutations=99, seed=5)
    drawn = np.random.default_rng(5)
    swaps = [drawn.integers(0, 2, (99, n)) for n in (5, 3)]
    groups = [(0, 1)] if joined else [(0,), (1,)]
    for voxel in (0, 1):
        beaten = 0
        for swap in range(99):
            difference = []
            for group in groups:
                swapped = np.concatenate([np.repeat(swaps[i][swap], 10) for i in group]) == 1
                x, z, heard = (
                    np.concatenate([side[i][:, voxel] for i in group]) for side in (one, other, y)
                )
                x, z = (x - x.mean()) / x.std(), (z - z.mean()) / z.std()
                first, second = np.where(swapped, z, x), np.where(swapped, x, z)
                difference.append(
                    np.corrcoef(first, heard)[0, 1] - np.corrcoef(second, heard)[0, 1]
                )
            beaten += abs(np.mean(difference)) >= abs(found.r[voxel]) - 1e-6
        assert found.p[voxel] == pytest.approx((1 + beaten) / 100)
    assert np.isnan([found.p[2], found.p_fwer[2]]).all()
    assert np.isfinite(found.regions[EVERYWHERE])


def test_an_order_of_blocks_that_changes_nothing_ties() -> None:
    """Of the 24 orders of four blocks one is as they were: it counts as doing as well."""
    rng = np.random.default_rng(15)
    y = rng.standard_normal((40, 50))
    held = HeldOut({"story": (y + 0.01 * rng.standard_normal(y.shape), y)})
    found = permutation_test(held, "blocks", n_permutations=200)
    drawn = np.random.default_rng(0)
    same = sum((drawn.permutation(4) == np.arange(4)).all() for _ in range(200))
    assert same > 0
    np.testing.assert_allclose(found.p, (1 + same) / 201)


def test_a_model_does_not_differ_from_itself() -> None:
    one, _ = two_models(4, 0, seed=10)
    np.testing.assert_array_equal(paired_test(one, one).p, np.ones(4))


def test_results_of_different_rows_are_not_paired() -> None:
    with pytest.raises(UsageError, match="cannot be paired"):
        paired_test(two_models(4, 0, seed=11)[0], two_models(4, 0, seed=12)[0])


def test_across_subjects_flips_every_sign() -> None:
    found = subjects_test(np.array([0.1, 0.2, 0.3, np.nan]))
    assert found.n_subjects == 3
    assert found.p == pytest.approx(2 / 8)
    assert subjects_test(np.array([0.1, -0.1])).p == 1
    many = np.random.default_rng(13).normal(0.5, 1, 20)
    assert 0.001 < subjects_test(many).p < 0.5
    with pytest.raises(DataError, match="at least two"):
        subjects_test(np.array([0.1]))


def test_parts_that_are_too_short_to_permute_are_an_error() -> None:
    with pytest.raises(DataError, match="smaller least shift"):
        permutation_test(noise(3, (30,)), least_shift=10)
    with pytest.raises(DataError, match="needs 4 or more"):
        permutation_test(noise(3, (35,)), "blocks")
