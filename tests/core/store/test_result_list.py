"""Results from Python: filtered, as a table, as labelled arrays, and as a notebook shows them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_folder import write_study
from result_records import make_record
from voxelzoo.api import UsageError
from voxelzoo.store.records import RegionScore
from voxelzoo.store.result_list import Results
from voxelzoo.store.results import Result
from voxelzoo.store.store import Store, open_store
from zoo_cli import Zoo

SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"model": "opt-m", "model_id": "opt/opt-m", "n_parameters": None},
    {"layer": 7},
    {"untrained": True},
    {"untrained": True, "seed": 1},
    {"subject": "S2"},
    {"is_average": True},
    {"dataset": "other"},
    {"protocol": "antonello2023"},
    {"standardised_responses": False},
    {"regressor": "bootstrap-ridge"},
    {"regressor_options": {"scoring": "r2"}},
    {"aligner": "nearest"},
    {"aligner_settings": {"window": 5}},
    {"delays": (1, 2, 3)},
    {"shift": 2.0},
    {"ceiling_method": "schoppe", "mean_ceiling": 0.8},
    {"options": {"context": "64"}},
    {"options": {"stride": "1.0"}},
    {"dtype": "bfloat16"},
    {"kind": "folds", "n_folds": 6, "gap_trs": 5, "test_stories": ()},
    {"kind": "folds", "n_folds": 6, "gap_trs": 4, "test_stories": ()},
    {"test_stories": ("a",)},
    {"train_stories": ("t1",), "subset_seed": 0},
    {"train_stories": ("t1",), "subset_seed": 1},
    {"leaks": ("repeated-story",)},
    {"software": {"torch": "2.11.0"}},
    {"layer": None, "fit": "joint", "family": "joint", "spaces": ("a:1", "b:2"),
     "mean_weights": (0.25, 0.75), "mean_partition": {"a:1": 0.1, "a:1 & b:2": None}},
)  # fmt: skip
"""Results each of which differs from the first, and from every other, in a fact."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    store = Store(tmp_path_factory.mktemp("store"))
    for changed in SETTINGS:
        record = make_record(**changed)
        store.put("results", {"changed": repr(changed)}, {"r": np.ones(60)}, record.to_json())
    return store.results()


def test_every_two_results_differ_in_a_column_beside_their_key(results: Results) -> None:
    table = results.table()
    assert len(table) == len(SETTINGS)
    assert list(table.columns[:3]) == ["key", "model", "layer"]
    assert not table.drop(columns="key").duplicated().any()
    row = table.iloc[next(i for i, each in enumerate(SETTINGS) if "spaces" in each)]
    assert row["mean_weights.a:1"] == 0.25
    assert row["mean_partition.a:1"] == 0.1
    assert row["spaces"] == "a:1, b:2"
    assert table["layer"].isna().sum() == 1
    assert table["layer"].dtype == "Int64"
    assert table.groupby("train_stories").size()["t1"] == 2
    assert table["options.context"].dropna().tolist() == ["64"]


def test_a_table_of_nothing_has_columns() -> None:
    table = Results().table()
    assert table.empty
    assert {"key", "model", "layer", "mean_r", "evaluation"} <= set(table.columns)


def test_numbers_are_numbers_even_if_no_result_has_them(results: Results) -> None:
    types = results[:1].table().dtypes
    for name in ("mean_ceiling", "mean_train_hours", "tr"):
        assert types[name] == "float64"
    assert types["subset_seed"] == "Int64"


def test_results_are_chosen_by_their_fields(results: Results) -> None:
    n = len(SETTINGS)
    assert len(results.where(model="opt-m")) == len(results.where(model="opt/opt-m")) == 1
    assert len(results.where(model=["opt-m", "opt-s"])) == n
    assert len(results.where(untrained=True, seed=1)) == 1
    assert len(results.where(layer=None)) == 1
    assert len(results.where(subset_seed={0, 1})) == 2
    assert len(results.where(delays=(1, 2, 3))) == len(results.where(delays=[1, 2, 3])) == 1
    assert results.where() == results
    with pytest.raises(UsageError, match="no field 'modle'; they have"):
        results.where(modle="opt-s")
    assert isinstance(results[:2], Results)
    assert isinstance(results[0], Result)


def test_regions_have_a_row_each(tmp_path: Path) -> None:
    by_region = {
        "A1": RegionScore(n_voxels=2, mean_r=0.5),
        "V1": RegionScore(n_voxels=0, mean_r=None),
    }
    record = make_record(by_region=by_region).to_json()
    Store(tmp_path).put("results", {"a": 1}, {"r": np.ones(60)}, record)
    regions = Store(tmp_path).results().regions()
    assert regions["region"].tolist() == ["A1", "V1"]
    assert regions["n_voxels"].tolist() == [2, 0]
    assert regions["mean_r"].isna().tolist() == [False, True]


@pytest.fixture
def kept(zoo: Zoo, tmp_path: Path) -> Result:
    study = write_study(tmp_path / "study", n_voxels=4)
    ended = zoo(
        "run", "-p", "word-rate", "--dataset", study, "--store", tmp_path / "store", "--json", "-q",
        "--keep", "predictions,weights",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    return open_store(tmp_path / "store").result(ended.json["results"][0]["key"])


def test_arrays_have_names_labels_and_units(kept: Result) -> None:
    r = kept.array("r")
    assert r.dims == ("voxel",)
    assert r.attrs["units"] == "1"
    assert (r.attrs["model"], r.attrs["layer"]) == ("word-rate", 0)
    np.testing.assert_array_equal(r, kept.map("r"))
    assert r.coords["voxel"].values.tolist() == [0, 1, 2, 3]
    by_story = kept.r_by_story()
    assert by_story.dims == ("story", "voxel")
    np.testing.assert_array_equal(by_story.sel(story="three"), kept.story("three").r)
    predictions, responses = kept.predictions(), kept.responses()
    assert predictions.dims == responses.dims == ("story", "time", "voxel")
    np.testing.assert_array_equal(predictions.sel(story="three"), kept.story("three").prediction)
    tr = kept.record.tr
    assert tr is not None
    assert predictions["time"].attrs["units"] == "s"
    assert predictions["time"].values[:3].tolist() == [0, tr, 2 * tr]
    weights = kept.coefficients(slice(1, 3))
    assert weights.dims == ("delay", "unit", "voxel")
    assert weights["voxel"].values.tolist() == [1, 2]
    assert weights["delay"].values.tolist() == [tr, 2 * tr, 3 * tr, 4 * tr]
    np.testing.assert_array_equal(weights, kept.read_weights(slice(1, 3)))


def test_stories_of_different_lengths_end_in_nan(tmp_path: Path) -> None:
    rows = {"a": np.arange(6.0).reshape(3, 2), "b": np.arange(10.0).reshape(5, 2)}
    labels = np.frombuffer(b"left\nright", np.uint8)
    arrays = {f"story/{name}/prediction": each for name, each in rows.items()}
    record = make_record(n_voxels=2, tr=None).to_json()
    result = Result(
        Store(tmp_path).put(
            "results", {"a": 1}, {"r": np.ones(2), "label": labels} | arrays, record
        )
    )
    found = result.predictions()
    assert found.shape == (2, 5, 2)
    np.testing.assert_array_equal(found.sel(story="a")[:3], rows["a"])
    assert np.isnan(found.sel(story="a")[3:]).all()
    np.testing.assert_array_equal(found.sel(story="b"), rows["b"])
    assert found["time"].attrs["units"] == "TR"
    np.testing.assert_array_equal(found.region, ["left", "right"])


def test_a_notebook_shows_what_was_fitted_and_how_well(results: Results) -> None:
    shown = results._repr_html_()
    assert f"{len(SETTINGS)} results, the first 20 shown" in shown
    assert shown.count("<tr>") == 21
    assert "<td>0.100</td>" in shown
    one = results[1]._repr_html_()
    assert "opt-m" in one
    assert results[1].key[:12] in one
    assert "opt-m layer 0, planted S1, mean r 0.100" in repr(results)


def test_a_name_is_not_read_as_html(tmp_path: Path) -> None:
    record = make_record(model="<script>").to_json()
    Store(tmp_path).put("results", {"a": 1}, {"r": np.ones(60)}, record)
    for shown in (Store(tmp_path).results(), Store(tmp_path).results()[0]):
        assert "<script>" not in shown._repr_html_()
        assert "&lt;script&gt;" in shown._repr_html_()


def test_pandas_and_xarray_are_imported_when_they_are_used(results: Results) -> None:
    root = results[0].artefact.path.parents[1]
    script = (
        "import sys; from voxelzoo.store.store import open_store\n"
        f"results = open_store({str(root)!r}).results(model='opt-s')\n"
        "results._repr_html_()\n"
        "print({'pandas', 'xarray', 'torch'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.stdout.strip() == "set()", ended.stderr
