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
    """The plugins and the catalogue of one call."""

    host: Host
    catalogue: Catalogue


def open_zoo(
    registry: Sequence[Path] | None, disabled: Sequence[str] | None, no_plugins: bool
) -> Zoo:
    """Loads plugins, then the catalogue with its overlays."""
    host = load_host(disabled=disabled or (), first_party_only=no_plugins)
    return Zoo(host, load_catalogue(host, registry or ()))
