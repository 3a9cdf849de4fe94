"""ds003020 in miniature: its layout, its clock, its leak, and content that was never fetched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile

from annex import unfetch
from voxelzoo.api import DataError, Dataset, NotFoundError, UsageError
from voxelzoo.reports.curves import Setting
from voxelzoo.store.store import open_store
from voxelzoo_datasets.imported import ImportedDataset
from voxelzoo_datasets.lebel import LebelDataset
from voxelzoo_datasets.plugin import is_alice, is_folder, is_lebel
from voxelzoo_datasets.triggers import read_report
from zoo_cli import Zoo

VOLUMES = {"alpha": 60, "beta": 50, "wheretheressmoke": 80, "fromboyhoodtofatherhood": 70}
VOXELS = {"UTS01": 4, "UTS02": 5, "UTS03": 6, "UTS09": 3}


def response(root: Path, subject: str, story: str) -> Path:
    return root / "derivative" / "preprocessed_data" / subject / f"{story}.hf5"


@pytest.fixture
def lebel(tmp_path: Path) -> Path:
    """Three listeners of four stories and a fourth who heard two, written as published."""
    rng = np.random.default_rng(0)
    derivative = tmp_path / "derivative"
    (derivative / "TextGrids").mkdir(parents=True)
    (tmp_path / "stimuli").mkdir()
    (derivative / "respdict.json").write_text(json.dumps(VOLUMES))
    for story, volumes in VOLUMES.items():
        (derivative / "TextGrids" / f"{story}.TextGrid").write_text(
            'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n9\n<exists>\n2\n'
            '"IntervalTier"\n"phone"\n0\n9\n1\n0\n9\n"W"\n'
            f'"IntervalTier"\n"word"\n0\n9\n2\n0\n1\n"sp"\n1\n9\n"{story.upper()}"\n'
        )
        soundfile.write(tmp_path / "stimuli" / f"{story}.wav", np.zeros(4410), 44_100)
        for subject, voxels in VOXELS.items():
            if subject == "UTS09" and story in ("beta", "fromboyhoodtofatherhood"):
                continue
            file = response(tmp_path, subject, story)
            file.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(file, "w") as stored:
                repeats = rng.normal(size=(10, volumes - 20, voxels))
                stored["data"] = repeats.mean(axis=0)
                if story == "wheretheressmoke":
                    stored["individual_repeats"] = repeats
    return tmp_path


def test_the_published_layout_is_read(lebel: Path) -> None:
    dataset = LebelDataset(lebel)
    assert isinstance(dataset, Dataset)
    assert is_lebel(lebel)
    assert not is_alice(lebel)
    assert not is_folder(lebel)
    assert dataset.subjects() == ("UTS01", "UTS02", "UTS03")
    assert dataset.train_stories() == ("alpha", "beta")
    assert dataset.test_stories() == ("wheretheressmoke", "fromboyhoodtofatherhood")
    with h5py.File(response(lebel, "UTS03", "alpha")) as stored:
        np.testing.assert_allclose(
            dataset.responses("UTS03", "alpha"), stored["data"][:], rtol=1e-6
        )
    assert dataset.responses("UTS03", "wheretheressmoke").shape == (10, 60, 6)
    assert dataset.story("beta").need_words().text == ("", "BETA")
    assert dataset.story("beta").need_audio().native_rate == 44_100
    assert dataset.info().licence == "CC0"


def test_the_clock_is_the_papers(lebel: Path) -> None:
    """Feature row j of respdict - 5 is sampled at 2 j - 10 + 1 s; rows [10:-5] have responses."""
    dataset = LebelDataset(lebel)
    for story, volumes in VOLUMES.items():
        expected = (2.0 * np.arange(volumes - 5) - 10.0 + 1.0)[10:-5]
        np.testing.assert_allclose(dataset.clock(story).times, expected)


def write_log(root: Path, story: str, begins: list[float], sound: float) -> Path:
    lines = [f"{begin:.4f} {'trigger' if i else 'init-trigger'}" for i, begin in enumerate(begins)]
    path = root / "trfiles" / f"{story}.report"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([*lines, f"{sound} sound-start", f"{sound + 99} sound-stop"]))
    return path


def test_a_log_of_triggers_sets_the_clock(lebel: Path) -> None:
    begins = [3.0 + 2.0045 * i for i in range(60)]
    write_log(lebel, "alpha", begins, sound=13.5)
    clock = LebelDataset(lebel).clock("alpha")
    assert clock.tr == pytest.approx(2.0045, abs=1e-6)
    expected = np.array(begins)[10:50] - 13.5 + 2.0045 / 2
    np.testing.assert_allclose(clock.times, expected, atol=1e-4)
    assert LebelDataset(lebel).clock("beta").tr == 2.0


@pytest.mark.parametrize("lost", [[7], [20, 40], [30, 31]])
def test_triggers_that_were_not_logged_are_put_back(lebel: Path, lost: list[int]) -> None:
    begins = [2.0045 * i for i in range(60)]
    log = write_log(lebel, "alpha", [b for i, b in enumerate(begins) if i not in lost], sound=10.0)
    triggers = read_report(log)
    assert triggers.n_repaired == len(lost)
    np.testing.assert_allclose(triggers.times, np.array(begins) - 10.0, atol=1e-3)
    assert triggers.tr == pytest.approx(2.0045, abs=1e-3)
    assert LebelDataset(lebel).clock("alpha").n_trs == 40


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "0 triggers"),
        ("0 init-trigger\n2 trigger\n", "the sound starts 0 times"),
        ("0 trigger\n2 trigger\n1 sound-start\n2 sound-start\n", "the sound starts 2 times"),
        ("0 trigger\nx trigger\n1 sound-start\n", ":2: 'x trigger' is not"),
        ("0 trigger\nnan trigger\n1 sound-start\n", ":2: 'nan trigger' is not"),
        ("0 trigger\n2 trigger\n1 trigger\n1 sound-start\n", ":3: a trigger at 1 s, not after"),
        ("0 trigger\n2 trigger\n1 sound-start\n", "triggers for 2 of 60 volumes"),
    ],
)
def test_a_damaged_log_is_named(lebel: Path, content: str, said: str) -> None:
    (lebel / "trfiles").mkdir()
    (lebel / "trfiles" / "alpha.report").write_text(content)
    with pytest.raises(DataError, match=r"alpha.report") as caught:
        LebelDataset(lebel).clock("alpha")
    assert said in str(caught.value)


def test_a_log_with_stray_triggers_is_refused(lebel: Path) -> None:
    begins = [2.0 * i for i in range(60)]
    write_log(lebel, "alpha", sorted([*begins, 50.9, 51.0, 51.1]), sound=10.0)
    with pytest.raises(DataError, match=r"alpha.report: volume \d+ is .* off an even clock"):
        LebelDataset(lebel).clock("alpha")


def test_test_stories_never_train_and_the_missing_one_is_reported(lebel: Path) -> None:
    dataset = LebelDataset(lebel)
    assert "fromboyhoodtofatherhood" not in dataset.train_stories()
    assert "onapproachtopluto" in dataset.info().summary
    with pytest.raises(UsageError, match="'fromboyhoodtofatherhood' is a test story"):
        LebelDataset(lebel, stories="alpha,fromboyhoodtofatherhood")


def test_the_leak_in_the_released_list_of_sessions_is_caught_by_name(lebel: Path) -> None:
    """Its third session trains on a story that the paper tests on."""
    path = lebel / "sess_to_story.json"
    path.write_text(
        json.dumps(
            {
                "1": [["alpha"], "wheretheressmoke"],
                "2": [["beta"], "wheretheressmoke"],
                "3": [["fromboyhoodtofatherhood"], "wheretheressmoke"],
            }
        )
    )
    asked = {"sess_to_story": str(path)}
    with pytest.raises(UsageError, match=r"session 3 trains on 'fromboyhoodtofatherhood', .* leak"):
        LebelDataset(lebel, **asked)
    assert LebelDataset(lebel, **asked, sessions="2").train_stories() == ("beta",)
    with pytest.raises(NotFoundError, match="no session '7'; it has 1, 2, 3"):
        LebelDataset(lebel, **asked, sessions="7")
    with pytest.raises(UsageError, match="stories and sess_to_story: use one"):
        LebelDataset(lebel, **asked, stories="alpha")
    for damaged in ("{", "[]", '{"1": 2}', '{"1": [[3], "x"]}', '{"1": []}'):
        path.write_text(damaged)
        with pytest.raises(DataError, match=r"sess_to_story.json: (not JSON|must be)"):
            LebelDataset(lebel, **asked)


def test_a_story_is_not_another_whose_name_begins_alike(lebel: Path) -> None:
    """The released reader takes the first TextGrid with the same beginning."""
    grids = lebel / "derivative" / "TextGrids"
    (grids / "alpha.TextGrid").rename(grids / "alphabet.TextGrid")
    with pytest.raises(DataError, match=r"alpha.TextGrid: cannot be read"):
        LebelDataset(lebel).story("alpha")


def test_what_is_read_is_held_against_what_was_published(lebel: Path) -> None:
    said = LebelDataset(lebel, subjects="UTS03").disagreements()
    assert said == [
        "wheretheressmoke: 60 TRs, published with 291",
        "fromboyhoodtofatherhood: 50 TRs, published with 348",
        "UTS03: 6 voxels, published with 95556",
        "UTS03: 4 stories, published with 84",
    ]


def test_listeners_share_the_stories_all_of_them_heard(lebel: Path) -> None:
    both = LebelDataset(lebel, subjects="UTS09, UTS01")
    assert both.subjects() == ("UTS09", "UTS01")
    assert both.train_stories() == ("alpha",)
    assert both.test_stories() == ("wheretheressmoke",)
    assert LebelDataset(lebel, stories="beta").train_stories() == ("beta",)
    with pytest.raises(NotFoundError, match="no story 'beta' that UTS09 all heard"):
        LebelDataset(lebel, subjects="UTS09", stories="beta")
    with pytest.raises(NotFoundError, match="no subject 'UTS77'; it has UTS01"):
        LebelDataset(lebel, subjects="UTS77")
    with pytest.raises(NotFoundError, match="no subject 'UTS09'"):
        LebelDataset(lebel).responses("UTS09", "alpha")
    with pytest.raises(NotFoundError, match="no story 'gamma'"):
        LebelDataset(lebel).clock("gamma")
    with pytest.raises(UsageError, match="no option 'subject'"):
        LebelDataset(lebel, subject="UTS01")


def test_a_listener_may_have_stories_of_their_own(lebel: Path) -> None:
    """As in the paper, whose first listener lacks five of the others' stories."""
    response(lebel, "UTS01", "beta").unlink()
    dataset = LebelDataset(lebel)
    assert dataset.train_stories() == ("alpha",)
    own = {subject: dataset.own_stories(subject) for subject in dataset.subjects()}
    assert own == {"UTS01": (), "UTS02": ("beta",), "UTS03": ("beta",)}
    assert dataset.responses("UTS03", "beta").shape == (30, 6)
    assert dataset.clock("beta").n_trs == 30
    with pytest.raises(DataError, match=r"UTS01/beta.hf5: missing"):
        dataset.responses("UTS01", "beta")
    assert LebelDataset(lebel, stories="alpha").own_stories("UTS03") == ()


def test_run_trains_on_own_stories_where_asked(lebel: Path, zoo: Zoo) -> None:
    response(lebel, "UTS01", "beta").unlink()
    shutil.rmtree(lebel / "stimuli")  # where all stories sound alike
    run = ("run", "-p", "word-rate", "--dataset", lebel, "--json")
    ended = zoo(*run)
    assert "skipped (UTS02 1, UTS03 1); --own-stories uses them" in ended.err
    assert {tuple(each["train_stories"]) for each in ended.json["results"]} == {("alpha",)}
    ended = zoo(*run, "--own-stories")
    assert "left out" not in ended.err
    results = {each["subject"]: each for each in ended.json["results"]}
    assert {subject: each["train_stories"] for subject, each in results.items()} == {
        "UTS01": ["alpha"],
        "UTS02": ["alpha", "beta"],
        "UTS03": ["alpha", "beta"],
    }
    assert {s: each["n_train"] for s, each in results.items()} == {
        "UTS01": 40,
        "UTS02": 70,
        "UTS03": 70,
    }
    by_key = {result.key: result.record for result in open_store("zoo-store").results()}
    records = [by_key[each["key"]] for each in results.values()]
    assert len({Setting.of(record) for record in records}) == 1  # one point of a curve
    told = zoo("explain", results["UTS03"]["key"]).out
    assert "2 stories (70 TRs, 0.04 h: alpha and beta)" in told
    assert "different training stories; each was fitted on all of its own, 1.67 on average" in told
    fewer = ("--own-stories", "--train-stories")
    assert "subject UTS01 has 1 training story" in zoo(*run, *fewer, 2).err
    # What a subject is fitted on does not depend on who else is.
    alone = zoo(*run, *fewer, 1, "--subject", "UTS02").json["results"]
    among = zoo(*run, *fewer, 1).json["results"]
    assert alone[0]["key"] == among[1]["key"]


RECIPE = """\
schema_version: 1
name: own
title: Own stories
data:
  dataset: lebel2023
  own_stories: {own}
  train_stories: {{UTS01: 1, UTS02: 2, UTS03: 2}}
models:
  word-rate: {{}}
figures:
  everywhere: {{kind: map, summary: r, models: [word-rate]}}
  stories: {{kind: data-scaling, summary: r, models: [word-rate], n_stories: [1, 2], n_subsets: 2}}
expect:
  n: {{figure: everywhere, statistic: n_voxels, value: 15, tolerance: 0, why: count, source: here}}
"""


@pytest.mark.parametrize(("own", "status"), [("true", "match"), ("false", "partial")])
def test_a_recipe_trains_subjects_on_what_each_heard(
    lebel: Path, zoo: Zoo, own: str, status: str
) -> None:
    response(lebel, "UTS01", "beta").unlink()
    shutil.rmtree(lebel / "stimuli")  # where all stories sound alike
    (lebel / "own.yaml").write_text(RECIPE.format(own=own))
    ended = zoo("reproduce", lebel / "own.yaml", "--dataset", lebel, "--json", "-q")
    found = ended.json["reproduction"]
    line = next(line for line in found["lines"] if line["id"] == "n")
    assert line["status"] == status
    said = "data: 1 training story here, 2 in the recipe for UTS02, UTS03"
    assert (said in line["why"]) == (own == "false")
    # Never more stories than the subject with fewest has; UTS02 and UTS03 have two draws of one.
    (row,) = found["figures"]["stories"]["rows"]
    assert (row["n_stories"], row["n_subsets"]) == (1, 2 if own == "true" else 1)


def test_own_stories_are_described_checked_and_imported(
    lebel: Path, tmp_path: Path, zoo: Zoo
) -> None:
    response(lebel, "UTS01", "beta").unlink()
    shutil.rmtree(lebel / "stimuli")
    described = zoo("data", "describe", lebel)
    assert "own stories: UTS02 (beta); UTS03 (beta)" in described.out
    report = zoo("data", "check", lebel, "--json").json
    read = {(found["subject"], found["story"]) for found in report["responses"]}
    assert ("UTS02", "beta") in read
    assert ("UTS01", "beta") not in read
    assert not [f for f in report["findings"] if f["kind"] == "responses"]
    imported = tmp_path / "imported"
    assert zoo("data", "import", lebel, imported, "-q").code == 0
    run = ("run", "-p", "word-rate", "--own-stories", "--json", "-q")
    results = [zoo(*run, "--dataset", root).json["results"] for root in (lebel, imported)]
    assert [[r["train_stories"] for r in each] for each in results] == [
        [["alpha"], ["alpha", "beta"], ["alpha", "beta"]]
    ] * 2
    assert [r["mean_r"] for r in results[0]] == [r["mean_r"] for r in results[1]]
    with pytest.raises(NotFoundError, match="'UTS01' of 'lebel2023' has no story 'beta'"):
        ImportedDataset(imported).responses("UTS01", "beta")


def test_content_that_was_not_fetched_is_named_with_the_command(lebel: Path) -> None:
    unfetch(response(lebel, "UTS03", "alpha"))
    unfetch(lebel / "stimuli" / "beta.wav")
    unfetch(lebel / "derivative" / "TextGrids" / "alpha.TextGrid")
    dataset = LebelDataset(lebel)
    assert dataset.train_stories() == ("alpha", "beta")
    dataset.responses("UTS03", "beta")
    with pytest.raises(DataError, match=r"alpha.hf5: not fetched yet .* datalad get alpha.hf5"):
        dataset.responses("UTS03", "alpha")
    with pytest.raises(DataError, match=r"alpha.TextGrid: not fetched yet"):
        dataset.story("alpha")
    assert dataset.story("beta").need_words().text == ("", "BETA")
    with pytest.raises(DataError, match=r"beta.wav: not fetched yet .* datalad get beta.wav"):
        dataset.story("beta").need_audio().read(16_000)


@pytest.mark.parametrize(
    ("pointer", "command"),
    [
        ("/annex/objects/MD5E-s1--d41d8cd98f00b204e9800998ecf8427e.hf5\n", "datalad get"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
    ],
)
def test_pointers_in_the_files_place_are_recognised(
    lebel: Path, pointer: str, command: str
) -> None:
    response(lebel, "UTS03", "alpha").write_text(pointer)
    with pytest.raises(DataError, match=r"alpha.hf5: not fetched yet") as caught:
        LebelDataset(lebel).responses("UTS03", "alpha")
    assert command in str(caught.value)


def test_fetched_content_under_an_annex_link_is_read(lebel: Path) -> None:
    file = response(lebel, "UTS03", "alpha")
    plain = LebelDataset(lebel).responses("UTS03", "alpha")
    objects = lebel / ".git" / "annex" / "objects"
    objects.mkdir(parents=True)
    prints = set()
    for digest in ("0" * 32, "1" * 32):
        stored = objects / f"MD5E-s1--{digest}.hf5"
        stored.write_bytes(file.read_bytes())
        file.unlink()
        file.symlink_to(stored)
        np.testing.assert_array_equal(LebelDataset(lebel).responses("UTS03", "alpha"), plain)
        prints.add(LebelDataset(lebel).fingerprint("UTS03", "alpha"))
    assert len(prints) == 2


def rewrite(story: str, **arrays: np.ndarray) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        with h5py.File(response(root, "UTS03", story), "w") as stored:
            for name, array in arrays.items():
                stored[name] = array

    return damage


@pytest.mark.parametrize(
    ("damage", "where", "said"),
    [
        (rewrite("alpha", data=np.zeros((39, 6))), "alpha.hf5", "39 rows; respdict.json has 60"),
        (
            rewrite("alpha", data=np.zeros((40, 7))),
            "alpha.hf5",
            "7 voxels, but other stories have 6",
        ),
        (rewrite("alpha", data=np.zeros(40)), "alpha.hf5", "expected (TR, voxel)"),
        (rewrite("alpha", other=np.zeros((40, 6))), "alpha.hf5", "no dataset 'data'"),
        (rewrite("alpha", data=np.full((40, 6), np.inf)), "alpha.hf5", "is infinite"),
        (
            rewrite("alpha", data=np.zeros((40, 6)), individual_repeats=np.zeros((5, 30, 6))),
            "alpha.hf5",
            "are not repeats of data",
        ),
        (lambda root: response(root, "UTS03", "alpha").write_text("x"), "alpha.hf5", "not an HDF5"),
        (
            lambda root: (root / "derivative/respdict.json").write_text('{"beta": 50}'),
            "respdict.json",
            "no entry for 'alpha'",
        ),
        (
            lambda root: (root / "derivative/respdict.json").write_text('{"beta": "50"}'),
            "respdict.json",
            "'beta' has '50' volumes",
        ),
        (lambda root: (root / "derivative/respdict.json").write_text("{"), "respdict.json", "JSON"),
        (lambda root: (root / "derivative/respdict.json").unlink(), "respdict.json", "length"),
    ],
)
def test_damage_is_named(
    lebel: Path, damage: Callable[[Path], object], where: str, said: str
) -> None:
    damage(lebel)
    with pytest.raises(DataError) as caught:
        LebelDataset(lebel).responses("UTS03", "alpha")
    assert where in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_voxels_stay_missing(lebel: Path) -> None:
    data = np.zeros((40, 6))
    data[:, 2] = np.nan
    rewrite("alpha", data=data)(lebel)
    assert np.isnan(LebelDataset(lebel).responses("UTS03", "alpha")[:, 2]).all()


def test_an_empty_checkout_says_so(tmp_path: Path) -> None:
    (tmp_path / "derivative" / "preprocessed_data").mkdir(parents=True)
    with pytest.raises(DataError, match=r"preprocessed_data: no UTS"):
        LebelDataset(tmp_path)


def test_it_runs_end_to_end_on_its_own_clock(tmp_path: Path, zoo: Zoo) -> None:
    """Voxel 0 answers each word 4 s later; were the clock off by a few TRs, r would vanish."""
    rng = np.random.default_rng(0)
    derivative = tmp_path / "derivative"
    (derivative / "TextGrids").mkdir(parents=True)
    volumes = {"alpha": 160, "beta": 150, "wheretheressmoke": 140}
    (derivative / "respdict.json").write_text(json.dumps(volumes))
    for story, n in volumes.items():
        onsets = np.cumsum(rng.exponential(0.35, 5 * n) * rng.choice([0.5, 3.0], 5 * n))
        onsets = onsets[onsets < 2.0 * n - 20]
        intervals = [f'{a!r}\n{b!r}\n"w"' for a, b in pairwise(onsets.tolist())]
        (derivative / "TextGrids" / f"{story}.TextGrid").write_text(
            'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n999\n<exists>\n1\n'
            f'"IntervalTier"\n"word"\n0\n999\n{len(intervals)}\n' + "\n".join(intervals)
        )
        begins = 2.0 * np.arange(n - 20) + 10.0  # of the kept volumes, on the story's clock
        middles = (onsets[1:] + onsets[:-1]) / 2
        rate = [((middles >= b - 4) & (middles < b - 2)).sum() for b in begins]
        voxels = np.stack([rate, np.zeros(n - 20)], axis=1) + rng.normal(size=(n - 20, 2))
        file = response(tmp_path, "UTS03", story)
        file.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(file, "w") as stored:
            stored["data"] = voxels
    ended = zoo("run", "--plugin", "word-rate", "--dataset", tmp_path, "--json")
    assert ended.code == 0, ended.err
    (record,) = ended.json["results"]
    assert (record["dataset"], record["n_train"], record["n_test"]) == ("lebel2023", 270, 120)
    assert record["best_voxel_r"] > 0.7
    assert abs(2 * record["mean_r"] - record["best_voxel_r"]) < 4 / np.sqrt(120)
