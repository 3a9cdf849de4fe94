"""Finds subjects that are means over others, in a sample of their responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np

from voxelzoo.api import DataError, Dataset, OpensResponses
from voxelzoo.data.opening import averages, opened_responses
from voxelzoo.science.arrays import Floats
from voxelzoo.science.averages import find_averages

N_VOXELS = 16
"""Voxels that are read of each subject."""


def undeclared_averages(dataset: Dataset, stories: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Subjects that are means over others although the dataset does not say so.

    Only looked for where responses can be opened without being read whole;
    ``zoo data check``, which reads everything, looks everywhere.

    Parameters
    ----------
    dataset : Dataset
        The dataset.
    stories : sequence of str
        Stories that every subject heard; as few are read as are enough.

    Returns
    -------
    dict of str to tuple of str
        Each such subject, and those whose mean it is.
    """
    people = [each for each in dataset.subjects() if each not in averages(dataset)]
    if not isinstance(dataset, OpensResponses) or len(people) < 3:
        return {}
    n_trs = accumulate(dataset.clock(story).n_trs for story in stories)
    read = [story for story, n in zip(stories, [0, *n_trs], strict=False) if n < 3 * len(people)]
    samples = {
        story: {who: sample for who in people if (sample := _sample(dataset, who, story)).size}
        for story in read
    }
    return find_averages_of_stories(samples)


def find_averages_of_stories(
    samples: Mapping[str, Mapping[str, Floats]],
) -> dict[str, tuple[str, ...]]:
    """Means among subjects with the same number of voxels.

    Parameters
    ----------
    samples : mapping of str to mapping of str to ndarray of shape (TR, voxel)
        Some voxels of each subject by story.

    Returns
    -------
    dict of str to tuple of str
        Each mean, and those whose mean it is.
    """
    subjects = dict.fromkeys(who for of_story in samples.values() for who in of_story)
    alike: dict[tuple[tuple[int, ...], ...], list[str]] = {}
    for who in subjects:
        shapes = tuple(of[who].shape for of in samples.values() if who in of)
        if len(shapes) == len(samples):
            alike.setdefault(shapes, []).append(who)
    found: dict[str, tuple[str, ...]] = {}
    for group in alike.values():
        rows = {who: np.concatenate([of[who] for of in samples.values()]) for who in group}
        found |= find_averages(rows)
    return found


def _sample(dataset: Dataset, subject: str, story: str) -> Floats:
    """(TR, voxel) of a few voxels, the mean over repeats; empty if they cannot be read."""
    try:
        with opened_responses(dataset, subject, story) as opened:
            n = opened.shape[-1]
            at = np.unique(np.linspace(0, n - 1, N_VOXELS).astype(np.intp))
            columns = [np.asarray(opened[..., int(v) : int(v) + 1]) for v in at]
    except DataError:
        return np.empty((0, 0))  # whoever needs this subject is told
    rows = np.concatenate(columns, axis=-1)
    return rows if rows.ndim == 2 else rows.mean(axis=0)
