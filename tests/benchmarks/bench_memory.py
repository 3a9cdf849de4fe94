"""Peak memory of one ridge fit, its responses and predictions streamed from and to Zarr.

    python tests/benchmarks/bench_memory.py --voxels 2000 --voxels 8000
    python tests/benchmarks/bench_memory.py --voxels 95000      # the whole brain; an hour

10,000 rows x 28,672 delayed features (7,168 units x 4 delays), 27 stories, 15 alphas: the delayed
design, never made, would be 1.1 GB, its weights for 95,000 voxels 11 GB. Each number of voxels
runs in a process of its own; peaks that agree show that voxels do not count.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr

from voxelzoo_regressors import Ridge

CHUNK = 1000


def run(args: argparse.Namespace, n_voxels: int, folder: Path) -> None:
    rng = np.random.default_rng(0)
    n_test = 300
    groups = np.arange(args.rows) * args.stories // args.rows
    X = rng.standard_normal((args.rows + n_test, args.units), dtype=np.float32)
    X *= np.arange(1, args.units + 1, dtype=np.float32) ** -0.5
    drivers = X[: args.rows, :50]
    Y = zarr.create_array(
        folder / "responses.zarr",
        shape=(args.rows, n_voxels),
        chunks=(args.rows, min(CHUNK, n_voxels)),
        dtype="f4",
        compressors=None,
    )
    for start in range(0, n_voxels, CHUNK):
        n = min(CHUNK, n_voxels - start)
        noise = rng.standard_normal((args.rows, n), dtype=np.float32)
        Y[:, start : start + n] = drivers @ rng.standard_normal((50, n), dtype=np.float32) + noise
    out = zarr.create_array(
        folder / "predictions.zarr",
        shape=(n_test, n_voxels),
        chunks=(n_test, min(CHUNK, n_voxels)),
        dtype="f4",
    )
    start_time = time.perf_counter()
    model = Ridge(
        np.logspace(1, 8, 15),
        delays=[1, 2, 3, 4],
        sweep_dtype=args.sweep_dtype,
        voxel_block=CHUNK,
        device="cpu",
    ).fit(X[: args.rows], Y, groups=groups)
    fitted = time.perf_counter()
    model.predict(X[args.rows :], groups=np.zeros(n_test), out=out)
    predicted = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{n_voxels:8} voxels: peak {peak:.2f} GiB, fit {fitted - start_time:.0f} s, "
        f"predict {predicted - fitted:.0f} s; {model.path_}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=10000)
    parser.add_argument("--units", type=int, default=7168)
    parser.add_argument("--stories", type=int, default=27)
    parser.add_argument("--voxels", type=int, action="append")
    parser.add_argument("--sweep-dtype", default="same")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        with tempfile.TemporaryDirectory() as folder:
            run(args, args.only, Path(folder))
        return
    for n in args.voxels or [2000, 8000]:
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--only", str(n)], check=True)


if __name__ == "__main__":
    main()
