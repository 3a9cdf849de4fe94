"""Correlation of a subject's responses with those of other subjects to the same stimulus.

References
----------
Nastase, S. A., et al. (2019). Measuring shared responses across subjects using intersubject
correlation. Social Cognitive and Affective Neuroscience 14(6), 667-685.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from voxelzoo.api import DataError
from voxelzoo.blocks import blocks
from voxelzoo.science.arrays import Floats
from voxelzoo.science.repeats import require_several
from voxelzoo.science.scores import correlation

BLOCK = 4096
"""Voxels to work on at once."""


def inter_subject(responses: Floats) -> Floats:
    """Correlation of each subject with the mean of the others (Nastase et al. 2019).

    It is a ceiling for models of what subjects share. Voxels must correspond between subjects. A
    subject's undefined voxel does not enter the others' mean.

    Parameters
    ----------
    responses : ndarray of shape (subject, TR, voxel)
        Responses to the same stimulus, two subjects or more.

    Returns
    -------
    ndarray of shape (subject, voxel)
        NaN where undefined.

    Raises
    ------
    DataError
        If there are fewer than two subjects.
    """
    require_several(responses, "subjects")
    with np.errstate(invalid="ignore", divide="ignore"):
        standard = responses - responses.mean(axis=1, keepdims=True, dtype=np.float64)
        standard = standard / standard.std(axis=1, keepdims=True)
    usable = np.isfinite(standard).all(axis=1, keepdims=True)
    total = np.where(usable, standard, 0).sum(axis=0)
    of_subjects = []
    for own, defined in zip(standard, usable, strict=True):
        r = correlation(own, total - np.where(defined, own, 0))
        of_subjects.append(np.where(defined[0], r, np.nan))
    return np.stack(of_subjects)


def against_others(own: Floats, others: Iterable[Floats]) -> Floats:
    """Correlation of one subject with the mean of the others, who are read in turn.

    One row of :func:`inter_subject`. Beside the subject's own responses, only one other subject's
    and their sum are in memory.

    Parameters
    ----------
    own : ndarray of shape (TR, voxel)
        The subject's responses.
    others : iterable of ndarray, each of shape (TR, voxel)
        The other subjects' responses.

    Returns
    -------
    ndarray of shape (voxel,)
        NaN where undefined.

    Raises
    ------
    DataError
        If there is no other subject, or one has other rows or voxels.
    """
    total: Floats | None = None
    for other in others:
        if other.shape != own.shape:
            raise DataError(
                f"inter-subject: another subject's responses have shape {other.shape} (TR, voxel), "
                f"not {own.shape}; rows and voxels must correspond"
            )
        total = np.zeros(own.shape) if total is None else total
        for voxels in blocks(own.shape[1], BLOCK):
            total[:, voxels] += _standard_or_zero(other[:, voxels])
    if total is None:
        raise DataError("an inter-subject ceiling needs at least two subjects, not 1")
    return np.concatenate(
        [correlation(own[:, v], total[:, v]) for v in blocks(own.shape[1], BLOCK)]
    )


def _standard_or_zero(responses: Floats) -> Floats:
    """Z-scored over time, (TR, voxel); an undefined voxel is 0 throughout."""
    with np.errstate(invalid="ignore", divide="ignore"):
        standard = responses - responses.mean(axis=0, dtype=np.float64)
        standard = standard / standard.std(axis=0)
        varies = np.ptp(responses, axis=0) > 0
    return np.where(varies & np.isfinite(standard).all(axis=0), standard, 0)
