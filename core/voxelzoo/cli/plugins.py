"""``zoo plugins list`` and ``zoo check``: installed plugins, and whether they keep the contract."""

from __future__ import annotations

from typing import Annotated

import typer

from voxelzoo.cli.output import print_json, print_line, print_table
from voxelzoo.cli.session import DisableOption, JsonOption, NoPluginsOption
from voxelzoo.host.loading import load_host

app = typer.Typer(help="List installed plugins.")
app.callback()(lambda: None)


@app.command("list")
def list_plugins(
    as_json: JsonOption = False,
    disable_plugin: DisableOption = None,
    no_plugins: NoPluginsOption = False,
) -> None:
    """List plugins with version, status, hooks, load time (ms) and why one is not loaded.

    Example:  zoo plugins list --json
    """
    host = load_host(disabled=disable_plugin or (), first_party_only=no_plugins)
    rows = [
        {
            "name": record.name,
            "distribution": record.distribution,
            "version": record.version,
            "status": record.status,
            "hooks": ", ".join(hook.removeprefix("zoo_register_") for hook in record.hooks),
            "ms": round(record.seconds * 1000, 1),
            "error": record.error,
        }
        for record in host.records
    ]
    if as_json:
        print_json(plugins=rows, problems=[str(problem) for problem in host.problems])
        return
    print_table(rows, ("name", "distribution", "version", "status", "hooks", "ms", "error"))
    for problem in host.problems:
        print_line(problem)


def check(
    name: Annotated[str, typer.Argument(help="A plugin's name.")],
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset",
            "-d",
            metavar="NAME:PATH",
            help="Also check this dataset of the plugin, in its folder. Repeatable.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that a plugin keeps its contract with voxelzoo, offline, on tiny random networks.

    Examples:  zoo check whisper   ·   zoo check datasets --dataset folder:./my-study
    """
    from voxelzoo.testing import check_plugin

    reports = check_plugin(load_host(), name, dataset or ())
    rows = [
        {"subject": report.subject, "check": c.name, "status": c.status, "detail": c.detail}
        for report in reports
        for c in report.checks
    ]
    if as_json:
        print_json(checks=rows)
    else:
        print_table(rows, ("subject", "check", "status", "detail"))
    if any(row["status"] == "failed" for row in rows):
        raise typer.Exit(1)
