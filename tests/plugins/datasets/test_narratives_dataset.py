"""ds002345 in miniature: gentle's words, the onset of each run's first event, and what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import brain_images
from annex import unfetch
from heard import answer, word_times, write_noise
from voxelzoo.api import DataError, Dataset, NotFoundError, UsageError
from voxelzoo_datasets.narratives import NarrativesDataset
from voxelzoo_datasets.plugin import is_bids, is_narratives
from zoo_cli import Zoo

TR = 1.5
SPACE = "space-MNI152NLin2009cAsym_res-native"
STORIES = {"pieman": (200, 0.0), "tunnel": (220, 3.0), "bronx": (180, 12.0)}
"""Volumes of each run, and the onset of its first event."""


def smooth(root: Path) -> Path:
    return root / "derivatives" / "afni-smooth"


def gentle(root: Path, story: str) -> Path:
    return root / "stimuli" / "gentle" / story


def events(root: Path, subject: str, story: str) -> Path:
    return root / subject / "func" / f"{subject}_task-{story}_events.tsv"


@pytest.fixture
def narratives(tmp_path: Path) -> Path:
    """Three listeners; the third heard one story. One alignment is a table, the rest are JSON."""
    rng = np.random.default_rng(0)
    for story, (n, onset) in STORIES.items():
        words = word_times(rng, TR * n - onset)
        folder = gentle(tmp_path, story)
        folder.mkdir(parents=True)
        if story == "tunnel":
            lines = [f"{story}{i},{story},{a},{b}" for i, (a, b) in enumerate(words)]
            (folder / "align.csv").write_text("\n".join(lines) + "\n")
        else:
            found = [
                {
                    "case": "success",
                    "word": f"{story}{i}",
                    "alignedWord": story,
                    "start": a,
                    "end": b,
                }
                for i, (a, b) in enumerate(words)
            ]
            (folder / "align.json").write_text(json.dumps({"transcript": "", "words": found}))
        write_noise(tmp_path / f"stimuli/{story}_audio.wav", TR * n - onset)
        (tmp_path / f"task-{story}_bold.json").write_text(json.dumps({"RepetitionTime": TR}))
        template = smooth(tmp_path) / "tpl-MNI152NLin2009cAsym"
        brain_images.labelled(
            template / f"tpl-MNI152NLin2009cAsym_res-{story}_desc-brain_mask.nii.gz", [1, 1, 0]
        )
        for subject in ("sub-001", "sub-002", "sub-300"):
            if subject == "sub-300" and story != "pieman":
                continue
            rows = answer(rng, words, TR * np.arange(n) - onset, TR)
            rows = np.concatenate([rows, np.zeros((n, 1))], axis=1)
            name = f"{subject}_task-{story}_{SPACE}_desc-clean_bold.nii.gz"
            brain_images.volume(smooth(tmp_path) / subject / "func" / name, rows, TR)
            path = events(tmp_path, subject, story)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                "onset\tduration\ttrial_type\tstim_file\n"
                f"{onset}\t13.0\tmusic\t{story}_audio.wav\n"
                f"{onset + 15}\t100.0\tstory\t{story}_audio.wav\n"
            )
    return tmp_path


CHOSEN = {"stories": "pieman,tunnel", "test": "bronx"}


def test_the_published_layout_is_read(narratives: Path) -> None:
    dataset = NarrativesDataset(narratives, **CHOSEN)
    assert isinstance(dataset, Dataset)
    assert is_narratives(narratives)
    assert not is_bids(narratives)
    assert dataset.subjects() == ("sub-001", "sub-002")
    assert dataset.unusable_subjects() == {"sub-300": "has no tunnel, bronx"}
    assert dataset.responses("sub-001", "pieman").shape == (200, 2)  # within the template's mask
    assert dataset.story("tunnel").need_words().text[:2] == ("tunnel0", "tunnel1")
    assert dataset.info().licence == "CC0"


def test_words_begin_at_the_first_events_onset(narratives: Path) -> None:
    """The sound, music first, began with the first event: its onset is added to each word."""
    dataset = NarrativesDataset(narratives, **CHOSEN)
    for story, (_, onset) in STORIES.items():
        path = gentle(narratives, story) / "align.json"
        if path.exists():
            starts = [word["start"] for word in json.loads(path.read_text())["words"]]
            found = dataset.story(story).need_words().onsets
            np.testing.assert_allclose(found, np.array(starts) + onset)
        assert dataset.story(story).need_audio().start == onset
        assert (dataset.clock(story).start, dataset.clock(story).tr) == (0.0, TR)


def test_it_runs_end_to_end(narratives: Path, zoo: Zoo) -> None:
    options = [f"--dataset-option={name}={value}" for name, value in CHOSEN.items()]
    checked = zoo("data", "check", narratives, *options, "--json")
    assert checked.json["ok"], checked.out
    ended = zoo("run", "--plugin", "word-rate", "--dataset", narratives, *options, "--json")
    assert ended.code == 0, ended.err
    for record in ended.json["results"]:
        assert (record["dataset"], record["n_train"], record["n_test"]) == ("narratives", 420, 180)
        assert record["best_voxel_r"] > 0.6


def test_a_story_must_be_chosen_where_listeners_share_none(narratives: Path) -> None:
    assert NarrativesDataset(narratives).train_stories() == ("pieman",)
    for file in (smooth(narratives) / "sub-001" / "func").glob("*pieman*"):
        file.unlink()
    with pytest.raises(UsageError, match=r"no story that all 3 subjects heard; .*pieman \(2\)"):
        NarrativesDataset(narratives)


def test_words_the_aligner_did_not_find_keep_their_place_or_are_spread_or_dropped(
    narratives: Path,
) -> None:
    words = [
        {"case": "success", "word": "one", "start": 1.0, "end": 2.0},
        {"case": "not-found-in-audio", "word": "two"},
        {"case": "not-found-in-transcript", "word": "noise", "start": 2.2, "end": 2.3},
        {"case": "not-found-in-audio", "word": "three"},
        {"case": "success", "word": "four", "start": 3.0, "end": 3.5},
        {"case": "not-found-in-audio", "word": "five"},
    ]
    (gentle(narratives, "pieman") / "align.json").write_text(json.dumps({"words": words}))
    kept = NarrativesDataset(narratives).story("pieman").need_words()
    assert kept.text == ("one", "two", "three", "four", "five")
    assert kept.is_timed.tolist() == [True, False, False, True, False]
    assert kept.spoken().text == ("one", "four")
    spread = NarrativesDataset(narratives, untimed="spread").story("pieman").need_words()
    assert spread.text == ("one", "two", "three", "four", "five")
    assert spread.onsets.tolist() == [1.0, 2.0, 2.5, 3.0, 3.5]
    assert spread.offsets.tolist() == [2.0, 2.5, 3.0, 3.5, 3.5]
    dropped = NarrativesDataset(narratives, untimed="drop").story("pieman").need_words()
    assert dropped.text == ("one", "four")
    (gentle(narratives, "pieman") / "align.json").unlink()
    (gentle(narratives, "pieman") / "align.csv").write_text("one,one,1,2\ntwo,<unk>,,\n")
    table = NarrativesDataset(narratives).story("pieman").need_words()
    assert table.text == ("one", "two")


def test_surfaces_are_read_where_asked_for(narratives: Path) -> None:
    rng = np.random.default_rng(1)
    for side in "LR":
        name = f"sub-001_task-pieman_space-fsaverage6_hemi-{side}_desc-clean.func.gii"
        brain_images.surface(smooth(narratives) / "sub-001/func" / name, rng.normal(size=(200, 5)))
    dataset = NarrativesDataset(narratives, space="fsaverage6")
    assert dataset.subjects() == ("sub-001",)
    assert dataset.responses("sub-001", "pieman").shape == (200, 10)
    assert NarrativesDataset(narratives).responses("sub-001", "pieman").shape == (200, 2)


def test_listeners_of_other_versions_are_told_apart(narratives: Path) -> None:
    """One task played several stimuli: milkyway had three, by condition."""
    path = events(narratives, "sub-002", "pieman")
    path.write_text(path.read_text().replace("pieman_audio", "piemanvodka_audio"))
    with pytest.raises(DataError, match=r"sub-002.*: piemanvodka from 0 s, but sub-001.* pieman"):
        NarrativesDataset(narratives).story("pieman")
    later = events(narratives, "sub-300", "pieman")
    path.write_text(later.read_text())
    later.write_text(later.read_text().replace("0.0\t13.0", "4.5\t13.0"))
    with pytest.raises(DataError, match=r"sub-300.*: pieman from 4.5 s, but sub-001.* from 0 s"):
        NarrativesDataset(narratives).story("pieman")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda root: events(root, "sub-001", "pieman").unlink(),
            "no events.tsv for sub-001_task-pieman",
        ),
        (
            lambda root: events(root, "sub-001", "pieman").write_text("onset\tduration\n0\t1\n"),
            "events.tsv:1: no column trial_type, stim_file",
        ),
        (
            lambda root: events(root, "sub-001", "pieman").write_text(
                "onset\tduration\ttrial_type\tstim_file\nn/a\t1\tstory\tpieman_audio.wav\n"
            ),
            "events.tsv:2: no onset",
        ),
        (
            lambda root: events(root, "sub-001", "pieman").write_text(
                "onset\tduration\ttrial_type\tstim_file\n"
                "0\t1\tstory\tbigbang_audio.wav\n9\t1\tstory\tvinny_audio.wav\n"
            ),
            "bigbang_audio.wav and vinny_audio.wav in one run",
        ),
        (
            lambda root: (gentle(root, "pieman") / "align.json").rename(
                gentle(root, "tunnel") / "align.json"
            ),
            "pieman: no align.json or align.csv; choose the folder with the words",
        ),
        (lambda root: (gentle(root, "pieman") / "align.json").write_text("{"), "not JSON"),
        (lambda root: (gentle(root, "pieman") / "align.json").write_text("[]"), "a JSON object"),
        (lambda root: (gentle(root, "pieman") / "align.json").write_text("{}"), "no list 'words'"),
        (
            lambda root: (gentle(root, "pieman") / "align.json").write_text(
                '{"words": [{"case": "success", "word": "one"}]}'
            ),
            "word 1 ('one') is marked as aligned but has no start and end",
        ),
        (
            lambda root: (gentle(root, "pieman") / "align.json").write_text(
                '{"words": [{"case": "not-found-in-audio", "word": "one"}]}'
            ),
            "no word has a time",
        ),
        (
            lambda root: (gentle(root, "pieman") / "align.json").write_text(
                "/annex/objects/MD5E-s1--00.json\n"
            ),
            "align.json: not fetched yet (git-annex)",
        ),
    ],
)
def test_damage_is_named(narratives: Path, damage: Callable[[Path], object], said: str) -> None:
    damage(narratives)
    with pytest.raises(DataError) as caught:
        NarrativesDataset(narratives).story("pieman")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bare_checkout_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"derivatives: no folder afni-smooth or"):
        NarrativesDataset(tmp_path)
    smooth(tmp_path).mkdir(parents=True)
    with pytest.raises(DataError, match=r"afni-smooth: no sub-\*/func"):
        NarrativesDataset(tmp_path)


def unfetch_runs(root: Path, subject: str) -> None:
    """Replaces a listener's images by links without content."""
    for file in (smooth(root) / subject / "func").glob("*_bold.nii.gz"):
        unfetch(file)


def test_listeners_who_were_not_fetched_are_left_out_and_named(narratives: Path) -> None:
    unfetch_runs(narratives, "sub-002")
    dataset = NarrativesDataset(narratives)
    assert dataset.subjects() == ("sub-001", "sub-300")
    assert "not fetched yet (git-annex)" in dataset.unusable_subjects()["sub-002"]
    with pytest.raises(DataError, match=r"sub-002 has .*yet .*run: datalad get sub-002"):
        NarrativesDataset(narratives, subjects="sub-002")
    for subject in ("sub-001", "sub-300"):
        unfetch_runs(narratives, subject)
    with pytest.raises(DataError, match=r"sub-001 has .*not fetched yet"):
        NarrativesDataset(narratives)


def test_what_is_read_is_held_against_what_was_published(narratives: Path) -> None:
    assert NarrativesDataset(narratives).disagreements() == []
    assert NarrativesDataset(narratives, tr="2").disagreements() == [
        "pieman: TR 2 s, published with 1.5 s"
    ]
