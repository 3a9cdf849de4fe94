from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voxelzoo.store import Store
from zoo_cli import Zoo

SHORT = ("--permutations", "100", "--json")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two baselines on both simulated subjects, and one result without predictions."""
    import os

    from voxelzoo.cli import app

    root = tmp_path_factory.mktemp("tested") / "store"
    os.environ["HF_HUB_OFFLINE"] = "1"
    common = ["run", "--store", str(root), "--quiet", "--dataset-option", "seconds=200"]
    for arguments in (
        ["-p", "mel-spectrogram", "-p", "word-rate", "--keep", "predictions"],
        ["-p", "word-length", "--subject", "sub-01"],
    ):
        app([*common, *arguments], standalone_mode=False)
    return root


def key(store: Path, model: str, subject: str = "sub-01") -> str:
    (found,) = (
        artefact.key
        for artefact in Store(store).all("results")
        if (artefact.summary["model"], artefact.summary["subject"]) == (model, subject)
    )
    return found[:12]


def test_a_baseline_is_above_chance_where_its_feature_drives(zoo: Zoo, store: Path) -> None:
    ended = zoo("test", key(store, "mel-spectrogram"), "--store", store, *SHORT)
    assert ended.code == 0, ended.err
    (test,) = ended.json["tests"]
    rows = {row["region"]: row for row in test["regions"]}
    sound, noise = rows["sound"], rows["noise"]
    record = Store(store).by_key("results", key(store, "mel-spectrogram")).summary
    assert sound["r"] == pytest.approx(record["by_label"]["sound"]["mean_r"], abs=1e-5)
    assert rows["all voxels"]["ceiling"] == pytest.approx(record["mean_ceiling"], abs=1e-5)
    assert sound["q"] < 0.05
    assert sound["share_significant"] > 0.8
    assert noise["share_significant"] < 0.2
    assert noise["p"] > 0.02
    assert sound["r_low"] < sound["r"] < sound["r_high"]
    assert sound["room"] == pytest.approx(sound["ceiling"] - sound["r"], abs=1e-5)
    assert noise["room"] > sound["room"]


def test_two_results_are_paired_voxel_by_voxel(zoo: Zoo, store: Path, tmp_path: Path) -> None:
    keys = key(store, "mel-spectrogram"), key(store, "word-rate")
    ended = zoo("test", *keys, "--store", store, "--out", tmp_path / "maps.npz", *SHORT)
    assert ended.code == 0, ended.err
    rows = {row["region"]: row for row in ended.json["tests"][0]["regions"]}
    assert rows["sound"]["difference"] > 0.3
    assert rows["sound"]["share_first_better"] > 0.8
    assert rows["word-rate"]["share_second_better"] > 0.8
    assert rows["word-rate"]["difference_high"] < 0
    maps = np.load(tmp_path / "maps.npz")
    r = [Store(store).by_key("results", each).read("r") for each in keys]
    np.testing.assert_allclose(maps["sub-01/difference"], r[0] - r[1], atol=1e-5)


def test_all_subjects_are_found_and_tested_together(zoo: Zoo, store: Path) -> None:
    ended = zoo("test", key(store, "word-rate"), "--all-subjects", "--store", store, *SHORT)
    assert ended.code == 0, ended.err
    assert [test["subject"] for test in ended.json["tests"]] == ["sub-01", "sub-02"]
    over = {row["region"]: row for row in ended.json["across_subjects"]}
    assert over["word-rate"]["n_subjects"] == 2
    assert over["word-rate"]["p"] == 0.5  # the least that two subjects can give


def test_the_start_of_a_story_can_be_left_out(zoo: Zoo, store: Path) -> None:
    one = key(store, "mel-spectrogram")
    ended = zoo("test", one, "--without-first", "20", "--store", store, "--json")
    assert ended.code == 0, ended.err
    row = ended.json["tests"][0]["regions"][0]
    artefact = Store(store).by_key("results", one)
    x, y = (artefact.read(f"{side}_test01")[20:] for side in ("prediction", "response"))
    expected = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(x.T, y.T, strict=True)])
    assert row["r_without_start"] == pytest.approx(expected, abs=1e-5)
    assert row["difference"] == pytest.approx(row["r"] - row["r_without_start"], abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("word-length",), "zoo run --keep predictions"),
        (("word-rate", "--over", "stories"), "two held-out stories"),
        (("word-rate", "--null", "shuffle"), "circular-shift or blocks"),
        (("word-rate", "--ceiling", "top"), "there are schoppe"),
        (("word-rate", "--ceiling", "inter-subject"), "all subjects' responses"),
        (("word-rate", "--without-first", "131"), "cannot drop 131 TRs"),
        (("word-rate", "--out", "maps.csv"), ".npz"),
    ],
)
def test_what_cannot_be_tested_is_said_in_a_line(
    zoo: Zoo, store: Path, arguments: tuple[str, ...], said: str
) -> None:
    model, *options = arguments
    ended = zoo("test", key(store, model), *options, "--store", store)
    assert ended.code != 0
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1


def test_results_of_different_subjects_are_not_paired(zoo: Zoo, store: Path) -> None:
    keys = key(store, "word-rate"), key(store, "word-rate", "sub-02")
    ended = zoo("test", *keys, "--store", store)
    assert ended.code == 2
    assert "cannot be paired" in ended.err


def test_a_key_that_begins_several_results_is_refused(zoo: Zoo, store: Path) -> None:
    ended = zoo("test", "", "--store", store)
    assert ended.code == 3
    assert "begin with key" in ended.err
