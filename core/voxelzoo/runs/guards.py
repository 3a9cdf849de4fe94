"""Leak guards of a plan: on its stories, and on each subject's responses."""

from __future__ import annotations

from collections.abc import Mapping

from voxelzoo.api import DataError, Story
from voxelzoo.data.leaks import check_leaks
from voxelzoo.runs.plan import Plan
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
