"""How each regressor chose its penalties, in a clause: what ``zoo explain`` says of a fit.

Parameters that had no effect, given the others, are not mentioned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SCORES = {
    "correlation": "Pearson's r",
    "r2": "R2",
    "signed_root_r2": "the signed square root of R2",
}


def describe_ridge(parameters: Mapping[str, Any]) -> str:
    """Describe a fit by :class:`voxelzoo_regressors.Ridge`.

    Parameters
    ----------
    parameters : mapping of str to Any
        Its parameters.

    Returns
    -------
    str
    """
    scope = parameters.get("alpha_scope", "voxel")
    whose = {
        "voxel": "one alpha for each voxel",
        "shared": "one alpha for all voxels",
    }.get(scope if isinstance(scope, str) else "", "one alpha for each region")
    score = _SCORES.get(parameters.get("scoring", "correlation"), parameters.get("scoring"))
    clauses = [f"{whose}, the one with the highest mean {score} over {_folds(parameters)}"]
    if parameters.get("alpha_convention") == "squared":
        clauses.append("the penalty is alpha squared")
    if parameters.get("width") is not None:
        clauses.append(_reduction(parameters))
    clauses.append("with an intercept" if parameters.get("fit_intercept", True) else "no intercept")
    if (dtype := parameters.get("dtype", "auto")) != "auto":
        clauses.append(f"computed in {dtype}")
    if (sweep := parameters.get("sweep_dtype", "same")) != "same":
        clauses.append(f"alphas searched in {sweep}")
    return "; ".join(clauses)


def describe_bootstrap(parameters: Mapping[str, Any]) -> str:
    """Describe a fit by :class:`voxelzoo_regressors.BootstrapRidge`.

    Parameters
    ----------
    parameters : mapping of str to Any
        Its parameters.

    Returns
    -------
    str
    """
    whose = "one alpha for all voxels" if parameters.get("single_alpha") else "one for each voxel"
    score = "Pearson's r" if parameters.get("use_corr") else "the signed square root of R2"
    held_out = parameters.get("nchunks", "quarter")
    chunks = "a quarter of the rows" if held_out == "quarter" else f"{held_out} chunks"
    return (
        f"{whose}, the one with the highest mean of {score} over {parameters.get('nboots', 3)} "
        f"random draws of {chunks} in chunks of {parameters.get('chunklen', 20)} TRs "
        f"(seed {parameters.get('seed', 0)}); the penalty is alpha squared; no intercept"
    )


def describe_stacking(parameters: Mapping[str, Any]) -> str:
    """Describe a fit by :class:`voxelzoo_regressors.Stacking`.

    Parameters
    ----------
    parameters : mapping of str to Any
        Its parameters.

    Returns
    -------
    str
    """
    clauses = [
        "ridge on each feature space, whose held-out predictions were combined by non-negative "
        "weights that sum to one, for each voxel"
    ]
    if (single := parameters.get("single")) is not None:
        clauses.append(
            f"where the combination did not beat {single} alone on {parameters['validation']:.0%} "
            "of the training data, that alone was used"
        )
    if draws := parameters.get("draws"):
        clauses.append(f"intervals of weights from {draws} draws (seed {parameters['seed']})")
    return "; ".join(clauses)


def describe_banded(parameters: Mapping[str, Any]) -> str:
    """Describe a fit by :class:`voxelzoo_regressors.BandedRidge`.

    Parameters
    ----------
    parameters : mapping of str to Any
        Its parameters.

    Returns
    -------
    str
    """
    return (
        "one penalty for each feature space and voxel, chosen among "
        f"{parameters.get('n_iter', 20)} random ratios of the spaces "
        f"(seed {parameters.get('seed', 0)}) over {_folds(parameters)}"
    )


def describe_partition(parameters: Mapping[str, Any]) -> str:
    """Describe a fit by :class:`voxelzoo_regressors.VariancePartition`.

    Parameters
    ----------
    parameters : mapping of str to Any
        Its parameters.

    Returns
    -------
    str
    """
    return "ridge on every subset of the feature spaces, whose held-out R2 was partitioned"


def _folds(parameters: Mapping[str, Any]) -> str:
    cv, gap = parameters.get("cv", "groups"), parameters.get("gap", 5)
    apart = f", {gap} TRs on either side of which trained nothing" if gap else ""
    if cv == "groups":
        return "folds that each leave one story out"
    if cv == "blocks":
        return f"contiguous blocks of {parameters.get('block_length', 50)} TRs{apart}"
    return f"{cv} contiguous blocks{apart}" if isinstance(cv, int) else "the folds that were given"


def _reduction(parameters: Mapping[str, Any]) -> str:
    if parameters.get("reduce", "pca") == "pca":
        return f"features were reduced to their {parameters['width']} leading principal components"
    return (
        f"features were projected onto {parameters['width']} random directions "
        f"(seed {parameters.get('seed', 0)})"
    )
