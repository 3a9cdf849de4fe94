from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from planted_results import LABELS, put
from result_records import make_record
from voxelzoo.api import DataError, NotFoundError, UsageError
from voxelzoo.reports.curves import (
    Cell,
    Setting,
    cells,
    check_comparable,
    choose_layer,
    choose_one_layer,
    make_curve,
    select,
)
from voxelzoo.store.results import Result
from voxelzoo.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def all_of(store: Path) -> list[Result]:
    return list(Store(store).results())


def only(store: Path) -> Cell:
    (cell,), _ = cells(all_of(store))
    return cell


def test_a_setting_is_the_mean_over_subjects_who_heard_different_stories() -> None:
    same = Setting.of(make_record(train_hours=2.0))
    assert (same.n_stories, same.hours) == (2, 2.0)
    differ = Setting.of(make_record(mean_train_stories=3.5, mean_train_hours=2.25))
    assert (differ.n_stories, differ.hours) == (3.5, 2.25)


def test_results_are_selected_by_what_they_are(store: Path) -> None:
    put(store, "opt-s", 0.1, layers=(0,), subjects=("S1", "S2"))
    put(store, "opt-m", 0.1, layers=(0, 1), subjects=("S1",))
    put(store, "opt-m", 0.1, layers=(0,), subjects=("S1",), untrained=True)
    results = all_of(store)
    assert len(select(results)) == 5
    assert {r.record.model for r in select(results, models=["opt/opt-m"])} == {"opt-m"}
    assert [r.record.subject for r in select(results, subjects=["S2"])] == ["S2"]
    assert len(select(results, models=["opt-m"], untrained=False)) == 2
    with pytest.raises(NotFoundError, match="no such result"):
        select(results, dataset="other")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"protocol": "antonello2023"}, "differ in protocol .*choose with --protocol"),
        ({"delays": (1, 2, 3)}, r"differ in delays \(1, 2, 1, 2, 3\).*different stores"),
        ({"test_stories": ("c",)}, "differ in test_stories"),
    ],
)
def test_results_that_differ_in_more_than_the_model_are_no_curve(
    store: Path, changed: dict[str, object], message: str
) -> None:
    put(store, "opt-s", 0.1, layers=(0,), subjects=("S1",))
    put(store, "opt-m", 0.1, layers=(0,), subjects=("S1",))
    check_comparable(all_of(store))
    put(store, "opt-m", 0.1, layers=(0,), subjects=("S1",), **changed)
    with pytest.raises(UsageError, match=message):
        check_comparable(all_of(store))


def test_only_subjects_with_every_model_and_layer_are_used(store: Path) -> None:
    put(store, "opt-s", 0.1, layers=(0, 1), subjects=("S1", "S2", "S3"))
    put(store, "opt-m", 0.1, layers=(0,), subjects=("S2",))
    grouped, notes = cells(all_of(store))
    assert [list(cell.layers[0]) for cell in grouped] == [["S2"], ["S2"]]
    assert notes == ["subjects S1 and S3 skipped: not all models and layers were run for them"]


def test_the_newer_of_two_results_is_used(store: Path) -> None:
    put(store, "opt-s", 0.1, layers=(0,), subjects=("S1",))
    put(store, "opt-s", 0.1, layers=(0,), subjects=("S1",), seed=1)
    (cell,), notes = cells(all_of(store))
    assert cell.layers[0]["S1"].record.seed == 1
    same = "skipped: newer ones have the same model, layer and subject"
    assert notes == [f"1 older result {same}"]
    put(store, "opt-s", 0.1, layers=(0,), subjects=("S1",), first_token="<s>")
    _, notes = cells(all_of(store))
    assert notes == [f"2 older results {same}, but differ in first_token"]


def test_models_of_different_subjects_have_nothing_in_common(store: Path) -> None:
    put(store, "opt-s", 0.1, layers=(0,), subjects=("S1",))
    put(store, "opt-m", 0.1, layers=(0,), subjects=("S2",))
    with pytest.raises(DataError, match="no subject has results of all"):
        cells(all_of(store))


def test_a_layer_is_chosen_by_cv_r_unless_it_is_missing_or_r_is_asked_for(store: Path) -> None:
    put(store, "opt-s", 0.2, layers=(0, 1), best=1)
    assert choose_layer(only(store)).layer == 1
    assert choose_layer(only(store)).by == "best cv_r within training data"
    put(store, "opt-s", 0.5, layers=(2,), best=2, mean_cv_r=0.01)  # good on test data only
    assert choose_layer(only(store)).layer == 1
    assert choose_layer(only(store), by="r").layer == 2
    put(store, "opt-s", 0.0, layers=(3,), best=3, mean_cv_r=None)
    assert choose_layer(only(store)).layer == 2
    assert "optimistic" in choose_layer(only(store)).by
    with pytest.raises(DataError, match="not every layer has a cv_r"):
        choose_layer(only(store), by="cv_r")
    assert choose_layer(only(store), 0).by == "as asked"
    with pytest.raises(NotFoundError, match="no result of layer 7; it has 0, 1, 2 and 3"):
        choose_layer(only(store), 7)


def test_without_any_score_there_is_no_best_layer(store: Path) -> None:
    put(store, "opt-s", 0.2, layers=(0, 1), mean_r=None, mean_cv_r=None)
    with pytest.raises(DataError, match="no layer has a defined score"):
        choose_layer(only(store))


def test_a_curve_of_data_uses_the_layer_chosen_with_most_data(store: Path) -> None:
    put(store, "opt-s", 0.2, layers=(0, 1), best=1, n_stories=10)
    put(store, "opt-s", 0.1, layers=(0, 1), best=0, n_stories=1, subset_seed=0)
    grouped, _ = cells(all_of(store))
    assert {point.layer for point in choose_one_layer(grouped)} == {1}
    assert {point.layer for point in choose_one_layer(grouped, 0)} == {0}


def test_performance_is_the_mean_over_voxels_that_every_point_defines(store: Path) -> None:
    put(store, "opt-m", 0.3, layers=(0,), subjects=("S1", "S2"))
    put(store, "opt-s", 0.2, layers=(0,), subjects=("S1", "S2"))
    grouped, _ = cells(all_of(store))
    points = [choose_layer(cell) for cell in grouped]
    curve = make_curve(points, [9.0, 8.0], "signed_r2")
    assert [point.setting.model for point in curve.points] == ["opt-s", "opt-m"]  # by size
    assert curve.n_undefined == [1, 1]
    for i, point in enumerate(curve.points):
        of_subjects, of_region = [], []
        for result in point.results.values():
            r = result.map("r")
            scores = [abs(x) * x for x in r if np.isfinite(x)]
            of_subjects.append(np.mean(scores))
            of_region.append(np.mean(scores[30:]))
        assert curve.measured.performance[i] == pytest.approx(np.mean(of_subjects))
        assert curve.of_region(LABELS[1])[i] == pytest.approx(np.mean(of_region))
    whole = curve.whole(0, np.arange(59.0))
    assert whole.shape == (60,)
    assert np.isnan(whole[-1])
    # A mean over voxels of each of the two test stories, 0.01 above and below.
    assert curve.measured.parts is not None
    r = curve.points[0].results["S1"].map("r")[:59]
    expected = [np.mean(np.abs(r + shift) * (r + shift)) for shift in (0.01, -0.01)]
    np.testing.assert_allclose(curve.measured.parts[0][0], expected)


def test_subjects_whose_results_have_other_voxels_are_refused(store: Path) -> None:
    record = make_record(model="opt-s").to_json()
    Store(store).put("results", record, {"r": np.ones(3)}, record)
    record = make_record(model="opt-m").to_json()
    Store(store).put("results", record, {"r": np.ones(4)}, record)
    grouped, _ = cells(all_of(store))
    with pytest.raises(DataError, match="different number of voxels"):
        make_curve([choose_layer(cell) for cell in grouped], [8, 9])


def test_a_subject_without_a_common_voxel_is_refused(store: Path) -> None:
    for model, r in (("opt-s", [np.nan, 0.1]), ("opt-m", [0.1, np.nan])):
        record = make_record(model=model).to_json()
        Store(store).put("results", record, {"r": np.array(r)}, record)
    grouped, _ = cells(all_of(store))
    with pytest.raises(DataError, match="no voxel that is defined at every point"):
        make_curve([choose_layer(cell) for cell in grouped], [8, 9])
