"""Plugins and catalogue, opened together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voxelzoo.host.catalogue import Catalogue, load_catalogue
from voxelzoo.host.host import Host
from voxelzoo.host.loading import load_host


@dataclass(frozen=True)
class Zoo:
    """Every plugin and every model of this environment."""

    host: Host
    catalogue: Catalogue


def open_zoo(
    registry: Sequence[Path] | None, disabled: Sequence[str] | None, no_plugins: bool
) -> Zoo:
    """Loads plugins, then the catalogue with its overlays.

    Parameters
    ----------
    registry
        Registry files of ``--registry``.
    disabled
        Plugins or distributions of ``--disable-plugin``.
    no_plugins
        Load first-party plugins only.

    Raises
    ------
    NotFoundError
        A disabled plugin is not installed.
    PluginError
        A registry file or the user's configuration is invalid.
    """
    host = load_host(disabled=disabled or (), first_party_only=no_plugins)
    return Zoo(host, load_catalogue(host, registry or ()))
