"""From states and responses to scores: fit the training rows, predict what was held out.

Rows are TRs. Nothing here knows where a number came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError
from voxelzoo.science.design import Design, DesignSpec, zscore
from voxelzoo.science.fitting import Fit, fit_predict
from voxelzoo.science.protocols import FitProtocol
from voxelzoo.science.responses import Responses
from voxelzoo.science.scores import (
    HeldOutPart,
    Scores,
    SpaceScores,
    by_voxel,
    correlation,
    explained_variance,
)
from voxelzoo.science.splits import FOLD, ContiguousFolds, Evaluation, HeldOutStories
from voxelzoo.science.voxel_arrays import VoxelArray, select, stack_responses

Floats = NDArray[np.floating[Any]]


def evaluate(
    evaluation: Evaluation,
    protocol: FitProtocol,
    spec: DesignSpec,
    states: Mapping[str, Floats],
    responses: Mapping[str, Responses],
) -> Scores:
    """Score how well states predict one subject's responses.

    Parameters
    ----------
    evaluation : HeldOutStories or ContiguousFolds
        What is held out.
    protocol : FitProtocol
        Choices between states and scores.
    spec : DesignSpec
        How designs are made and fitted.
    states : mapping of str to (TR, unit)
        States of each story, resampled to its scan times.
    responses : mapping of str to Responses
        The subject's responses to each story.

    Raises
    ------
    DataError
        If stories have different numbers of units or voxels, a test story is too short, or no voxel
        can be fitted.
    """
    _check_widths("states", "units", {story: each.shape[1] for story, each in states.items()})
    _check_widths(
        "responses", "voxels", {story: each.mean.shape[1] for story, each in responses.items()}
    )
    if evaluation.kind == "stories":
        return _evaluate_stories(evaluation, protocol, spec, states, responses)
    return _evaluate_folds(evaluation, protocol, spec, states, responses)


def held_out_responses(
    evaluation: Evaluation, protocol: FitProtocol, responses: Mapping[str, Responses]
) -> dict[str, VoxelArray]:
    """The responses that are predicted, (TR, voxel), by story or fold.

    Parameters
    ----------
    evaluation : HeldOutStories or ContiguousFolds
        What is held out.
    protocol : FitProtocol
        How many TRs at the start of a test story are not predicted.
    responses : mapping of str to Responses
        One subject's responses to each story.
    """
    if evaluation.kind == "stories":
        skip = protocol.skip_test_trs
        return {story: stack_responses([responses[story].mean], skip) for story in evaluation.test}
    mean = responses[evaluation.story].mean
    folds = evaluation.folds(mean.shape[0])
    return {f"{FOLD}{i}": select(mean, test) for i, (_, test) in enumerate(folds, start=1)}


def held_out_repeats(
    evaluation: Evaluation, protocol: FitProtocol, responses: Mapping[str, Responses]
) -> dict[str, VoxelArray]:
    """Each repeat of the responses that are predicted.

    Parameters
    ----------
    evaluation, protocol, responses
        As for :func:`held_out_responses`.

    Returns
    -------
    dict of str to VoxelArray
        (repeat, TR, voxel) by story; only stories that were repeated.

    Raises
    ------
    DataError
        If a test story is too short.
    """
    if evaluation.kind != "stories":
        return {}
    every = {story: responses[story].repeats for story in evaluation.test}
    _check_lengths(protocol, {story: responses[story].mean.shape[0] for story in evaluation.test})
    skip = protocol.skip_test_trs
    return {
        story: stack_responses([each], skip) for story, each in every.items() if each is not None
    }


def _check_widths(what: str, unit: str, widths: Mapping[str, int]) -> None:
    """Stories are stacked, so each must have as many columns as the first."""
    first = next(iter(widths))
    for story, width in widths.items():
        if width != widths[first]:
            raise DataError(
                f"{what} of story {story!r} have {width} {unit}, "
                f"those of {first!r} have {widths[first]}"
            )


def _check_lengths(protocol: FitProtocol, n_trs: Mapping[str, int]) -> None:
    """Enough of each test story must be left."""
    for story, n in n_trs.items():
        if n <= protocol.skip_test_trs + 2:
            raise DataError(
                f"test story {story!r} has {n} TRs; protocol {protocol.name} drops its first "
                f"{protocol.skip_test_trs}"
            )


def _evaluate_stories(
    evaluation: HeldOutStories,
    protocol: FitProtocol,
    spec: DesignSpec,
    states: Mapping[str, Floats],
    responses: Mapping[str, Responses],
) -> Scores:
    """One fit on all training stories; scores over the concatenated test stories."""
    skip = protocol.skip_test_trs
    _check_lengths(protocol, {story: len(states[story]) for story in evaluation.test})
    across = protocol.delays_cross_stories
    train = Design.of([states[story] for story in evaluation.train], spec, across)
    test = Design.of([states[story][skip:] for story in evaluation.test], spec, across)
    # Cross-validation folds are stories, whether or not delays stop at their borders.
    Y = stack_responses([responses[story].mean for story in evaluation.train])
    held_out = stack_responses([responses[story].mean for story in evaluation.test], skip)
    fit = fit_predict(spec, train, Y, test, held_out)
    edges = np.cumsum([len(states[story]) - skip for story in evaluation.test])[:-1]
    predictions = np.split(fit.prediction, edges)
    of_stories = held_out_responses(evaluation, protocol, responses)
    repeats = held_out_repeats(evaluation, protocol, responses)
    return Scores(
        kind=evaluation.kind,
        r=by_voxel(correlation, fit.prediction, held_out),
        r2=by_voxel(explained_variance, fit.prediction, held_out),
        alpha=fit.alpha,
        cv_r=fit.cv_r,
        paths=(fit.path,) if fit.path else (),
        parts={
            story: HeldOutPart(prediction, response, repeats.get(story))
            for prediction, (story, response) in zip(predictions, of_stories.items(), strict=True)
        },
        n_train=len(train.X),
        n_test=len(test.X),
        spaces=fit.spaces,
        at_edges=fit.at_edges,
        coefficients=fit.coefficients,
    )


def _evaluate_folds(
    evaluation: ContiguousFolds,
    protocol: FitProtocol,
    spec: DesignSpec,
    states: Mapping[str, Floats],
    responses: Mapping[str, Responses],
) -> Scores:
    """One fit for each fold; scores are means over folds.

    Each fold has a fit, so an offset, of its own. The correlation of predictions that were joined
    would be that of those offsets too; the mean over folds is not.
    """
    # Rows of a fold come from the middle of a story, whose delays reach back into the rest of it.
    X = spec.delay(zscore(np.asarray(states[evaluation.story])))
    spec = replace(spec, self_delaying=False)
    Y = responses[evaluation.story].mean
    parts, fits = {}, []
    folds = evaluation.folds(len(X))
    held_out = held_out_responses(evaluation, protocol, responses)
    for (train, test), (name, response) in zip(folds, held_out.items(), strict=True):
        rows = Design(X[train], evaluation.inner_groups(train, len(X)))
        fits.append(fit_predict(spec, rows, select(Y, train), Design(X[test]), response))
        parts[name] = HeldOutPart(fits[-1].prediction, response)
    r2 = [by_voxel(explained_variance, part.prediction, part.response) for part in parts.values()]
    alphas = [fit.alpha for fit in fits if fit.alpha is not None]
    return Scores(
        kind=evaluation.kind,
        r=np.mean([part.r for part in parts.values()], axis=0),
        r2=np.mean(r2, axis=0),
        alpha=np.exp(np.mean(np.log(alphas), axis=0)) if alphas else None,
        cv_r=_mean([fit.cv_r for fit in fits]),
        paths=tuple(dict.fromkeys(fit.path for fit in fits if fit.path)),
        parts=parts,
        n_train=min(len(train) for train, _ in folds),
        n_test=len(X),
        spaces=_mean_spaces(fits),
        at_edges=_summed([fit.at_edges for fit in fits]),
    )


def _summed(at_edges: Sequence[tuple[int, int] | None]) -> tuple[int, int] | None:
    """Sums over folds, of those that have them."""
    known = [edges for edges in at_edges if edges is not None]
    if not known:
        return None
    smallest, largest = np.sum(known, axis=0).tolist()
    return smallest, largest


def _mean_spaces(fits: Sequence[Fit]) -> SpaceScores:
    """Means over folds; the intervals of their weights, which differ, have none."""
    every = [fit.spaces for fit in fits]
    return SpaceScores(
        weights=_mean([each.weights for each in every]),
        split_r=_mean([each.split_r for each in every]),
        partition={
            spaces: np.mean([each.partition[spaces] for each in every], axis=0)
            for spaces in every[0].partition
        },
    )


def _mean(arrays: Sequence[Floats | None]) -> Floats | None:
    """Mean over folds; ``None`` if the regressor does not give it."""
    of_folds = [array for array in arrays if array is not None]
    return np.asarray(np.mean(of_folds, axis=0)) if of_folds else None
