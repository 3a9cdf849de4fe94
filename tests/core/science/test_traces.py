"""Traces of responses: rows that two stories share, and stories whose rows are shuffled."""

from __future__ import annotations

import numpy as np
import pytest

from voxelzoo.science.traces import SAMPLE, ResponseTrace, out_of_order, shared_rows


def smooth(rng: np.random.Generator, n_trs: int = 120, n_voxels: int = 20) -> np.ndarray:
    """Responses with the autocorrelation of fMRI."""
    noise = rng.normal(size=(n_trs + 3, n_voxels))
    return sum(noise[i : n_trs + i] for i in range(4)).astype(np.float32)


@pytest.mark.parametrize("length", [20, 50])
@pytest.mark.parametrize(("at", "to"), [(0, 0), (30, 5)])
def test_a_shared_run_is_found_whatever_scale_and_offset(length: int, at: int, to: int) -> None:
    rng = np.random.default_rng(0)
    one, other = smooth(rng), smooth(rng)
    scale, offset = rng.uniform(0.1, 9, size=20), rng.normal(size=20)
    other[to : to + length] = one[at : at + length] * scale + offset
    assert shared_rows(ResponseTrace.of(one), ResponseTrace.of(other)) in (length, length + 1)


def test_independent_stories_and_other_brains_share_nothing() -> None:
    rng = np.random.default_rng(1)
    one = ResponseTrace.of(smooth(rng))
    assert shared_rows(one, ResponseTrace.of(smooth(rng))) == 0
    assert shared_rows(one, ResponseTrace.of(smooth(rng, n_voxels=21))) == 0
    assert shared_rows(one, ResponseTrace.of(np.zeros((120, 20), np.float32))) == 0


def test_a_run_in_one_repeat_or_in_their_mean_is_found() -> None:
    rng = np.random.default_rng(2)
    repeats = np.stack([smooth(rng) for _ in range(3)])
    trace = ResponseTrace.of(repeats)
    assert trace.sample.shape == (4, 120, 20)
    for rows in (repeats[1], repeats.mean(axis=0)):
        assert shared_rows(trace, ResponseTrace.of(rows)) == 120


def test_an_undefined_voxel_does_not_hide_a_shared_run() -> None:
    rng = np.random.default_rng(3)
    one = smooth(rng)
    other = one.copy()
    other[5, 3] = np.nan
    assert shared_rows(ResponseTrace.of(one), ResponseTrace.of(other)) == 120


def test_a_large_brain_is_sampled_from_end_to_end() -> None:
    sampled = ResponseTrace.sampled(95_556)
    assert len(sampled) == SAMPLE
    assert (sampled[0], sampled[-1]) == (0, 95_555)
    assert ResponseTrace.sampled(7).tolist() == list(range(7))


def test_lag_one_autocorrelation_is_that_of_a_plain_loop() -> None:
    rows = smooth(np.random.default_rng(4))
    each = [
        np.sum((v[1:] - v.mean()) * (v[:-1] - v.mean())) / np.sum((v - v.mean()) ** 2)
        for v in rows.T.astype(np.float64)
    ]
    (value,) = ResponseTrace.of(rows).lag1_autocorrelation
    assert value == pytest.approx(np.mean(each), abs=1e-6)
    assert np.isnan(ResponseTrace.of(rows[:2]).lag1_autocorrelation[0])


def test_only_the_shuffled_story_is_out_of_order() -> None:
    rng = np.random.default_rng(5)
    stories = {name: smooth(rng) for name in "abcd"}
    stories["c"] = rng.permutation(stories["c"], axis=0)
    traces = {name: ResponseTrace.of(rows) for name, rows in stories.items()}
    ((name, repeat, value, median),) = out_of_order(traces)
    assert (name, repeat) == ("c", 0)
    assert value < 0.2 < 0.5 < median
    assert not list(out_of_order({"a": traces["a"]}))
