"""Time and peak memory of ``zoo run`` as the brain grows: responses come and go by voxel.

    python tests/benchmarks/bench_run.py                          # 10,000 and 95,000 voxels
    python tests/benchmarks/bench_run.py --stories 27 --trs 370   # the paper's 10,000 rows

A plain folder of ``--stories`` training stories and a test story heard five times, states of
``--units`` units in two layers, and the command as a user types it, in a process of its own. "Data"
is the size of the responses as they lie on disk; a run that held them would take it twice or more.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

REPEATS = 5
MEASURED = """
import resource, sys
from voxelzoo.cli import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def write_study(root: Path, n_stories: int, n_trs: int, n_units: int, n_voxels: int) -> float:
    """A plain folder; the size of its responses in bytes."""
    rng = np.random.default_rng(0)
    names = [f"story{i:02}" for i in range(n_stories)] + ["test"]
    description = {
        "name": "whole-brain",
        "tr": 2.0,
        "start": 0.0,
        "stories": {"train": names[:-1], "test": ["test"]},
        "subjects": ["s1"],
    }
    root.mkdir()
    (root / "dataset.yaml").write_text(yaml.safe_dump(description))
    (root / "responses" / "s1").mkdir(parents=True)
    truth = rng.standard_normal((n_units, n_voxels), dtype=np.float32) / np.sqrt(n_units)
    for name in names:
        features = root / "stories" / name / "features"
        features.mkdir(parents=True)
        states = rng.standard_normal((2, n_trs, n_units), dtype=np.float32)
        np.savez(features / "net.npz", times=1.0 + 2.0 * np.arange(n_trs), states=states)
        shape = (REPEATS, n_trs, n_voxels) if name == "test" else (n_trs, n_voxels)
        file = root / "responses" / "s1" / f"{name}.npy"
        out = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
        heard = np.roll(states[1], 2, axis=0) @ truth
        for rows in out if name == "test" else [out]:
            rows[:] = heard + 2 * rng.standard_normal(heard.shape, dtype=np.float32)
        out.flush()
    return 4.0 * n_voxels * n_trs * (n_stories + REPEATS)


def measure(args: argparse.Namespace, n_voxels: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study"
        size = write_study(study, args.stories, args.trs, args.units, n_voxels)
        command = [
            *("run", "--plugin", "features/net", "--dataset", str(study), "--layer", "1"),
            *("--store", f"{folder}/store", "--json", "--quiet"),
            *(("--regressor", args.regressor) if args.regressor else ()),
        ]
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *command], capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            raise SystemExit(done.stderr)
        peak = int(done.stderr.split()[-1]) * (1 if sys.platform == "darwin" else 1024)
        (result,) = json.loads(done.stdout)["results"]
        print(
            f"{n_voxels:8} {args.stories * args.trs:7} {size / 2**30:9.2f} {peak / 2**30:9.2f} "
            f"{seconds:8.0f} {result['mean_r']:8.4f} {result['mean_ceiling']:8.4f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--voxels", type=int, nargs="+", default=[10_000, 95_000])
    parser.add_argument("--stories", type=int, default=10)
    parser.add_argument("--trs", type=int, default=300)
    parser.add_argument("--units", type=int, default=768)
    parser.add_argument("--regressor")
    args = parser.parse_args()
    print("  voxels    rows  data GiB  peak GiB  seconds   mean r  ceiling")
    for n in args.voxels:
        measure(args, n)


if __name__ == "__main__":
    main()
