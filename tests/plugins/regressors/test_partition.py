from __future__ import annotations

import numpy as np
import pytest

from voxelzoo.api import UsageError
from voxelzoo_regressors.partition import choose_layer, subsets, variance_partition


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_parts_are_recovered_from_what_joint_models_explain(names: str) -> None:
    rng = np.random.default_rng(0)
    parts = {subset: rng.random(5) for subset in subsets(names)}
    # A model explains every part that one of its spaces has a share in.
    explained = {
        model: sum(value for part, value in parts.items() if part & model)
        for model in subsets(names)
    }
    found = variance_partition(explained)
    assert set(found) == set(parts)
    for part in parts:
        np.testing.assert_allclose(found[part], parts[part])


def test_a_missing_joint_model_is_named() -> None:
    one, two = frozenset("a"), frozenset("b")
    with pytest.raises(UsageError, match=r"a \+ b"):
        variance_partition({one: np.zeros(2), two: np.zeros(2)})


def test_layers_are_chosen_without_the_test_data() -> None:
    training = np.array([[0.2, 0.5, np.nan], [0.3, 0.2, np.nan], [0.2, 0.4, np.nan]])
    test = np.array([[0.9, 0.1, np.nan], [0.2, 0.3, np.nan], [0.3, 0.8, np.nan]])
    voxel = choose_layer(training, test, per="voxel")
    np.testing.assert_array_equal(voxel.chosen[:2], [1, 0])
    np.testing.assert_allclose(voxel.nested, [0.2, 0.1, np.nan])
    np.testing.assert_allclose(voxel.optimistic, [0.9, 0.8, np.nan])
    model = choose_layer(training, test, per="model")
    assert (model.chosen == 0).all()
    np.testing.assert_allclose(model.nested, [0.9, 0.1, np.nan])
    np.testing.assert_allclose(model.optimistic, [0.3, 0.8, np.nan])


def test_on_noise_the_nested_score_is_unbiased_and_the_optimistic_one_is_not() -> None:
    training, test = np.random.default_rng(1).standard_normal((2, 24, 4000))
    choice = choose_layer(training, test, per="voxel")
    assert abs(choice.nested.mean()) < 0.1
    assert choice.optimistic.mean() > 1
