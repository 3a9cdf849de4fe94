"""The paper's Box folder in miniature: pickles behind a flag, trims, repeats and its pitfalls."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import joblib
import numpy as np
import pytest

from heard import answer, word_times
from voxelzoo.api import DataError, Dataset, NotFoundError, UsageError
from voxelzoo_datasets.antonello import AntonelloBox
from voxelzoo_datasets.plugin import is_antonello_box
from zoo_cli import Zoo

STORIES = {
    "alpha": 160,
    "beta": 150,
    "wheretheressmoke": 140,
    "fromboyhoodtofatherhood": 130,
    "onapproachtopluto": 120,
}
"""Volumes of each scan, as respdict.json of the same stories would have them."""


def trfile(volumes: int, tr: float = 2.0, sound: float = 10.0) -> Any:
    """As the released code simulates them: five volumes less than the scan."""
    log = sys.modules["ridge_utils.stimulus_utils"].TRFile()  # type: ignore[attr-defined]
    log.trtimes = list(np.arange(volumes - 5) * tr)
    log.soundstarttime, log.soundstoptime, log.otherlabels, log.expectedtr = sound, -1, [], tr
    return log


def textgrid(words: list[tuple[float, float]]) -> Any:
    module: Any = sys.modules["ridge_utils.textgrid"]
    grid, phones, tier = module.TextGrid(), module.Tier(), module.Tier()
    phones.nameid, phones.simple_transcript = "phone", [("0.0", "1.0", "W")]
    tier.nameid = "word"
    tier.simple_transcript = [("0.0", "0.0", "sp"), *((repr(a), repr(b), "WORD") for a, b in words)]
    grid.tiers = [phones, tier]
    return grid


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The lab's modules, as they are importable where such files are written."""
    with monkeypatch.context() as during:
        during.setitem(sys.modules, "ridge_utils", types.ModuleType("ridge_utils"))
        for module, classes in {
            "textgrid": ("TextGrid", "Tier"),
            "stimulus_utils": ("TRFile",),
        }.items():
            there = types.ModuleType(f"ridge_utils.{module}")
            for name in classes:
                setattr(there, name, type(name, (), {"__module__": there.__name__}))
            during.setitem(sys.modules, there.__name__, there)
        yield


@pytest.fixture
def box(tmp_path: Path, lab: None) -> Path:
    """Two listeners and five stories; S03 has the ten repeats."""
    rng = np.random.default_rng(0)
    for folder in ("story_data", "responses/full_responses", "semantic_features"):
        (tmp_path / folder).mkdir(parents=True)
    words = {story: word_times(rng, 2.0 * n - 20) for story, n in STORIES.items()}
    joblib.dump({s: textgrid(w) for s, w in words.items()}, tmp_path / "story_data/grids_huge.jbl")
    joblib.dump(
        {s: [trfile(n)] for s, n in STORIES.items()}, tmp_path / "story_data/trfiles_huge.jbl"
    )
    for subject in ("UTS02", "UTS03"):
        responses = {
            story: answer(rng, words[story], 2.0 * np.arange(n - 20) + 10.0, 2.0)
            for story, n in STORIES.items()
        }
        if subject == "UTS03":
            mean = responses["wheretheressmoke"]
            noise = rng.normal(size=(10, *mean.shape))
            joblib.dump(
                mean + noise - noise.mean(axis=0),
                tmp_path / "responses/tensessions_wheretheressmoke_S03.jbl",
            )
        joblib.dump(responses, file(tmp_path, subject))
    joblib.dump(
        {s: rng.normal(size=(n - 5, 3)) for s, n in STORIES.items()},
        tmp_path / "semantic_features/downsampled_featureseqs_opt33b_layer33.jbl",
    )
    return tmp_path


def file(root: Path, subject: str) -> Path:
    return root / "responses" / "full_responses" / f"{subject}_responses.jbl"


def opened(root: Path, **options: str) -> AntonelloBox:
    return AntonelloBox(root, allow_pickle="true", **options)


def test_pickles_are_read_only_where_the_user_says_so(box: Path, zoo: Zoo) -> None:
    assert is_antonello_box(box)
    with pytest.raises(UsageError, match=r"grids_huge.jbl: a pickle, .* allow_pickle=true"):
        AntonelloBox(box)
    ended = zoo("run", "--plugin", "word-rate", "--dataset", box)
    assert ended.code == UsageError.exit_code
    assert "allow_pickle=true" in ended.err


def test_the_folder_is_read(box: Path) -> None:
    dataset = opened(box)
    assert isinstance(dataset, Dataset)
    assert dataset.subjects() == ("UTS02", "UTS03")
    assert dataset.train_stories() == ("alpha", "beta")
    assert dataset.test_stories() == (
        "wheretheressmoke",
        "fromboyhoodtofatherhood",
        "onapproachtopluto",
    )
    words = dataset.story("alpha").need_words()
    assert words.text[:2] == ("", "WORD")
    written = joblib.load(file(box, "UTS02"))["alpha"].astype(np.float32)
    np.testing.assert_array_equal(dataset.responses("UTS02", "alpha"), written)


def test_only_the_story_with_repeats_has_them(box: Path) -> None:
    dataset = opened(box)
    assert dataset.responses("UTS03", "wheretheressmoke").shape == (10, 120, 2)
    assert dataset.responses("UTS02", "wheretheressmoke").shape == (120, 2)
    assert dataset.responses("UTS03", "fromboyhoodtofatherhood").shape == (110, 2)
    with dataset.open_responses("UTS03", "wheretheressmoke") as there:
        assert there[..., :1].shape == (10, 120, 1)


def test_the_clock_is_the_papers(box: Path) -> None:
    """Feature row j of respdict - 5 is sampled at 2 j - 10 + 1 s; rows [10:-5] have responses."""
    dataset = opened(box)
    for story, volumes in STORIES.items():
        expected = (2.0 * np.arange(volumes - 5) - 10.0 + 1.0)[10:-5]
        np.testing.assert_allclose(dataset.clock(story).times, expected)
        assert len(expected) == volumes - 20
        assert dataset.clock(story).n_dropped == 10


def test_it_runs_end_to_end(box: Path, zoo: Zoo) -> None:
    """Voxel 0 answers each word 4 s later; were the clock off by a few TRs, r would vanish."""
    arguments = ["--dataset", box, "--allow-pickle"]
    checked = zoo("data", "check", box, "--dataset-option", "allow_pickle=true", "--json")
    assert checked.json["ok"], checked.out
    ended = zoo(
        "run", "--plugin", "word-rate", *arguments, "--dataset-option", "subjects=UTS03", "--json"
    )
    assert ended.code == 0, ended.err
    (record,) = ended.json["results"]
    assert (record["dataset"], record["subject"]) == ("antonello-box", "UTS03")
    assert (record["n_train"], record["n_test"]) == (270, 330)
    assert record["best_voxel_r"] > 0.6
    assert abs(2 * record["mean_r"] - record["best_voxel_r"]) < 4 / np.sqrt(330)


def test_published_features_are_given_on_their_own_times(box: Path, tmp_path: Path) -> None:
    dataset = opened(box, features=str(tmp_path / "out"))
    (name, path), *more = dataset.story("alpha").features.items()
    assert (name, more) == ("opt33b_layer33", [])
    with np.load(path) as stored:
        assert stored["states"].shape == (155, 3)
        np.testing.assert_allclose(stored["times"][10:-5], dataset.clock("alpha").times)


def test_a_program_among_the_files_is_refused_and_not_run(box: Path) -> None:
    witness = box / "it ran"

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch '{witness}'",)

    joblib.dump({"alpha": Evil()}, file(box, "UTS03"))
    with pytest.raises(DataError, match=r"UTS03_responses.jbl: contains (posix|nt).system"):
        opened(box)
    assert not witness.exists()


def test_tests_never_train(box: Path) -> None:
    for story in ("wheretheressmoke", "fromboyhoodtofatherhood", "onapproachtopluto"):
        with pytest.raises(UsageError, match=f"'{story}' is a test story of the paper"):
            opened(box, stories=f"alpha,{story}")
    assert opened(box, stories="beta").train_stories() == ("beta",)
    with pytest.raises(NotFoundError, match="no story 'gamma'; it has alpha, beta"):
        opened(box, stories="gamma")
    with pytest.raises(NotFoundError, match="no subject 'UTS01'; it has UTS02, UTS03"):
        opened(box, subjects="UTS01")


def test_missing_voxels_stay_missing(box: Path) -> None:
    """NaN in the folder's arrays are voxels without data, not zeros."""

    def lose(responses: dict[str, Any]) -> None:
        responses["alpha"][:, 1] = np.nan

    change(box, lose)
    found = opened(box).responses("UTS03", "alpha")
    assert np.isnan(found[:, 1]).all()
    assert np.isfinite(found[:, 0]).all()


def change(root: Path, how: Callable[[dict[str, Any]], object]) -> None:
    content = joblib.load(file(root, "UTS03"))
    how(content)
    joblib.dump(content, file(root, "UTS03"))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            lambda r: r.update(alpha=r["alpha"][:-5]),
            "'alpha': 135 rows, expected 140: its TRFile has 155 volumes, less 10 and 5",
        ),
        (
            lambda r: r.update(alpha=np.zeros((155, 2))),
            "'alpha': 155 rows, expected 140: its TRFile has 155 volumes, less 10 and 5",
        ),
        (
            lambda r: r.update(alpha=np.zeros((140, 3))),
            "'alpha': 3 voxels, but other stories have 2",
        ),
        (lambda r: r.update(alpha=np.zeros(140)), "'alpha': float64 (140,), expected numbers"),
        (lambda r: r.update(alpha="text"), "'alpha': str , expected numbers"),
        (lambda r: r.update(alpha=np.full((140, 2), np.inf)), "'alpha': TR 0, voxel 0 is infinite"),
        (lambda r: r.pop("wheretheressmoke"), "no story 'wheretheressmoke'"),
    ],
)
def test_a_response_that_fits_no_trim_is_named(
    box: Path, how: Callable[[dict[str, Any]], object], said: str
) -> None:
    change(box, how)

    def read_two() -> None:
        dataset = opened(box, subjects="UTS03")
        for story in ("alpha", "wheretheressmoke"):
            dataset.responses("UTS03", story)

    with pytest.raises((DataError, NotFoundError)) as caught:
        read_two()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_repeats_that_are_another_storys_are_named(box: Path) -> None:
    joblib.dump(np.zeros((10, 119, 2)), box / "responses/tensessions_wheretheressmoke_S03.jbl")
    with pytest.raises(DataError, match=r"S03.jbl: \(10, 119, 2\) are not repeats of"):
        opened(box).responses("UTS03", "wheretheressmoke")


def test_arrays_are_held_against_openneuros(box: Path, tmp_path: Path) -> None:
    """One of the folder's arrays was suspected to be another's; the copies are compared."""
    other = tmp_path / "ds003020"
    stored = other / "derivative" / "preprocessed_data" / "UTS03" / "wheretheressmoke.hf5"
    stored.parent.mkdir(parents=True)
    responses = joblib.load(file(box, "UTS03"))
    for same in (True, False):
        with h5py.File(stored, "w") as hf5:
            hf5["data"] = (
                responses["wheretheressmoke"]
                if same
                else np.roll(responses["wheretheressmoke"], 7, axis=0)
            )
        dataset = opened(box, openneuro=str(other))
        dataset.responses("UTS03", "alpha")
        if same:
            dataset.responses("UTS03", "wheretheressmoke")
        else:
            with pytest.raises(DataError, match=r"'wheretheressmoke': not the responses of .*hf5"):
                dataset.responses("UTS03", "wheretheressmoke")


def test_content_that_was_not_fetched_is_named(box: Path) -> None:
    file(box, "UTS02").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    with pytest.raises(DataError, match=r"UTS02_responses.jbl: not fetched yet \(git LFS\)"):
        opened(box)


def test_a_listener_may_have_stories_of_their_own(box: Path) -> None:
    """As in the paper, whose first listener lacks five of the others' stories."""
    change(box, lambda r: r.pop("beta"))
    dataset = opened(box)
    assert dataset.train_stories() == ("alpha",)
    assert dataset.own_stories("UTS02") == ("beta",)
    assert dataset.own_stories("UTS03") == ()
    assert dataset.responses("UTS02", "beta").shape[0] == dataset.clock("beta").n_trs
    assert dataset.story("beta").need_words()
    with pytest.raises(NotFoundError, match="no story 'beta'"):
        dataset.responses("UTS03", "beta")
    assert opened(box, stories="alpha").own_stories("UTS02") == ()


RECIPE = """\
schema_version: 1
name: box
title: The paper's folder
data: {dataset: lebel2023, own_stories: true}
models: {word-rate: {}}
figures:
  rate: {kind: map, summary: r, models: [word-rate]}
expect:
  n: {figure: rate, statistic: n_voxels, value: 4, tolerance: 0, why: a count, source: here}
"""


def test_a_recipe_runs_on_the_folder_where_its_pickles_are_allowed(box: Path, zoo: Zoo) -> None:
    change(box, lambda r: r.pop("beta"))
    (box / "box.yaml").write_text(RECIPE)
    run = ("reproduce", box / "box.yaml", "-d", box, "--json", "-q")
    ended = zoo(*run)
    assert (ended.code, "allow_pickle=true" in ended.err) == (UsageError.exit_code, True)
    found = zoo(*run, "--allow-pickle", "--dataset-option", "subjects=UTS02,UTS03")
    (line,) = found.json["reproduction"]["lines"]
    assert line["status"] == "match"


def test_a_story_without_words_is_reported(box: Path) -> None:
    change(box, lambda r: r.update(gamma=np.zeros((40, 2))))
    dataset = opened(box, subjects="UTS03")
    assert "gamma" not in dataset.train_stories()
    assert "Without gamma: no words or no TRFile." in dataset.info().summary


def test_what_is_read_is_held_against_what_was_published(box: Path) -> None:
    assert set(opened(box, subjects="UTS03").disagreements()) == {
        "wheretheressmoke: 120 TRs, published with 291",
        "fromboyhoodtofatherhood: 110 TRs, published with 348",
        "onapproachtopluto: 100 TRs, published with 271",
        "UTS03: 2 voxels, published with 95556",
        "UTS03: 5 stories, published with 101",
    }


def test_it_is_checked_and_imported_where_the_user_says_so(
    box: Path, zoo: Zoo, tmp_path: Path
) -> None:
    assert zoo("data", "import", box, tmp_path / "copy", "-q").code != 0
    checked = zoo("data", "check", box, "--allow-pickle", "--json", "-q").json
    assert checked["responses"]
    assert zoo("data", "import", box, tmp_path / "copy", "--allow-pickle", "-q").code == 0
    copied = zoo("data", "check", tmp_path / "copy", "--json", "-q").json
    assert [r["shape"] for r in copied["responses"]] == [r["shape"] for r in checked["responses"]]
