"""Responses on disk are stacked and selected as arrays in memory are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from voxelzoo.science.voxel_arrays import (
    BLOCK_BYTES,
    CHUNK,
    StackedResponses,
    block_width,
    select,
    stack_responses,
    voxel_blocks,
)


class OnDisk:
    """An array that is read by voxel only, and counts the voxels that it reads."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self.shape, self.dtype = values.shape, values.dtype
        self.n_read = 0

    def __getitem__(self, key: Any) -> np.ndarray:
        assert key[0] is Ellipsis
        found = self._values[key]
        self.n_read += found.shape[-1]
        return found


@pytest.fixture(params=[(), (3,)], ids=["one", "repeats"])
def stories(request: pytest.FixtureRequest) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(*request.param, n, 11)).astype(np.float32) for n in (6, 4, 9)]


@pytest.mark.parametrize("skip", [0, 2])
def test_stories_on_disk_are_stacked_as_those_in_memory(
    stories: list[np.ndarray], skip: int
) -> None:
    expected = stack_responses(stories, skip)
    files = [OnDisk(story) for story in stories]
    stacked = stack_responses(files, skip)
    assert isinstance(stacked, StackedResponses)
    assert not any(file.n_read for file in files)
    assert stacked.shape == expected.shape
    np.testing.assert_array_equal(np.asarray(stacked), expected)
    np.testing.assert_array_equal(stacked[..., 3:7], expected[..., 3:7])
    assert len(stacked) == len(expected)


def test_rows_and_voxels_are_selected_without_reading(stories: list[np.ndarray]) -> None:
    whole = stack_responses(stories)
    rows, voxels = np.array([0, 5, 6, 12]), np.array([2, 3, 8])
    files = [OnDisk(story) for story in stories]
    chosen = select(stack_responses(files), rows, voxels)
    assert not any(file.n_read for file in files)
    expected = whole[..., rows, :][..., voxels]
    np.testing.assert_array_equal(chosen[...], expected)
    np.testing.assert_array_equal(select(whole, rows, voxels), expected)
    again = select(chosen, np.array([1, 3]), np.array([0, 2]))
    np.testing.assert_array_equal(again[...], expected[..., [1, 3], :][..., [0, 2]])
    assert chosen[..., 5:].shape[-1] == 0


def test_one_block_reads_its_voxels_and_no_others(stories: list[np.ndarray]) -> None:
    files = [OnDisk(story) for story in stories]
    _ = stack_responses(files)[..., 4:6]
    assert [file.n_read for file in files] == [2, 2, 2]


def test_rows_of_responses_on_disk_are_not_sliced(stories: list[np.ndarray]) -> None:
    stacked = stack_responses([OnDisk(story) for story in stories])
    with pytest.raises(IndexError, match="by voxel only"):
        _ = stacked[..., 0, 2:3]


@pytest.mark.parametrize("n_trs", [1, 300, 30_000, 10**9])
def test_a_block_is_whole_chunks_of_bounded_size(n_trs: int) -> None:
    width = block_width((n_trs,), np.dtype(np.float32))
    assert width >= 1
    assert width % CHUNK == 0 or width < CHUNK
    assert width == 1 or 4 * n_trs * width <= BLOCK_BYTES
    blocks = list(voxel_blocks(np.broadcast_to(np.float32(0), (n_trs, 2 * width + 1))))
    assert [b.stop - b.start for b in blocks] == [width, width, 1]
