"""Several models as feature spaces of one fit, as ``zoo run`` shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxelzoo.store.store import Store
from zoo_cli import Zoo

SPACES = ["word-rate:0", "mel-spectrogram:0"]


def run(zoo: Zoo, store: Path, regressor: str) -> dict[str, Any]:
    ended = zoo(
        "run", "-p", "word-rate", "-p", "mel-spectrogram", "--regressor", regressor,
        "-s", "sub-01", "--store", store, "--keep", "predictions", "--json", "-q",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    (result,) = ended.json["results"]
    assert result["spaces"] == SPACES
    found: dict[str, Any] = result
    return found


def test_weights_of_a_stack_sum_to_one_and_follow_the_region(zoo: Zoo, tmp_path: Path) -> None:
    result = run(zoo, tmp_path, "stacking")
    assert sum(result["mean_weights"]) == pytest.approx(1, abs=1e-5)
    kept = Store(tmp_path).result(result["key"])
    words, sound = kept.map("weights")[40:80].T, kept.map("weights")[:40].T
    assert words[0].mean() > 0.9  # voxels that follow word rate
    assert sound[1].mean() > 0.9


def test_parts_of_the_variance_sum_to_the_joint_r2(zoo: Zoo, tmp_path: Path) -> None:
    result = run(zoo, tmp_path, "variance-partition")
    parts = result["mean_partition"]
    assert list(parts) == [*SPACES, " & ".join(SPACES)]
    kept = Store(tmp_path).result(result["key"])
    partition = kept.map("partition")
    assert partition.shape == (3, 160)
    prediction, response = kept.story("test01").prediction, kept.story("test01").response
    for voxel in (0, 50, 100, 159):
        y = response[:, voxel].astype(float)
        r2 = 1 - ((y - prediction[:, voxel]) ** 2).sum() / ((y - y.mean()) ** 2).sum()
        assert partition[:, voxel].sum() == pytest.approx(r2, abs=1e-4)
    assert sum(parts.values()) == pytest.approx(result["mean_r2"], abs=1e-4)
    # Voxels that follow sound gain nothing from word rate by itself, and the reverse.
    assert np.mean(partition[0, :40]) < 0.05
    assert np.mean(partition[1, 40:80]) < 0.05
    assert np.mean(partition[1, :40]) > 0.3
    assert np.mean(partition[0, 40:80]) > 0.3


def test_the_record_says_how_a_fit_was_computed(zoo: Zoo, tmp_path: Path) -> None:
    ended = zoo("run", "-p", "word-rate", "-s", "sub-01", "--store", tmp_path, "--json", "-q")
    (path,) = ended.json["results"][0]["fitted"]
    assert path.startswith("cpu float32, primal, rank 5")
