"""``zoo list`` and ``zoo show``: the catalogue."""

from __future__ import annotations

from dataclasses import asdict
from fnmatch import fnmatch
from typing import Annotated, Any

import typer

from voxelzoo.api import UsageError
from voxelzoo.cli.output import is_terminal, print_json, print_line, print_table
from voxelzoo.cli.session import DisableOption, JsonOption, NoPluginsOption, RegistryOption
from voxelzoo.contract.weights import weights_location
from voxelzoo.host.listing import model_row
from voxelzoo.host.zoo import open_zoo
from voxelzoo.runs.models import describe, find_model
from voxelzoo.text import human_count

COLUMNS = (
    "model",
    "modality",
    "family",
    "parameters",
    "layers",
    "width",
    "licence",
    "in_paper",
    "plugin",
    "weights",
)
TERMINAL_COLUMNS = (
    "model",
    "modality",
    "params",
    "layers",
    "width",
    "licence",
    "paper",
    "weights",
)


def list_models(
    modality: Annotated[
        str | None,
        typer.Option(help="Only models of text, of audio, or any: those that need neither."),
    ] = None,
    family: Annotated[str | None, typer.Option(help="Only this family, such as hubert.")] = None,
    match: Annotated[
        str | None, typer.Option(help="Only names like this, such as 'opt-*'.")
    ] = None,
    in_paper: Annotated[
        bool, typer.Option("--in-paper", help="Only models of Antonello et al. (2023).")
    ] = False,
    here: Annotated[
        bool, typer.Option("--here", help="Only models whose weights are on this machine.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only names, one per line.")] = False,
    as_json: JsonOption = False,
    registry: RegistryOption = None,
    disable_plugin: DisableOption = None,
    no_plugins: NoPluginsOption = False,
) -> None:
    """List all models.

    Examples:  zoo list --modality audio   ·   zoo list --match 'opt-*' --json
    """
    if modality not in (None, "text", "audio", "any"):
        raise UsageError(f"invalid --modality {modality!r}: use text, audio or any")
    session = open_zoo(registry, disable_plugin, no_plugins)
    rows = [
        row
        for entry in session.catalogue.entries
        if modality in (None, entry.modality)
        and family in (None, entry.family or entry.plugin)
        and (match is None or fnmatch(entry.name, match) or fnmatch(entry.id, match))
        and (not in_paper or entry.in_paper)
        for row in [model_row(entry)]
        if not here or row["weights"] in ("here", "none")
    ]
    if as_json:
        print_json(models=rows)
    elif quiet:
        for row in rows:
            print_line(row["model"])
    else:
        if is_terminal():
            rows = [
                {**row, "params": human_count(row["parameters"]), "paper": row["in_paper"]}
                for row in rows
            ]
        print_table(rows, TERMINAL_COLUMNS if is_terminal() else COLUMNS)
    for problem in session.catalogue.problems:
        print_line(f"not listed: {problem}", error=True)
    bad = [record for record in session.host.records if record.status in ("failed", "incompatible")]
    if bad:
        names = ", ".join(f"{record.name} ({record.distribution})" for record in bad)
        print_line(f"not loaded: {names}; see `zoo plugins list`", error=True)


def show(
    name: Annotated[
        str,
        typer.Argument(
            help="A model: short name, plugin/name, alias, hub id, hf:ORG/NAME or hf:./folder."
        ),
    ],
    sources: Annotated[
        bool, typer.Option("--sources", help="Show where each value comes from.")
    ] = False,
    as_json: JsonOption = False,
    registry: RegistryOption = None,
    disable_plugin: DisableOption = None,
    no_plugins: NoPluginsOption = False,
) -> None:
    """Show every field of one model, and which token begins its contexts.

    Example:  zoo show whisper-large --sources
    """
    session = open_zoo(registry, disable_plugin, no_plugins)
    entry, first_token = describe(session.host, find_model(session.host, session.catalogue, name))
    where = dict(session.catalogue.sources(entry))
    location = weights_location(entry)
    values = {"id": entry.id, **asdict(entry)}
    if as_json:
        print_json(
            model=values,
            first_token=first_token,
            weights_path=None if location is None else str(location),
            **({"sources": where} if sources else {}),
        )
        return
    values["first_token"] = first_token
    values["weights"] = location or ("no weights needed" if entry.repo is None else "not here")
    shown = {
        key: ("unpinned" if key == "revision" and value is None and entry.repo else value)
        for key, value in values.items()
        if value not in (None, (), "") or key == "revision"
    }
    rows = [
        {"field": key, "value": _say(value), "source": where.get(key)}
        for key, value in shown.items()
    ]
    print_table(rows, ("field", "value", "source") if sources else ("field", "value"))


def _say(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={inner}" for key, inner in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
