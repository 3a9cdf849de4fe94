from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from planted_results import LABELS, put
from result_records import make_record
from voxelzoo.reports.curves import cells
from voxelzoo.reports.layers import best_rows, layer_choices, layer_rows
from voxelzoo.store.layout import labels_as_bytes
from voxelzoo.store.results import Result
from voxelzoo.store.store import Store


def test_each_region_has_its_own_best_layer(tmp_path: Path) -> None:
    """Ten models, each with a best layer of its own in each of two regions."""
    right = []
    rng = np.random.default_rng(0)
    for seed in range(10):
        store, best = tmp_path / str(seed), {"hearing": seed % 4, "thinking": (seed * 7 + 2) % 4}
        for layer in range(4):
            record = make_record(layer=layer).to_json()
            lifted = np.repeat([0.1 * (layer == best[name]) for name in LABELS], 30)
            arrays = {
                "r": 0.1 + lifted + rng.normal(0, 0.1, 60),
                "cv_r": 0.2 + lifted + rng.normal(0, 0.1, 60),
                "label": labels_as_bytes([LABELS[0]] * 30 + [LABELS[1]] * 30),
            }
            Store(store).put("results", record, arrays, record)
        (cell,), _ = cells(Store(store).results())
        rows = {row.region: row for row in best_rows(cell)}
        assert all(row.may_be_best is None for row in rows.values())  # no predictions were kept
        for name in LABELS:
            right.append(rows[name].layer_cv_r == best[name])
            chosen = rows[name].r_of_layer_cv_r
            assert chosen is not None
            assert chosen <= rows[name].r
    # An advantage of 0.1 over 30 voxels of sd 0.1 is 3.9 standard errors of a difference.
    assert np.mean(right) >= 0.95


def test_scores_of_layers_are_means_over_subjects(tmp_path: Path) -> None:
    put(tmp_path, "opt-s", 0.2, layers=(0, 4, 8), best=4)
    (cell,), notes = cells(Store(tmp_path).results())
    rows = layer_rows(cell)
    assert notes == []
    assert [row.depth for row in rows] == [0, 0.5, 1]
    assert [row.best_r for row in rows] == [False, True, False]
    for row, results in zip(rows, cell.layers.values(), strict=True):
        r = [result.record.scores.mean_r or 0 for result in results.values()]
        assert row.n_subjects == 3
        assert row.mean_r == pytest.approx(np.mean(r), rel=1e-5)
        assert row.se == pytest.approx(np.std(r, ddof=1) / np.sqrt(3), rel=1e-5)


def test_one_layer_of_one_subject_has_no_standard_error(tmp_path: Path) -> None:
    put(tmp_path, "opt-s", 0.2, layers=(0,), best=0, subjects=("S1",))
    (cell,), _ = cells(Store(tmp_path).results())
    (row,) = layer_rows(cell)
    assert (row.se, row.depth, row.best_r) == (None, 0.0, True)


def results_of(root: Path, r: np.ndarray, cv_r: np.ndarray | None) -> list[Result]:
    """A result for each layer, from maps (layer, voxel)."""
    store = Store(root)
    for layer, own in enumerate(r):
        record = make_record(layer=layer, n_voxels=len(own)).to_json()
        arrays = {"r": own} | ({} if cv_r is None else {"cv_r": cv_r[layer]})
        store.put("results", record, arrays, record)
    return sorted(store.results(), key=lambda result: result.record.layer or 0)


def test_every_way_to_choose_a_layer_is_reported(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    r, cv_r = rng.uniform(0, 1, (2, 3, 20))
    r[1, 4] = np.nan  # undefined at one layer: counts at none
    rows = layer_choices(results_of(tmp_path, r, cv_r))
    use = [voxel for voxel in range(20) if voxel != 4]
    for row in rows:
        scores = cv_r if row["chosen_on"] == "training" else r
        if row["per"] == "model":
            best = max(range(3), key=lambda layer: np.mean(scores[layer][use]))
            expected = np.mean(r[best][use])
            assert row["layer"] == best
        else:
            expected = np.mean([r[scores[:, voxel].argmax(), voxel] for voxel in use])
            assert row["layer"] is None
        assert row["mean_r"] == pytest.approx(expected)
        assert row["optimistic"] == (row["chosen_on"] == "test")
    assert [(row["chosen_on"], row["per"]) for row in rows] == [
        (source, per) for source in ("training", "test") for per in ("model", "voxel")
    ]


def test_without_out_of_fold_scores_only_the_test_data_can_choose(tmp_path: Path) -> None:
    rows = layer_choices(results_of(tmp_path, np.random.default_rng(0).uniform(size=(2, 5)), None))
    assert {row["chosen_on"] for row in rows} == {"test"}


def test_there_is_nothing_to_choose_without_a_defined_voxel_or_a_second_layer(
    tmp_path: Path,
) -> None:
    assert layer_choices(results_of(tmp_path / "a", np.full((2, 3), np.nan), None)) == []
    assert layer_choices(results_of(tmp_path / "b", np.ones((1, 3)), None)) == []
