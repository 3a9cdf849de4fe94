"""``zoo run --keep weights``: what each delay and unit weighs in each voxel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_folder import write_study
from voxelzoo.api import UsageError
from voxelzoo.data import responses as responses_module
from voxelzoo.science import voxel_arrays
from voxelzoo.science.design import delayed, zscore
from voxelzoo.store.store import Store
from zoo_cli import Zoo


@pytest.mark.parametrize("regressor", ["ridge:fit_intercept=False", "bootstrap-ridge"])
@pytest.mark.parametrize("little_memory", [False, True])
def test_weights_times_the_design_are_the_predictions(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, regressor: str, little_memory: bool
) -> None:
    if little_memory:
        monkeypatch.setattr(responses_module, "HELD_BYTES", 0)
        monkeypatch.setattr(voxel_arrays, "BLOCK_BYTES", 100)
    study = write_study(tmp_path / "study", n_voxels=9)
    rows = np.load(study / "responses/ann/one.npy")
    rows[:, 4] = np.nan
    np.save(study / "responses/ann/one.npy", rows)
    store = tmp_path / "store"
    ask = ("run", "-p", "word-rate", "--dataset", study, "--store", store, "--json", "-q")
    ended = zoo(*ask, "--regressor", regressor, "--keep", "weights,predictions")
    assert ended.code == 0, ended.err
    (result,) = ended.json["results"]
    kept = Store(store).result(result["key"])
    assert kept.kept == {"weights", "predictions"}
    weights = kept.read_weights()
    assert weights.shape == (4, 1, 9)  # delays, units, voxels
    np.testing.assert_array_equal(np.isnan(weights[0, 0]), np.arange(9) == 4)
    np.testing.assert_array_equal(kept.read_weights(slice(3, 8)), weights[..., 3:8])
    aligned = list(Store(store).all("aligned"))
    predicted = kept.story("three").prediction
    designs = [delayed(zscore(each.read("states")), [1, 2, 3, 4]) for each in aligned]
    found = [design @ weights.reshape(4, 9) for design in designs]
    errors = [np.nanmax(np.abs(each - predicted)) for each in found]
    assert min(errors) < 1e-3  # of the three stories the test story


def test_what_was_kept_before_stays(zoo: Zoo, tmp_path: Path) -> None:
    study, store = write_study(tmp_path / "study"), tmp_path / "store"
    ask = ("run", "-p", "word-rate", "--dataset", study, "--store", store, "--json", "-q")
    (first,) = zoo(*ask, "--keep", "predictions").json["results"]
    (second,) = zoo(*ask, "--keep", "weights").json["results"]
    (third,) = zoo(*ask, "--keep", "weights,predictions").json["results"]
    assert first["key"] == second["key"] == third["key"]
    assert [first["computed"], second["computed"], third["computed"]] == [True, True, False]
    exported = tmp_path / "voxels.npz"
    assert zoo("results", "export", exported, "--store", store).code == 0
    assert not any("coef" in name for name in np.load(exported).files)


def test_where_there_are_none_it_says_so(zoo: Zoo, tmp_path: Path) -> None:
    ask = ("run", "-p", "word-rate", "--store", tmp_path / "store", "-q", "--keep", "weights")
    ended = zoo(*ask, "--regressor", "stacking")
    assert ended.code == 2
    assert "--keep weights: stacking does not provide coefficients" in ended.err
    plain = zoo("run", "-p", "word-rate", "--store", tmp_path / "store", "-q", "--json").json
    result = Store(tmp_path / "store").result(plain["results"][0]["key"])
    with pytest.raises(UsageError, match="make it again with zoo run --keep weights"):
        result.read_weights()
