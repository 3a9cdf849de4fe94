"""Ridge over a grid of shapes, beside a plain numpy loop, himalaya and scikit-learn.

    python tests/benchmarks/bench_shapes.py --record

Every contender chooses one alpha a voxel among the same 17 by leaving each fold out, in this
process, in turn; medians of rounds. The loop makes one eigendecomposition a fold, in float64.
himalaya computes in float32, as ridge does. scikit-learn fits each alpha and fold with ``Ridge``.
"Same" is the share of voxels whose alpha is the loop's, or scores within 1e-4 of it there.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from record import write_record

from voxelzoo_regressors import Ridge

ALPHAS = np.logspace(0, 8, 17)
SHAPES = [  # rows, columns, voxels, folds
    (290, 2304, 6, 6),
    (300, 4, 4, 6),
    (300, 4, 10_000, 6),
    (18_000, 4, 4, 6),
    (18_000, 4, 4, 40),
    (2000, 300, 100, 10),
    (20_000, 100, 1000, 20),
    (300, 30_000, 100, 6),
    (3000, 2048, 500, 20),
]


def problem(n: int, p: int, v: int, folds: int) -> tuple[NDArray, NDArray, NDArray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p), dtype=np.float32)
    signal = X[:, : min(p, 50)] @ rng.standard_normal((min(p, 50), v), dtype=np.float32)
    Y = 0.3 * signal / signal.std(axis=0) + rng.standard_normal((n, v), dtype=np.float32)
    return X, Y.astype(np.float32), np.arange(n) * folds // n


def loop(X: NDArray, Y: NDArray, groups: NDArray) -> NDArray:
    """Mean held-out correlations (alpha, voxel), one eigendecomposition a fold."""
    X, Y = X.astype(float), Y.astype(float)
    scores = np.zeros((len(ALPHAS), Y.shape[1]))
    for fold in np.unique(groups):
        train, test = groups != fold, groups == fold
        mean = X[train].mean(axis=0)
        kept, held = X[train] - mean, X[test] - mean
        y, y_held = Y[train] - Y[train].mean(axis=0), Y[test] - Y[test].mean(axis=0)
        if len(kept) <= X.shape[1]:
            s, U = np.linalg.eigh(kept @ kept.T)
            rows, projected = held @ kept.T @ U, U.T @ y
        else:
            s, U = np.linalg.eigh(kept.T @ kept)
            rows, projected = held @ U, U.T @ (kept.T @ y)
        for i, alpha in enumerate(ALPHAS):
            p = rows @ (projected / (s + alpha)[:, None])
            p -= p.mean(axis=0)
            norms = np.linalg.norm(p, axis=0) * np.linalg.norm(y_held, axis=0)
            scores[i] += (p * y_held).sum(axis=0) / norms
    return scores


def ridge(X: NDArray, Y: NDArray, groups: NDArray) -> NDArray:
    alphas: NDArray = Ridge(ALPHAS, device="cpu", cache=False).fit(X, Y, groups).alpha_
    return alphas


def himalaya(X: NDArray, Y: NDArray, groups: NDArray) -> NDArray:
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.ridge import RidgeCV
    from himalaya.scoring import correlation_score
    from sklearn.model_selection import PredefinedSplit

    options: dict[str, Any] = {"alphas": ALPHAS.astype("f4"), "cv": PredefinedSplit(groups)}
    options["solver_params"] = {"score_func": correlation_score}
    wide = X.shape[1] > len(X)
    model = KernelRidgeCV(**options) if wide else RidgeCV(fit_intercept=True, **options)
    return np.asarray(model.fit(X, Y).best_alphas_)


def scikit_learn(X: NDArray, Y: NDArray, groups: NDArray) -> None:
    from sklearn.linear_model import Ridge as Peer

    for fold in np.unique(groups):
        kept = groups != fold
        for alpha in ALPHAS:
            Peer(alpha).fit(X[kept], Y[kept]).predict(X[~kept])


PEERS: dict[str, Callable[..., Any]] = {
    "loop": loop,
    "himalaya": himalaya,
    "scikit-learn": scikit_learn,
}


def same(alphas: NDArray, scores: NDArray) -> float:
    """Share of voxels whose alpha is the best of the scores, or within 1e-4 of it."""
    chosen = np.abs(np.log(alphas[:, None]) - np.log(ALPHAS)).argmin(axis=1)
    lost = scores.max(axis=0) - scores[chosen, np.arange(len(chosen))]
    return float((lost < 1e-4).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="*", default=["loop", "himalaya"], choices=PEERS)
    parser.add_argument("--shape", type=int, nargs=4, action="append", help="instead of the grid")
    parser.add_argument("--record", action="store_true", help="write records/shapes.json")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    ridge(*problem(60, 4, 4, 3))  # imports
    rows = []
    for shape in args.shape or SHAPES:
        data = problem(*shape)
        contenders = {"ridge": ridge} | {name: PEERS[name] for name in args.peers}
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        results: dict[str, Any] = {}
        for _ in range(args.rounds):
            for name, fit in contenders.items():
                start = time.perf_counter()
                results[name] = fit(*data)
                seconds[name].append(time.perf_counter() - start)
        row: dict[str, Any] = dict(zip(("rows", "columns", "voxels", "folds"), shape, strict=True))
        row |= {f"{name}_s": round(statistics.median(took), 5) for name, took in seconds.items()}
        for name in args.peers:
            row[f"{name}_ratio"] = round(row[f"{name}_s"] / row["ridge_s"], 2)
        if "loop" in results:
            scores = results["loop"] / shape[3]
            row |= {
                f"{name}_same": round(same(results[name], scores), 3)
                for name in ("ridge", "himalaya")
                if name in results
            }
        rows.append(row)
        print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    if args.record:
        print(write_record("shapes", "python tests/benchmarks/bench_shapes.py --record", rows))


if __name__ == "__main__":
    main()
