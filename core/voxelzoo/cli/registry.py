"""``zoo registry``: checking catalogue files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from voxelzoo.api import PluginError
from voxelzoo.cli.output import print_json, print_line
from voxelzoo.cli.session import JsonOption
from voxelzoo.host.catalogue import default_registry_path, validate_registry
from voxelzoo.host.registry_files import registry_schema

app = typer.Typer(help="Check and describe registry files.", no_args_is_help=True)


@app.command()
def validate(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Registry files; the catalogue itself if none is given."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check registry files, and print each problem with its file and line.

    Example:  zoo registry validate lab-models.yaml
    """
    checked = files or [default_registry_path()]
    problems = {str(path): validate_registry(path) for path in checked}
    if as_json:
        print_json(files=problems)
    else:
        for path, found in problems.items():
            for problem in found:
                print_line(problem)
            if not found:
                print_line(f"{path}: valid")
    if any(problems.values()):
        raise typer.Exit(PluginError.exit_code)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a registry file, for editors.

    Example:  zoo registry schema > registry.schema.json
    """
    print_line(json.dumps(registry_schema(), indent=2))
