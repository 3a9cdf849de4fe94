"""Leak guards: each catches its leak by name, and an override is in the result and its key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_folder import random_text, slow_noise, write_study
from voxelzoo.api import Audio, DataError, Story, UsageError, Words
from voxelzoo.data.leaks import GUARDS, check_leaks, find_leaks
from voxelzoo.science.protocols import ANTONELLO2023, CLEAN
from voxelzoo.science.splits import ContiguousFolds, HeldOutStories
from voxelzoo.science.traces import ResponseTrace, shared_rows
from zoo_cli import Zoo

APART = HeldOutStories(("a", "b"), ("c",))


def story(name: str, text: list[str]) -> Story:
    onsets = np.arange(len(text)) * 0.4
    return Story(name, words=Words(tuple(text), onsets, onsets + 0.3))


def texts(**changed: list[str]) -> dict[str, Story]:
    """Three stories of 300 random words each, those named changed."""
    found = {name: random_text(300, seed) for seed, name in enumerate("abc")} | changed
    return {name: story(name, text) for name, text in found.items()}


def guards(stories: dict[str, Story]) -> list[str]:
    return [leak.guard for leak in find_leaks(APART, stories)]


def test_stories_of_their_own_pass() -> None:
    assert guards(texts()) == []
    assert check_leaks(APART, texts()) == []


@pytest.mark.parametrize(
    "of_a",
    [
        lambda a: a,
        lambda a: [word.upper() + "," for word in a],
        lambda a: a[100:200],  # contained
        lambda a: a[:200] + random_text(100, 9),  # two thirds
        lambda a: ["", *a, ""],
    ],
)
def test_a_test_story_told_in_training_is_found(of_a: Callable[[list[str]], list[str]]) -> None:
    a = random_text(300, 0)
    assert guards(texts(c=of_a(a))) == ["shared-text"]
    with pytest.raises(DataError, match=r"'c'.*'a'.*guard shared-text.*--allow-leak shared-text"):
        check_leaks(APART, texts(c=of_a(a)))


def test_a_training_story_within_a_test_story_is_found() -> None:
    c = random_text(600, 5)
    assert guards(texts(c=c, b=c[200:400])) == ["shared-text"]


def test_a_third_in_common_is_another_story() -> None:
    a = random_text(300, 0)
    assert guards(texts(c=a[:100] + random_text(200, 9))) == []


def test_one_repeated_word_is_no_leak() -> None:
    assert guards(texts(a=["la"] * 50, c=["la"] * 80)) == []


def test_the_same_sound_is_found_under_other_words(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).uniform(-0.1, 0.1, 16_000)
    for name in ("one.wav", "two.wav"):
        soundfile.write(tmp_path / name, sound, 16_000)
    stories = texts()
    stories["b"] = replace(stories["b"], audio=Audio(path=tmp_path / "one.wav"))
    stories["c"] = replace(stories["c"], audio=Audio(path=tmp_path / "two.wav"))
    assert guards(stories) == ["shared-sound"]
    soundfile.write(tmp_path / "two.wav", -sound, 16_000)
    stories["c"] = replace(stories["c"], audio=Audio(path=tmp_path / "two.wav"))
    assert guards(stories) == []


# ------------------------------------------------------------------------------------ responses


def traces(**arrays: np.ndarray) -> dict[str, ResponseTrace]:
    return {name: ResponseTrace.of(array) for name, array in arrays.items()}


def found(**arrays: np.ndarray) -> list[str]:
    return [leak.guard for leak in find_leaks(APART, {}, traces(**arrays))]


@pytest.mark.parametrize("n_voxels", [6, 40, 1000])
def test_rows_that_train_and_test_are_found_whatever_their_scale(n_voxels: int) -> None:
    a, b, c = (slow_noise(120, n_voxels, seed) for seed in range(3))
    assert found(a=a, b=b, c=c) == []
    c[30:90] = b[10:70]
    assert shared_rows(ResponseTrace.of(c), ResponseTrace.of(b)) == 60
    rng = np.random.default_rng(0)
    scaled = (b - rng.normal(size=n_voxels)) * rng.uniform(0.1, 10, n_voxels)
    assert found(a=a, b=scaled.astype(np.float32), c=c) == ["shared-responses"]


def test_a_single_repeat_that_trains_is_found() -> None:
    a, b = slow_noise(80, 50, 0), slow_noise(80, 50, 1)
    repeats = np.stack([slow_noise(80, 50, seed) for seed in (2, 3, 4)])
    assert found(a=a, b=b, c=repeats) == []
    assert found(a=repeats[1], b=b, c=repeats) == ["shared-responses"]
    assert found(a=repeats.mean(axis=0), b=b, c=repeats) == ["shared-responses"]


def test_voxels_that_all_do_the_same_are_not_mistaken_for_shared_rows() -> None:
    one = slow_noise(120, 1, 0)
    arrays = {name: slow_noise(120, 1, i) * np.ones(50) for i, name in enumerate("abc")}
    assert found(**{name: array.astype(np.float32) for name, array in arrays.items()}) == []
    dead = np.full((120, 50), np.nan, dtype=np.float32)
    assert found(a=dead, b=np.zeros((120, 50)), c=dead) == []
    assert one.shape == (120, 1)


def test_shuffled_rows_are_found_where_other_stories_are_slow() -> None:
    a, b, c = (slow_noise(150, 50, seed) for seed in range(3))
    shuffled = np.random.default_rng(0).permutation(b)
    assert found(a=a, b=shuffled, c=c) == ["shuffled-rows"]


def test_a_repeat_out_of_order_is_found_among_the_others() -> None:
    a, b = slow_noise(150, 50, 0), slow_noise(150, 50, 1)
    repeats = np.stack([slow_noise(150, 50, seed) for seed in (2, 3, 4)])
    assert found(a=a, b=b, c=repeats) == []
    repeats[1] = np.random.default_rng(0).permutation(repeats[1])
    (leak,) = find_leaks(APART, {}, traces(a=a, b=b, c=repeats))
    assert "'c', repeat 2," in leak.reason


def test_noise_that_is_white_in_every_story_is_not_called_shuffled() -> None:
    rng = np.random.default_rng(0)
    assert found(**{name: rng.normal(size=(150, 50)) for name in "abc"}) == []


# ------------------------------------------------------------------------------------- the rest


def test_a_gap_shorter_than_the_delays_is_found() -> None:
    near, far = ContiguousFolds("a", 4, 3), ContiguousFolds("a", 4, 4)
    assert check_leaks(far, {}, delays=(1, 2, 3, 4)) == []
    with pytest.raises(DataError, match="guard fold-gap"):
        check_leaks(near, {}, delays=(1, 2, 3, 4))


def test_delays_across_stories_are_a_protocols_own_or_refused() -> None:
    assert check_leaks(APART, {}, protocol=CLEAN) == []
    assert check_leaks(APART, {}, protocol=ANTONELLO2023) == ["delays-across-stories"]
    with pytest.raises(DataError, match="guard delays-across-stories"):
        check_leaks(APART, {}, protocol=replace(ANTONELLO2023, name="clean"))


def test_an_unknown_guard_is_refused() -> None:
    with pytest.raises(UsageError, match="shared-text"):
        check_leaks(APART, {}, allow=("everything",))


def test_stories_of_two_words_at_a_constant_rate_may_be_the_same() -> None:
    text = ["cat", "dog"] * 25
    assert guards(texts(b=text, c=text)) == []
    onsets = np.sort(np.random.default_rng(0).uniform(0, 60, len(text)))
    irregular = Story("b", words=Words(tuple(text), onsets, onsets + 0.1))
    assert guards({**texts(), "b": irregular, "c": irregular}) == ["shared-text"]


@pytest.mark.parametrize("guard", ["shared-text", "shared-responses", "shuffled-rows"])
def test_a_leak_stops_a_run_unless_its_guard_is_allowed(
    zoo: Zoo, tmp_path: Path, guard: str
) -> None:
    data = write_study(tmp_path / "mine")
    run = ("run", "--plugin", "word-rate", "--dataset", data, "--json")
    assert zoo(*run).json["results"][0]["leaks"] == []
    responses = data / "responses" / "ann"
    if guard == "shared-text":
        words = (data / "stories/two/words.csv").read_text()
        (data / "stories/three/words.csv").write_text(words)
    elif guard == "shared-responses":
        rows = np.load(responses / "three.npy")
        rows[20:60] = np.load(responses / "one.npy")[40:80]
        np.save(responses / "three.npy", rows)
    else:
        rows = np.load(responses / "two.npy")
        np.save(responses / "two.npy", np.random.default_rng(0).permutation(rows))
    stopped = zoo(*run)
    assert stopped.code == 6
    assert f"guard {guard}" in stopped.json["error"]["message"]
    assert f"guard {guard}" in stopped.err
    assert guard in zoo("data", "check", data).out
    allowed = zoo(*run, "--allow-leak", guard)
    assert allowed.code == 0, allowed.err
    (record,) = allowed.json["results"]
    assert record["leaks"] == [guard]


def test_an_override_is_part_of_the_key(zoo: Zoo, tmp_path: Path) -> None:
    run = ("run", "-p", "word-rate", "--dataset", write_study(tmp_path / "mine"), "--json")
    plain, over = (
        zoo(*run, *more).json["results"][0] for more in ((), ("--allow-leak", "fold-gap"))
    )
    assert plain["key"] != over["key"]
    assert over["leaks"] == []  # nothing was there to let through
    assert zoo(*run, "--allow-leak", "nothing").code == 2


def test_every_guard_says_what_it_refuses() -> None:
    assert all(GUARDS.values())
