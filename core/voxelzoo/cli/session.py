"""What every command shares: options that choose plugins and catalogue, and opening both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from voxelzoo.host import Host, load_host
from voxelzoo.registry import Catalogue, load_catalogue

JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout, for machines.")
]
RegistryOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--registry",
        metavar="FILE",
        help="Overlay rows of this registry file. Repeatable; the last one wins.",
    ),
]
DisableOption = Annotated[
    list[str] | None,
    typer.Option(
        "--disable-plugin",
        metavar="NAME",
        help="Do not load this plugin (its own name or its distribution's). Repeatable.",
    ),
]
NoPluginsOption = Annotated[
    bool, typer.Option("--no-plugins", help="Load first-party plugins only.")
]


@dataclass(frozen=True)
class Session:
    """The plugins and the catalogue of one call."""

    host: Host
    catalogue: Catalogue


def open_session(
    registry: Sequence[Path] | None, disabled: Sequence[str] | None, no_plugins: bool
) -> Session:
    """Loads plugins, then the catalogue with its overlays."""
    host = load_host(disabled=disabled or (), first_party_only=no_plugins)
    return Session(host, load_catalogue(host, registry or ()))
