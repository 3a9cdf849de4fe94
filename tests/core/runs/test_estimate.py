"""``zoo plan``: what a run takes, said before and held to after."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from zoo_cli import Zoo

MODEL = ["--plugin", "whisper-tiny", "--untrained", "--stride", "2", "--layer", "last"]


def test_a_plan_leaves_out_what_the_store_has(zoo: Zoo, tmp_path: Path) -> None:
    options = ["--plugin", "word-rate", "--store", str(tmp_path), "--json"]
    before = zoo("plan", *options).json["plans"][0]
    assert (before["stories_to_read"], before["n_stories"]) == (4, 4)
    assert not list(tmp_path.iterdir())
    zoo("run", *options)
    after = zoo("plan", *options).json["plans"][0]
    assert after["stories_to_read"] == 0
    assert before["n_rows"] == after["n_rows"] == 150


def test_a_175b_network_is_planned_without_its_weights(zoo: Zoo) -> None:
    options = ["--plugin", "opt-175b", "--untrained", "--dtype", "bfloat16", "--layer", "last"]
    (plan,) = zoo("plan", *options, "--json").json["plans"]
    assert plan["extraction_peak_bytes"] == pytest.approx(2 * 174.6e9, rel=0.02)
    assert plan["extraction_flops"] == pytest.approx(
        2 * 174.0e9 * plan["extraction_n_fed"], rel=0.05
    )


@pytest.mark.slow
def test_memory_is_as_planned_and_the_run_says_so(tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "from voxelzoo.cli import main; main()",
            "run",
            *MODEL,
            "--store",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    said = re.search(
        r"states in (.+?) \(planned (.+?)\), (.+?) of memory at most \(planned (.+?)\)",
        ended.stderr,
    )
    assert said is not None, ended.stderr
    size = {"MB": 1e6, "GB": 1e9}
    took, planned = (
        float(number) * size[unit] for number, unit in (said.group(i).split() for i in (3, 4))
    )
    assert 0.5 < planned / took < 2


def test_a_plan_downloads_no_weights(zoo: Zoo, tmp_path: Path) -> None:
    """The hub is offline: a run of this model would end with exit code 5."""
    options = ("-p", "gpt2", "--layer", 3, "--store", tmp_path / "store", "--json")
    ended = zoo("plan", *options)
    assert "gpt2: weights are not on this machine; planned without" in ended.err
    (trained,) = ended.json["plans"]
    (untrained,) = zoo("plan", *options, "--untrained").json["plans"]
    assert trained["model"] == "gpt2"
    for name in ("extraction_n_passes", "n_features", "stories_to_read", "n_fits"):
        assert trained[name] == untrained[name]
    assert trained["stories_to_read"] == 4
    assert not (tmp_path / "store" / "nothing").exists()
