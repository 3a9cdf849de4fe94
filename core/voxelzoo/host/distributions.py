"""Names, versions and requirements of installed distributions."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError
from typing import Any

FIRST_PARTY = "voxelzoo"
"""The distribution of the host and its own plugins."""


def unmet_requirements(distribution: str) -> list[str]:
    """Requirements of an installed distribution that this environment does not meet.

    Each as ``"torch>=2.11,<2.12, found 2.9"`` or ``"torch, not installed"``. Extras are ignored.
    Development and local builds count as the release they precede.
    """
    try:
        required = Distribution.from_name(distribution).requires or []
    except PackageNotFoundError:
        return []
    return [unmet for text in required if (unmet := _unmet(text))]


def _unmet(text: str) -> str | None:
    try:
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.version import InvalidVersion, Version
    except ImportError:
        return None
    try:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            return None
        wanted = f"{requirement.name}{requirement.specifier}"
        found = Distribution.from_name(requirement.name).version
        release = Version(found).base_version
        return None if release in requirement.specifier else f"{wanted}, found {found}"
    except PackageNotFoundError:
        return f"{wanted}, not installed"
    except (InvalidRequirement, InvalidVersion):
        return None


def normalised_name(name: str) -> str:
    """A distribution or plugin name in the normal form of the packaging standards."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def identity(dist: Distribution | None) -> tuple[str, str]:
    """Name and version; ``unknown`` where a damaged distribution does not say."""
    try:
        metadata: Any = dist.metadata if dist is not None else {}
        return metadata["Name"] or "unknown", metadata["Version"] or "unknown"
    except (KeyError, TypeError, OSError):
        return "unknown", "unknown"


def name_of(point: EntryPoint) -> str:
    """Name of the distribution that declares an entry point."""
    return identity(point.dist)[0]


def version_of(point: EntryPoint) -> str:
    """Version of the distribution that declares an entry point."""
    return identity(point.dist)[1]


def label_of(point: EntryPoint) -> str:
    """Name and version of the distribution that declares an entry point."""
    return f"{name_of(point)} {version_of(point)}"


def is_first_party(point: EntryPoint) -> bool:
    """Whether an entry point is declared by voxelzoo itself."""
    return normalised_name(name_of(point)) == FIRST_PARTY
