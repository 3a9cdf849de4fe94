"""What is held out, and that it reaches nobody who fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxelzoo.api import DataError, DatasetInfo, ScanClock, Story, UsageError
from voxelzoo.data.opening import plan_evaluation
from voxelzoo.data.responses import read_responses
from voxelzoo.science.design import DesignSpec
from voxelzoo.science.evaluation import evaluate, held_out_repeats
from voxelzoo.science.protocols import ANTONELLO2023, CLEAN
from voxelzoo.science.repeats import ceiling
from voxelzoo.science.splits import ContiguousFolds, HeldOutStories, train_on_fewer


class Data:
    """A dataset in memory."""

    def __init__(self, responses: dict[str, Any], train: tuple[str, ...], test: tuple[str, ...]):
        self._responses, self._train, self._test = responses, train, test

    def info(self) -> DatasetInfo:
        return DatasetInfo("memory", "in memory")

    def subjects(self) -> list[str]:
        return ["S1"]

    def train_stories(self) -> tuple[str, ...]:
        return self._train

    def test_stories(self) -> tuple[str, ...]:
        return self._test

    def story(self, name: str) -> Story:
        return Story(name)

    def clock(self, story: str) -> ScanClock:
        return ScanClock(2.0, 0.0, self._responses[story].shape[-2])

    def responses(self, subject: str, story: str) -> Any:
        return self._responses[story]

    def voxel_labels(self, subject: str) -> None:
        return None

    def fingerprint(self, subject: str, story: str) -> str:
        return story


class Spy:
    """Least squares that remembers what it was shown."""

    seen: list[tuple[Any, Any, Any]]

    def __init__(self) -> None:
        self.seen = []

    def fit(self, X: Any, Y: Any, groups: Any = None) -> Spy:
        self.seen.append((X, Y, groups))
        self.weights = np.linalg.lstsq(X, Y, rcond=None)[0]
        return self

    def predict(self, X: Any) -> Any:
        return X @ self.weights

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {}


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(("n_trs", "n_folds", "gap"), [(362, 6, 5), (100, 5, 0), (61, 4, 3)])
def test_folds_cover_every_row_once_and_keep_their_distance(
    n_trs: int, n_folds: int, gap: int
) -> None:
    folds = ContiguousFolds("s", n_folds, gap).folds(n_trs)
    np.testing.assert_array_equal(np.concatenate([test for _, test in folds]), np.arange(n_trs))
    for train, test in folds:
        np.testing.assert_array_equal(np.diff(test), 1)
        assert min(abs(int(i) - int(j)) for i in train for j in test) == gap + 1
        assert len(train) >= n_trs - len(test) - 2 * gap


def test_inner_groups_are_the_other_folds() -> None:
    plan = ContiguousFolds("s", 4, 2)
    folds = plan.folds(80)
    for i, (train, _) in enumerate(folds):
        groups = plan.inner_groups(train, 80)
        for row, group in zip(train, groups, strict=True):
            assert row in folds[group][1]
        assert i not in groups


def test_a_story_too_short_for_its_folds_is_refused() -> None:
    with pytest.raises(DataError, match="too few for 6 folds"):
        ContiguousFolds("s", 6, 5).folds(20)


def test_test_stories_are_held_out_whole_and_one_story_is_cut() -> None:
    many = {name: np.zeros((30, 2)) for name in "abc"}
    assert plan_evaluation(Data(many, ("a", "b"), ("c",))) == HeldOutStories(("a", "b"), ("c",))
    assert plan_evaluation(Data(many, ("a",), ())) == ContiguousFolds("a", 6, 5)
    with pytest.raises(DataError, match="name at least one test story"):
        plan_evaluation(Data(many, ("a", "b"), ()))


def test_clean_equals_a_naive_loop() -> None:
    """Every step written out by hand: z-score a story, delay within it, join, fit, correlate."""
    random, delays = rng(), (1, 2)
    states = {name: random.normal(2, 3, (n, 3)) for name, n in (("a", 40), ("b", 50), ("c", 30))}
    truth = random.normal(size=(3, 4))
    responses = {
        name: np.roll(s, 1, axis=0) @ truth + random.normal(size=(len(s), 4))
        for name, s in states.items()
    }
    data = Data(responses, ("a", "b"), ("c",))

    def design(name: str) -> Any:
        s = states[name]
        z = np.zeros_like(s)
        for unit in range(3):
            z[:, unit] = (s[:, unit] - s[:, unit].mean()) / s[:, unit].std()
        rows = np.zeros((len(s), 6))
        for t in range(len(s)):
            for i, delay in enumerate(delays):
                if t - delay >= 0:
                    rows[t, 3 * i : 3 * i + 3] = z[t - delay]
        return rows

    def standard(y: Any) -> Any:
        return (y - y.mean(axis=0)) / y.std(axis=0)

    X = np.vstack([design("a"), design("b")])
    Y = np.vstack([standard(responses["a"]), standard(responses["b"])])
    prediction = design("c") @ np.linalg.lstsq(X, Y, rcond=None)[0]
    expected = [np.corrcoef(prediction[:, v], responses["c"][:, v])[0, 1] for v in range(4)]

    read = {name: read_responses(data, "S1", name, len(states[name]), True) for name in states}
    plan = HeldOutStories(("a", "b"), ("c",))
    scores = evaluate(plan, CLEAN, DesignSpec(Spy, delays), states, read)
    np.testing.assert_allclose(scores.r, expected, rtol=1e-4)
    assert (scores.n_train, scores.n_test) == (90, 30)


def test_delays_cross_stories_only_under_the_papers_protocol() -> None:
    random = rng()
    states = {name: random.normal(size=(60, 1)) for name in "abc"}
    responses = {name: random.normal(size=(60, 2)) for name in "abc"}
    read = {n: read_responses(Data(responses, (), ()), "S1", n, 60, False) for n in "abc"}
    plan, spies = HeldOutStories(("a", "b"), ("c",)), []

    def spy() -> Spy:
        spies.append(Spy())
        return spies[-1]

    for protocol in (CLEAN, ANTONELLO2023):
        evaluate(plan, protocol, DesignSpec(spy, (1,)), states, read)
    clean, paper = (spy.seen[0][0] for spy in spies)
    last_of_a = (states["a"][-1] - states["a"].mean(axis=0)) / states["a"].std(axis=0)
    assert clean[60, 0] == 0
    assert paper[60, 0] == pytest.approx(last_of_a[0])
    np.testing.assert_array_equal(np.unique(spies[0].seen[0][2]), [0, 1])


def test_the_paper_drops_the_first_hundred_seconds_of_a_test_story() -> None:
    random = rng()
    states = {name: random.normal(size=(60, 1)) for name in "ab"}
    responses = {name: random.normal(size=(60, 2)) for name in "ab"}
    read = {n: read_responses(Data(responses, (), ()), "S1", n, 60, False) for n in "ab"}
    plan = HeldOutStories(("a",), ("b",))
    assert evaluate(plan, CLEAN, DesignSpec(Spy, (1,)), states, read).n_test == 60
    assert evaluate(plan, ANTONELLO2023, DesignSpec(Spy, (1,)), states, read).n_test == 20


def test_held_out_rows_never_reach_the_regressor() -> None:
    """Responses of a fold may change at will; the fit that predicts it must not."""
    random = rng()
    states = {"s": random.normal(size=(90, 2))}
    Y = random.normal(size=(90, 3))
    changed = Y.copy()
    changed[30:60] += 100
    plan, spies = ContiguousFolds("s", 3, 4), []

    def spy() -> Spy:
        spies.append(Spy())
        return spies[-1]

    for values in (Y, changed):
        read = {"s": read_responses(Data({"s": values}, ("s",), ()), "S1", "s", 90, False)}
        evaluate(plan, CLEAN, DesignSpec(spy, (1, 2)), states, read)
    np.testing.assert_array_equal(spies[1].seen[0][1], spies[4].seen[0][1])
    assert not np.array_equal(spies[0].seen[0][1], spies[3].seen[0][1])


def test_undefined_voxels_stay_undefined() -> None:
    random = rng()
    states = {name: random.normal(size=(50, 2)) for name in "ab"}
    responses = {name: random.normal(size=(50, 4)) for name in "ab"}
    responses["a"][7, 1] = np.nan
    responses["a"][:, 2] = 3.0
    responses["b"][:, 2] = 3.0
    data = Data(responses, ("a",), ("b",))
    read = {n: read_responses(data, "S1", n, 50, True) for n in "ab"}
    scores = evaluate(HeldOutStories(("a",), ("b",)), CLEAN, DesignSpec(Spy, (1,)), states, read)
    np.testing.assert_array_equal(np.isnan(scores.r), [False, True, True, False])


def test_repeats_are_averaged_and_kept_for_a_ceiling() -> None:
    random = rng()
    signal = random.normal(size=(200, 1))
    states = dict.fromkeys("ab", signal)
    noisy = signal[None] + random.normal(size=(5, 200, 3))
    data = Data({"a": signal + np.zeros((1, 3)), "b": noisy}, ("a",), ("b",))
    read = {n: read_responses(data, "S1", n, 200, True) for n in "ab"}
    plan = HeldOutStories(("a",), ("b",))
    (repeats,) = held_out_repeats(plan, CLEAN, read).values()
    scores = evaluate(plan, CLEAN, DesignSpec(Spy, (0,)), states, read)
    scores = replace(scores, ceiling=ceiling(repeats[...]))
    # One part signal to one part noise, five repeats: r of the truth is sqrt(5 / 6).
    np.testing.assert_allclose(scores.ceiling, np.sqrt(5 / 6), atol=0.05)
    np.testing.assert_allclose(scores.r, np.sqrt(5 / 6), atol=0.05)
    assert scores.maps()["r_normalised"] == pytest.approx(scores.r / scores.ceiling)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((50,), "expected"), ((49, 3), "49 response rows"), ((2, 2, 50, 3), "expected")],
)
def test_responses_that_do_not_fit_the_clock_are_refused(
    shape: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    data = Data({"a": np.zeros(shape)}, ("a",), ())
    with pytest.raises(DataError, match=message):
        read_responses(data, "S1", "a", 50, True)


def test_a_smaller_training_set_is_part_of_a_larger_one_of_the_same_seed() -> None:
    everything = HeldOutStories(tuple("abcdefgh"), ("t",))
    for seed in range(5):
        few, more = (set(train_on_fewer(everything, n, seed).train) for n in (3, 5))
        assert few < more < set(everything.train)
    draws = {train_on_fewer(everything, 3, seed).train for seed in range(5)}
    assert len(draws) > 1
    with pytest.raises(UsageError, match="there are 8 training stories"):
        train_on_fewer(everything, 9, 0)


class Split(Spy):
    """Takes feature spaces, and says what each adds."""

    def set_params(self, spaces: Any) -> None:
        self.spaces = spaces

    def score_split(self, X: Any, Y: Any) -> Any:
        parts = [X[:, s] @ self.weights[s] for s in self.spaces.values()]
        return np.stack([(part * Y).mean(axis=0) for part in parts])


def test_spaces_are_delayed_one_beside_the_other() -> None:
    random = rng()
    states = {name: random.normal(size=(60, 3)) for name in "ab"}
    responses = {name: random.normal(size=(60, 4)) for name in "ab"}
    responses["a"][:, 1] = 0
    read = {n: read_responses(Data(responses, (), ()), "S1", n, 60, False) for n in "ab"}
    spies = []

    def spy() -> Split:
        spies.append(Split())
        return spies[-1]

    fitting = DesignSpec(spy, (1, 2), spaces={"one": 1, "two": 2})
    scores = evaluate(HeldOutStories(("a",), ("b",)), CLEAN, fitting, states, read)
    assert spies[0].spaces == {"one": slice(0, 2), "two": slice(2, 6)}
    X = spies[0].seen[0][0]
    z = (states["a"] - states["a"].mean(axis=0)) / states["a"].std(axis=0)
    for column, (unit, delay) in enumerate([(0, 1), (0, 2), (1, 1), (2, 1), (1, 2), (2, 2)]):
        np.testing.assert_allclose(X[delay:, column], z[:-delay, unit], rtol=1e-5)
    assert scores.spaces.split_r is not None
    assert scores.spaces.split_r.shape == (2, 4)
    np.testing.assert_array_equal(np.isnan(scores.spaces.split_r[0]), [False, True, False, False])
