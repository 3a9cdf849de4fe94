"""Which plugins must not be loaded, and where the user set that."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from voxelzoo.api import NotFoundError, PluginError
from voxelzoo.host.distributions import normalised_name
from voxelzoo.host.plugin_points import FIRST_PARTY, PluginPoint
from voxelzoo.host.records import Problem, suggestion


@dataclass
class BlockList:
    """Which plugins must not be imported, each with the reason."""

    disabled: dict[str, str]
    """Normalised entry-point or distribution name -> where it was disabled."""
    allowed: frozenset[str] | None
    """Normalised names of the only plugins to load; ``None`` if all may be."""
    first_party_only: str | None
    """The setting that blocks third-party plugins; ``None`` if they may be loaded."""
    typed: Collection[str]
    """Names disabled on the command line."""
    problems: list[Problem] = field(default_factory=list)
    """Disabled names that no plugin has."""

    @classmethod
    def read(cls, disabled: Collection[str], first_party_only: bool) -> BlockList:
        """Collects what was disabled by option, environment and configuration file.

        Parameters
        ----------
        disabled
            Names disabled on the command line.
        first_party_only
            Whether the command line blocks third-party plugins.

        Raises
        ------
        PluginError
            The user's ``config.yaml`` is invalid.
        """
        reasons = {
            normalised_name(name): "the user's config.yaml" for name in _disabled_by_config()
        }
        reasons |= {
            normalised_name(n): "ZOO_DISABLE_PLUGINS" for n in _names("ZOO_DISABLE_PLUGINS") or ()
        }
        reasons |= {normalised_name(name): "--disable-plugin" for name in disabled}
        only = "--no-plugins" if first_party_only else None
        if only is None and flag("ZOO_NO_PLUGINS"):
            only = "ZOO_NO_PLUGINS"
        allowed = _names("ZOO_PLUGINS")
        return cls(
            reasons,
            None if allowed is None else frozenset(map(normalised_name, allowed)),
            only,
            disabled,
        )

    def reason(self, point: PluginPoint) -> str | None:
        """Why a plugin is blocked; ``None`` if it is not."""
        names = {normalised_name(point.name), normalised_name(point.distribution)}
        for name in sorted(names & self.disabled.keys()):
            return f"disabled by {self.disabled[name]}"
        if self.first_party_only and not point.is_first_party:
            return f"third-party plugins are off ({self.first_party_only})"
        if self.allowed is not None and not names & self.allowed:
            return "not in ZOO_PLUGINS"
        return None

    def check_names(self, points: Sequence[PluginPoint]) -> None:
        """Notes disabled names that no installed plugin has.

        Parameters
        ----------
        points
            Every installed plugin.

        Raises
        ------
        NotFoundError
            Such a name was given on the command line.
        """
        names = {
            normalised_name(name) for point in points for name in (point.name, point.distribution)
        }
        for name in self.typed:
            if normalised_name(name) not in names:
                raise NotFoundError(f"no plugin {name!r} to disable; {suggestion(name, names)}")
        for name in sorted(self.disabled.keys() - names):
            message = f"{self.disabled[name]} disables {name!r}, but no such plugin is installed"
            self.problems.append(Problem(FIRST_PARTY, message))


def config_path() -> Path:
    """The user's ``config.yaml``; ``ZOO_CONFIG`` names another."""
    if file := os.environ.get("ZOO_CONFIG"):
        return Path(file).expanduser()
    import platformdirs

    return platformdirs.user_config_path("voxelzoo") / "config.yaml"


def _disabled_by_config() -> tuple[str, ...]:
    path = config_path()
    if not path.is_file():
        return ()
    from voxelzoo.strict_yaml import read_yaml

    document = read_yaml(path)
    for line, problem in document.problems:
        raise PluginError(f"{path}:{line}: {problem}")
    settings = {} if document.value is None else document.value
    plugins = settings.get("plugins", {}) if isinstance(settings, Mapping) else None
    names = plugins.get("disabled", ()) if isinstance(plugins, Mapping) else None
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise PluginError(
            f"{path}:{document.line('plugins', 'disabled')}: write plugins: {{disabled: [NAME]}}"
        )
    return names


def flag(variable: str) -> bool:
    """Whether an environment variable is set to anything but 0, false, no or nothing."""
    return os.environ.get(variable, "").strip().lower() not in ("", "0", "false", "no")


def _names(variable: str) -> list[str] | None:
    text = os.environ.get(variable)
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
