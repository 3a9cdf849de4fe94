"""Options that choose plugins and catalogue, shared by every command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


RegistryOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--registry",
        metavar="FILE",
        help="Add or change models by this registry file. Repeatable; the last one wins.",
    ),
]


DisableOption = Annotated[
    list[str] | None,
    typer.Option(
        "--disable-plugin",
        metavar="NAME",
        help="Do not load this plugin, or any plugin of this distribution. Repeatable.",
    ),
]


NoPluginsOption = Annotated[
    bool, typer.Option("--no-plugins", help="Load only voxelzoo's own plugins.")
]
