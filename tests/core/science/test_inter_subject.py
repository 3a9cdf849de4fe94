"""Inter-subject correlation against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from voxelzoo.api import DataError
from voxelzoo.science.inter_subject import against_others, inter_subject


@pytest.fixture
def responses() -> np.ndarray:
    """Four subjects who share half of their signal, on different scales."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(80, 6))
    scale = np.array([1, 10, 0.1, 3])[:, None, None]
    return scale * (shared + rng.normal(size=(4, 80, 6))) + scale


def plain(responses: np.ndarray, subject: int, voxel: int) -> float:
    """r with the mean of the others' z-scored responses."""
    series = responses[:, :, voxel]
    z = [(row - row.mean()) / row.std() for row in series]
    others = np.mean([z[i] for i in range(len(z)) if i != subject], axis=0)
    return float(np.corrcoef(series[subject], others)[0, 1])


def test_it_is_r_with_the_mean_of_the_others(responses: np.ndarray) -> None:
    expected = [[plain(responses, s, v) for v in range(6)] for s in range(4)]
    np.testing.assert_allclose(inter_subject(responses), expected, atol=1e-12)
    for subject in range(4):
        others = [responses[i] for i in range(4) if i != subject]
        found = against_others(responses[subject], iter(others))
        np.testing.assert_allclose(found, expected[subject], atol=1e-12)


def test_an_undefined_voxel_of_one_subject_does_not_spoil_the_others(
    responses: np.ndarray,
) -> None:
    responses[1, :, 2] = 5.0
    responses[2, 3, 4] = np.nan
    r = inter_subject(responses)
    assert np.isnan(r[1, 2])
    assert np.isnan(r[2, 4])
    assert np.isfinite(np.delete(r.ravel(), [8, 16])).all()
    assert r[0, 2] == pytest.approx(plain(responses[[0, 2, 3]], 0, 2))
    others = [responses[1], responses[2], responses[3]]
    np.testing.assert_allclose(against_others(responses[0], others), r[0], atol=1e-12)


def test_one_subject_and_other_shapes_are_refused(responses: np.ndarray) -> None:
    with pytest.raises(DataError, match="at least two subjects"):
        inter_subject(responses[:1])
    with pytest.raises(DataError, match="at least two subjects"):
        against_others(responses[0], [])
    with pytest.raises(DataError, match="must correspond"):
        against_others(responses[0], [responses[1, :-1]])
