"""Where installed plugins are: the entry points of group ``voxelzoo.plugins``.

Reading the metadata of every installed distribution takes longer than everything else that ``zoo
list`` does, so the result is kept until a distribution is installed, changed or removed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any, NamedTuple

from voxelzoo.host.json_cache import JsonCache, file_state

if TYPE_CHECKING:
    from importlib.metadata import Distribution

ENTRY_POINTS = "voxelzoo.plugins"
"""The entry-point group in which a distribution names its plugins."""

FIRST_PARTY = "voxelzoo"
"""The distribution of the host and its own plugins."""


class PluginPoint(NamedTuple):
    """One plugin, as the distribution that brings it declares it."""

    name: str
    """Entry-point name."""
    value: str
    """The plugin's registration module, or an object in it: ``module`` or ``module:object``."""
    distribution: str
    """Name of the distribution; ``unknown`` if it is damaged and has none."""
    version: str

    @property
    def label(self) -> str:
        """Name and version of the distribution."""
        return f"{self.distribution} {self.version}"

    @property
    def module(self) -> str:
        """The registration module."""
        return self.value.partition(":")[0].strip()

    @property
    def is_first_party(self) -> bool:
        """Whether voxelzoo itself declares it."""
        return self.distribution.lower() == FIRST_PARTY

    def load(self) -> Any:
        """Import the plugin."""
        plugin: Any = import_module(self.module)
        for attribute in filter(None, self.value.partition(":")[2].strip().split(".")):
            plugin = getattr(plugin, attribute)
        return plugin


def plugin_points() -> list[PluginPoint]:
    """Every installed plugin, sorted by name and distribution.

    Returns
    -------
    list of PluginPoint
        Nothing is imported.
    """
    if any(
        hasattr(finder, "find_distributions") for finder in sys.meta_path if finder != PathFinder
    ):
        return _read_points()  # distributions that are not on the path: nothing tells of a change
    cache = JsonCache("plugins", repr([*_installed_files()]))
    kept = cache.read()
    try:
        if kept is not None:
            return [PluginPoint(*point) for point in kept["points"]]
    except (KeyError, TypeError):
        pass
    points = _read_points()
    cache.write({"points": points})
    return points


def _installed_files() -> Iterator[object]:
    """State of every file on the path that says what is installed, in the order of the path."""
    for folder in sys.path:
        where = os.path.abspath(folder)
        try:
            children = sorted(os.listdir(where))
        except OSError:  # not there, or an archive
            yield file_state(where)
            continue
        for child in children:
            name = child.lower()
            files: tuple[str, ...] = ()
            if name.endswith(".dist-info"):
                files = ("entry_points.txt", "METADATA")
            elif name.endswith(".egg-info") or name == "egg-info":
                files = ("", "entry_points.txt", "PKG-INFO")  # an older one may be a file itself
            for file in files:
                yield file_state(os.path.join(where, child, file))


def _read_points() -> list[PluginPoint]:
    from importlib.metadata import entry_points

    points = (
        PluginPoint(point.name, point.value.partition("[")[0].strip(), *_identity(point.dist))
        for point in entry_points(group=ENTRY_POINTS)
    )
    return sorted(points, key=lambda point: (point.name, point.distribution))


def _identity(dist: Distribution | None) -> tuple[str, str]:
    """Name and version; ``unknown`` where a damaged distribution does not say."""
    try:
        metadata: Any = dist.metadata if dist is not None else {}
        return metadata["Name"] or "unknown", metadata["Version"] or "unknown"
    except (KeyError, TypeError, OSError):
        return "unknown", "unknown"
