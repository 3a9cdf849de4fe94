"""Noise ceilings: the r that a perfect model could reach, by any of several methods.

Methods have names (:data:`METHODS`). A ceiling is NaN where it is undefined (responses that are
not finite, or never vary). :class:`Ceiling` counts those voxels, and those raised to the floor.
Everything is computed in blocks of voxels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from voxelzoo.api import DataError, NotFoundError
from voxelzoo.blocks import blocks
from voxelzoo.science.arrays import Floats
from voxelzoo.science.inter_subject import against_others, inter_subject
from voxelzoo.science.protocols import FitProtocol
from voxelzoo.science.repeats import (
    cc_max_of_covariances,
    ceiling,
    explainable_ceiling,
    explainable_of_covariances,
    released_cc_max_of_covariances,
    released_ceiling,
    require_several,
    split_half,
    split_half_of_covariances,
)
from voxelzoo.science.scores import signed_square

BLOCK = 4096
"""Voxels to work on at once."""

DEFAULT, INTER_SUBJECT = "schoppe", "inter-subject"
"""The method used by default, and the one that needs other subjects."""


@dataclass(frozen=True)
class Method:
    """A way to estimate a ceiling.

    Parameters
    ----------
    name, summary : str
        What users call it, and one line about it.
    needs : {"repeats", "subjects"}
        What the first axis of responses (..., TR, voxel) must be.
    floor : float or None
        Default floor.
    estimate : callable
        Takes responses and a floor. Gives ceilings (voxel,), or (subject, voxel) if ``needs`` is
        subjects; NaN where undefined.
    of_covariances : callable or None, default None
        Gives ceilings (...) without a floor from covariances between repeats (repeat, repeat,
        ...).
    """

    name: str
    summary: str
    needs: Literal["repeats", "subjects"]
    floor: float | None
    estimate: Callable[[Floats, float | None], Floats]
    of_covariances: Callable[[Floats], Floats] | None = None


def _inter_subject(responses: Floats, floor: float | None) -> Floats:
    values = inter_subject(responses)
    return values if floor is None else np.where(np.isnan(values), np.nan, np.fmax(values, floor))


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method(
                DEFAULT,
                "CCmax from signal and noise power",
                "repeats",
                0.25,
                ceiling,
                cc_max_of_covariances,
            ),
            Method(
                "split-half",
                "r between halves of the repeats, Spearman-Brown",
                "repeats",
                0.3,
                split_half,
                split_half_of_covariances,
            ),
            Method(
                "explainable-variance",
                "bias-corrected explainable variance of the mean response",
                "repeats",
                0.25,
                explainable_ceiling,
                explainable_of_covariances,
            ),
            Method(
                INTER_SUBJECT,
                "r of a subject with the mean of the others",
                "subjects",
                None,
                _inter_subject,
            ),
        )
    }
)
"""Every method by the name that users call it."""


def find_method(name: str) -> Method:
    """The method of a name.

    Parameters
    ----------
    name : str
        Such as ``"schoppe"``.

    Returns
    -------
    Method

    Raises
    ------
    NotFoundError
        If there is no such method.
    """
    try:
        return METHODS[name]
    except KeyError:
        raise NotFoundError(f"no ceiling {name!r}; there are {', '.join(METHODS)}") from None


def ceiling_method(name: str, protocol: FitProtocol) -> Method:
    """A method as results of a protocol use it, wherever they are computed.

    Parameters
    ----------
    name : str
        Name of a method.
    protocol : FitProtocol
        The protocol that a result was made under.

    Returns
    -------
    Method
        Without a floor, or with a total power of 1, if that is the protocol's.
    """
    method = find_method(name)
    if not protocol.floors_ceilings:
        method = replace(method, floor=None)
    if protocol.unit_total_power and name == DEFAULT:
        method = replace(
            method, estimate=released_ceiling, of_covariances=released_cc_max_of_covariances
        )
    return method


@dataclass(frozen=True)
class Ceiling:
    """A ceiling for each voxel, and how far it can be trusted.

    Parameters
    ----------
    method : str
        Name of the method.
    floor : float or None
        Lower limit of a ceiling.
    values : ndarray of shape (voxel,) or (subject, voxel)
        Ceilings; NaN where undefined.
    stories : tuple of str
        The held-out stories whose repeats it was estimated from, where they have names; empty for
        other methods, which use everything that was held out.
    """

    method: str
    floor: float | None
    values: Floats
    stories: tuple[str, ...] = ()

    @property
    def n_undefined(self) -> int:
        """Number of voxels (of all subjects) without a ceiling."""
        return int(np.isnan(self.values).sum())

    @property
    def n_floored(self) -> int:
        """Number of voxels (of all subjects) that were raised to the floor."""
        return 0 if self.floor is None else int((self.values == self.floor).sum())


def by_repeats(stories: Sequence[Floats]) -> dict[int, list[Floats]]:
    """Stories (repeat, TR, voxel) grouped by their number of repeats."""
    groups: dict[int, list[Floats]] = {}
    for story in stories:
        groups.setdefault(len(story), []).append(story)
    return groups


def estimate_ceiling(
    responses: Floats | Sequence[Floats],
    method: str | Method = DEFAULT,
    floor: float | Literal["default"] | None = "default",
) -> Ceiling:
    """The ceiling by any method, in blocks of voxels.

    Several stories are concatenated, as for r: the mean of ceilings of single stories would
    be too low, the more so the shorter they are. If stories differ in their number of repeats, the
    ceiling is the root mean square over those numbers, each weighted by its rows.

    Parameters
    ----------
    responses : ndarray or sequence of ndarray, each of shape (repeat, TR, voxel)
        Responses to one story or to several; (subject, TR, voxel) for ``inter-subject``.
    method : str or Method, default "schoppe"
        A name in :data:`METHODS`, or a method.
    floor : float, "default" or None, default "default"
        Lower limit. ``"default"``: the method's own. None: no limit.

    Returns
    -------
    Ceiling

    Raises
    ------
    NotFoundError
        If the method is not known.
    DataError
        If there are fewer than two repeats or subjects.
    """
    chosen = find_method(method) if isinstance(method, str) else method
    least = chosen.floor if floor == "default" else floor
    stories = [responses] if isinstance(responses, np.ndarray) else list(responses)
    if not stories:
        raise DataError(f"ceiling {chosen.name!r} needs {chosen.needs}, and no story has any")
    for story in stories:
        require_several(story, chosen.needs)
    groups = by_repeats(stories).values()
    squares: list[Floats] = []
    for group in groups:
        values = []
        for voxels in blocks(group[0].shape[-1], BLOCK):
            rows = np.concatenate([story[..., voxels] for story in group], axis=1)
            values.append(chosen.estimate(rows, least))
        squares.append(signed_square(np.concatenate(values, axis=-1)))
    n_rows = [sum(story.shape[1] for story in group) for group in groups]
    mean = np.average(squares, axis=0, weights=n_rows)
    # r with the other subjects can be negative, and stays so.
    return Ceiling(chosen.name, least, np.sign(mean) * np.sqrt(np.abs(mean)))


HeldOutResponses = Callable[[], Mapping[str, Floats]]
"""Reads a subject's held-out responses (TR, voxel) by part, so that one is in memory at a time."""

Others = Mapping[str, HeldOutResponses]
"""The other subjects who heard the same stories, by name."""


def inter_subject_ceiling(own: Mapping[str, Floats], joined: bool, others: Others) -> Ceiling:
    """r of a subject's held-out responses with the mean of the others', scored as its r is.

    Parameters
    ----------
    own : mapping of str to ndarray of shape (TR, voxel)
        Responses by held-out part.
    joined : bool
        Whether r is over the concatenated parts; otherwise it is the mean over parts.
    others : mapping of str to callable
        Reads the responses of each other subject.

    Returns
    -------
    Ceiling
        Without a floor.

    Raises
    ------
    DataError
        If there are no other subjects, or one has no such part, or has other rows or voxels.
    """
    scored_together = [own] if joined else [{name: each} for name, each in own.items()]
    values = np.mean(
        [
            against_others(
                np.concatenate(list(parts.values())),
                (_same_parts(parts, read, subject) for subject, read in others.items()),
            )
            for parts in scored_together
        ],
        axis=0,
    )
    return Ceiling(INTER_SUBJECT, None, values)


def _same_parts(own: Mapping[str, Floats], read: HeldOutResponses, subject: str) -> Floats:
    """The other subject's responses to the same parts, concatenated."""
    responses = read()
    for name, expected in own.items():
        shape = responses[name].shape if name in responses else "none"
        if shape != expected.shape:
            raise DataError(
                f"inter-subject: held-out part {name!r} has responses {expected.shape} (TR, voxel) "
                f"in this subject and {shape} in {subject!r}; rows and voxels must correspond"
            )
    return np.concatenate([responses[name] for name in own])


def headroom(r: Floats, ceiling: Floats) -> Floats:
    """Room for improvement: the ceiling minus r.

    Parameters
    ----------
    r, ceiling : ndarray of shape (voxel,)
        Of the same held-out rows.

    Returns
    -------
    ndarray of shape (voxel,)
        NaN where either is undefined. Negative where a voxel is predicted better than its
        estimated ceiling.
    """
    left: Floats = ceiling - r
    return left
