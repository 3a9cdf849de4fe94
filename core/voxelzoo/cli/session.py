"""Options that choose plugins and catalogue, shared by every command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
