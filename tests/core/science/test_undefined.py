"""A voxel without a defined r says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_folder import write_study, write_words
from voxelzoo.science.scores import HeldOutPart, Scores
from voxelzoo.science.undefined import REASONS, why_undefined
from zoo_cli import Zoo


@pytest.mark.parametrize("kind", ["stories", "folds"])
def test_each_voxel_counts_for_the_first_reason(kind: str) -> None:
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(2):
        x, y = rng.normal(size=(2, 20, 6))
        y[3, 0] = np.nan
        y[:, 1] = 2.0
        x[:, 2] = np.nan
        x[:, 3] = 0.0
        x[:, 0] = 0.0  # a second reason
        parts.append(HeldOutPart(x, y))
    parts[0].response[:, 4] = 5.0  # does not vary in one of two parts
    r = np.array([np.nan] * 4 + [0.1 if kind == "stories" else np.nan, 0.2])
    scores = Scores(
        kind=kind, r=r, r2=r, alpha=None, cv_r=None, paths=(), n_train=9, n_test=40,  # type: ignore[arg-type]
        parts=dict(zip("ab", parts, strict=True)),
    )  # fmt: skip
    expected = dict.fromkeys(REASONS, 1)
    expected["undefined_response"] += 1 + (kind == "folds")
    assert why_undefined(scores) == expected


def test_a_run_says_how_many_voxels_are_undefined_and_why(zoo: Zoo, tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", n_voxels=6)
    for story in ("one", "two", "three"):
        file = study / "responses" / "ann" / f"{story}.npy"
        rows = np.load(file)
        rows[:, 1] = 3.0
        rows[:, 2] = np.nan
        np.save(file, rows)
    ask = ("run", "-p", "word-rate", "--dataset", study, "--store", tmp_path / "store")
    ended = zoo(*ask)
    assert ended.code == 0, ended.err
    header, values = (line.split("\t") for line in ended.out.splitlines())
    row = dict(zip(header, values, strict=True))
    assert row["n_undefined_voxels"] == "2"
    assert row["undefined"] == "2 undefined_response"
    assert "ann: r is undefined in 2 of 6 voxels: held-out responses do not vary" in ended.err
    (record,) = zoo(*ask, "--json").json["results"]
    assert record["undefined"] == {"undefined_response": 2}


def test_a_constant_word_rate_predicts_nothing_and_says_so(zoo: Zoo, tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", n_voxels=6)
    for story in ("one", "two", "three"):
        onsets = np.arange(-20, 280, 0.5)  # longer than the scan on both sides
        words = study / "stories" / story / "words.csv"
        write_words(words, [f"{story}{i}" for i in range(len(onsets))], onsets)
    ask = ("run", "-p", "word-rate", "--dataset", study, "--store", tmp_path / "store")
    ended = zoo(*ask)
    assert ended.code == 6
    assert "undefined in every voxel: predictions do not vary" in ended.err
    assert "constant word rate" in ended.err
