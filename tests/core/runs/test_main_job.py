"""The main job on the simulated brain: each model finds the voxels that its feature drives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zoo_cli import Zoo

N_TEST, N_NOISE = 50, 40


def by_driver(zoo: Zoo, *arguments: str) -> list[dict[str, Any]]:
    """Mean r of each driver's voxels, one record a layer and subject."""
    ended = zoo("run", *arguments, "--json", "--quiet")
    assert ended.code == 0, ended.err
    found = ended.json["results"]
    for record in found:
        assert record["n_test"] == N_TEST
        assert record["by_label"]["noise"]["n_voxels"] == N_NOISE
    return [{name: s["mean_r"] for name, s in r["by_label"].items()} for r in found]


def assert_chance(mean_r: float) -> None:
    """Within three standard errors of no correlation: noise voxels are independent."""
    assert abs(mean_r) < 3 / np.sqrt(N_TEST * N_NOISE)


@pytest.mark.parametrize(
    ("model", "driver"), [("word-rate", "word-rate"), ("mel-spectrogram", "sound")]
)
def test_a_baseline_finds_its_voxels_and_no_noise(zoo: Zoo, model: str, driver: str) -> None:
    for r in by_driver(zoo, "--plugin", model):
        assert r[driver] > 0.5
        assert r[driver] == max(r.values())
        assert_chance(r["noise"])


@pytest.mark.slow
def test_an_untrained_whisper_hears_the_sound_and_no_noise(zoo: Zoo) -> None:
    """The first command of the README, with a coarser stride."""
    found = by_driver(
        zoo, "--plugin", "whisper-tiny", "--untrained", "--stride", "1.5", "--layer", "0,1,2"
    )
    for r in found:
        assert r["sound"] > 0.3
        assert r["sound"] == max(r.values())
        assert_chance(r["noise"])
