"""Each plugin's status, and what it registered."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from voxelzoo.api import ModelEntry, Spec

Status = Literal["loaded", "failed", "blocked", "incompatible"]


@dataclass(frozen=True)
class PluginRecord:
    """The status of one entry point."""

    name: str
    distribution: str
    version: str
    status: Status
    hooks: tuple[str, ...]
    """Names of the hooks it implements."""
    seconds: float
    """Time that its import and its hooks took."""
    error: str | None
    """One line: why it is not loaded."""
    traceback: str | None
    first_party: bool
    module: str


S_co = TypeVar("S_co", bound=Spec | ModelEntry, covariant=True)


@dataclass(frozen=True)
class Registered(Generic[S_co]):
    """A spec, or a row of the catalogue, with the plugin and distribution it comes from."""

    spec: S_co
    plugin: str
    distribution: str
    version: str

    @property
    def id(self) -> str:
        """Canonical id, ``plugin/name``."""
        return f"{self.plugin}/{self.spec.name}"

    def identity(self, module: str) -> dict[str, str]:
        """What says which code ran, as JSON values for keys.

        Parameters
        ----------
        module : str
            A module of the package that ran, or a spec's target in it.

        Returns
        -------
        dict of str to str
            Id, distribution and version; and a digest of the source where the version does not
            tell which code it is.
        """
        from voxelzoo.host.source_code import source_digest  # for start-up time

        code = source_digest(module, self.distribution)
        of_code = {} if code is None else {"code": code}
        return {
            "id": self.id, "distribution": self.distribution, "version": self.version, **of_code
        }  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """A plugin error that did not stop the program."""

    distribution: str
    message: str

    def __str__(self) -> str:
        return f"{self.distribution}: {self.message}"


def describe(record: PluginRecord) -> str:
    """A plugin with its distribution and version, for messages."""
    return f"{record.name!r} of {record.distribution} {record.version}"


def suggestion(name: str, names: Iterable[str]) -> str:
    """A hint for an unknown name: ``did you mean ...?``, or all names if none is similar."""
    every = sorted(set(names))
    near = difflib.get_close_matches(name, every, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"available: {', '.join(every)}" if every else "none is available"
