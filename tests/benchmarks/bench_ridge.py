"""Ridge against its peers: time, peak memory and held-out r, on the same data and folds.

    python tests/benchmarks/bench_ridge.py            # 5,000 x 3,072 x 10,000, some minutes
    python tests/benchmarks/bench_ridge.py --rows 1500 --units 128 --voxels 2000

Features have the power-law spectrum of a language model's states, drift slowly, and are delayed
by 1 to 4 rows; voxels differ in how much signal they have. Every contender chooses one alpha a
voxel among the same, leave-one-story-out (the bootstrap by its chunks, scikit-learn one for all),
in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
ALPHAS = np.logspace(1, 8, 15)


def problem(args: argparse.Namespace) -> tuple[Floats, Floats, Floats, Floats, NDArray[Any]]:
    """Training and test designs and responses (float32), and the story of each training row."""
    from voxelzoo.design import delayed, zscore

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


def ours(sweep_dtype: str) -> Callable[..., Any]:
    def run(X: Floats, Y: Floats, X_test: Floats, groups: NDArray[Any]) -> Any:
        from voxelzoo_regressors import Ridge

        model = Ridge(ALPHAS, sweep_dtype=sweep_dtype, device="cpu").fit(X, Y, groups=groups)
        return model.predict(X_test)

    return run


def himalaya(kernel: bool) -> Callable[..., Any]:
    def run(X: Floats, Y: Floats, X_test: Floats, groups: NDArray[Any]) -> Any:
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
        return np.asarray(model.fit(X, Y).predict(X_test))

    return run


def sklearn(X: Floats, Y: Floats, X_test: Floats, groups: NDArray[Any]) -> Any:
    from sklearn.linear_model import RidgeCV

    return RidgeCV(ALPHAS).fit(X, Y).predict(X_test)


def bootstrap(nboots: int) -> Callable[..., Any]:
    def run(X: Floats, Y: Floats, X_test: Floats, groups: NDArray[Any]) -> Any:
        from voxelzoo_regressors import BootstrapRidge

        model = BootstrapRidge(alphas=np.sqrt(ALPHAS), nboots=nboots, use_corr=True)
        return model.fit(X, Y).predict(X_test)

    return run


CONTENDERS: dict[str, Callable[..., Any]] = {
    "ridge": ours("same"),
    "ridge-bfloat16": ours("bfloat16"),
    "himalaya-kernel": himalaya(kernel=True),
    "himalaya-ridge": himalaya(kernel=False),
    "sklearn-ridgecv": sklearn,
    "bootstrap-15": bootstrap(15),
}


def run_one(args: argparse.Namespace) -> None:
    """Times one contender in this process and prints one JSON line."""
    import torch

    from voxelzoo.scores import correlation

    X, Y, X_test, Y_test, groups = problem(args)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = 2048
    a = torch.randn(size, size)
    a @ a
    start = time.perf_counter()
    for _ in range(4):
        a @ a
    rate = 4 * 2 * size**3 / (time.perf_counter() - start) / 1e9
    few = slice(0, 200)  # imports, and each library's first call, are not timed
    CONTENDERS[args.only](X[few, :20], Y[few, :5], X_test[:, :20], np.arange(200) // 20)
    start = time.perf_counter()
    prediction = CONTENDERS[args.only](X, Y, X_test, groups)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    r = float(np.nanmean(correlation(np.asarray(prediction), Y_test)))
    print(
        json.dumps(
            {"seconds": seconds, "added_gib": (peak - before) / 2**20, "r": r, "gflops": rate}
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
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
    print(f"{'':18}{'seconds':>10}{'ratio':>8}{'GiB':>7}{'mean r':>9}{'GFLOP/s':>9}")
    first = None
    for name in args.contenders:
        command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
        runs = []
        for _ in range(args.repeats):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{name:18}failed: {done.stderr.strip().splitlines()[-1:]}")
                break
            runs.append(json.loads(done.stdout.splitlines()[-1]))
        else:
            took = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            first = first or took["seconds"]
            print(
                f"{name:18}{took['seconds']:10.2f}{took['seconds'] / first:8.1f}"
                f"{took['added_gib']:7.2f}{took['r']:9.4f}{took['gflops']:9.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
