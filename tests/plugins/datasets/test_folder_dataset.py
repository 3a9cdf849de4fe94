"""A plain folder: what a user writes is what is read, and every slip is one clear line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from voxelzoo.api import DataError, Dataset, NotFoundError, UsageError, ZooError
from voxelzoo_datasets.folder import FolderDataset
from voxelzoo_datasets.plugin import is_alice, is_folder


def describe(root: Path, **changes: object) -> None:
    """Rewrites fields of dataset.yaml; ``None`` removes one."""
    path = root / "dataset.yaml"
    fields = yaml.safe_load(path.read_text()) | changes
    path.write_text(yaml.safe_dump({k: v for k, v in fields.items() if v is not None}))


def read_all(root: Path) -> None:
    """Everything a run reads."""
    dataset = FolderDataset(root)
    for story in (*dataset.train_stories(), *dataset.test_stories()):
        dataset.story(story)
        dataset.clock(story)
        for subject in dataset.subjects():
            dataset.responses(subject, story)
            dataset.voxel_labels(subject)
            dataset.fingerprint(subject, story)


def test_what_is_written_is_what_is_read(mini: Path) -> None:
    dataset = FolderDataset(mini)
    assert isinstance(dataset, Dataset)
    assert is_folder(mini)
    assert not is_alice(mini)
    assert dataset.info().name == "mini"
    assert dataset.info().licence == "CC0"
    assert dataset.subjects() == ("ann", "bob")
    assert dataset.train_stories() == ("one", "two")
    assert dataset.test_stories() == ("three",)
    np.testing.assert_allclose(dataset.clock("one").times, 4.0 + 2.0 * np.arange(12) + 1.0)
    assert dataset.clock("three").n_trs == 12
    assert dataset.story("two").need_words().text[3] == "two3"
    assert dataset.story("one").need_audio().duration == 1.0
    assert dataset.story("two").audio is None
    repeats = dataset.responses("bob", "three")
    assert repeats.shape == (3, 12, 5)
    assert repeats.dtype == np.float32
    np.testing.assert_allclose(repeats, np.load(mini / "responses/bob/three.npy"), rtol=1e-6)
    assert dataset.voxel_labels("ann") is None


def test_textgrid_labels_and_features_are_found(mini: Path) -> None:
    (mini / "stories/one/words.csv").unlink()
    (mini / "stories/one/one.TextGrid").write_text(
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n3\n<exists>\n1\n'
        '"IntervalTier"\n"words"\n0\n3\n2\n0\n1\n"sp"\n1\n3\n"hello"\n'
    )
    (mini / "stories/two/features").mkdir()
    np.savez(mini / "stories/two/features/mine.npz", times=[1.0], states=[[2.0]])
    (mini / "responses/ann/voxels.csv").write_text("voxel,label\n" + "0,AC\n" * 5)
    dataset = FolderDataset(mini)
    assert dataset.story("one").need_words().text == ("", "hello")
    assert list(dataset.story("two").features) == ["mine"]
    assert dataset.voxel_labels("ann") == ["AC"] * 5


def test_missing_voxels_stay_missing(mini: Path) -> None:
    responses = np.load(mini / "responses/ann/one.npy")
    responses[:, 2] = np.nan
    np.save(mini / "responses/ann/one.npy", responses)
    read = FolderDataset(mini).responses("ann", "one")
    assert np.isnan(read[:, 2]).all()
    assert np.isfinite(np.delete(read, 2, axis=1)).all()


def test_fingerprint_follows_the_file(mini: Path) -> None:
    before = FolderDataset(mini).fingerprint("ann", "one")
    assert FolderDataset(mini).fingerprint("ann", "one") == before
    responses = np.load(mini / "responses/ann/one.npy")
    responses[3, 1] += 1
    np.save(mini / "responses/ann/one.npy", responses)
    assert FolderDataset(mini).fingerprint("ann", "one") != before


def test_features_are_part_of_the_story(mini: Path) -> None:
    (mini / "stories/two/features").mkdir()
    file = mini / "stories/two/features/mine.npz"
    digests = []
    for value in (1.0, 2.0):
        np.savez(file, times=[1.0], states=[[value]])
        digests.append(FolderDataset(mini).story("two").digest("any"))
    assert digests[0] != digests[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tr": None}, "tr: missing"),
        ({"start": None}, "start: missing"),
        ({"tr": 0}, "tr: "),
        ({"tr": "2.0"}, "tr: "),
        ({"tr": float("nan")}, "tr: "),
        ({"tr": True}, "tr: "),
        ({"TR": 2.0}, "TR: no such field"),
        ({"license": "CC0"}, "licence"),
        ({"subjects": []}, "subjects: "),
        ({"subjects": [1, 2]}, "put text in quotes"),
        ({"subjects": ["ann", "ann"]}, "listed twice"),
        ({"subjects": ["../ann"]}, "is not a valid folder name"),
        ({"stories": {"train": ["one", "three"], "test": ["three"]}}, "'three' is in both"),
        ({"stories": {"train": [], "test": ["three"]}}, "stories.train: "),
        ({"stories": {"test": ["three"]}}, "stories.train: missing"),
        ({"stories": {"train": ["one"], "validation": ["two"]}}, "stories.validation: no such"),
        ({"stories": ["one"]}, "stories: "),
    ],
)
def test_a_wrong_field_is_named(mini: Path, changes: dict[str, object], said: str) -> None:
    describe(mini, **changes)
    with pytest.raises(DataError) as caught:
        FolderDataset(mini)
    line = str(caught.value)
    assert str(mini / "dataset.yaml") in line
    assert said in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "must contain fields"),
        (b"- a\n- b\n", "must contain fields"),
        (b"name: [unclosed\ntr: 2\n", "not valid YAML"),
        (b"name: a\nname: b\n", "'name' is given twice"),
        (b"name: \xff\xfe\n", "not UTF-8"),
        (b"tr: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        (b"name: 2001-99-99\n", "not valid YAML"),
        (b"[" * 5000, "not valid YAML"),
    ],
)
def test_a_damaged_description_is_named(mini: Path, content: bytes, said: str) -> None:
    (mini / "dataset.yaml").write_bytes(content)
    with pytest.raises(DataError, match=r"dataset.yaml") as caught:
        FolderDataset(mini)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def save(path: str, array: np.ndarray) -> Callable[[Path], None]:
    return lambda root: np.save(root / path, array)


def put(path: str, content: bytes) -> Callable[[Path], None]:
    return lambda root: (root / path).write_bytes(content) and None


@pytest.mark.parametrize(
    ("damage", "where", "said"),
    [
        (lambda root: (root / "responses/bob/two.npy").unlink(), "bob/two.npy", "missing"),
        (lambda root: shutil.rmtree(root / "responses"), "responses", "no subject has one.npy"),
        (save("responses/bob/two.npy", np.zeros(12)), "bob/two.npy", "shape (12,)"),
        (save("responses/bob/two.npy", np.zeros((0, 5))), "bob/two.npy", "shape (0, 5)"),
        (save("responses/bob/two.npy", np.zeros((12, 6))), "bob/two.npy", "6 voxels, but one.npy"),
        (save("responses/bob/two.npy", np.zeros((11, 5))), "two", "ann 12, bob 11"),
        (save("responses/bob/two.npy", np.zeros((12, 5), complex)), "bob/two.npy", "complex"),
        (save("responses/bob/two.npy", np.full((12, 5), "a")), "bob/two.npy", "<U1"),
        (save("responses/bob/two.npy", np.full((12, 5), None)), "bob/two.npy", "not a .npy"),
        (save("responses/bob/two.npy", np.full((12, 5), 1e300)), "bob/two.npy", "is infinite"),
        (put("responses/bob/two.npy", b"\x93NUMPY\x01\x00v"), "bob/two.npy", "not a .npy"),
        (put("responses/bob/two.npy", b"nothing"), "bob/two.npy", "not a .npy"),
        (lambda root: shutil.rmtree(root / "stories/one"), "stories/one", "no such folder"),
        (lambda root: (root / "stories/two/words.csv").unlink(), "stories/two", "no words.csv"),
        (put("stories/one/one.TextGrid", b"x"), "stories/one", "one.TextGrid"),
        (put("stories/one/b.wav", b"x"), "stories/one", "b.wav and sound.flac"),
        (
            put("stories/one/words.csv", b"word,onset\na,1\n"),
            "words.csv:1",
            "no column offset",
        ),
        (
            put("stories/one/words.csv", b"word,onset,offset\na,1,x\n"),
            "words.csv:2",
            "seconds",
        ),
        (put("responses/ann/voxels.csv", b"label\nAC\n"), "voxels.csv", "1 labels for 5"),
        (put("responses/ann/voxels.csv", b"roi\n1\n2\n3\n4\n5\n"), "voxels.csv", "'label'"),
    ],
)
def test_damage_is_named(mini: Path, damage: Callable[[Path], None], where: str, said: str) -> None:
    damage(mini)
    with pytest.raises(DataError) as caught:
        read_all(mini)
    assert where in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_array_is_damage(mini: Path) -> None:
    file = mini / "responses/ann/one.npy"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"one.npy"):
        FolderDataset(mini).responses("ann", "one")


def test_unknown_names_and_options(mini: Path) -> None:
    dataset = FolderDataset(mini)
    with pytest.raises(NotFoundError, match=r"no subject 'eve'.*ann, bob"):
        dataset.responses("eve", "one")
    with pytest.raises(NotFoundError, match=r"no story 'four'.*one, two, three"):
        dataset.story("four")
    with pytest.raises(UsageError, match="no option 'radius'"):
        FolderDataset(mini, radius="6mm")


FILES = (
    "dataset.yaml",
    "stories/one/words.csv",
    "responses/ann/one.npy",
    "responses/bob/three.npy",
)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    file=st.sampled_from(FILES),
    at=st.floats(0, 1),
    patch=st.binary(max_size=12),
    cut=st.integers(0, 40),
)
def test_any_damage_is_an_error_that_names_the_file_or_none(
    mini: Path, file: str, at: float, patch: bytes, cut: int
) -> None:
    path = mini / file
    whole = path.read_bytes()
    start = int(at * len(whole))
    path.write_bytes(whole[:start] + patch + whole[start + cut :])
    said = None
    try:
        read_all(mini)
    except ZooError as error:
        said = str(error)
    finally:
        path.write_bytes(whole)
    assert said is None or ("\n" not in said and (str(mini) in said or "story '" in said))
