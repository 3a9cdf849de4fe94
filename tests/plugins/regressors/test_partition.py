from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import r2_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from voxelzoo.api import UsageError
from voxelzoo_regressors import Ridge, VariancePartition
from voxelzoo_regressors.partition import subsets, variance_partition


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


def spaces_problem() -> tuple[NDArray, NDArray, NDArray]:
    """Voxel 0 is driven by what only the first space has, 1 by what both have, 2 is constant."""
    rng = np.random.default_rng(0)
    only, shared = rng.standard_normal((2, 400, 3))
    X = np.hstack([only, shared, shared + 0.01 * rng.standard_normal((400, 3))])
    Y = np.stack([only.sum(axis=1), shared.sum(axis=1), np.ones(400)], axis=1)
    Y[:, :2] += 0.5 * rng.standard_normal((400, 2))
    return X, Y, np.repeat(np.arange(5), 80)


def test_partition_tells_unique_from_shared_variance() -> None:
    X, Y, groups = spaces_problem()
    model = VariancePartition([6, 3]).fit(X, Y, groups=groups)
    first, second = frozenset("0"), frozenset("1")
    parts = model.partition(X, Y)
    assert parts[first][0] > 0.8
    assert abs(parts[second][0]) < 0.05
    assert parts[first | second][1] > 0.8
    joint = Ridge(scoring="r2").fit(X, Y, groups=groups)
    np.testing.assert_allclose(model.predict(X), joint.predict(X))
    np.testing.assert_array_equal(model.cv_score_, joint.cv_score_)
    total = r2_score(Y[:, :2], joint.predict(X)[:, :2], multioutput="raw_values")
    np.testing.assert_allclose(sum(parts.values())[:2], total)
    assert np.isnan(parts[first][2])


def test_score_split_is_what_each_space_adds_to_the_correlation() -> None:
    X, Y, groups = spaces_problem()
    model = VariancePartition({"a": slice(0, 3), "b": slice(3, 6), "c": [6, 7, 8]}).fit(
        X, Y, groups=groups
    )
    split = model.score_split(X, Y)
    without = Ridge(scoring="r2").fit(X[:, 3:], Y, groups=groups).predict(X[:, 3:])
    joint = np.corrcoef(model.predict(X)[:, 0], Y[:, 0])[0, 1]
    np.testing.assert_allclose(split[0, 0], joint - np.corrcoef(without[:, 0], Y[:, 0])[0, 1])
    assert split.shape == (3, 3)
    assert abs(split[1:, 1]).max() < 0.05


def test_more_than_three_spaces_are_an_error() -> None:
    X, Y, groups = spaces_problem()
    with pytest.raises(UsageError, match="two or three"):
        VariancePartition([3, 2, 2, 2]).fit(X, Y, groups=groups)


@parametrize_with_checks([VariancePartition()])
def test_passes_check_estimator(estimator, check) -> None:
    check(estimator)
