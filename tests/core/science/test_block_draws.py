"""r of resampled blocks is r of the rows that were drawn."""

from __future__ import annotations

import numpy as np
import pytest

from voxelzoo.api import DataError, UsageError
from voxelzoo.science.block_draws import (
    block_edges,
    block_sums,
    block_weights,
    drawn_r,
    n_whole_blocks,
)
from voxelzoo.science.held_out import HeldOut


def held_out(lengths: tuple[int, ...] = (43, 30), joined: bool = True) -> HeldOut:
    rng = np.random.default_rng(0)
    parts = {}
    for i, n in enumerate(lengths):
        prediction = rng.normal(size=(n, 3)) + 1000
        parts[f"s{i}"] = (prediction, prediction + rng.normal(size=(n, 3)) - 500)
    return HeldOut(parts, labels=None, joined=joined)


def rows_of(weights: np.ndarray, n_trs: int, block: int) -> np.ndarray:
    """Rows of a part, each as often as its block was drawn."""
    edges = block_edges(n_trs, block)
    return np.concatenate(
        [np.tile(np.arange(edges[i], edges[i + 1]), int(w)) for i, w in enumerate(weights)]
    ).astype(int)


@pytest.mark.parametrize("joined", [True, False])
def test_r_of_a_draw_is_that_of_its_rows(joined: bool) -> None:
    data, block = held_out(), 10
    weights = block_weights(data, "time", block, n_draws=5, seed=1)
    r = drawn_r(block_sums(data, slice(None), block), weights, "time", joined)
    for draw in range(5):
        pairs = []
        for own, (x, y) in zip(weights, data.parts.values(), strict=True):
            rows = rows_of(own[draw], len(x), block)
            pairs.append((x[rows], y[rows]))
        if joined:
            pairs = [tuple(np.concatenate(side) for side in zip(*pairs, strict=True))]
        for voxel in range(3):
            each = [np.corrcoef(x[:, voxel], y[:, voxel])[0, 1] for x, y in pairs]
            assert r[draw, voxel] == pytest.approx(np.mean(each), abs=1e-9)


def test_drawn_stories_are_drawn_whole() -> None:
    data = held_out((20, 25, 30))
    weights = block_weights(data, "stories", 10, n_draws=50, seed=0)
    assert [each.shape for each in weights] == [(50, 1)] * 3
    assert np.all(np.concatenate(weights, axis=1).sum(axis=1) == 3)
    r = drawn_r(block_sums(data, slice(None), 10), weights, "stories", True)
    draw = int(np.flatnonzero(weights[1][:, 0] == 1)[0])
    rows = [
        np.tile(np.stack(pair), (1, int(w[draw, 0]), 1))
        for w, pair in zip(weights, data.parts.values(), strict=True)
    ]
    x, y = np.concatenate(rows, axis=1)
    assert r[draw, 0] == pytest.approx(np.corrcoef(x[:, 0], y[:, 0])[0, 1], abs=1e-9)


@pytest.mark.parametrize(
    ("n_trs", "block", "n"), [(100, 10, 10), (104, 10, 10), (7, 10, 1), (3, 99, 1)]
)
def test_blocks_are_nearly_equal_and_cover_every_row(n_trs: int, block: int, n: int) -> None:
    edges = block_edges(n_trs, block)
    assert n_whole_blocks(n_trs, block) == n == len(edges) - 1
    assert (edges[0], edges[-1]) == (0, n_trs)
    assert np.ptp(np.diff(edges)) <= 1


def test_too_few_blocks_are_refused() -> None:
    with pytest.raises(DataError, match="at least two"):
        block_weights(held_out((8,)), "time", 10, 5, 0)
    with pytest.raises(DataError, match="at least two held-out stories"):
        block_weights(held_out((80,)), "stories", 10, 5, 0)
    with pytest.raises(UsageError, match="1 or more"):
        block_weights(held_out(), "time", 0, 5, 0)
