"""What a check is, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from threadpoolctl import threadpool_limits

from voxelzoo.errors import Interrupted

Named = tuple[str, Callable[[], None]]
"""A check: what it promises, and the function that raises if the promise is broken."""


@dataclass(frozen=True)
class Check:
    """One promise, and whether it is kept."""

    name: str
    status: Literal["passed", "failed", "skipped"]
    detail: str = ""
    """Why it failed or was skipped."""


@dataclass(frozen=True)
class Report:
    """The checks of one subject: a plugin, an extractor, an aligner, a regressor or a dataset."""

    subject: str
    checks: tuple[Check, ...]


class Skipped(Exception):  # noqa: N818 - it is no error
    """Raised by a check that does not apply; the message says why."""


def run_checks(subject: str, checks: Sequence[Named]) -> Report:
    """Runs every check; one that fails does not stop the next."""
    # Threads that share small matrices spend their time waiting for each other.
    with threadpool_limits(1):
        return Report(subject, tuple(_run(name, check) for name, check in checks))


def _run(name: str, check: Callable[[], None]) -> Check:
    try:
        check()
    except Skipped as reason:
        return Check(name, "skipped", str(reason))
    except Interrupted:
        raise
    except BaseException as error:  # whatever a plugin raises is a result of the check
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        return Check(name, "failed", kind + " ".join(str(error).split()))
    return Check(name, "passed")
