"""Which "subjects" are means of others? Their responses are those of others, added up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from voxelzoo.science.arrays import Floats
from voxelzoo.science.regions import usable_voxels

N_VOXELS = 8
"""Voxels that are looked at."""

EXPLAINED = 0.99
"""Share of a mean's variance that its members explain; between people it is far less."""

LEAST = 0.01
"""Contribution to the mean, in its standard deviations, from which a subject counts as a member."""


def find_averages(samples: Mapping[str, Floats]) -> dict[str, tuple[str, ...]]:
    """Subjects whose responses are sums of other subjects' responses, each with those others.

    A mean of responses, z-scored or not, is a sum of the others' with weights above 0, in every
    voxel. A person is not: the mean, less all others, has them with weights below 0.

    Parameters
    ----------
    samples : mapping of str to ndarray of shape (TR, voxel)
        Responses of each subject to the same rows and voxels.

    Returns
    -------
    dict of str to tuple of str
        Empty for fewer than three subjects, or fewer rows than two for each subject.
    """
    from scipy.optimize import nnls

    subjects = list(samples)
    stacked = np.stack([np.asarray(samples[each], dtype=np.float64) for each in subjects])
    n, n_rows, _ = stacked.shape
    usable = np.flatnonzero(usable_voxels(stacked).all(axis=0))
    if n < 3 or n_rows < 2 * n or not len(usable):
        return {}
    voxels = usable[np.unique(np.linspace(0, len(usable) - 1, N_VOXELS).astype(np.intp))]
    stacked = stacked[..., voxels]
    stacked = (stacked - stacked.mean(axis=1, keepdims=True)) / stacked.std(axis=1, keepdims=True)
    averages = {}
    for i, subject in enumerate(subjects):
        others = [j for j in range(n) if j != i]
        fits = [nnls(stacked[others, :, v].T, stacked[i, :, v]) for v in range(len(voxels))]
        unexplained = [residual**2 / n_rows for _, residual in fits]
        if np.median(unexplained) > 1 - EXPLAINED:
            continue
        weights = np.median([weights for weights, _ in fits], axis=0)
        members = [subjects[j] for j, w in zip(others, weights, strict=True) if w > LEAST]
        if len(members) >= 2:
            averages[subject] = tuple(members)
    return averages
