from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from voxelzoo.api import DataError, UsageError
from voxelzoo.science.block_draws import block_sums, drawn_r
from voxelzoo.science.bootstrap import difference_interval, r_interval
from voxelzoo.science.held_out import HeldOut
from voxelzoo.science.scores import correlation

Floats = Any


def held_out(
    lengths: tuple[int, ...] = (60, 45), n_voxels: int = 5, seed: int = 0, *, joined: bool = True
) -> HeldOut:
    """Predictions that correlate about 0.5 with responses whose mean is not zero."""
    rng = np.random.default_rng(seed)
    parts = {}
    for i, n in enumerate(lengths):
        response = rng.standard_normal((n, n_voxels)) + 3
        parts[f"part{i}"] = (0.6 * response + rng.standard_normal((n, n_voxels)), response)
    return HeldOut(parts, joined, labels=["left"] * 2 + ["right"] * (n_voxels - 2))


def drawn_rows(part: tuple[Floats, Floats], weights: Floats, block: int) -> tuple[Floats, Floats]:
    """The rows of one draw, block after block, as a reader would gather them."""
    x, y = part
    n = max(1, round(len(x) / block))
    edges = np.linspace(0, len(x), n + 1).round().astype(int)
    rows = [
        row
        for b in range(n)
        for _ in range(int(weights[b]))
        for row in range(edges[b], edges[b + 1])
    ]
    return x[rows], y[rows]


@pytest.mark.parametrize("joined", [True, False])
def test_r_of_a_draw_is_that_of_its_rows(joined: bool) -> None:
    held = held_out(joined=joined)
    rng = np.random.default_rng(1)
    weights = [rng.multinomial(n, np.full(n, 1 / n), size=7).astype(float) for n in (6, 4)]
    sums = block_sums(held, slice(None), 10)
    found = drawn_r(sums, weights, "time", joined)
    for draw in range(7):
        pairs = [
            drawn_rows(part, w[draw], 10)
            for part, w in zip(held.parts.values(), weights, strict=True)
        ]
        if joined:
            x, y = (np.concatenate(side) for side in zip(*pairs, strict=True))
            expected = correlation(x, y)
        else:
            expected = np.mean([correlation(x, y) for x, y in pairs], axis=0)
        np.testing.assert_allclose(found[draw], expected, atol=1e-12)


@pytest.mark.parametrize("joined", [True, False])
def test_r_of_drawn_stories_is_that_of_their_rows(joined: bool) -> None:
    held = held_out(joined=joined)
    weights = [np.array([[2.0], [1.0]]), np.array([[0.0], [1.0]])]
    found = drawn_r(block_sums(held, slice(None), 10), weights, "stories", joined)
    np.testing.assert_allclose(found[0], held.r_of_parts["part0"], atol=1e-12)
    np.testing.assert_allclose(found[1], held.r, atol=1e-12)


def test_intervals_do_not_depend_on_blocks_of_voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    held = held_out()
    whole = r_interval(held, n_draws=50)
    monkeypatch.setattr(
        "voxelzoo.science.held_out.voxel_blocks", lambda n, size=0: [slice(0, 2), slice(2, n)]
    )
    parts = r_interval(held, n_draws=50)
    np.testing.assert_allclose(parts.low, whole.low)
    np.testing.assert_allclose(parts.regions["right"], whole.regions["right"])


def test_undefined_voxels_have_no_interval_and_do_not_count_in_regions() -> None:
    held = held_out()
    for x, _ in held.parts.values():
        x[:, 2] = 0.1
        x[3, 4] = np.nan
    found = r_interval(held, n_draws=50)
    assert np.isnan(found.low[[2, 4]]).all()
    assert np.isfinite(found.low[[0, 1, 3]]).all()
    np.testing.assert_allclose(found.regions["right"], (found.low[3], found.high[3]))


def ar1(rng: np.random.Generator, shape: tuple[int, int], rho: float) -> Floats:
    """Columns of autocorrelated noise of unit variance."""
    values = rng.standard_normal(shape)
    for t in range(1, shape[0]):
        values[t] = rho * values[t - 1] + np.sqrt(1 - rho**2) * values[t]
    return values


def test_an_interval_covers_the_truth_at_about_its_level() -> None:
    """Autocorrelated sides with a true r of 0.5; every voxel is a data set of its own."""
    rng = np.random.default_rng(2)
    shape = (300, 800)
    prediction = ar1(rng, shape, 0.5)
    response = 0.5 * prediction + np.sqrt(0.75) * ar1(rng, shape, 0.5)
    found = r_interval(HeldOut({"story": (prediction, response)}), n_draws=400)
    covered = ((found.low <= 0.5) & (found.high >= 0.5)).mean()
    # A percentile interval over 30 blocks is a little narrow; one over single TRs covers 82 %.
    assert 0.90 < covered < 0.98
    narrow = r_interval(HeldOut({"story": (prediction, response)}), n_draws=400, block=1)
    assert ((narrow.low <= 0.5) & (narrow.high >= 0.5)).mean() < covered - 0.03


def test_the_interval_of_a_difference_uses_the_same_draws() -> None:
    held = held_out()
    same = difference_interval(held, held, n_draws=50)
    np.testing.assert_array_equal(same.low, np.zeros(5))
    other = HeldOut(
        {name: (x + 0.5 * np.random.default_rng(3).standard_normal(x.shape), y)
         for name, (x, y) in held.parts.items()},
        labels=held.labels,
    )  # fmt: skip
    found = difference_interval(held, other, n_draws=300)
    assert ((found.low <= held.r - other.r) & (held.r - other.r <= found.high)).all()
    # Sharing responses and most of the prediction, it is narrower than either alone.
    assert (found.high - found.low < r_interval(held).high - r_interval(held).low).all()


def test_results_that_cannot_be_paired_or_drawn_are_an_error() -> None:
    with pytest.raises(UsageError, match="cannot be paired"):
        difference_interval(held_out(), held_out(seed=1))
    with pytest.raises(DataError, match="at least two held-out stories"):
        r_interval(held_out((60,)), over="stories")
    with pytest.raises(DataError, match="at least two"):
        r_interval(held_out((9,)))
