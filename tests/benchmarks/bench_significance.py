"""Tests of every voxel against the loop over permutations that one would write with numpy.

    OMP_NUM_THREADS=2 python tests/benchmarks/bench_significance.py

The loop permutes the rows of the responses (or swaps those of predictions, or draws them) of all
voxels and scores them, a permutation at a time. It is timed on a few permutations and scaled up.
That both give the same p is tested (tests/core/science/test_significance.py).
Memory is what a test adds to the responses and predictions, which are there before it starts.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from voxelzoo.science.bootstrap import Interval, difference_interval, r_interval
from voxelzoo.science.ceiling_intervals import ceiling_interval
from voxelzoo.science.ceilings import estimate_ceiling
from voxelzoo.science.held_out import HeldOut
from voxelzoo.science.paired_tests import paired_test
from voxelzoo.science.significance import permutation_test

BLOCK = 10


def zscored(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def r_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What a lab writes: mean product of z-scores."""
    return (zscored(x) * zscored(y)).mean(axis=0)


class Loops:
    """A permutation at a time, on whole rows of all voxels."""

    def __init__(self, one: HeldOut, other: HeldOut) -> None:
        self.parts, self.others = list(one.parts.values()), list(other.parts.values())
        self.rng = np.random.default_rng(1)

    def _joined(self, rows: list[np.ndarray]) -> np.ndarray:
        x = np.concatenate([x for x, _ in self.parts])
        return r_of(x, np.concatenate([y[r] for (_, y), r in zip(self.parts, rows, strict=True)]))

    def shift(self) -> np.ndarray:
        rows = [np.roll(np.arange(len(x)), self.rng.integers(1, len(x))) for x, _ in self.parts]
        return self._joined(rows)

    def blocks(self) -> np.ndarray:
        rows = []
        for x, _ in self.parts:
            order = self.rng.permutation(len(x) // BLOCK)
            rows.append((order[:, None] * BLOCK + np.arange(BLOCK)).ravel())
        whole = [(x[: len(r)], y) for (x, y), r in zip(self.parts, rows, strict=True)]
        x = np.concatenate([x for x, _ in whole])
        return r_of(x, np.concatenate([y[r] for (_, y), r in zip(whole, rows, strict=True)]))

    def swap(self) -> np.ndarray:
        first, second = [], []
        for (x, _), (z, _) in zip(self.parts, self.others, strict=True):
            swapped = np.repeat(self.rng.integers(0, 2, len(x) // BLOCK + 1), BLOCK)[: len(x)]
            first.append(np.where(swapped[:, None], z, x))
            second.append(np.where(swapped[:, None], x, z))
        y = np.concatenate([y for _, y in self.parts])
        return r_of(np.concatenate(first), y) - r_of(np.concatenate(second), y)

    def draw(self) -> np.ndarray:
        xs, ys = [], []
        for x, y in self.parts:
            starts = self.rng.integers(0, len(x) // BLOCK, len(x) // BLOCK) * BLOCK
            rows = (starts[:, None] + np.arange(BLOCK)).ravel()
            xs.append(x[rows])
            ys.append(y[rows])
        return r_of(np.concatenate(xs), np.concatenate(ys))


def resident() -> float:
    """MiB of this process in memory."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096 / 2**20


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and the most MiB above those held before, looked at every 10 ms."""
    before, most, done = resident(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.01):
            most = max(most, resident() - before)

    watching = threading.Thread(target=watch)
    watching.start()
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    done.set()
    watching.join()
    return seconds, most


def results(n_voxels: int, lengths: list[int]) -> tuple[HeldOut, HeldOut]:
    """Two models' float32 predictions of the same responses."""
    rng = np.random.default_rng(0)
    first, second = {}, {}
    for i, n in enumerate(lengths):
        y, x, z = (rng.standard_normal((n, n_voxels), dtype=np.float32) for _ in range(3))
        first[f"story{i}"], second[f"story{i}"] = (x + 0.15 * y, y), (z + 0.1 * y, y)
    labels = [f"region {i % 20}" for i in range(n_voxels)]
    return HeldOut(first, labels=labels), HeldOut(second, labels=labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--voxels", type=int, default=95_000)
    parser.add_argument("--trs", type=int, nargs="+", default=[300, 200], help="of test stories")
    parser.add_argument("--permutations", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3, help="times each test is timed")
    parser.add_argument("--loop", type=int, default=3, help="permutations that the loop does")
    args = parser.parse_args()
    one, other = results(args.voxels, args.trs)
    loops = Loops(one, other)
    n = args.permutations
    print(f"{args.voxels} voxels, stories of {args.trs} TRs, {n} permutations or draws")

    def interval(*held: HeldOut) -> Interval:
        made = r_interval if len(held) == 1 else difference_interval
        return made(*held, n_draws=n)

    tests: dict[str, tuple[Callable[[], object], Callable[[], np.ndarray] | None, int]] = {
        "circular shift": (lambda: permutation_test(one, n_permutations=n), loops.shift, 1),
        "blocks permuted": (
            lambda: permutation_test(one, "blocks", n_permutations=n),
            loops.blocks,
            1,
        ),
        "interval of r": (lambda: interval(one), loops.draw, 1),
        "paired, swaps": (lambda: paired_test(one, other, n_permutations=n), loops.swap, 1),
        "interval of difference": (lambda: interval(one, other), loops.draw, 2),
    }
    for name, (test, loop, times) in tests.items():
        report(name, args.repeats, test, loop, times * n, args.loop)
    repeats = np.random.default_rng(2).standard_normal(
        (5, args.trs[0], args.voxels), dtype=np.float32
    )
    for method in ("schoppe", "split-half", "explainable-variance"):
        report(f"ceiling {method}", args.repeats, lambda m=method: estimate_ceiling(repeats, m))
        report(
            "... its interval",
            args.repeats,
            lambda m=method: ceiling_interval([repeats], m, one.regions),
        )


def report(
    name: str,
    repeats: int,
    test: Callable[[], object],
    loop: Callable[[], object] | None = None,
    n: int = 0,
    n_loop: int = 0,
) -> None:
    """A line: seconds (median), MiB, and how many times as long the loop takes."""
    measurements = [measured(test) for _ in range(repeats)]
    seconds = statistics.median(each[0] for each in measurements)
    line = f"{name:28} {seconds:7.2f} s {max(each[1] for each in measurements):7.0f} MiB"
    if loop is not None:
        looped = [measured(loop) for _ in range(n_loop)]
        slow = statistics.median(each[0] for each in looped) * n
        line += f"; loop {slow:7.0f} s, {slow / seconds:.0f} times as long"
        line += f", {max(each[1] for each in looped):.0f} MiB"
    print(line, flush=True)


if __name__ == "__main__":
    main()
