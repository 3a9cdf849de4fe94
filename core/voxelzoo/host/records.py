"""What became of each plugin, and what it registered."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from voxelzoo.api import ModelEntry, Spec

Status = Literal["loaded", "failed", "blocked", "incompatible"]


@dataclass(frozen=True)
class PluginRecord:
    """What became of one entry point."""

    name: str
    distribution: str
    version: str
    status: Status
    hooks: tuple[str, ...]
    """Hooks it implements."""
    seconds: float
    """Time its import and its hooks took."""
    error: str | None
    """One line: why it is not loaded."""
    traceback: str | None
    first_party: bool
    module: str


S_co = TypeVar("S_co", bound=Spec | ModelEntry, covariant=True)


@dataclass(frozen=True)
class Registered(Generic[S_co]):
    """A spec, or a row of the catalogue, with the plugin and distribution that brought it."""

    spec: S_co
    plugin: str
    distribution: str
    version: str

    @property
    def id(self) -> str:
        """Canonical id, ``plugin/name``."""
        return f"{self.plugin}/{self.spec.name}"


@dataclass(frozen=True)
class Problem:
    """Something wrong that stopped nobody but its author."""

    distribution: str
    message: str

    def __str__(self) -> str:
        return f"{self.distribution}: {self.message}"


def describe(record: PluginRecord) -> str:
    """A plugin with its distribution, as messages name it."""
    return f"{record.name!r} of {record.distribution} {record.version}"


def suggestion(name: str, names: Iterable[str]) -> str:
    """``did you mean ...?`` with the nearest names, or a list of all where none is near."""
    every = sorted(set(names))
    near = difflib.get_close_matches(name, every, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there are: {', '.join(every)}" if every else "there is none"
