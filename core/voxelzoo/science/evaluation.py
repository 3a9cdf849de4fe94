"""From designs and responses to scores: fit on what trains, predict what was held out.

Nothing here knows where a number came from. Rows are TRs; the held-out rows of a fit never reach
its regressor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from voxelzoo.api import DataError, Regressor
from voxelzoo.science.design import delayed, zscore
from voxelzoo.science.protocols import FitProtocol
from voxelzoo.science.scores import correlation, explained_variance, signed_square
from voxelzoo.science.splits import ContiguousFolds, Evaluation, HeldOutStories
from voxelzoo.science.voxel_arrays import (
    Responses,
    VoxelArray,
    block_width,
    select,
    stack_responses,
    voxel_blocks,
)

Floats = NDArray[np.floating[Any]]


SMALL = 2_000_000
"""Numbers in design and responses below which a fit runs on one thread."""


@dataclass(frozen=True)
class HeldOutPart:
    """One stretch of held-out rows: predictions and responses (TR, voxel), repeats if there are."""

    prediction: Floats
    response: VoxelArray
    repeats: VoxelArray | None = None

    @cached_property
    def r(self) -> Floats:
        """Correlation of each voxel, (voxel,)."""
        return _by_voxel(correlation, self.prediction, self.response)


@dataclass(frozen=True)
class DesignSpec:
    """How designs are made and fitted."""

    make_regressor: Callable[[], Regressor]
    delays: Sequence[int]
    """FIR delays in TRs."""
    self_delaying: bool = False
    """The regressor forms the delays, from states as they are and the story of each row."""
    keeps_weights: bool = False
    """Weights of the design's columns are to be had of what was fitted."""
    streams: bool = False
    """The regressor reads responses a block of voxels at a time; others are given arrays."""
    spaces: Mapping[str, int] | None = None
    """Feature spaces that are fitted together: the units of each, in order of the states."""

    def columns(self) -> dict[str, slice]:
        """Columns of the design that each space has."""
        edges = np.cumsum([0, *(n * len(self.delays) for n in (self.spaces or {}).values())])
        return {
            name: slice(int(edges[i]), int(edges[i + 1]))
            for i, name in enumerate(self.spaces or {})
        }

    def delay(self, states: Floats) -> Floats:
        """The delayed design (TR, delay * unit) of states (TR, unit), one space after another."""
        if self.spaces is None:
            return delayed(states, self.delays)
        edges = np.cumsum(list(self.spaces.values()))[:-1]
        parts = np.split(states, edges, axis=1)
        return np.concatenate([delayed(part, self.delays) for part in parts], axis=1)


@dataclass(frozen=True)
class Scores:
    """Scores of one model, layer and subject; arrays are (voxel,), NaN where undefined."""

    r: Floats
    r2: Floats
    """Share of the held-out variance that is predicted; negative where the mean does better."""
    alpha: Floats | None
    cv_r: Floats | None
    """Out-of-fold correlation within the training data, where the regressor gives it: what a layer
    may be chosen by."""
    weights: Floats | None
    """(voxel, space): weights of stacked feature spaces."""
    weights_interval: tuple[Floats, Floats] | None
    """(voxel, space): lower and upper ends of their interval, where the regressor gives one."""
    split_r: Floats | None
    """(space, voxel): each space's share of r, where the regressor splits it."""
    partition: Mapping[frozenset[str], Floats]
    """R2 (voxel,) that exactly these spaces share, where the regressor partitions variance."""
    paths: tuple[str, ...]
    """How each fit was computed (device, precision, algorithm), where the regressor says."""
    parts: Mapping[str, HeldOutPart]
    """What was held out: each story, or each fold."""
    n_train: int
    n_test: int
    ceiling: Floats | None = None
    """Noise ceiling, where it is known."""
    coefficients: Mapping[str, Callable[[], Floats]] = field(default_factory=dict)
    """Weights (delay, unit, voxel) of the design's columns, where asked for: ``coef_FIRST`` are
    those of some voxels from ``FIRST`` on, made when it is their turn."""

    @property
    def signed_r2(self) -> Floats:
        """``|r| r`` (Antonello et al. 2023, Figure 1)."""
        return signed_square(self.r)

    def arrays(self) -> dict[str, Floats]:
        """Every array by name, as kept in the store."""
        named = {"r": self.r, "signed_r2": self.signed_r2, "r2": self.r2}
        if self.ceiling is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                named |= {"ceiling": self.ceiling, "r_normalised": self.r / self.ceiling}
        if self.alpha is not None:
            named["alpha"] = self.alpha
        if self.cv_r is not None:
            named["cv_r"] = self.cv_r
        if self.weights is not None:
            named["weights"] = self.weights
        if self.weights_interval is not None:
            named["weights_low"], named["weights_high"] = self.weights_interval
        if self.split_r is not None:
            named["split_r"] = self.split_r
        if self.partition:
            named["partition"] = np.stack(list(self.partition.values()))
        return named | {f"r_{name}": part.r for name, part in self.parts.items()}

    def predictions(self) -> dict[str, Callable[[], Floats]]:
        """Held-out predictions and responses (TR, voxel) of each part, and its repeats if any, each
        made when it is asked for: on disk there may be more than fits in memory."""
        named: dict[str, Callable[[], Floats]] = {}
        for name, part in self.parts.items():
            named[f"prediction_{name}"] = partial(_float32, part.prediction)
            named[f"response_{name}"] = partial(_float32, part.response)
            if part.repeats is not None:
                named[f"repeats_{name}"] = partial(_float32, part.repeats)
        return named


def _float32(values: VoxelArray) -> Floats:
    return np.asarray(values[...], dtype=np.float32)


def _by_voxel(score: Callable[..., Floats], prediction: Floats, response: VoxelArray) -> Floats:
    """A score of (TR, voxel) and (TR, voxel), (voxel,), with some voxels in memory at a time."""
    found = [score(prediction[:, block], response[:, block]) for block in voxel_blocks(response)]
    return np.concatenate(found)


def evaluate(
    evaluation: Evaluation,
    protocol: FitProtocol,
    fitting: DesignSpec,
    states: Mapping[str, Floats],
    responses: Mapping[str, Responses],
) -> Scores:
    """Scores of the states (TR, unit) of each story against one subject's responses."""
    _check_widths("states", "units", {story: each.shape[1] for story, each in states.items()})
    _check_widths(
        "responses", "voxels", {story: each.mean.shape[1] for story, each in responses.items()}
    )
    if evaluation.kind == "stories":
        return _evaluate_stories(evaluation, protocol, fitting, states, responses)
    return _evaluate_folds(evaluation, protocol, fitting, states, responses)


def held_out_responses(
    evaluation: Evaluation, protocol: FitProtocol, responses: Mapping[str, Responses]
) -> dict[str, VoxelArray]:
    """What is to be predicted, (TR, voxel), by story or fold."""
    if evaluation.kind == "stories":
        skip = protocol.skip_test_trs
        return {story: stack_responses([responses[story].mean], skip) for story in evaluation.test}
    mean = responses[evaluation.story].mean
    folds = evaluation.folds(mean.shape[0])
    return {f"fold{i}": select(mean, test) for i, (_, test) in enumerate(folds, start=1)}


def held_out_repeats(
    evaluation: Evaluation, protocol: FitProtocol, responses: Mapping[str, Responses]
) -> dict[str, VoxelArray]:
    """Repeats (repeat, TR, voxel) of what is to be predicted, by story, where there are some."""
    if evaluation.kind != "stories":
        return {}
    every = {story: responses[story].repeats for story in evaluation.test}
    skip = protocol.skip_test_trs
    return {
        story: stack_responses([each], skip) for story, each in every.items() if each is not None
    }


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
    protocol: FitProtocol,
    fitting: DesignSpec,
    states: Mapping[str, Floats],
    responses: Mapping[str, Responses],
) -> Scores:
    skip = protocol.skip_test_trs
    for story in evaluation.test:
        if len(states[story]) <= skip + 2:
            raise DataError(
                f"test story {story!r} has {len(states[story])} TRs; protocol {protocol.name} "
                f"drops its first {skip}"
            )
    across = protocol.delays_cross_stories
    train = Design.of([states[story] for story in evaluation.train], fitting, across)
    test = Design.of([states[story][skip:] for story in evaluation.test], fitting, across)
    # Folds are stories, whether or not delays stop at their borders.
    Y = stack_responses([responses[story].mean for story in evaluation.train])
    held_out = stack_responses([responses[story].mean for story in evaluation.test], skip)
    fitted = _fit_predict(fitting, train, Y, test, held_out)
    edges = np.cumsum([len(states[story]) - skip for story in evaluation.test])[:-1]
    predictions = np.split(fitted.prediction, edges)
    of_stories = held_out_responses(evaluation, protocol, responses)
    repeats = held_out_repeats(evaluation, protocol, responses)
    parts = {
        story: HeldOutPart(prediction, response, repeats.get(story))
        for prediction, (story, response) in zip(predictions, of_stories.items(), strict=True)
    }
    return Scores(
        r=_by_voxel(correlation, fitted.prediction, held_out),
        r2=_by_voxel(explained_variance, fitted.prediction, held_out),
        alpha=fitted.alpha,
        cv_r=fitted.cv_r,
        weights=fitted.weights,
        weights_interval=fitted.weights_interval,
        split_r=fitted.split_r,
        partition=fitted.partition,
        paths=(fitted.path,) if fitted.path else (),
        parts=parts,
        n_train=len(train.X),
        n_test=len(test.X),
        coefficients=fitted.coefficients,
    )


def _evaluate_folds(
    evaluation: ContiguousFolds,
    protocol: FitProtocol,
    fitting: DesignSpec,
    states: Mapping[str, Floats],
    responses: Mapping[str, Responses],
) -> Scores:
    # Rows of a fold come from the middle of a story, whose delays reach back into the rest of it.
    X = fitting.delay(zscore(np.asarray(states[evaluation.story])))
    plain = replace(fitting, self_delaying=False)
    Y = responses[evaluation.story].mean
    parts, fits, n_train = {}, [], len(X)
    held_out = held_out_responses(evaluation, protocol, responses)
    for (train, test), (name, response) in zip(
        evaluation.folds(len(X)), held_out.items(), strict=True
    ):
        rows = Design(X[train], evaluation.inner_groups(train, len(X)))
        fits.append(_fit_predict(plain, rows, select(Y, train), Design(X[test]), response))
        parts[name] = HeldOutPart(fits[-1].prediction, response)
        n_train = min(n_train, len(train))
    # Each fold has a fit, so an offset, of its own: joined predictions would be correlated with
    # those offsets. The mean over folds is not.
    alphas = [fit.alpha for fit in fits if fit.alpha is not None]
    inner = [fit.cv_r for fit in fits if fit.cv_r is not None]
    weights = [fit.weights for fit in fits if fit.weights is not None]
    splits = [fit.split_r for fit in fits if fit.split_r is not None]
    return Scores(
        r=np.mean([part.r for part in parts.values()], axis=0),
        r2=np.mean(
            [_by_voxel(explained_variance, p.prediction, p.response) for p in parts.values()],
            axis=0,
        ),
        alpha=np.exp(np.mean(np.log(alphas), axis=0)) if alphas else None,
        cv_r=np.mean(inner, axis=0) if inner else None,
        weights=np.mean(weights, axis=0) if weights else None,
        weights_interval=None,  # each fold has weights of its own
        split_r=np.mean(splits, axis=0) if splits else None,
        partition={
            spaces: np.mean([fit.partition[spaces] for fit in fits], axis=0)
            for spaces in fits[0].partition
        },
        paths=tuple(dict.fromkeys(fit.path for fit in fits if fit.path)),
        parts=parts,
        n_train=n_train,
        n_test=len(X),
    )


@dataclass(frozen=True)
class Design:
    """Rows given to a regressor: features (TR, feature), and the group of each."""

    X: Floats
    groups: NDArray[np.intp] | None = None
    stretches: NDArray[np.intp] | None = None
    """(TR,): within which the regressor is to form delays; ``None`` where they are in ``X``."""

    @classmethod
    def of(cls, stories: Sequence[Floats], fitting: DesignSpec, across: bool) -> Design:
        """Stories, each z-scored, with delays within each or, if asked, across."""
        standard = [zscore(np.asarray(states)) for states in stories]
        groups = np.repeat(np.arange(len(stories)), [len(states) for states in stories])
        if fitting.self_delaying and not across:
            return cls(np.concatenate(standard), groups, groups)
        if across:
            return cls(fitting.delay(np.concatenate(standard)), groups)
        return cls(np.concatenate([fitting.delay(states) for states in standard]), groups)


@dataclass(frozen=True)
class _Fit:
    """Predictions (TR, voxel), and what the regressor says of each voxel (voxel,)."""

    prediction: Floats
    alpha: Floats | None
    cv_r: Floats | None
    weights: Floats | None
    """(voxel, space): what each space contributes, where spaces were stacked."""
    weights_interval: tuple[Floats, Floats] | None
    split_r: Floats | None
    """(space, voxel): what each space adds to r, where the regressor says."""
    partition: Mapping[frozenset[str], Floats]
    """R2 (voxel,) that exactly these spaces share, where the regressor says."""
    path: str | None
    coefficients: Mapping[str, Callable[[], Floats]]
    """(delay, unit, voxel) of some voxels each, where weights are kept."""


def _fit_predict(
    fitting: DesignSpec, train: Design, Y: VoxelArray, test: Design, Y_test: VoxelArray
) -> _Fit:
    """Fits the training rows and predicts the test rows; voxels that cannot be fitted are NaN.

    A voxel is fitted where its training responses are finite and vary. The test responses serve
    but to split the score of several spaces.
    """
    n_voxels = Y.shape[-1]
    usable = np.concatenate([_usable(Y[:, block]) for block in voxel_blocks(Y)])
    if not usable.any():
        raise DataError("no voxel has finite, varying training responses")
    fitted = np.flatnonzero(usable)
    regressor: Any = fitting.make_regressor()
    given: dict[str, Any] = {}
    if train.stretches is not None:
        regressor.set_params(delays=tuple(fitting.delays))
        given["groups"] = test.stretches
    if fitting.spaces is not None:
        regressor.set_params(spaces=fitting.columns())
    if not usable.all():
        Y = select(Y, voxels=fitted)
    prediction = np.full((len(test.X), n_voxels), np.nan, dtype=np.float32)
    # Threads that share small matrices spend their time waiting for each other.
    with threadpool_limits(1 if train.X.size + math.prod(Y.shape) < SMALL else None):
        regressor.fit(train.X, Y if fitting.streams else Y[...], groups=train.groups)
        prediction[:, fitted] = np.asarray(regressor.predict(test.X, **given))

    def of_voxels(values: Any) -> Floats | None:
        return None if values is None else _spread(values, fitted, n_voxels)

    def by_space(name: str) -> Floats | None:
        """An attribute (usable voxel, space) as (voxel, space)."""
        values = getattr(regressor, name, None)
        return None if values is None else _spread(np.transpose(values), fitted, n_voxels).T

    weights = interval = split = None
    partition: dict[frozenset[str], Floats] = {}
    if fitting.spaces is not None:
        weights, low, high = map(by_space, ("weights_", "weights_low_", "weights_high_"))
        interval = None if low is None or high is None else (low, high)
        held_out = select(Y_test, voxels=fitted)[...]
        if hasattr(regressor, "score_split"):
            split = of_voxels(regressor.score_split(test.X, held_out))
        if hasattr(regressor, "partition"):
            found = regressor.partition(test.X, held_out)
            partition = {
                spaces: _spread(values, fitted, n_voxels) for spaces, values in found.items()
            }
    return _Fit(
        prediction,
        of_voxels(getattr(regressor, "alpha_", None)),
        of_voxels(getattr(regressor, "cv_score_", None)),
        weights,
        interval,
        split,
        partition,
        getattr(regressor, "path_", None),
        _coefficients(regressor, fitting, train, fitted, n_voxels) if fitting.keeps_weights else {},
    )


def _spread(values: Any, fitted: NDArray[np.intp], n_voxels: int) -> Floats:
    """Values (..., fitted voxel) as (..., voxel), NaN where a voxel was not fitted."""
    values = np.asarray(values)
    found = np.full((*values.shape[:-1], n_voxels), np.nan)
    found[..., fitted] = values
    return found


def _coefficients(
    regressor: Any, fitting: DesignSpec, train: Design, fitted: NDArray[np.intp], n_voxels: int
) -> dict[str, Callable[[], Floats]]:
    """Weights of all voxels, some at a time, NaN of those that were not ``fitted``."""
    n_delays = len(fitting.delays)
    n_units = train.X.shape[1] // (1 if train.stretches is not None else n_delays)

    def made(block: slice) -> Floats:
        first, stop = np.searchsorted(fitted, [block.start, block.stop])
        found = np.full((n_delays * n_units, block.stop - block.start), np.nan, dtype=np.float32)
        if first < stop:
            some = regressor.coef_block(slice(int(first), int(stop)))
            found[:, fitted[first:stop] - block.start] = some.T
        return found.reshape(n_delays, n_units, -1)

    width = block_width((n_delays * n_units,), np.dtype(np.float32))
    starts = range(0, n_voxels, width)
    return {
        f"coef_{start:06}": partial(made, slice(start, min(n_voxels, start + width)))
        for start in starts
    }


def _usable(Y: Floats) -> NDArray[np.bool_]:
    """Voxels of (row, voxel) that are finite and vary, (voxel,)."""
    with np.errstate(invalid="ignore"):
        found: NDArray[np.bool_] = np.isfinite(Y).all(axis=0) & (np.ptp(Y, axis=0) > 0)
    return found
