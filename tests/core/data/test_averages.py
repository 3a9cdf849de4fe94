"""A mean over subjects is no person: declared or found, it never counts as a further subject."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from data_folder import write_study
from voxelzoo.api import DataError
from voxelzoo.data.importing import import_dataset
from voxelzoo.data.memory import InMemoryDataset
from voxelzoo.data.opening import averages, open_dataset
from voxelzoo.host.zoo import open_zoo
from voxelzoo.science.averages import find_averages
from zoo_cli import Zoo

PEOPLE = ("ann", "bob", "cat")


def z(rows: np.ndarray) -> np.ndarray:
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


def listeners(n: int) -> dict[str, np.ndarray]:
    """Subjects who share half of their variance, (TR, voxel)."""
    rng = np.random.default_rng(0)
    n_voxels = 12
    shared = rng.normal(size=(120, n_voxels))
    return {
        f"s{i}": (shared + rng.normal(size=shared.shape)) * rng.uniform(0.5, 2, n_voxels) + i
        for i in range(n)
    }


@pytest.mark.parametrize(
    "mean",
    [
        lambda each: np.mean(each, axis=0),
        lambda each: np.mean([z(rows) for rows in each], axis=0),
        lambda each: z(np.mean([z(rows) for rows in each], axis=0)),
        lambda each: np.mean(each[:3], axis=0),
        lambda each: np.mean(each, axis=0).astype(np.float16),
        lambda each: np.mean(each, axis=0) + 0.02 * np.random.default_rng(1).normal(size=(120, 12)),
    ],
    ids=["raw", "z-scored", "z-scored after", "of some", "float16", "rounded"],
)
@pytest.mark.parametrize("n", [3, 15])
def test_a_mean_is_found_and_no_person_is(
    mean: Callable[[list[np.ndarray]], np.ndarray], n: int
) -> None:
    people = listeners(n)
    each = list(people.values())
    found = find_averages(people | {"group": mean(each)})
    assert list(found) == ["group"]
    assert set(found["group"]) <= set(people)
    assert len(found["group"]) >= 3


def test_people_who_are_alike_copies_and_two_means() -> None:
    people = listeners(12)
    assert find_averages(people) == {}
    each = list(people.values())
    assert find_averages(people | {"copy": 2 * people["s3"]}) == {}  # a guard of its own
    both = {"all": np.mean(each, axis=0), "half": np.mean(each[:6], axis=0)}
    assert set(find_averages(people | both)) == {"all", "half"}
    few = {who: rows[:20] for who, rows in people.items()}
    assert find_averages(few | {"group": np.mean(list(few.values()), axis=0)}) == {}  # too few rows


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Three people and their mean, which ``dataset.yaml`` does not call one."""
    root = write_study(tmp_path / "study", subjects=(*PEOPLE, "group"))
    for story in ("one", "two", "three"):
        rows = [np.load(root / "responses" / who / f"{story}.npy") for who in PEOPLE]
        np.save(root / "responses" / "group" / f"{story}.npy", np.mean(rows, axis=0))
    return root


def declare(root: Path, **fields: object) -> None:
    text = yaml.safe_load((root / "dataset.yaml").read_text())
    (root / "dataset.yaml").write_text(yaml.safe_dump(text | fields))


def test_an_undeclared_mean_stops_a_run_and_is_an_error_of_the_check(
    zoo: Zoo, study: Path, tmp_path: Path
) -> None:
    checked = zoo("data", "check", study, "--json", "-q")
    assert checked.code == 6
    (finding,) = [f for f in checked.json["findings"] if f["kind"] == "averaged-subject"]
    assert "'group' are the mean of ann, bob and cat" in finding["message"]
    store = tmp_path / "store"
    ask = ("run", "-p", "word-rate", "--dataset", study, "--store", store, "-q", "--json")
    for more in ((), ("-s", "group"), ("-s", "ann", "--ceiling", "inter-subject")):
        stopped = zoo(*ask, *more)
        assert stopped.code == 6, more
        assert "list it under averages" in stopped.err
    assert zoo(*ask, "-s", "ann").code == 0  # is not touched by it
    allowed = zoo(*ask, "--allow-leak", "averaged-subject")
    assert allowed.code == 0, allowed.err
    records = {each["subject"]: each for each in allowed.json["results"]}
    assert [who for who, each in records.items() if each["is_average"]] == ["group"]
    assert records["group"]["leaks"] == ["averaged-subject"]
    assert records["ann"]["leaks"] == []


def test_a_declared_mean_is_in_no_test_ceiling_or_slope(
    zoo: Zoo, study: Path, tmp_path: Path
) -> None:
    declare(study, averages=["group"])
    assert zoo("data", "check", study, "-q").code == 0
    store = tmp_path / "store"
    ended = zoo(
        "run", "-p", "word-rate", "-p", "word-length", "--dataset", study, "--store", store, "-q",
        "--json", "--keep", "predictions",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    key = next(e["key"] for e in ended.json["results"] if e["subject"] == "ann")
    tested = zoo("test", key, "--store", store, "--all-subjects", "--json", "--permutations", "20")
    assert [test["subject"] for test in tested.json["tests"]] == list(PEOPLE)
    assert tested.json["across_subjects"][0]["n_subjects"] == 3
    among = zoo("test", key, "--store", store, "--ceiling", "inter-subject", "--json")
    assert "the mean of bob and cat)" in " ".join(among.json["tests"][0]["notes"])
    curve = zoo("scaling", "layers", "--store", store, "--json")
    assert curve.code == 0, curve.err
    assert "group skipped: a mean over subjects is no further subject" in curve.out + curve.err


def test_imports_and_arrays_keep_who_is_a_mean(study: Path, tmp_path: Path) -> None:
    declare(study, averages=["group"])
    host = open_zoo(None, None, None).host
    opened = open_dataset(host, str(study), {})
    assert averages(opened) == {"group"}
    import_dataset(opened, tmp_path / "imported")
    assert averages(open_dataset(host, str(tmp_path / "imported"), {})) == {"group"}
    rows = {who: {"tale": np.ones((9, 2))} for who in ("a", "b", "mean")}
    words = {"tale": [("hi", 0.0, 1.0)]}
    memory = InMemoryDataset("mine", responses=rows, tr=1.0, words=words, averages=["mean"])
    assert averages(memory) == {"mean"}
    with pytest.raises(DataError, match="'group' is not one of the subjects"):
        InMemoryDataset("mine", responses=rows, tr=1.0, words=words, averages=["group"])


def test_an_average_must_be_a_subject(zoo: Zoo, study: Path) -> None:
    declare(study, averages=["mean"])
    ended = zoo("data", "check", study, "-q")
    assert ended.code == 6
    assert "averages: 'mean' is not one of the subjects" in ended.out + ended.err
