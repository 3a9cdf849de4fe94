"""kill -9 half-way, then again: what was finished is used, and the result is the same."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

RUN = [
    *(sys.executable, "-c", "from voxelzoo.cli import main; main()"),
    *("run", "--plugin", "mel-spectrogram", "--quiet", "--json"),
    *("--dataset-option", "stories=12", "--dataset-option", "subjects=1"),
]


def finished(store: Path) -> dict[str, float]:
    """Artefacts of a store, with the time each was made."""
    return {
        str(path.relative_to(store)): path.stat().st_mtime_ns
        for kind in ("aligned", "results")
        for path in (store / kind).glob("*")
    }


def scores(out: bytes) -> list[tuple[Any, ...]]:
    return [(r["key"], r["mean_r"]) for r in json.loads(out)["results"]]


def test_control_c_is_one_line_and_130(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [*RUN, "--store", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 120
    while not finished(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert err == "zoo: interrupted; what was finished is kept\n"
    assert out == ""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    store, other = tmp_path / "store", tmp_path / "other"
    running = subprocess.Popen([*RUN, "--store", str(store)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(finished(store)) < 3:
        assert running.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()
    kept = finished(store)
    assert not any(name.startswith("results") for name in kept)

    again = subprocess.run([*RUN, "--store", str(store)], stdout=subprocess.PIPE, check=True)
    after = finished(store)
    assert {name: after[name] for name in kept} == kept
    assert len(after) > len(kept)

    whole = subprocess.run([*RUN, "--store", str(other)], stdout=subprocess.PIPE, check=True)
    assert scores(again.stdout) == scores(whole.stdout)
    assert finished(other).keys() == after.keys()
