"""A dataset made from arrays: what it gives back, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from voxelzoo.api import Audio, DataError, Dataset, NotFoundError, Words
from voxelzoo.data.memory import InMemoryDataset

STORY = [("one", 0.0, 0.4), ("two", 0.5, 0.9), ("three", 1.0, 1.2)]


def arrays(n_trs: int = 12, n_voxels: int = 3) -> np.ndarray:
    return np.random.default_rng(n_trs).standard_normal((n_trs, n_voxels))


def dataset(**changes: object) -> InMemoryDataset:
    settings: dict[str, object] = {
        "responses": {
            "S1": {"a": arrays(12), "b": arrays(9), "own": arrays(7)},
            "S2": {"a": arrays(12), "b": np.stack([arrays(9), arrays(9)])},
        },
        "tr": 1.5,
        "words": {"a": STORY, "b": STORY, "own": STORY},
        "test_stories": ["b"],
    }
    return InMemoryDataset("sketch", **{**settings, **changes})  # type: ignore[arg-type]


def test_it_keeps_the_dataset_contract() -> None:
    data = dataset()
    assert isinstance(data, Dataset)
    assert data.subjects() == ("S1", "S2")
    assert data.train_stories() == ("a",)
    assert data.test_stories() == ("b",)
    assert data.own_stories("S1") == ("own",)
    assert data.own_stories("S2") == ()


def test_responses_are_those_passed_and_cannot_be_changed() -> None:
    given = arrays(12)
    data = dataset(responses={"S1": {"a": given}}, words={"a": STORY}, test_stories=[])
    np.testing.assert_array_equal(data.responses("S1", "a"), given.astype(np.float32))
    before = data.fingerprint("S1", "a")
    given[:] = 0
    assert data.fingerprint("S1", "a") == before
    with pytest.raises(ValueError, match="read-only"):
        data.responses("S1", "a")[0, 0] = 1
    with data.open_responses("S1", "a") as opened:
        np.testing.assert_array_equal(opened[..., :2], data.responses("S1", "a")[:, :2])


def test_a_changed_value_changes_the_fingerprint() -> None:
    given = arrays(12)
    one = dataset(responses={"S1": {"a": given}}, words={"a": STORY}, test_stories=[])
    given[3, 1] += 1
    other = dataset(responses={"S1": {"a": given}}, words={"a": STORY}, test_stories=[])
    assert one.fingerprint("S1", "a") != other.fingerprint("S1", "a")


def test_the_clock_begins_where_each_story_says() -> None:
    data = dataset(start={"b": 4.5})
    assert data.clock("a").start == 0.0
    clock = data.clock("b")
    assert (clock.start, clock.tr, clock.n_trs) == (4.5, 1.5, 9)
    np.testing.assert_allclose(clock.times[:2], [5.25, 6.75])


@pytest.mark.parametrize("kind", ["rows", "frame", "words", "csv"])
def test_words_in_every_form_are_the_same_words(kind: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(STORY, columns=["word", "onset", "offset"])
    path = tmp_path / "words.csv"
    frame.to_csv(path, index=False)
    text, onsets, offsets = zip(*STORY, strict=True)
    forms = {
        "rows": STORY,
        "frame": frame[["offset", "word", "onset"]],
        "words": Words(text, np.array(onsets), np.array(offsets)),
        "csv": str(path),
    }
    data = dataset(responses={"S1": {"a": arrays()}}, words={"a": forms[kind]}, test_stories=[])
    words = data.story("a").need_words()
    assert words.text == text
    np.testing.assert_allclose(words.times, [0.2, 0.7, 1.1])


def test_audio_is_read_from_arrays_and_objects() -> None:
    samples = np.sin(np.arange(1600) / 10).astype(np.float32)
    forms = {"a": (samples, 16000), "b": Audio(samples=samples, rate=16000), "own": (samples, 8000)}
    data = dataset(words={}, audio=forms)
    assert data.story("a").need_audio().digest == data.story("b").need_audio().digest
    assert data.story("own").need_audio().duration == pytest.approx(0.2)
    assert data.story("a").words is None


def test_labels_are_by_subject_or_for_all() -> None:
    assert dataset(voxel_labels=["x", "y", "y"]).voxel_labels("S2") == ["x", "y", "y"]
    by_subject = dataset(voxel_labels={"S1": ["x", "y", "z"]})
    assert by_subject.voxel_labels("S1") == ["x", "y", "z"]
    assert by_subject.voxel_labels("S2") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"words": {"a": STORY, "b": STORY}}, "story 'own' has neither words, audio nor features"),
        ({"test_stories": "b"}, "test_stories is a sequence of names"),
        ({"test_stories": ["own"]}, "test story 'own': no responses of S2"),
        ({"voxel_labels": ["x"]}, "subject 'S1': 1 voxel labels for 3 voxels"),
        ({"responses": {}}, "responses has no subject"),
        ({"responses": {"S1": {"a": np.zeros(4)}}}, "shape (4,)"),
        ({"responses": {"S1": {"a": np.array([["x"]])}}}, "not real numbers"),
        ({"responses": {"S1": {"a": np.full((4, 2), 1e39)}}}, "TR 0, voxel 0 is infinite"),
        (
            {"responses": {"S1": {"a": arrays(5)}, "S2": {"a": arrays(6)}}, "test_stories": []},
            "subjects differ in the number of TRs (S1 5, S2 6)",
        ),
        ({"tr": 0.0}, "TR must be a positive number"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError) as raised:
        dataset(**changes)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (pd.DataFrame({"word": ["a"], "start": [0.0]}), "columns word, onset and offset"),
        ([("a", 0.0)], "sequence of (word, onset, offset)"),
        ([("a", 1.0, 0.5)], "words of story 'a': word 1 ('a') ends at 0.5 s"),
    ],
)
def test_bad_words_are_named_when_they_are_read(words: object, message: str) -> None:
    data = dataset(responses={"S1": {"a": arrays()}}, words={"a": words}, test_stories=[])
    with pytest.raises(DataError) as raised:
        data.story("a")
    assert message in str(raised.value)


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match="no subject 'S9' in 'sketch'; it has S1, S2"):
        dataset().responses("S9", "a")
    with pytest.raises(NotFoundError, match="no story 'z' in 'sketch'; it has a, b, own"):
        dataset().story("z")
    with pytest.raises(NotFoundError, match="subject 'S2' has no responses to story 'own'"):
        dataset().responses("S2", "own")
