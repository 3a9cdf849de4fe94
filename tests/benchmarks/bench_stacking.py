"""Simplex weights of all voxels at once against one quadratic programme per voxel (cvxopt).

    pip install cvxopt && python tests/benchmarks/bench_stacking.py

The loop is timed on a few voxels and scaled up; both must agree on those.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from voxelzoo_regressors.simplex import simplex_weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--voxels", type=int, default=95000)
    parser.add_argument("--spaces", type=int, default=17)
    parser.add_argument("--loop", type=int, default=200, help="voxels that the loop solves")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    R = np.empty((args.voxels, args.spaces, args.spaces))
    for start in range(0, args.voxels, 5000):
        # Spaces share most of their error, as layers of one model do.
        n = min(5000, args.voxels - start)
        A = 0.3 * rng.standard_normal((n, args.spaces, 40)) + rng.standard_normal((n, 1, 40))
        R[start : start + n] = A @ A.transpose(0, 2, 1)
    start_time = time.perf_counter()
    weights = simplex_weights(R)
    ours = time.perf_counter() - start_time
    print(f"{args.voxels} voxels x {args.spaces} spaces: {ours:.2f} s")
    try:
        import cvxopt
    except ImportError:
        print("cvxopt is not installed: no comparison")
        return
    cvxopt.solvers.options["show_progress"] = False
    for tolerance in ("abstol", "reltol", "feastol"):  # its own stop at three digits of a weight
        cvxopt.solvers.options[tolerance] = 1e-11
    m = args.spaces
    bounds = cvxopt.matrix(-np.eye(m)), cvxopt.matrix(np.zeros(m))
    simplex = cvxopt.matrix(np.ones((1, m))), cvxopt.matrix(1.0)
    start_time = time.perf_counter()
    solved = [
        np.ravel(
            cvxopt.solvers.qp(cvxopt.matrix(2 * r), cvxopt.matrix(np.zeros(m)), *bounds, *simplex)[
                "x"
            ]
        )
        for r in R[: args.loop]
    ]
    loop = (time.perf_counter() - start_time) * args.voxels / args.loop
    apart = np.abs(np.array(solved) - weights[: args.loop]).max()
    print(f"cvxopt, scaled up from {args.loop}: {loop:.0f} s, {loop / ours:.0f} times as long")
    print(f"largest difference of a weight: {apart:.1e}")


if __name__ == "__main__":
    main()
