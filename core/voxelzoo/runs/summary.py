"""The record of one result: what was run, and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.runs.keys import Features
from voxelzoo.runs.plan import Plan
from voxelzoo.science.ceilings import DEFAULT, ceiling_method
from voxelzoo.science.regions import finite_mean, label_masks
from voxelzoo.science.scores import Scores
from voxelzoo.science.undefined import why_undefined
from voxelzoo.store.records import RegionScore, ResultRecord, ScoreSummary

_PACKAGES = ("voxelzoo", "numpy", "scipy", "scikit-learn", "zarr")
"""Packages that every result is computed with."""


def summarise(
    plan: Plan,
    features: Features,
    subject: str,
    scores: Scores,
    labels: Sequence[str] | None,
    leaks: Sequence[str] = (),
) -> ResultRecord:
    """The record of one result.

    Parameters
    ----------
    plan : Plan
        What was done with every model.
    features : Features
        What the fit was made from.
    subject : str
        Whose responses were predicted.
    scores : Scores
        Scores of every voxel.
    labels : sequence of str or None
        The label of each voxel, if there are labels.
    leaks : sequence of str
        Leak guards that found something and were overridden.

    Returns
    -------
    ResultRecord
        With the versions of the software, so that it can be cited.
    """
    model = features.layers[0].states.model
    return ResultRecord(
        **_identity(features),
        spaces=tuple(features.spaces) if features.joint else None,
        subject=subject,
        is_average=subject in plan.reader.averages,
        **_data(plan, scores),
        **_ceiling(plan, scores),
        **_evaluation(plan, subject),
        protocol=plan.protocol.name,
        standardised_responses=plan.protocol.standardise_responses,
        aligner=plan.alignment.registered.spec.name,
        aligner_settings=dict(plan.alignment.aligner.fingerprint()),
        regressor=plan.regressor.spec.name,
        regressor_options=plan.regressor.settings,
        delays=tuple(plan.delays),
        shift=plan.shift,
        leaks=tuple(leaks),
        n_smallest_alpha=None if scores.at_edges is None else scores.at_edges[0],
        n_largest_alpha=None if scores.at_edges is None else scores.at_edges[1],
        fitted=tuple(scores.paths),
        first_token=_first_token(features),
        options=dict(model.request.options),
        dtype=model.request.dtype,
        seed=model.request.seed,
        software=_software(plan, features),
        scores=_scores(features, scores, labels),
    )


def _scores(features: Features, scores: Scores, labels: Sequence[str] | None) -> ScoreSummary:
    """Scores over the voxels in which they are defined."""
    spaces = scores.spaces
    defined = scores.r[np.isfinite(scores.r)]
    return ScoreSummary(
        mean_r=_mean(scores.r),
        median_r=_number(np.median(defined)) if len(defined) else None,
        best_voxel_r=_number(defined.max()) if len(defined) else None,
        mean_signed_r2=_mean(scores.signed_r2),
        mean_r2=_mean(scores.r2),
        mean_cv_r=None if scores.cv_r is None else _mean(scores.cv_r),
        mean_ceiling=None if scores.ceiling is None else _mean(scores.ceiling),
        mean_r_repeated=None if scores.r_repeated is None else _mean(scores.r_repeated),
        mean_r_normalised=None if scores.r_normalised is None else _mean(scores.r_normalised),
        by_region={
            label: RegionScore(
                n_voxels=int(np.isfinite(scores.r[mask]).sum()), mean_r=_mean(scores.r[mask])
            )
            for label, mask in label_masks(labels).items()
        },
        mean_weights=None if spaces.weights is None else _means(spaces.weights.T),
        mean_split_r=None if spaces.split_r is None else _means(spaces.split_r),
        mean_partition=_partition(features, scores),
    )


def _partition(features: Features, scores: Scores) -> dict[str, float | None] | None:
    """Mean R2 that exactly these spaces share, in the order of the array ``partition``."""
    if not scores.spaces.partition:
        return None
    order = list(features.spaces)
    return {
        " & ".join(sorted(spaces, key=order.index)): _mean(values)
        for spaces, values in scores.spaces.partition.items()
    }


def _identity(features: Features) -> dict[str, Any]:
    """Which model, and which of its layers."""
    models = [each.states.model for each in features.layers]
    if features.joint:
        return {
            "fit": "joint",
            "model": features.label,
            "model_id": " + ".join(each.request.model.id for each in models),
            "family": "joint",
            "untrained": any(each.request.untrained for each in models),
            "layer": None,
        }
    (model,) = models
    entry = model.request.model
    return {
        "fit": "layer",
        "model": entry.name,
        "model_id": entry.id,
        "family": entry.family or entry.plugin,
        "n_parameters": entry.n_parameters,
        "untrained": model.request.untrained,
        "layer": features.layers[0].layer,
        "repo": entry.repo,
        "revision": model.weights,
    }


def _data(plan: Plan, scores: Scores) -> dict[str, Any]:
    """What was predicted."""
    info = plan.dataset.info()
    return {
        "dataset": info.name,
        "dataset_licence": info.licence,
        "dataset_citation": info.citation,
        "dataset_preparation": info.preparation,
        "n_voxels": len(scores.r),
        "n_undefined_voxels": int((~np.isfinite(scores.r)).sum()),
        "undefined": why_undefined(scores),
        "tr": _tr(plan),
        "n_train": scores.n_train,
        "n_test": scores.n_test,
    }


def _ceiling(plan: Plan, scores: Scores) -> dict[str, Any]:
    """How the noise ceiling was estimated, and from what."""
    if scores.ceiling is None:
        return {"ceiling_method": None}
    method = plan.ceiling or DEFAULT
    return {
        "ceiling_method": method,
        "ceiling_floor": ceiling_method(method, plan.protocol).floor,
        "ceiling_stories": scores.ceiling_stories,
    }


def _evaluation(plan: Plan, subject: str) -> dict[str, Any]:
    """What was trained on, and what was held out."""
    evaluation, mean = plan.evaluation, plan.mean_training
    train = evaluation.train_for(subject)
    held_out: dict[str, Any]
    if evaluation.kind == "stories":
        held_out = {"test_stories": evaluation.test}
    else:
        held_out = {"n_folds": evaluation.n_folds, "gap_trs": evaluation.gap}
    return {
        "kind": evaluation.kind,
        "train_stories": train,
        **held_out,
        "train_hours": _number(plan.hours(train)),
        "mean_train_stories": None if mean is None else mean.n_stories,
        "mean_train_hours": None if mean is None else mean.hours,
        "subset_seed": plan.subset_seed,
    }


def _first_token(features: Features) -> str | None:
    """What begins every context of the models; of several that differ, each by name."""
    tokens = {each.name: each.states.model.first_token for each in features.layers}
    known = {name: token for name, token in tokens.items() if token is not None}
    if len(set(known.values())) > 1:
        return "; ".join(f"{name}: {token}" for name, token in known.items())
    return next(iter(known.values()), None)


def _tr(plan: Plan) -> float | None:
    """Seconds from one scan to the next, if it is the same in all stories.

    Clocks fitted to logged triggers differ in the third digit; their mean is given.
    """
    trs = {clock.tr for _, clock in plan.stimuli.values()}
    return _number(np.mean(list(trs))) if max(trs) <= 1.01 * min(trs) else None


def _software(plan: Plan, features: Features) -> dict[str, str]:
    """Versions of the packages that the host computes with, and of those that plugins require."""
    used = [plan.regressor.spec, plan.alignment.registered.spec]
    used += [each.states.model.registered.spec for each in features.layers]
    required = sorted({package for spec in used for package in spec.requires})
    versions = {}
    for name in dict.fromkeys((*_PACKAGES, *required)):
        with suppress(metadata.PackageNotFoundError):  # a module of another distribution's name
            versions[name] = metadata.version(name)
    return versions


def _means(rows: NDArray[Any]) -> tuple[float | None, ...]:
    return tuple(_mean(row) for row in rows)


def _mean(values: NDArray[Any]) -> float | None:
    """Mean of the finite values for JSON; ``None`` if there are none."""
    mean = finite_mean(values)
    return _number(mean) if np.isfinite(mean) else None


def _number(value: Any) -> float:
    return round(float(value), 6)
