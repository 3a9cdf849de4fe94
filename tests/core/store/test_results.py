"""Results in a store: names of stories never meet names of arrays, and records keep their types."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_folder import write_study
from result_records import make_record
from voxelzoo.api import DataError, NotFoundError, UsageError
from voxelzoo.science.scores import HeldOutPart, Scores
from voxelzoo.store.layout import group_name, groups, result_arrays
from voxelzoo.store.records import RECORD_VERSION, RecordVersionError, ResultRecord
from voxelzoo.store.results import Result
from voxelzoo.store.store import Store, open_store
from zoo_cli import Zoo

STORIES = (
    "normalised", "r", "label", "a/b", "a", "b", "..", ".", "story/r", "r/prediction", "fold/1",
    "coef/000000", "zarr.json", "Ünï cødé", "%2E", "a%2Fb", " ",
)  # fmt: skip


def put(store: Path, changed: dict[str, Any] | None = None, key: int = 0, **arrays: Any) -> Result:
    """A result of two voxels."""
    record = make_record(n_voxels=2).to_json() | (changed or {})
    return Result(
        Store(store).put("results", {"n": key}, {"r": np.array([0.1, 0.2])} | arrays, record)
    )


def test_a_story_of_any_name_has_arrays_of_its_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = {
        name: HeldOutPart(
            rng.normal(size=(9, 3)), rng.normal(size=(9, 3)), rng.normal(size=(2, 9, 3))
        )
        for name in STORIES
    }
    r, bound = rng.normal(size=3), rng.uniform(0.5, 1, 3)
    scores = Scores(
        kind="stories", r=r, r2=r, alpha=None, cv_r=None, paths=(), parts=parts, n_train=9,
        n_test=9, ceiling=bound,
    )  # fmt: skip
    record = make_record(n_voxels=3, test_stories=STORIES)
    arrays = result_arrays(scores, ["left", "left", "right"], predictions=True)
    result = Result(Store(tmp_path).put("results", {"a": 1}, arrays, record.to_json()))
    assert result.stories == STORIES
    assert set(result.maps) == {"r", "r2", "signed_r2", "ceiling", "r_normalised"}
    np.testing.assert_array_equal(result.map("r_normalised"), r / bound)
    np.testing.assert_array_equal(result.map("r"), r)
    assert result.labels == ["left", "left", "right"]
    for name, part in parts.items():
        kept = result.story(name)
        np.testing.assert_array_equal(kept.r, part.r)
        for what in ("prediction", "response", "repeats"):
            expected = np.asarray(getattr(part, what), dtype=np.float32)
            np.testing.assert_array_equal(getattr(kept, what), expected, err_msg=name)
    held_out = result.read_held_out()
    assert held_out.joined
    assert tuple(held_out.parts) == tuple(held_out.repeats) == STORIES


def test_a_run_with_a_story_called_normalised_keeps_the_normalised_map(
    zoo: Zoo, tmp_path: Path
) -> None:
    study = write_study(tmp_path / "study", subjects=("ann", "bob"))
    for path in study.rglob("three*"):
        path.rename(path.with_name(path.name.replace("three", "normalised")))
    description = study / "dataset.yaml"
    description.write_text(description.read_text().replace("three", "normalised"))
    ended = zoo(
        "run", "-p", "word-rate", "--dataset", study, "-s", "ann", "--ceiling", "inter-subject",
        "--store", tmp_path / "store", "--json", "-q",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    result = open_store(tmp_path / "store").result(ended.json["results"][0]["key"])
    assert result.stories == ("normalised",)
    r, bound = result.map("r"), result.map("ceiling")
    np.testing.assert_allclose(result.map("r_normalised"), np.where(bound > 0, r / bound, np.nan))
    assert np.nanmax(np.abs(result.map("r_normalised") - r)) > 0.01
    np.testing.assert_allclose(result.story("normalised").r, r, atol=1e-6)


def test_names_of_stories_and_folds_are_read_back() -> None:
    names = [f"{group_name('stories', story)}/r" for story in STORIES]
    assert list(groups(names)) == list(STORIES)
    assert len(set(names)) == len(STORIES)
    assert not any("/../" in f"/{name}/" or "/./" in f"/{name}/" for name in names)
    assert groups(["r", "fold/1/r", "fold/2/r", "coef/000000"]) == {
        "fold1": "fold/1",
        "fold2": "fold/2",
    }


def test_a_record_is_read_as_it_was_written() -> None:
    record = make_record(
        spaces=("a:1", "b:2"), layer=None, fit="joint", regressor_options={"alphas": [1, 2]},
        mean_weights=(0.25, None), kind="folds", n_folds=4, gap_trs=3, test_stories=(),
    )  # fmt: skip
    read = ResultRecord.from_json(json.loads(json.dumps(record.to_json())))
    assert read == record
    assert read.evaluation == "4 contiguous folds, gap 3 TRs"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layer": "last"}, r"damaged record \(layer"),
        ({"kind": "stories (a)"}, r"damaged record \(kind"),
        ({"scores": {}}, r"damaged record \(scores.mean_r"),
    ],
)
def test_a_damaged_record_names_its_field(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ResultRecord.from_json(make_record().to_json() | changed)


def test_how_r_is_scored_does_not_hang_on_words(tmp_path: Path) -> None:
    """The kind of evaluation is a field; a sentence in its place changes nothing."""
    arrays = {
        f"{group}/{what}": np.random.default_rng(i).normal(size=(20, 2))
        for i, (group, what) in enumerate(
            (group, what) for group in ("fold/1", "fold/2") for what in ("prediction", "response")
        )
    }
    record = make_record(n_voxels=2, kind="folds", n_folds=2, gap_trs=1, test_stories=())
    words = record.to_json() | {"evaluation": "held-out stories (fold1, fold2)"}
    held_out = put(tmp_path, words, **arrays).read_held_out()
    assert not held_out.joined
    assert list(held_out.parts) == ["fold1", "fold2"]
    means = [held_out.of_part(name).r for name in held_out.parts]
    np.testing.assert_allclose(held_out.r, np.mean(means, axis=0))


def old_record(**changed: Any) -> dict[str, Any]:
    """What voxelzoo 0.1 wrote: flat, without a version."""
    flat = make_record(**changed).flat()
    return {name: value for name, value in flat.items() if name not in ("schema_version", "kind")}


def test_results_of_voxelzoo_0_1_are_refused_in_a_line(zoo: Zoo, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    old = store.put("results", {"n": 1}, {"r": np.ones(2), "r_a": np.ones(2)}, old_record())
    for command in (
        ("results", "list"), ("results", "show", old.key), ("test", old.key),
        ("explain", old.key), ("results", "export", tmp_path / "voxels.csv"),
        ("scaling", "layers"),
    ):  # fmt: skip
        ended = zoo(*command, "--store", store.root)
        assert ended.code == 6, command
        (line,) = ended.err.strip().splitlines()
        assert "written by voxelzoo 0.1" in line
        assert line.endswith("delete it and run again")
    new = put(store.root)
    listed = zoo("results", "list", "--store", store.root, "--json")
    assert [record["key"] for record in listed.json["results"]] == [new.key]
    (line,) = listed.err.strip().splitlines()
    assert "1 of 2 results are skipped: written by voxelzoo 0.1" in line
    with pytest.warns(UserWarning, match="1 of 2 results are skipped"):
        assert [result.key for result in store.results()] == [new.key]


def test_results_of_a_newer_voxelzoo_are_refused_by_version(zoo: Zoo, tmp_path: Path) -> None:
    newer = put(tmp_path, {"schema_version": RECORD_VERSION + 1})
    with pytest.raises(RecordVersionError, match=f"record version {RECORD_VERSION + 1} is unknown"):
        _ = newer.record
    ended = zoo("results", "list", "--store", tmp_path)
    assert ended.code == 6
    assert ended.err.strip().endswith("upgrade voxelzoo")


def test_what_a_result_does_not_have_is_named(tmp_path: Path) -> None:
    result = put(tmp_path / "store", **{"story/a/r": np.ones(2), "story/b/r": np.ones(2)})
    with pytest.raises(NotFoundError, match=r"no map 'alpha'; it has r$"):
        result.map("alpha")
    with pytest.raises(NotFoundError, match="story 'c' was not held out; a, b were"):
        result.story("c")
    for read in (lambda: result.story("a").prediction, result.read_held_out, result.read_responses):
        with pytest.raises(UsageError, match="zoo run --keep predictions"):
            read()
    with pytest.raises(UsageError, match=r"no store at .*nowhere; pass --store PATH"):
        open_store(tmp_path / "nowhere")


def test_results_are_told_apart_by_the_beginning_of_their_keys(tmp_path: Path) -> None:
    results = [put(tmp_path, key=i) for i in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(Store(tmp_path).results()) == results
    assert Store(tmp_path).result(results[1].key[:10]) == results[1]
    with pytest.raises(NotFoundError, match="3 results in"):
        Store(tmp_path).result("")
