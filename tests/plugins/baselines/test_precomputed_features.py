"""States computed elsewhere come in as they are, or not at all."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from voxelzoo.api import (
    DataError,
    Extractor,
    ExtractorRequest,
    ModelEntry,
    NotFoundError,
    Story,
)
from voxelzoo_baselines.features import PrecomputedFeatures, read_features
from zoo_cli import Zoo


def extractor(n_layers: int | None = None) -> PrecomputedFeatures:
    row = ModelEntry(name="mine", plugin="features", modality="any", n_layers=n_layers)
    return PrecomputedFeatures(ExtractorRequest(model=row))


def story(folder: Path, **arrays: Any) -> Story:
    np.savez(folder / "mine.npz", **arrays)
    return Story("s", features={"mine": folder / "mine.npz"})


def test_one_layer_comes_in_as_it_is(tmp_path: Path) -> None:
    made = extractor()
    assert isinstance(made, Extractor)
    given_states = np.arange(6.0).reshape(3, 2)
    given_story = story(tmp_path, times=[0.5, 0.5, 2], states=given_states)
    assert list(made.layers()) == [0]
    np.testing.assert_array_equal(made.times(given_story), [0.5, 0.5, 2])
    (block,) = made.extract(given_story, [0])
    assert block.start == 0
    assert block.states.dtype == np.float32
    np.testing.assert_array_equal(block.states, given_states[None])


def test_layers_come_in_the_order_asked_for(tmp_path: Path) -> None:
    given_states = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
    given_story = story(tmp_path, times=[0, 1, 2], states=given_states)
    made = extractor(n_layers=3)
    assert list(made.layers()) == [0, 1, 2, 3]
    (block,) = made.extract(given_story, [2, 0])
    np.testing.assert_array_equal(block.states, given_states[[2, 0]])


def test_other_content_is_another_story(tmp_path: Path) -> None:
    digests = {story(tmp_path, times=[0.0], states=[[value]]).digest("any") for value in (1.0, 2.0)}
    assert len(digests) == 2


def test_a_story_without_the_file_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="story 's' has no features 'mine'; it has: theirs"):
        extractor().times(Story("s", features={"theirs": tmp_path / "theirs.npz"}))


def test_layers_must_be_those_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mine.npz: 2 layers of states, expected 1"):
        extractor().times(story(tmp_path, times=[0], states=np.zeros((2, 1, 1))))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"states": [[1.0]]}, "no array 'times'; it has states"),
        ({"times": [1.0]}, "no array 'states'"),
        ({"times": [[1.0]], "states": [[1.0]]}, "times has shape (1, 1)"),
        ({"times": [1.0], "states": [1.0]}, "states has shape (1,)"),
        ({"times": [1.0], "states": np.zeros((1, 0))}, "states has shape (1, 0)"),
        ({"times": [1.0, 2.0], "states": [[1.0]]}, "2 times for 1 states"),
        ({"times": [2.0, 1.0], "states": [[1.0], [2.0]]}, "times[1] is 1 s, before times[0]"),
        ({"times": [1.0, np.nan], "states": [[1.0], [2.0]]}, "times[1] is not a finite"),
        ({"times": [1.0], "states": [[1.0, np.inf]]}, "layer 0, time 0, unit 1 is not finite"),
        ({"times": [1.0], "states": [[1e300]]}, "unit 0 is not finite"),
        ({"times": ["1.0"], "states": [[1.0]]}, "times holds <U3"),
        ({"times": [1.0], "states": [[1j]]}, "states holds complex128"),
        ({"times": [1.0], "states": np.array([[None]])}, "not an .npz archive of numbers"),
    ],
)
def test_damage_is_named(tmp_path: Path, arrays: Mapping[str, Any], said: str) -> None:
    damaged = story(tmp_path, **arrays)
    with pytest.raises(DataError) as caught:
        extractor().times(damaged)
    assert str(tmp_path / "mine.npz") in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    with pytest.raises(DataError, match=r"mine.npz: not an .npz"):
        read_features(path)
    for content in (b"", b"hello", b"\x80\x04]q\x00."):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"mine.npz: not an .npz"):
            read_features(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match=r"a single array, not an .npz"):
        read_features(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("times", "hello")
        archive.writestr("states", "hello")
    with pytest.raises(DataError, match=r"mine.npz"):
        read_features(path)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.floats(0, 1), patch=st.binary(max_size=8), cut=st.integers(0, 60))
def test_any_damage_is_named_or_harmless(tmp_path: Path, at: float, patch: bytes, cut: int) -> None:
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, times=np.arange(3.0), states=np.arange(6.0).reshape(3, 2))
    whole = path.read_bytes()
    start = int(at * len(whole))
    path.write_bytes(whole[:start] + patch + whole[start + cut :])
    said = str(path)
    try:
        read_features(path)
    except DataError as error:
        said = str(error)
    assert str(path) in said
    assert "\n" not in said


@pytest.mark.parametrize("content", [b"PK\x03\x04 and no more", b"", b"\x93NUMPY\x01\x00"])
def test_the_command_line_names_the_damaged_file(tmp_path: Path, zoo: Zoo, content: bytes) -> None:
    (tmp_path / "dataset.yaml").write_text(
        "{name: mini, tr: 2.0, start: 0.0, stories: {train: [one]}, subjects: [ann]}"
    )
    folder = tmp_path / "stories" / "one" / "features"
    folder.mkdir(parents=True)
    (folder / "mine.npz").write_bytes(content)
    (tmp_path / "responses" / "ann").mkdir(parents=True)
    np.save(tmp_path / "responses" / "ann" / "one.npy", np.zeros((80, 2)))
    ended = zoo("run", "--plugin", "features/mine", "--dataset", tmp_path)
    assert ended.code == DataError.exit_code
    assert str(folder / "mine.npz") in ended.err
