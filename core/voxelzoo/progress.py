"""How long work speaks to the user, without knowing a terminal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Progress(Protocol):
    """Told by the pipeline what happens; the command line draws it."""

    def say(self, line: str) -> None:
        """One line for the user."""
        ...

    def task(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """A stretch of work of ``total`` steps; the value it yields is called with steps done."""
        ...


class Silent:
    """Progress for library use: says nothing."""

    def say(self, line: str) -> None:
        """Drops the line."""

    def task(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Counts nothing."""
        return nullcontext(lambda steps: None)
