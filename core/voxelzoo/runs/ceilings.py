"""Noise ceilings of the responses that a plan holds out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, UsageError
from voxelzoo.data.opening import unusable_subjects
from voxelzoo.data.responses import read_responses
from voxelzoo.runs.plan import Plan
from voxelzoo.science.ceilings import (
    DEFAULT,
    INTER_SUBJECT,
    Ceiling,
    ceiling_method,
    estimate_ceiling,
    inter_subject_ceiling,
)
from voxelzoo.science.evaluation import held_out_repeats, held_out_responses
from voxelzoo.science.responses import Responses
from voxelzoo.science.voxel_arrays import voxel_blocks

Floats = NDArray[np.floating[Any]]


class NoiseCeilings:
    """Noise ceilings of a plan's subjects, each estimated once for all models.

    Parameters
    ----------
    plan : Plan
        Says which method is used.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._ceilings: dict[str, Ceiling | None] = {}

    def of(self, subject: str) -> Ceiling | None:
        """Ceiling of each voxel's held-out responses.

        Parameters
        ----------
        subject : str
            The subject.

        Returns
        -------
        Ceiling or None
            Of each voxel, in units of r. None if the plan asks for no ceiling and no held-out story
            was repeated.

        Raises
        ------
        DataError
            If the plan asks for a ceiling that these data do not allow.
        """
        if subject not in self._ceilings:
            between_subjects = self._plan.ceiling == INTER_SUBJECT
            estimate = self._from_other_subjects if between_subjects else self._from_repeats
            self._ceilings[subject] = estimate(subject)
        return self._ceilings[subject]

    def _responses(self, subject: str) -> Mapping[str, Responses]:
        plan = self._plan
        return plan.reader.responses(subject, plan.n_trs, plan.protocol.standardise_responses)

    def _from_repeats(self, subject: str) -> Ceiling | None:
        plan = self._plan
        repeats = held_out_repeats(plan.evaluation, plan.protocol, self._responses(subject))
        if not repeats:
            if plan.ceiling is not None:
                raise DataError(
                    f"--ceiling {plan.ceiling} needs a held-out story that subject {subject!r} "
                    f"heard more than once; {INTER_SUBJECT} only needs other subjects"
                )
            return None
        method = ceiling_method(plan.ceiling or DEFAULT, plan.protocol)
        stories = list(repeats.values())
        ceilings: list[Floats] = []
        for block in voxel_blocks(stories[0]):
            rows = [np.asarray(story[..., block]) for story in stories]
            ceilings.append(estimate_ceiling(rows, method).values)
        return Ceiling(method.name, method.floor, np.concatenate(ceilings), tuple(repeats))

    def _from_other_subjects(self, subject: str) -> Ceiling:
        plan = self._plan
        if subject in plan.reader.averages:
            raise UsageError(f"--ceiling {INTER_SUBJECT}: {subject!r} is a mean over subjects")
        own = self._held_out(self._responses(subject))
        labels = plan.dataset.voxel_labels(subject)
        others = {
            other: partial(self._held_out_of, other) for other in other_subjects(plan, subject)
        }
        for other in others:
            if plan.dataset.voxel_labels(other) != labels:
                raise DataError(
                    f"--ceiling {INTER_SUBJECT}: voxels of {subject!r} and {other!r} are labelled "
                    "differently, so they do not correspond"
                )
        return inter_subject_ceiling(own, plan.evaluation.joined, others)

    def _held_out_of(self, subject: str) -> dict[str, Floats]:
        """Another subject's held-out responses; its training stories are not read."""
        plan = self._plan
        responses = {
            name: read_responses(
                plan.dataset,
                subject,
                name,
                plan.n_trs[name],
                plan.protocol.standardise_responses,
            )
            for name in plan.evaluation.held_out
        }
        return self._held_out(responses)

    def _held_out(self, responses: Mapping[str, Responses]) -> dict[str, Floats]:
        plan = self._plan
        parts = held_out_responses(plan.evaluation, plan.protocol, responses)
        return {name: np.asarray(part[...]) for name, part in parts.items()}


def other_subjects(plan: Plan, subject: str) -> list[str]:
    """Subjects with whom one is compared for an inter-subject ceiling."""
    without = {subject, *plan.reader.averages, *unusable_subjects(plan.dataset)}
    return [other for other in plan.dataset.subjects() if other not in without]


def ceiling_provenance(plan: Plan, subject: str) -> dict[str, Any]:
    """What determines the ceiling beyond the subject's own responses; empty for the default."""
    if plan.ceiling in (None, DEFAULT):
        return {}
    if plan.ceiling != INTER_SUBJECT:
        return {"ceiling": plan.ceiling}
    others = {
        other: [plan.reader.fingerprint(other, story) for story in plan.evaluation.held_out]
        for other in other_subjects(plan, subject)
    }
    return {"ceiling": plan.ceiling, "others": others}
