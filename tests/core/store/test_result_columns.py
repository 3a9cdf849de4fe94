"""Two results never look alike: columns that tell them apart, and filters on them."""

from __future__ import annotations

from typing import Any

import pytest

from result_records import make_record
from voxelzoo.api import UsageError
from voxelzoo.store.result_columns import matches, parse_filters, telling_columns
from voxelzoo.store.result_list import Results
from voxelzoo.store.store import Store

BASE = ("model", "layer", "subject", "dataset")


def rows_of(store: Store, *changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of results that differ from each other in these fields."""
    from voxelzoo.store.result_columns import result_row

    for changed in changes:
        store.put("results", {"changed": repr(changed)}, {}, make_record(**changed).to_json())
    return [result_row(each) for each in store.results()]


@pytest.fixture
def store(tmp_path: Any) -> Store:
    return Store(tmp_path)


@pytest.mark.parametrize(
    ("changed", "column"),
    [
        ({"untrained": True}, "untrained"),
        ({"seed": 3}, "seed"),
        ({"shift": 2.0}, "shift"),
        ({"delays": (1, 2, 3)}, "delays"),
        ({"protocol": "antonello2023"}, "protocol"),
        ({"regressor": "banded"}, "regressor"),
        ({"regressor_options": {"width": 64}}, "regressor_options.width"),
        ({"aligner_settings": {"window": 5}}, "aligner_settings.window"),
        ({"ceiling_method": "split-half"}, "ceiling_method"),
        ({"options": {"context": "full"}}, "options.context"),
        ({"options": {"window": "8.0"}}, "options.window"),
        ({"dtype": "bfloat16"}, "dtype"),
        ({"subset_seed": 1}, "subset_seed"),
        ({"test_stories": ("a",)}, "test_stories"),
        ({"leaks": ("repeated-story",)}, "leaks"),
        ({"is_average": True}, "is_average"),
        ({"standardised_responses": False}, "standardised_responses"),
        ({"train_stories": ("t1",)}, "n_train_stories"),
        ({"train_stories": ("t1", "t3")}, "train_stories"),
        ({"software": {"torch": "2.11.0"}}, "software.torch"),
        ({"revision": "0" * 40}, "revision"),
        ({"dataset_licence": "CC0"}, "dataset_licence"),
    ],
)
def test_what_differs_is_a_column_and_nothing_else_is(
    store: Store, changed: dict[str, Any], column: str
) -> None:
    rows = rows_of(store, {}, changed)
    assert telling_columns(rows, BASE) == [column]
    assert telling_columns(rows[:1], BASE) == []
    assert store.results().differing() == (() if column == "untrained" else (column,))


def test_a_setting_is_shown_although_another_column_tells_rows_apart(store: Store) -> None:
    """Nobody has to know which of two models was run untrained."""
    other = {"model": "opt-m", "model_id": "opt/opt-m", "family": "opt-2", "repo": "org/opt-m"}
    rows = rows_of(store, {}, {"untrained": True, "seed": 4, "mean_r": 0.3, **other})
    assert telling_columns(rows, BASE) == ["untrained", "seed"]


def test_scores_never_tell_results_apart(store: Store) -> None:
    assert telling_columns(rows_of(store, {}, {"mean_r": 0.2, "n_undefined_voxels": 3}), BASE) == []


@pytest.mark.parametrize(
    ("value", "typed", "equal"),
    [
        (True, "yes", True),
        (True, "true", True),
        (False, "no", True),
        (False, "yes", False),
        (0.0, "0", True),
        (2.0, "2.0", True),
        (2, "two", False),
        ("1, 2, 3", "1,2,3", True),
        ("1, 2, 3", "1,2", False),
        ("64", "64", True),
        (None, "none", True),
        (None, "", True),
        (None, "0", False),
    ],
)
def test_a_filter_reads_values_as_tables_show_them(value: Any, typed: str, equal: bool) -> None:
    assert matches({"x": value}, "x", typed) is equal


@pytest.mark.parametrize("text", ["shift", "=2", ""])
def test_a_filter_without_column_or_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="COLUMN=VALUE"):
        parse_filters([text])


def test_results_are_filtered_by_settings_of_any_part(store: Store) -> None:
    rows_of(store, {}, {"options": {"stride": "1.0"}}, {"untrained": True, "shift": 4.0})
    results = store.results()
    assert len(results.where(**{"options.stride": "1.0"})) == 1
    assert len(results.where(**{"options.stride": None})) == 2
    assert len(results.where(model="opt-s (untrained)")) == 1
    assert len(results.matching({"untrained": "yes", "shift": "4"})) == 1
    assert len(results.matching({"options.window": "8"})) == 0
    with pytest.raises(UsageError, match="no column 'shfit'"):
        results.matching({"shfit": "4"})
    with pytest.raises(UsageError, match=r"no field 'shfit\.x'"):
        results.where(**{"shfit.x": "4"})


def test_a_notebook_and_regions_show_what_tells_results_apart(store: Store) -> None:
    from voxelzoo.store.records import RegionScore

    by_region = {"A1": RegionScore(n_voxels=2, mean_r=0.5)}
    rows_of(store, {"by_region": by_region}, {"by_region": by_region, "shift": 4.0})
    results = store.results()
    assert "<th>shift</th>" in results._repr_html_()
    assert results.regions()["shift"].tolist() == [0.0, 4.0]
    assert Results().differing() == ()
