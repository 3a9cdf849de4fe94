"""Which layer stands for a model: the one with the highest mean score.

Scores are averaged over voxels, then over subjects. Layers are compared on the same voxels and the
same subjects, so that no layer wins because it is scored where prediction is easier:

- A voxel whose score is undefined (NaN) at some layer is ignored at all layers of that subject.
- A layer that is undefined in every voxel of a subject takes no voxel away from the others. It
  cannot be chosen.
- A subject who has no defined score at any layer is ignored.

A layer chosen by test scores is optimistic; one chosen by out-of-fold scores within the training
data (``cv_r``) is not. Which scores to pass is the caller's choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from voxelzoo.science.arrays import Floats


def layer_means(scores: Floats) -> Floats:
    """Mean score of each layer over the voxels that are defined at every layer.

    Parameters
    ----------
    scores : (layer, voxel)
        Scores of one subject. NaN where undefined, or where a voxel is not to count.

    Returns
    -------
    (layer,) float64
        NaN for a layer that is undefined in every voxel; NaN for all layers if no voxel is defined
        at every other layer.

    Examples
    --------
    The second voxel is ignored, and so is the last layer:

    >>> nan = np.nan
    >>> layer_means(np.array([[0.1, 0.9, 0.3], [0.2, nan, 0.4], [nan, nan, nan]])).round(3)
    array([0.2, 0.3, nan])
    """
    defined = np.isfinite(scores)
    layers = defined.any(axis=1)
    voxels = defined[layers].all(axis=0)
    means = np.full(len(scores), np.nan)
    if layers.any() and voxels.any():
        means[layers] = scores[layers][:, voxels].mean(axis=1, dtype=np.float64)
    return means


def best_layer(means: Floats) -> int | None:
    """Position of the layer with the highest mean over subjects.

    Parameters
    ----------
    means : (layer, subject)
        Mean score of each layer in each subject; NaN where undefined.

    Returns
    -------
    int or None
        The first of several equal layers; ``None`` if no layer is defined in every subject who has
        a score at all.
    """
    subjects = np.isfinite(means).any(axis=0)
    if not subjects.any():
        return None
    over_subjects = means[:, subjects].mean(axis=1)
    if not np.isfinite(over_subjects).any():
        return None
    return int(np.nanargmax(over_subjects))


def choose_layer(scores: Sequence[Floats]) -> int | None:
    """Position of the layer with the highest mean over voxels, then over subjects.

    Parameters
    ----------
    scores : sequence of (layer, voxel)
        One array for each subject, with the same layers in the same order. NaN where a score is
        undefined or a voxel is not to count. Subjects may have different numbers of voxels.

    Returns
    -------
    int or None
        ``None`` if there is no layer to choose; see :func:`best_layer`.
    """
    return best_layer(np.stack([layer_means(each) for each in scores], axis=1))
