"""``zoo results``: tables in which two results never look alike."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

from result_records import make_record
from voxelzoo.store.layout import labels_as_bytes
from voxelzoo.store.store import Store
from zoo_cli import Zoo

CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"untrained": True},
    {"untrained": True, "seed": 1},
    {"shift": 2.0},
    {"options": {"stride": "1.0"}},
    {"layer": 3, "subject": "S2"},
)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Results that differ in one setting each."""
    for i, changed in enumerate(CHANGES):
        arrays = {"r": np.full(4, i / 10), "label": labels_as_bytes(["A1", "A1", "V1", "V1"])}
        record = make_record(n_voxels=4, **changed).to_json()
        Store(tmp_path / "store").put("results", {"changed": repr(changed)}, arrays, record)
    return tmp_path / "store"


def table(text: str) -> list[dict[str, str]]:
    """The one table of a stream: every line has a value for every column."""
    rows = list(csv.reader(io.StringIO(text), delimiter="\t"))
    assert {len(row) for row in rows} == {len(rows[0])}
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def test_a_list_has_a_column_for_everything_that_differs(zoo: Zoo, store: Path) -> None:
    rows = table(zoo("results", "list", "--store", store).out)
    assert {"untrained", "seed", "shift", "options.stride"} <= rows[0].keys()
    assert len({tuple(v for k, v in row.items() if k != "key") for row in rows}) == len(CHANGES)
    assert [row["model"] for row in rows[:2]] == ["opt-s", "opt-s (untrained)"]
    (one,) = table(zoo("results", "list", "--store", store, "--subject", "S2").out)
    assert "shift" not in one


@pytest.mark.parametrize(
    ("options", "n"),
    [
        (["--untrained"], 2),
        (["--trained"], 4),
        (["--untrained", "--where", "seed=1"], 1),
        (["--where", "shift=2"], 1),
        (["--where", "options.stride=1.0", "--trained"], 1),
        (["--layer", "3"], 1),
        (["--dataset", "other"], 0),
        (["--model", "opt-s (untrained)"], 2),
    ],
)
def test_results_are_filtered_alike_in_a_list_and_an_export(
    zoo: Zoo, store: Path, tmp_path: Path, options: list[str], n: int
) -> None:
    listed = zoo("results", "list", "--store", store, "--json", *options)
    assert len(listed.json["results"]) == n
    out = tmp_path / "voxels.csv"
    ended = zoo("results", "export", out, "--store", store, *options)
    if n:
        assert len(pandas.read_csv(out)) == 4 * n
    else:
        assert (ended.code, out.exists()) == (2, False)


def test_an_unknown_column_is_refused_by_name(zoo: Zoo, store: Path) -> None:
    ended = zoo("results", "list", "--store", store, "--where", "sed=1")
    assert ended.code == 2
    assert "no column 'sed'" in ended.err


def test_grouping_an_export_by_model_does_not_mix_trained_and_untrained(
    zoo: Zoo, store: Path, tmp_path: Path
) -> None:
    zoo("results", "export", tmp_path / "voxels.csv", "--store", store)
    voxels = pandas.read_csv(tmp_path / "voxels.csv")
    for _, group in voxels.groupby(["model", "layer"]):
        assert group["untrained"].nunique() == 1
    settings = ["model", "layer", "subject", "seed", "shift", "options.stride"]
    assert voxels.groupby(settings, dropna=False)["key"].nunique().max() == 1


def test_a_result_shows_each_setting_and_region_on_a_line(zoo: Zoo, store: Path) -> None:
    (key,) = (
        each["key"]
        for each in zoo("results", "list", "--store", store, "--json").json["results"]
        if each["options"]
    )
    rows = table(zoo("results", "show", key, "--store", store).out)
    facts = {row["field"]: row["value"] for row in rows}
    assert facts["options.stride"] == "1.0"
    assert facts["delays"] == "1, 2"
    assert "by_label" not in facts


def test_a_piped_run_is_one_table_with_regions_and_the_honest_layer(
    zoo: Zoo, tmp_path: Path
) -> None:
    options = ("-p", "whisper-tiny", "--untrained", "--layer", "0,1", "--stride", "2")
    options += ("--window", "2", "--subject", "sub-01", "--store", str(tmp_path))
    ended = zoo("run", *options)
    rows = table(ended.out)
    as_json = zoo("run", *options, "--json").json
    assert len(rows) == 2
    for row, result in zip(rows, as_json["results"], strict=True):
        assert row["model"] == "whisper-tiny (untrained)"
        for region, score in result["by_label"].items():
            assert float(row[f"mean_r[{region}]"]) == score["mean_r"]
    for choice in as_json["layer_choices"]:
        suffix = "_per_voxel" if choice["per"] == "voxel" else ""
        column = f"r_by_{choice['chosen_on']}{suffix}"
        assert {float(row[column]) for row in rows} == {choice["mean_r"]}
        if choice["per"] == "model":
            assert {row[f"layer_by_{choice['chosen_on']}"] for row in rows} == {
                str(choice["layer"])
            }


def test_on_a_terminal_what_results_share_stands_above_them(
    zoo: Zoo, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("output", "results"):
        monkeypatch.setattr(f"voxelzoo.cli.{module}.is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    shown = zoo("results", "list", "--store", store).out
    title, head = [line for line in shown.splitlines() if line.strip()][:2]
    assert title.split(";")[:2] == ["planted", " clean"]
    for column in ("model", "seed", "shift", "options.stride", "mean r"):
        assert column in head
    assert "dataset" not in head
    assert "opt-s (untrained)" in shown
