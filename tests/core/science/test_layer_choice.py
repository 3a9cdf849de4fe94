"""The layer that stands for a model, against loops over voxels and subjects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from voxelzoo.science.layer_choice import best_layer, choose_layer, layer_means

NAN = np.nan


def chosen_by_loops(scores: list[NDArray[np.floating[Any]]]) -> int | None:
    """Means of plain lists: voxels that all usable layers define, then subjects."""
    means: list[list[float]] = []
    for of_subject in scores:
        usable = [layer for layer in of_subject if any(np.isfinite(v) for v in layer)]
        voxels = [
            v for v in range(of_subject.shape[1]) if all(np.isfinite(layer[v]) for layer in usable)
        ]
        row = []
        for layer in of_subject:
            values = [float(layer[v]) for v in voxels]
            has_score = any(np.isfinite(v) for v in layer) and values
            row.append(sum(values) / len(values) if has_score else NAN)
        if any(np.isfinite(value) for value in row):
            means.append(row)
    best = None
    for layer in range(len(scores[0])):
        values = [row[layer] for row in means]
        if values and all(np.isfinite(v) for v in values):
            mean = sum(values) / len(values)
            if best is None or mean > best[0]:
                best = (mean, layer)
    return None if best is None else best[1]


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_layer_is_that_of_loops(seed: int, dtype: type[np.floating[Any]]) -> None:
    rng = np.random.default_rng(seed)
    scores = [rng.normal(size=(5, n)).astype(dtype) for n in (7, 12, 3)]
    for each in scores:
        each[rng.random(each.shape) < 0.1] = NAN
        each[rng.random(5) < 0.2] = NAN
    assert choose_layer(scores) == chosen_by_loops(scores)


def test_layers_are_compared_on_the_same_voxels() -> None:
    """The second layer is better wherever both are defined; the first has an easy voxel more."""
    scores = np.array([[0.1, 0.1, 0.9], [0.2, 0.2, NAN]])
    assert np.nanmean(scores, axis=1).argmax() == 0
    assert choose_layer([scores]) == 1


def test_a_layer_without_a_score_takes_no_voxel_from_the_others() -> None:
    means = layer_means(np.array([[0.1, 0.3], [NAN, NAN], [0.3, 0.5]]))
    np.testing.assert_allclose(means, [0.2, NAN, 0.4])


def test_subjects_count_alike_whatever_their_number_of_voxels() -> None:
    many, few = np.array([[0.2] * 100, [0.1] * 100]), np.array([[0.0], [0.3]])
    assert choose_layer([many, few]) == 1


def test_a_subject_without_a_score_is_ignored() -> None:
    assert best_layer(np.array([[0.1, NAN], [0.2, NAN]])) == 1


def test_a_layer_that_one_subject_does_not_have_cannot_be_chosen() -> None:
    assert best_layer(np.array([[0.1, 0.1], [0.9, NAN]])) == 0


def test_there_is_no_layer_to_choose_without_scores() -> None:
    assert choose_layer([np.full((3, 4), NAN)]) is None
    assert choose_layer([np.array([[0.1, NAN], [NAN, 0.1]])]) is None


def test_the_first_of_equal_layers_is_chosen() -> None:
    assert choose_layer([np.array([[0.1, 0.2], [0.2, 0.1], [0.0, 0.3]])]) == 0
