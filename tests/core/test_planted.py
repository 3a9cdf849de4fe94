"""Truth is planted in a dataset and in a plugin's models; every command finds it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hermetic import Site
from voxelzoo_planted import plugin, truth
from voxelzoo_planted.dataset import Planted
from zoo_cli import Zoo

SIZES = {"1m": 1e6, "10m": 1e7, "100m": 1e8, "1b": 1e9}


@pytest.fixture
def planted(zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Zoo:
    """``zoo`` with the plugin installed, and a store."""
    source = Path(plugin.__file__).read_text()
    Site(tmp_path).add("voxelzoo-planted", {"planted": source}, version="0.1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ZOO_STORE", str(tmp_path / "store"))
    return zoo


def run(zoo: Zoo, *arguments: Any) -> list[dict[str, Any]]:
    ended = zoo("run", "--dataset", "planted", "--delays", truth.LAG, "--json", "-q", *arguments)
    assert ended.code == 0, ended.err
    results: list[dict[str, Any]] = ended.json["results"]
    return results


def family(*more: Any) -> list[Any]:
    names = [part for size in SIZES for part in ("--plugin", f"planted-{size}")]
    return [*names, *more]


def test_size_layer_and_ceiling_are_found(planted: Zoo) -> None:
    more = {"stories": "10", "test_stories": "4", "test_trs": "300"}
    told = [part for name in more for part in ("--dataset-option", f"{name}={more[name]}")]
    results = run(planted, *family("--layer", "all", *told))
    assert len(results) == 12
    data = Planted(**more)
    labels = np.array(data.voxel_labels("s1"))
    for each in results:
        for region in ("early", "late"):
            ceiling = data.ceiling[labels == region].mean()
            r = truth.shown(each["n_parameters"], each["layer"], region) * ceiling
            assert each["by_label"][region]["mean_r"] == pytest.approx(r, abs=0.07), each["model"]
        # The mean ceiling of all voxels, to within what 1,200 rows say.
        assert each["mean_ceiling"] == pytest.approx(data.ceiling.mean(), abs=0.02)
    law = planted("scaling", "size", "--family", "planted", "--layer", 2, "--json").json
    late = next(row for row in law["regions"] if row["region"] == "late")
    expected = truth.SHOWN_PER_DECADE * data.ceiling[labels == "late"].mean()
    assert late["slope"] == pytest.approx(expected, abs=0.02)
    best = planted("scaling", "layers", "--family", "planted", "--json").json["best"]
    found = {(row["model"], row["region"]): row["layer_cv_r"] for row in best}
    for size in SIZES:
        for region, layer in truth.BEST_LAYER.items():
            assert found[f"planted-{size}", region] == layer


def test_a_stack_of_two_spaces_is_found(planted: Zoo, tmp_path: Path) -> None:
    spaces = ("--plugin", "planted-text", "--plugin", "planted-speech")
    (result,) = run(planted, *spaces, "--regressor", "stacking")
    from voxelzoo.store import Store

    data = Planted()
    weights = Store(tmp_path / "store").by_key("results", result["key"]).read("weights")
    both = np.array(data.voxel_labels("s1")) == "both"
    error = weights[both, 0] - data.weight
    assert np.abs(error).max() < 0.2
    assert abs(error.mean()) < 0.05
    assert weights[~both, 0].min() > 0.8  # the others follow text alone
