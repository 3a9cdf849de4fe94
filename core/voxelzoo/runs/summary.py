"""The record of one result: what was run, and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.runs.keys import Features
from voxelzoo.runs.plan import Plan
from voxelzoo.science.ceilings import DEFAULT
from voxelzoo.science.evaluation import Scores


def summarise(
    plan: Plan,
    features: Features,
    subject: str,
    scores: Scores,
    labels: Sequence[str] | None,
    leaks: Sequence[str] = (),
) -> dict[str, Any]:
    """One record of JSON values: what was run, and the scores over defined voxels.

    An undefined mean is ``None``. The record names the software, so that it can be cited.
    """
    model = features.layers[0].states.model
    info = plan.dataset.info()
    r, defined = scores.r, np.isfinite(scores.r)
    by_label = {}
    if labels:
        names = np.asarray(labels)
        for name in dict.fromkeys(labels):
            chosen = r[(names == name) & defined]
            by_label[str(name)] = {"n_voxels": len(chosen), "mean_r": _mean(chosen)}
    return {
        **_identity(features),
        "subject": subject,
        "dataset": info.name,
        "dataset_licence": info.licence,
        "dataset_citation": info.citation,
        "n_voxels": len(r),
        "n_undefined_voxels": int((~defined).sum()),
        "n_train": scores.n_train,
        "n_test": scores.n_test,
        "mean_r": _mean(r),
        "median_r": _number(np.median(r[defined])) if defined.any() else None,
        "mean_signed_r2": _mean(scores.signed_r2),
        "mean_r2": _mean(scores.r2),
        "mean_cv_r": None if scores.cv_r is None else _mean(scores.cv_r),
        "best_voxel_r": _number(r[defined].max()) if defined.any() else None,
        "mean_ceiling": None if scores.ceiling is None else _mean(scores.ceiling),
        "ceiling_method": None if scores.ceiling is None else plan.ceiling or DEFAULT,
        "by_label": by_label,
        "evaluation": str(plan.evaluation),
        **_training(plan, subject),
        "protocol": plan.protocol.name,
        "aligner": plan.alignment.registered.spec.name,
        "regressor": plan.regressor.spec.name,
        "regressor_options": plan.regressor.settings,
        "spaces": list(features.spaces) if features.joint else None,
        "mean_weights": None if scores.weights is None else _means(scores.weights.T),
        "mean_split_r": None if scores.split_r is None else _means(scores.split_r),
        "mean_partition": _partition(features, scores),
        "delays": list(plan.delays),
        "shift": plan.shift,
        "leaks": list(leaks),
        "fitted": list(scores.paths),
        "options": dict(model.request.options),
        "dtype": model.request.dtype,
        "seed": model.request.seed,
        "software": _software(),
    }


def _partition(features: Features, scores: Scores) -> dict[str, float | None] | None:
    """Mean R2 that exactly these spaces share, in the order of the array ``partition``."""
    if not scores.partition:
        return None
    order = list(features.spaces)
    return {
        " & ".join(sorted(spaces, key=order.index)): _mean(values)
        for spaces, values in scores.partition.items()
    }


def _identity(features: Features) -> dict[str, Any]:
    """Which model, and which of its layers."""
    models = [each.states.model for each in features.layers]
    if features.joint:
        return {
            "model": features.label,
            "model_id": " + ".join(each.request.model.id for each in models),
            "family": "joint",
            "n_parameters": None,
            "untrained": any(each.request.untrained for each in models),
            "layer": None,
            "repo": None,
            "revision": None,
        }
    (model,) = models
    entry = model.request.model
    return {
        "model": entry.name,
        "model_id": entry.id,
        "family": entry.family or entry.plugin,
        "n_parameters": entry.n_parameters,
        "untrained": model.request.untrained,
        "layer": features.layers[0].layer,
        "repo": entry.repo,
        "revision": entry.revision,
    }


def _training(plan: Plan, subject: str) -> dict[str, Any]:
    """What was trained on, and what was held out."""
    train = plan.evaluation.train_for(subject)
    mean = plan.mean_training
    return {
        "n_train_stories": len(train),
        "train_hours": _number(plan.hours(train)),
        "mean_train_stories": None if mean is None else mean.n_stories,
        "mean_train_hours": None if mean is None else mean.hours,
        "train_stories": list(train),
        "test_stories": [story for story in plan.evaluation.held_out if story not in train],
        "subset_seed": plan.subset_seed,
    }


def _means(rows: NDArray[Any]) -> list[float | None]:
    return [_mean(row) for row in rows]


def _software() -> dict[str, str]:
    names = ("voxelzoo", "numpy", "scipy", "scikit-learn", "torch", "transformers", "zarr")
    return {name: metadata.version(name) for name in names}


def _mean(values: NDArray[Any]) -> float | None:
    finite = values[np.isfinite(values)]
    return _number(finite.mean()) if len(finite) else None


def _number(value: Any) -> float:
    return round(float(value), 6)
