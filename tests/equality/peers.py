"""How far results are from those of well-known libraries, over shapes and precisions.

python tests/equality/peers.py > docs/equality.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALPHAS = np.logspace(0, 8, 17)
SHAPES = [(300, 4), (300, 290), (160, 900), (1000, 60)]
VOXELS = 60


@dataclass(frozen=True)
class Difference:
    """The largest difference between a result and a peer's.

    Parameters
    ----------
    what : str
        What was compared.
    peer : str
        With what.
    data : str
        On what data.
    largest : float
        Largest absolute difference.
    allowed : float
        What a test allows.
    """

    what: str
    peer: str
    data: str
    largest: float
    allowed: float


def data(n: int, p: int, mean: float = 0.0) -> tuple[NDArray, NDArray, NDArray]:
    """Features, responses of weak signal and this mean, and five stories."""
    rng = np.random.default_rng(n + p)
    X = rng.standard_normal((n, p)) * np.exp(0.5 * rng.standard_normal(p))
    signal = X @ rng.standard_normal((p, VOXELS))
    Y = rng.uniform(0, 0.6, VOXELS) * signal / signal.std(axis=0)
    return X, Y + rng.standard_normal(Y.shape) + mean, np.arange(n) * 5 // n


def ridge() -> Iterator[Difference]:
    """Held-out r of each alpha, the r of the chosen one, and predictions."""
    from himalaya.backend import set_backend
    from himalaya.ridge import RidgeCV
    from himalaya.scoring import correlation_score
    from sklearn.linear_model import Ridge as SklearnRidge
    from sklearn.model_selection import PredefinedSplit

    from voxelzoo_regressors import Ridge

    set_backend("numpy")
    precisions: list[tuple[str, Any, dict[str, Any], float]] = [
        ("float64", np.float64, {}, 1e-8),
        ("float32", np.float32, {}, 1e-4),
        ("float32, bfloat16 sweep", np.float32, {"sweep_dtype": "bfloat16"}, 1e-4),
    ]
    for n, p in SHAPES:
        for mean in (0.0, 100.0):
            X, Y, groups = data(n, p, mean)
            peer = RidgeCV(
                alphas=ALPHAS,
                cv=PredefinedSplit(groups),
                fit_intercept=True,
                solver_params={
                    "score_func": correlation_score,
                },
            ).fit(X, Y)
            for name, dtype, options, allowed in precisions:
                about = f"{n:,} x {p}, mean {mean:g}, {name}"
                model = Ridge(ALPHAS, **options).fit(X.astype(dtype), Y.astype(dtype), groups)
                found = np.abs(model.cv_score_ - peer.cv_scores_).max()
                yield Difference("held-out r", "himalaya RidgeCV", about, found, allowed)
                theirs = np.stack(
                    [
                        SklearnRidge(alpha, solver="svd").fit(X, Y[:, v]).predict(X)
                        for v, alpha in enumerate(model.alpha_)
                    ],
                    axis=1,
                )
                r = [
                    1 - np.corrcoef(ours, other)[0, 1]
                    for ours, other in zip(model.predict(X.astype(dtype)).T, theirs.T, strict=True)
                ]
                yield Difference(
                    "predictions, 1 - r", "scikit-learn Ridge", about, max(r), allowed / 10
                )


def stacking() -> Iterator[Difference]:
    """Weights on the simplex."""
    import cvxopt
    from cvxopt import solvers

    from voxelzoo_regressors.simplex import simplex_weights

    rng = np.random.default_rng(1)
    for n_spaces in (2, 5, 12):
        A = 0.3 * rng.standard_normal((40, n_spaces, 50)) + rng.standard_normal((40, 1, 50))
        R = A @ A.transpose(0, 2, 1)
        weights, furthest = simplex_weights(R), 0.0
        for products, ours in zip(R, weights, strict=True):
            solved = solvers.qp(
                cvxopt.matrix(2 * products),
                cvxopt.matrix(np.zeros(n_spaces)),
                cvxopt.matrix(-np.eye(n_spaces)),
                cvxopt.matrix(np.zeros(n_spaces)),
                cvxopt.matrix(np.ones((1, n_spaces))),
                cvxopt.matrix(1.0),
                options={"show_progress": False, "abstol": 1e-12, "reltol": 1e-12},
            )
            furthest = max(furthest, np.abs(ours - np.array(solved["x"])[:, 0]).max())
        yield Difference("stacking weights", "cvxopt qp", f"{n_spaces} spaces", furthest, 1e-6)


def statistics() -> Iterator[Difference]:
    """Corrections for many tests, lines over sizes, scores."""
    import statsmodels.api as sm
    from scipy.stats import pearsonr
    from sklearn.metrics import r2_score
    from statsmodels.stats.multitest import multipletests

    from voxelzoo.science.scaling import fit_interaction, fit_line
    from voxelzoo.science.scores import correlation, explained_variance
    from voxelzoo.science.significance import false_discovery_rate

    rng = np.random.default_rng(2)
    for n in (1, 50, 20_000):
        p = rng.uniform(size=n) ** 2
        found = np.abs(false_discovery_rate(p) - multipletests(p, method="fdr_bh")[1]).max()
        yield Difference("false discovery rate", "statsmodels", f"{n:,} p-values", found, 1e-12)
    x, y = np.sort(rng.uniform(8, 11, 9)), rng.uniform(0, 0.3, 9)
    line, peer = fit_line(x, y), sm.OLS(y, sm.add_constant(x)).fit()
    found = np.abs(np.array([line.intercept, line.slope]) - peer.params).max()
    yield Difference("slope over sizes", "statsmodels OLS", "9 sizes", found, 1e-10)
    size, hours = np.repeat(rng.uniform(8, 11, 4), 5), np.tile(rng.uniform(0, 1.5, 5), 4)
    y = rng.uniform(0, 0.3, 20)
    centred = [size - size.mean(), hours - hours.mean()]
    columns = np.column_stack([np.ones(20), *centred, centred[0] * centred[1]])
    peer = sm.OLS(y, columns).fit()
    found = abs(fit_interaction(size, hours, y).interaction - peer.params[3])
    yield Difference("size by data", "statsmodels OLS", "4 sizes x 5 amounts", found, 1e-10)
    for dtype, allowed in ((np.float64, 1e-12), (np.float32, 1e-5)):
        a = rng.standard_normal((200, 30)) + 100
        b = (0.3 * a + rng.standard_normal(a.shape)).astype(dtype)
        a = a.astype(dtype)
        name = np.dtype(dtype).name
        r = [
            pearsonr(x.astype("f8"), y.astype("f8")).statistic
            for x, y in zip(a.T, b.T, strict=True)
        ]
        found = np.abs(correlation(a, b) - r).max()
        yield Difference("Pearson's r", "scipy pearsonr", name, found, allowed)
        r2 = r2_score(b.astype("f8"), a.astype("f8"), multioutput="raw_values")
        found = np.abs(explained_variance(a, b) / r2 - 1).max()
        yield Difference("R2, relative", "scikit-learn r2_score", name, found, allowed)


def page() -> Iterator[str]:
    """The lines of the page of the documentation."""
    yield "# Equal to what you know"
    yield ""
    yield "Largest absolute differences from well-known libraries. Tests allow the last column"
    yield "(`pytest tests/equality`). `python tests/equality/peers.py` makes this page."
    yield ""
    yield "Folds, alphas and data are the same on both sides; the peer always computes in float64."
    yield ""
    yield "| What | Peer | Data | Largest difference | Allowed |"
    yield "|---|---|---|---|---|"
    for cases in (ridge, stacking, statistics):
        for case in cases():
            yield (
                f"| {case.what} | {case.peer} | {case.data} | {case.largest:.0e} "
                f"| {case.allowed:.0e} |"
            )


if __name__ == "__main__":
    print("\n".join(page()))
