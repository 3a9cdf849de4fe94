"""``zoo run --ceiling``: the noise ceiling beside r, by the method asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_folder import slow_noise, write_study
from shared_data import SHARED, needs_shared
from voxelzoo.science.ceilings import estimate_ceiling
from voxelzoo.store.store import Store
from zoo_cli import Zoo


def of(store: Path, key: str) -> dict[str, np.ndarray]:
    result = Store(store).result(key)
    return {name: result.map(name) for name in result.maps}


def test_inter_subject_is_r_with_the_mean_of_the_others(zoo: Zoo, tmp_path: Path) -> None:
    subjects = ("ann", "bob", "cat")
    study = write_study(tmp_path / "study", subjects=subjects)
    heard = [np.load(study / "responses" / who / "three.npy") for who in subjects]
    heard = [(rows - rows.mean(axis=0)) / rows.std(axis=0) for rows in heard]
    ask = ("run", "-p", "word-rate", "--dataset", study, "--subject", "bob", "--json", "-q")
    store = tmp_path / "store"
    plain, shared = (
        zoo(*ask, "--store", store, *more) for more in ([], ["--ceiling", "inter-subject"])
    )
    assert (plain.code, shared.code) == (0, 0), shared.err
    (without,), (result,) = plain.json["results"], shared.json["results"]
    assert without["mean_ceiling"] is None
    assert without["ceiling_method"] is None
    assert without["key"] != result["key"]
    assert result["ceiling_method"] == "inter-subject"
    found = of(store, result["key"])["ceiling"]
    expected = [
        np.corrcoef(heard[1][:, v], (heard[0][:, v] + heard[2][:, v]) / 2)[0, 1] for v in range(20)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert result["mean_ceiling"] == pytest.approx(np.mean(expected), abs=1e-5)
    said = zoo("explain", result["key"], "--store", store)
    assert "mean of the other subjects'" in said.out
    assert "nastase2019" in said.out
    # Another subject's data change, so the ceiling does.
    np.save(study / "responses" / "cat" / "three.npy", heard[2][::-1].astype("f4"))
    (again,) = zoo(*ask, "--store", store, "--ceiling", "inter-subject").json["results"]
    assert again["computed"]
    assert again["mean_ceiling"] != result["mean_ceiling"]


def test_subjects_whose_voxels_are_labelled_differently_share_nothing(
    zoo: Zoo, tmp_path: Path
) -> None:
    study = write_study(tmp_path / "study", subjects=("ann", "bob"))
    for who, first in (("ann", "left"), ("bob", "right")):
        labels = "\n".join(["label", first, *["middle"] * 19])
        (study / "responses" / who / "voxels.csv").write_text(labels + "\n")
    ended = zoo(
        "run", "-p", "word-rate", "--dataset", study, "--ceiling", "inter-subject", "-q",
        "--store", tmp_path / "store",
    )  # fmt: skip
    assert ended.code == 6
    assert "voxels of 'ann' and 'bob' are labelled differently" in ended.err


def test_missing_ceilings_are_reported_before_anything_is_fitted(zoo: Zoo, tmp_path: Path) -> None:
    study = write_study(tmp_path / "study")
    ask = ("run", "-p", "word-rate", "--dataset", study, "-q", "--store", tmp_path / "store")
    ended = zoo(*ask, "--ceiling", "split-half")
    assert ended.code == 6
    assert "heard more than once; inter-subject only needs other subjects" in ended.err
    ended = zoo(*ask, "--ceiling", "inter-subject")
    assert ended.code == 6
    assert "at least two subjects" in ended.err
    ended = zoo(*ask, "--ceiling", "perfect")
    assert ended.code == 3
    assert "no ceiling 'perfect'; there are schoppe" in ended.err
    assert not (tmp_path / "store" / "results").exists()


@pytest.mark.parametrize("name", ["schoppe", "split-half", "explainable-variance"])
def test_from_repeats_by_name(zoo: Zoo, tmp_path: Path, name: str) -> None:
    ask = ("run", "-p", "word-rate", "-s", "sub-01", "--json", "-q", "--store", tmp_path)
    keep = ("--keep", "predictions")
    (default,) = zoo(*ask, *keep).json["results"]
    (result,) = zoo(*ask, *keep, "--ceiling", name).json["results"]
    assert (result["key"] == default["key"]) == (name == "schoppe")
    assert result["ceiling_method"] == name
    arrays = of(tmp_path, result["key"])
    repeats = list(Store(tmp_path).result(result["key"]).read_held_out().repeats.values())
    assert repeats
    expected = np.mean([estimate_ceiling(each, name).values for each in repeats], axis=0)
    np.testing.assert_allclose(arrays["ceiling"], expected, atol=1e-5)
    np.testing.assert_allclose(arrays["r_normalised"], arrays["r"] / expected, rtol=1e-4)


def study_with_one_repeated_story(root: Path) -> Path:
    """A study with two test stories: ``three`` was heard four times; ``four`` once, with noise."""
    study = write_study(root, test=("three", "four"))
    folder = study / "responses" / "ann"
    three, four = (np.load(folder / f"{name}.npy") for name in ("three", "four"))
    repeats = [three + slow_noise(*three.shape, seed=900 + i) for i in range(4)]
    np.save(folder / "three.npy", np.stack(repeats))
    np.save(folder / "four.npy", four + 3 * slow_noise(*four.shape, seed=950))
    return study


@pytest.mark.parametrize("protocol", ["clean", "antonello2023"])
def test_r_is_divided_by_a_ceiling_over_the_same_rows(
    zoo: Zoo, tmp_path: Path, protocol: str
) -> None:
    study, store = study_with_one_repeated_story(tmp_path / "study"), tmp_path / "store"
    ended = zoo(
        "run", "-p", "word-rate", "--dataset", study, "--keep", "predictions", "--json", "-q",
        "--store", store, "--protocol", protocol, "--regressor", "ridge",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    (run,) = ended.json["results"]
    assert run["ceiling_stories"] == ["three"]
    assert run["test_stories"] == ["three", "four"]
    result = Store(store).result(run["key"])
    r, ceiling = result.story("three").r, result.map("ceiling")
    heard = result.story("three").repeats
    assert heard is not None
    if protocol == "clean":
        assert run["ceiling_floor"] == 0.25
        expected = estimate_ceiling(heard, "schoppe").values
    else:  # as the released code does: total power 1, no floor
        assert run["ceiling_floor"] is None
        n, mean = len(heard), heard.mean(axis=0)
        signal = (n * mean.var(axis=0, ddof=1) - 1) / (n - 1)
        with np.errstate(invalid="ignore"):
            expected = 1 / np.sqrt(1 + (1 / signal - 1) / n)
        expected[signal <= 0] = np.nan
        assert np.abs(expected - estimate_ceiling(heard, "schoppe", None).values).max() > 1e-3
    np.testing.assert_allclose(ceiling, expected, atol=1e-4)
    share = np.where(ceiling > 0, r / ceiling, np.nan)
    np.testing.assert_allclose(result.map("r_normalised"), share, atol=1e-5)
    np.testing.assert_allclose(result.map("r_repeated"), r, atol=1e-6)
    assert run["mean_r_repeated"] == pytest.approx(np.mean(r), abs=1e-5)
    assert run["mean_r_normalised"] == pytest.approx(np.nanmean(share), abs=1e-5)
    assert abs(run["mean_r"] - run["mean_r_repeated"]) > 0.02  # so that it matters
    assert list(result.array("r_normalised").attrs["stories"]) == ["three"]

    tested = zoo("test", run["key"], "--store", store, "--json", "--permutations", "20")
    assert tested.code == 0, tested.err
    (test,) = tested.json["tests"]
    row = test["regions"][0]
    assert row["r"] == pytest.approx(run["mean_r"], abs=1e-5)
    assert row["ceiling"] == pytest.approx(run["mean_ceiling"], abs=1e-5)
    assert row["r_repeated"] == pytest.approx(run["mean_r_repeated"], abs=1e-5)
    assert row["r_normalised"] == pytest.approx(run["mean_r_normalised"], abs=1e-5)
    assert row["headroom"] == pytest.approx(row["ceiling"] - row["r_repeated"], abs=1e-5)
    assert "over three (1 of 2 held-out stories" in test["notes"][2]
    explained = zoo("explain", run["key"], "--store", store).out
    assert "the ceiling is that of three, heard more than once" in explained.lower()


@needs_shared
def test_folds_are_scored_as_r_is(zoo: Zoo, tmp_path: Path) -> None:
    """The same as ``zoo test`` makes of the store's results of all subjects."""
    data = SHARED / "data" / "alice"
    ask = (
        "run", "-p", "word-rate", "--dataset", data, "--store", tmp_path, "--keep", "predictions",
        "--json", "-q",
    )  # fmt: skip
    plain = zoo(*ask)
    assert plain.code == 0, plain.err
    results = {each["subject"]: each for each in plain.json["results"]}
    subject = next(each for each in results if each != "group")
    (run,) = zoo(*ask, "-s", subject, "--ceiling", "inter-subject").json["results"]
    tested = zoo(
        "test", results[subject]["key"], "--store", tmp_path, "--ceiling", "inter-subject", "--json"
    ).json["tests"][0]
    assert run["mean_ceiling"] == pytest.approx(tested["regions"][0]["ceiling"], abs=1e-4)
    group = zoo(*ask, "-s", "group", "--ceiling", "inter-subject")
    assert group.code == 2
    assert "'group' is a mean over subjects" in group.err
