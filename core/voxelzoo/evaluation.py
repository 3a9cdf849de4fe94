"""From designs and responses to scores: fit on what trains, predict what was held out.

Nothing here knows where a number came from. Rows are TRs; the held-out rows of a fit never reach
its regressor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from voxelzoo.api import DataError, Dataset, Regressor
from voxelzoo.datasets import ContiguousFolds, Evaluation, HeldOutStories
from voxelzoo.design import delayed, zscore
from voxelzoo.protocols import Protocol
from voxelzoo.scores import ceiling, correlation, signed_square

Floats = NDArray[np.floating[Any]]

SMALL = 2_000_000
"""Numbers in design and responses below which a fit runs on one thread."""


@dataclass(frozen=True)
class Responses:
    """One subject's responses to one story: ``mean`` (TR, voxel), ``repeats`` where there are."""

    mean: Floats
    repeats: Floats | None


@dataclass(frozen=True)
class Scores:
    """Scores of one model, layer and subject; arrays are (voxel,), NaN where undefined."""

    r: Floats
    ceiling: Floats | None
    alpha: Floats | None
    per_part: Mapping[str, Floats]
    """r of each held-out story, or of each fold."""
    n_train: int
    n_test: int

    @property
    def signed_r2(self) -> Floats:
        """``|r| r`` (Antonello et al. 2023, Figure 1)."""
        return signed_square(self.r)

    def arrays(self) -> dict[str, Floats]:
        """Every array by name, as kept in the store."""
        named = {"r": self.r, "signed_r2": self.signed_r2}
        if self.ceiling is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                named |= {"ceiling": self.ceiling, "r_normalised": self.r / self.ceiling}
        if self.alpha is not None:
            named["alpha"] = self.alpha
        return named | {f"r_{part}": r for part, r in self.per_part.items()}


def read_responses(
    dataset: Dataset, subject: str, story: str, n_trs: int, standardise: bool
) -> Responses:
    """Responses checked against the clock; each repeat z-scored over time where asked."""
    values = np.asarray(dataset.responses(subject, story))
    where = f"{dataset.info().name!r}, subject {subject!r}, story {story!r}"
    if values.ndim not in (2, 3):
        raise DataError(
            f"{where}: responses of shape {values.shape}; expected (TR, voxel) or "
            "(repeat, TR, voxel)"
        )
    if values.shape[-2] != n_trs:
        raise DataError(f"{where}: {values.shape[-2]} response rows, but the clock has {n_trs} TRs")
    if standardise:
        # Undefined voxels stay undefined: a constant one becomes NaN here, not zero.
        with np.errstate(invalid="ignore", divide="ignore"):
            deviation = values.std(axis=-2, keepdims=True)
            values = (values - values.mean(axis=-2, keepdims=True)) / np.where(
                deviation > 0, deviation, np.nan
            )
    if values.ndim == 2:
        return Responses(values, None)
    return Responses(values.mean(axis=0), values if len(values) > 1 else None)


def evaluate(
    evaluation: Evaluation,
    protocol: Protocol,
    delays: Sequence[int],
    states: Mapping[str, Floats],
    responses: Mapping[str, Responses],
    make_regressor: Callable[[], Regressor],
) -> Scores:
    """Scores of the states (TR, unit) of each story against one subject's responses."""
    _check_widths("states", "units", {story: each.shape[1] for story, each in states.items()})
    _check_widths(
        "responses", "voxels", {story: each.mean.shape[1] for story, each in responses.items()}
    )
    if isinstance(evaluation, HeldOutStories):
        return _evaluate_stories(evaluation, protocol, delays, states, responses, make_regressor)
    return _evaluate_folds(evaluation, delays, states, responses, make_regressor)


def _check_widths(what: str, unit: str, widths: Mapping[str, int]) -> None:
    """Stories are joined, so each must have as many columns as the first."""
    first = next(iter(widths))
    for story, width in widths.items():
        if width != widths[first]:
            raise DataError(
                f"{what} of story {story!r} have {width} {unit}, "
                f"those of {first!r} have {widths[first]}"
            )


def _evaluate_stories(
    evaluation: HeldOutStories,
    protocol: Protocol,
    delays: Sequence[int],
    states: Mapping[str, Floats],
    responses: Mapping[str, Responses],
    make_regressor: Callable[[], Regressor],
) -> Scores:
    skip = protocol.skip_test_trs
    for story in evaluation.test:
        if len(states[story]) <= skip + 2:
            raise DataError(
                f"test story {story!r} has {len(states[story])} TRs; protocol {protocol.name} "
                f"drops its first {skip}"
            )
    across = protocol.delays_cross_stories
    X = _design([states[story] for story in evaluation.train], delays, across)
    X_test = _design([states[story][skip:] for story in evaluation.test], delays, across)
    Y = np.concatenate([responses[story].mean for story in evaluation.train])
    Y_test = [responses[story].mean[skip:] for story in evaluation.test]
    groups = np.repeat(
        np.arange(len(evaluation.train)), [len(states[story]) for story in evaluation.train]
    )
    prediction, alpha = _fit_predict(make_regressor(), X, Y, X_test, groups)
    edges = np.cumsum([len(part) for part in Y_test])[:-1]
    parts = zip(evaluation.test, np.split(prediction, edges), Y_test, strict=True)
    return Scores(
        r=correlation(prediction, np.concatenate(Y_test)),
        ceiling=_ceiling([responses[story].repeats for story in evaluation.test], skip, protocol),
        alpha=alpha,
        per_part={story: correlation(part, y) for story, part, y in parts},
        n_train=len(X),
        n_test=len(X_test),
    )


def _evaluate_folds(
    evaluation: ContiguousFolds,
    delays: Sequence[int],
    states: Mapping[str, Floats],
    responses: Mapping[str, Responses],
    make_regressor: Callable[[], Regressor],
) -> Scores:
    X = _design([states[evaluation.story]], delays, across=False)
    Y = responses[evaluation.story].mean
    found, alphas, n_train = [], [], len(X)
    for train, test in evaluation.folds(len(X)):
        groups = evaluation.inner_groups(train, len(X))
        prediction, alpha = _fit_predict(make_regressor(), X[train], Y[train], X[test], groups)
        found.append(correlation(prediction, Y[test]))
        alphas.append(alpha)
        n_train = min(n_train, len(train))
    known = [alpha for alpha in alphas if alpha is not None]
    return Scores(
        # Each fold has a fit, so an offset, of its own: joined predictions would be correlated
        # with those offsets. The mean over folds is not.
        r=np.mean(found, axis=0),
        ceiling=None,
        alpha=np.exp(np.mean(np.log(known), axis=0)) if known else None,
        per_part={f"fold{i + 1}": r for i, r in enumerate(found)},
        n_train=n_train,
        n_test=len(X),
    )


def _design(stories: Sequence[Floats], delays: Sequence[int], across: bool) -> Floats:
    """(TR, delay * unit): each story z-scored, delayed within itself or, if asked, across."""
    standard = [zscore(np.asarray(states)) for states in stories]
    if across:
        return delayed(np.concatenate(standard), delays)
    return np.concatenate([delayed(states, delays) for states in standard])


def _fit_predict(
    regressor: Regressor, X: Floats, Y: Floats, X_test: Floats, groups: NDArray[np.intp]
) -> tuple[Floats, Floats | None]:
    """Predictions (TR, voxel) and alphas (voxel,); voxels that cannot be fitted are NaN.

    A voxel is fitted where its training responses are finite and vary.
    """
    usable: NDArray[np.bool_] = np.asarray(np.isfinite(Y).all(axis=0))
    usable[usable] = Y[:, usable].std(axis=0) > 0
    if not usable.any():
        raise DataError("no voxel has finite, varying training responses")
    prediction = np.full((len(X_test), Y.shape[1]), np.nan, dtype=np.float32)
    # Threads that share small matrices spend their time waiting for each other.
    with threadpool_limits(1 if X.size + Y.size < SMALL else None):
        regressor.fit(X, Y[:, usable], groups=groups)
        prediction[:, usable] = np.asarray(regressor.predict(X_test))
    fitted = getattr(regressor, "alpha_", None)
    if fitted is None:
        return prediction, None
    alpha = np.full(Y.shape[1], np.nan)
    alpha[usable] = np.asarray(fitted)
    return prediction, alpha


def _ceiling(repeats: Sequence[Floats | None], skip: int, protocol: Protocol) -> Floats | None:
    """Ceiling from the test stories that were repeated; where several were, their mean."""
    found = [
        ceiling(values[:, skip:], floor=protocol.ceiling_floor)
        for values in repeats
        if values is not None
    ]
    return np.mean(found, axis=0) if found else None
