"""Leak guards of a plan: on its stories, and on each subject's responses."""

from __future__ import annotations

from collections.abc import Mapping

from voxelzoo.api import DataError, Story
from voxelzoo.data.leaks import averaged_subject, check_leaks, stop_unless_allowed
from voxelzoo.runs.plan import Plan
from voxelzoo.science.ceilings import INTER_SUBJECT
from voxelzoo.science.responses import Responses
from voxelzoo.science.traces import ResponseTrace


class LeakError(DataError):
    """Training and held-out data share what they must not, whatever the model."""


def check_stimuli(plan: Plan) -> list[str]:
    """Look for leaks between training and held-out stories.

    Parameters
    ----------
    plan : Plan
        Its stories are read.

    Returns
    -------
    list of str
        Guards that found a leak and are allowed to by the plan.

    Raises
    ------
    LeakError
        For a leak that the plan does not allow.
    """
    return _check(plan, {name: story for name, (story, _) in plan.stimuli.items()})


def check_responses(plan: Plan, responses: Mapping[str, Responses]) -> list[str]:
    """The same between responses of one subject to those stories."""
    return _check(plan, {}, {name: each.trace for name, each in responses.items()})


def check_subjects(plan: Plan) -> dict[str, str]:
    """Look for subjects that are means over others although the dataset does not say so.

    Parameters
    ----------
    plan : Plan
        Its subjects are looked at; for an inter-subject ceiling, all subjects of the dataset.

    Returns
    -------
    dict of str to str
        Such subjects, each with the name of the guard, which the plan allows.

    Raises
    ------
    LeakError
        If the plan does not allow it.
    """
    leaks = {}
    for subject, members in plan.reader.undeclared_averages.items():
        if subject in plan.subjects or plan.ceiling == INTER_SUBJECT:
            leak = averaged_subject(subject, members)
            try:
                stop_unless_allowed(leak, plan.allowed_leaks)
            except DataError as error:
                raise LeakError(str(error)) from error
            leaks[subject] = leak.guard
    return leaks


def _check(
    plan: Plan, stories: Mapping[str, Story], traces: Mapping[str, ResponseTrace] | None = None
) -> list[str]:
    try:
        return check_leaks(
            plan.evaluation,
            stories,
            traces,
            plan.allowed_leaks,
            protocol=plan.protocol,
            delays=plan.delays,
        )
    except DataError as error:
        raise LeakError(str(error)) from error
