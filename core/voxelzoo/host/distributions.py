"""Requirements of installed distributions that are not met."""

from __future__ import annotations

import re


def unmet_requirements(distribution: str) -> list[str]:
    """Requirements of an installed distribution that this environment does not meet.

    Each as ``"torch>=2.11,<2.12, found 2.9"`` or ``"torch, not installed"``. Extras are ignored.
    Development and local builds count as the release they precede.

    Parameters
    ----------
    distribution
        Its name.
    """
    from importlib.metadata import Distribution, PackageNotFoundError  # for start-up time

    try:
        required = Distribution.from_name(distribution).requires or []
    except PackageNotFoundError:
        return []
    return [unmet for text in required if (unmet := _unmet(text))]


def _unmet(text: str) -> str | None:
    from importlib.metadata import Distribution, PackageNotFoundError

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
