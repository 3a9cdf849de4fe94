"""Ridge against its peers: time, peak memory and held-out r, on the same data and folds.

    python tests/benchmarks/bench_ridge.py            # 5,000 x 3,072 x 10,000, half an hour
    python tests/benchmarks/bench_ridge.py --contenders ridge ridge-bfloat16
    python tests/benchmarks/bench_ridge.py --rows 3000 --units 2048 --voxels 5000  # wider than tall

Features have the power-law spectrum of a language model's states, drift slowly, and are delayed
by 1 to 4 rows; voxels differ in how much signal they have. Every contender runs in a process of
its own and chooses one alpha a voxel among the same, leave-one-story-out; but scikit-learn chooses
by its leave-one-row-out, one alpha for all, and the bootstrap by its chunks. Two are scaled up
(``*``): scikit-learn from a tenth of the voxels, which undercounts nothing but its decomposition's
share, counted in full; 15 boots from one and two, in float64, which is how the paper's responses
are stored and its code computes, and in float32. "Of peak" is the rate of our alpha search (its
products, small solves and mixing, over all the time that it takes) as a share of the float32 rate
of a product of its own shape, measured in the same process.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
ALPHAS = np.logspace(1, 8, 15)


def problem(args: argparse.Namespace) -> tuple[Floats, Floats, Floats, Floats, NDArray[Any]]:
    """Training and test designs and responses (float32), and the story of each training row."""
    from voxelzoo.science.design import delayed, zscore

    rng = np.random.default_rng(0)
    n_test = max(100, args.rows // 20)
    groups = np.arange(args.rows) * args.stories // args.rows
    lengths = [*np.bincount(groups), n_test]
    rotation, _ = np.linalg.qr(rng.standard_normal((args.units, args.units)))
    sizes = np.arange(1, args.units + 1) ** -0.7

    def story(n: int) -> Floats:
        noise = rng.standard_normal((n + 2, args.units))
        states = (noise[2:] + noise[1:-1] + noise[:-2]) * sizes @ rotation
        return delayed(zscore(states.astype(np.float32)), range(1, args.delays + 1))

    stories = [story(n) for n in lengths]
    n_features = args.units * args.delays
    drivers = rng.standard_normal((n_features, 64)).astype(np.float32)
    mixing = rng.standard_normal((64, args.voxels)).astype(np.float32)
    gain = rng.beta(0.7, 4, args.voxels).astype(np.float32)
    X = np.concatenate(stories)
    signal = zscore(X @ drivers @ mixing)
    noise = rng.standard_normal(signal.shape, dtype=np.float32)
    Y = np.sqrt(gain) * signal + np.sqrt(1 - gain) * noise
    return X[:-n_test], Y[:-n_test], X[-n_test:], Y[-n_test:], groups


class Run(NamedTuple):
    """Predictions; and the seconds that count where they are not those that passed."""

    prediction: Any
    seconds: float | None = None
    search_gflops: float = float("nan")


def ours(sweep_dtype: str) -> Callable[..., Run]:
    def run(X: Floats, Y: Floats, X_test: Floats, groups: NDArray[Any]) -> Run:
        from voxelzoo_regressors import Ridge
        from voxelzoo_regressors.alpha_search import AlphaSearch

        scores, took = AlphaSearch.scores, [0.0, 0.0]

        def timed(search: AlphaSearch, y: Any, *wanted: Any) -> Any:
            prepare(search)
            start = time.perf_counter()
            result = scores(search, y, *wanted)
            took[0] += time.perf_counter() - start
            took[1] += n_operations(search, y.Z.shape[1])
            return result

        AlphaSearch.scores = timed  # type: ignore[method-assign]
        try:
            model = Ridge(ALPHAS, sweep_dtype=sweep_dtype, device="cpu").fit(X, Y, groups=groups)
        finally:
            AlphaSearch.scores = scores  # type: ignore[method-assign]
        return Run(model.predict(X_test), search_gflops=took[1] / took[0] / 1e9)

    return run


def prepare(search: Any) -> None:
    """Makes what a search prepares once for all voxels, so that it is not timed."""
    held_out = search._held_out
    for name in ("refits", "operators", "profiles", "product_basis"):
        getattr(held_out, name, None)


def n_operations(search: Any, n_voxels: int) -> float:
    """Floating-point operations of the alpha search's matrix products for so many voxels."""
    held = np.array([len(fold.held) for fold in search.folds])
    scored = np.array([len(fold.scored) for fold in search.folds])
    if hasattr(search._held_out, "refits"):
        rank = len(search.decomposition.s)
        each = float((2 * rank * held + rank**2).sum())
        for refit in search._held_out.refits:
            mix = refit.profiles.mix
            n_rows, (n_alphas, n_columns) = len(refit.rows), (0, 0) if mix is None else mix.shape
            each += n_rows * (refit.profiles.n_columns + n_alphas * n_columns)
        return 2.0 * each * n_voxels
    profiles = search._held_out.profiles
    n_alphas, n_columns = profiles.mix.shape
    each = profiles.n_columns * len(search.decomposition.Q)
    each += n_alphas * float((held * scored).sum()) + n_alphas * n_columns * held.sum()
    return 2.0 * each * n_voxels


def himalaya(kernel: bool) -> Callable[..., Run]:
    def run(X: Floats, Y: Floats, X_test: Floats, groups: NDArray[Any]) -> Run:
        from himalaya.backend import set_backend
        from himalaya.kernel_ridge import KernelRidgeCV
        from himalaya.ridge import RidgeCV
        from himalaya.scoring import correlation_score
        from sklearn.model_selection import PredefinedSplit

        set_backend("torch")
        options: dict[str, Any] = {"cv": PredefinedSplit(groups), "alphas": ALPHAS}
        options["solver_params"] = {
            "score_func": correlation_score,
            "n_targets_batch": 2000,
            "n_alphas_batch": 5,
        }
        model = KernelRidgeCV(**options) if kernel else RidgeCV(fit_intercept=True, **options)
        return Run(np.asarray(model.fit(X, Y).predict(X_test)))

    return run


def sklearn(X: Floats, Y: Floats, X_test: Floats, groups: NDArray[Any]) -> Run:
    from sklearn.linear_model import RidgeCV

    tenth, few = max(1, Y.shape[1] // 10), max(1, Y.shape[1] // 100)
    seconds = []
    for n in (few, tenth):
        start = time.perf_counter()
        model = RidgeCV(ALPHAS).fit(X, Y[:, :n])
        prediction = model.predict(X_test)
        seconds.append(time.perf_counter() - start)
    slope = max(0.0, (seconds[1] - seconds[0]) / max(1, tenth - few))
    return Run(prediction, seconds[1] + slope * (Y.shape[1] - tenth))


def bootstrap(nboots: int, dtype: type[np.floating[Any]]) -> Callable[..., Run]:
    def run(X: Floats, Y: Floats, X_test: Floats, groups: NDArray[Any]) -> Run:
        from voxelzoo_regressors import BootstrapRidge

        X, Y, X_test = X.astype(dtype), Y.astype(dtype), X_test.astype(dtype)
        seconds = []
        for n in (1, 2):
            start = time.perf_counter()
            model = BootstrapRidge(alphas=np.sqrt(ALPHAS), nboots=n, use_corr=True).fit(X, Y)
            prediction = model.predict(X_test)
            seconds.append(time.perf_counter() - start)
        return Run(prediction, seconds[1] + (nboots - 2) * (seconds[1] - seconds[0]))

    return run


CONTENDERS: dict[str, Callable[..., Run]] = {
    "ridge": ours("same"),
    "ridge-bfloat16": ours("bfloat16"),
    "himalaya-kernel": himalaya(kernel=True),
    "himalaya-ridge": himalaya(kernel=False),
    "sklearn-ridgecv*": sklearn,
    "bootstrap-15*": bootstrap(15, np.float64),
    "bootstrap-15-float32*": bootstrap(15, np.float32),
}


def run_one(args: argparse.Namespace) -> None:
    """Times one contender in this process and prints one JSON line."""
    import torch

    from voxelzoo.science.scores import correlation

    X, Y, X_test, Y_test, groups = problem(args)
    few = slice(0, 200)  # imports, and each library's first call, are not timed
    CONTENDERS[args.only](X[few, :20], Y[few, :5], X_test[:, :20], np.arange(200) // 20)
    a, b, out = torch.randn(X.shape), torch.randn(X.shape[1], 768), torch.zeros(len(X), 768)
    rates = []
    for _ in range(8):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        rates.append(2 * a.numel() * b.shape[1] / (time.perf_counter() - start) / 1e9)
    del a, b, out
    peak = PeakMemory()
    start = time.perf_counter()
    with peak:
        done = CONTENDERS[args.only](X, Y, X_test, groups)
    seconds = done.seconds or time.perf_counter() - start
    prediction = np.asarray(done.prediction)
    r = float(np.nanmean(correlation(prediction, Y_test[:, : prediction.shape[1]])))
    share = done.search_gflops / max(rates)
    print(json.dumps({"seconds": seconds, "gib": peak.gib, "r": r, "share": share}))


class PeakMemory:
    """Largest resident size while it is entered, beyond that before, in GiB."""

    def __enter__(self) -> PeakMemory:
        self._before, self._most, self._done = self._resident(), 0.0, threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._watcher.join()

    @property
    def gib(self) -> float:
        return self._most - self._before

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self._most = max(self._most, self._resident())

    @staticmethod
    def _resident() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--units", type=int, default=768)
    parser.add_argument("--delays", type=int, default=4)
    parser.add_argument("--voxels", type=int, default=10000)
    parser.add_argument("--stories", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--only", choices=CONTENDERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        run_one(args)
        return
    print(
        f"{args.rows} rows x {args.units * args.delays} features x {args.voxels} voxels, "
        f"{args.stories} stories, {len(ALPHAS)} alphas; medians of {args.repeats}"
    )
    print(f"{'':22}{'seconds':>10}{'ratio':>8}{'GiB':>7}{'mean r':>9}{'of peak':>9}")
    first = None
    for name in args.contenders:
        command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
        runs = []
        for _ in range(args.repeats):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name:22}failed: {done.stderr.strip().splitlines()[-1:]}")
                break
            runs.append(json.loads(done.stdout.splitlines()[-1]))
        else:
            took = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            first = first or took["seconds"]
            print(
                f"{name:22}{took['seconds']:10.2f}{took['seconds'] / first:8.1f}"
                f"{took['gib']:7.2f}{took['r']:9.5f}"
                + ("" if np.isnan(took["share"]) else f"{took['share']:9.0%}"),
                flush=True,
            )


if __name__ == "__main__":
    main()
