"""How the cost of ridge grows: each of its sizes doubled twice, with the exponent to expect.

    python tests/benchmarks/bench_growth.py

A layer is a design of its own; a subject is responses to the same stories, so that the second
costs no decomposition. "Exponent" is the mean log2 of the ratio of times from one size to its
double, the fastest of the repeats.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass, replace

import numpy as np

from voxelzoo_regressors import Ridge, cache, shared_cache


@dataclass(frozen=True)
class Size:
    """What is fitted."""

    rows: int = 1600
    features: int = 400
    voxels: int = 3000
    alphas: int = 8
    layers: int = 1
    subjects: int = 1


STORIES = 16

EXPECTED = {
    "voxels": "under 1: the decomposition is shared",
    "alphas": "under 1: few products span many alphas",
    "rows": "0 to 2: eigenvectors not at all, products once, small solves by the square",
    "features": "0 to 3: small solves not at all, products once, eigenvectors by the cube",
    "layers": "1: a decomposition each",
    "subjects": "under 1: the decomposition is shared",
}


def seconds(size: Size) -> tuple[float, int]:
    """Time to fit every layer to every subject, and decompositions made."""
    rng = np.random.default_rng(0)
    groups = np.arange(size.rows) * STORIES // size.rows
    responses = [
        rng.standard_normal((size.rows, size.voxels), dtype=np.float32)
        for _ in range(size.subjects)
    ]
    designs = [
        rng.standard_normal((size.rows, size.features), dtype=np.float32)
        * (np.arange(1, size.features + 1, dtype=np.float32) ** -0.5)
        for _ in range(size.layers)
    ]
    calls, decompose = [], cache.decompose

    def counted(*arguments: object) -> object:
        calls.append(1)
        return decompose(*arguments)  # type: ignore[arg-type]

    shared_cache.clear()
    cache.decompose = counted  # type: ignore[assignment]
    try:
        start = time.perf_counter()
        for X in designs:
            for Y in responses:
                Ridge(np.logspace(0, 5, size.alphas), device="cpu").fit(X, Y, groups=groups)
        return time.perf_counter() - start, len(calls)
    finally:
        cache.decompose = decompose


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    base = Size()
    print(f"{base}, {STORIES} stories")
    print(f"{'doubled':10}{'seconds':>24}{'decompositions':>18}{'exponent':>10}  expected")
    seconds(base)  # first calls of the libraries
    for name, expected in EXPECTED.items():
        runs = []
        for factor in (1, 2, 4):
            size = replace(base, **{name: factor * getattr(base, name)})
            runs.append(min(seconds(size) for _ in range(args.repeats)))
        times = " ".join(f"{t:7.2f}" for t, _ in runs)
        counts = " ".join(str(n) for _, n in runs)
        exponent = math.log2(runs[-1][0] / runs[0][0]) / 2
        print(f"{name:10}{times:>24}{counts:>18}{exponent:10.2f}  {expected}", flush=True)


if __name__ == "__main__":
    main()
