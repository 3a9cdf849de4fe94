"""``zoo reproduce``: a paper's recipe, run as far as data and machine allow."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from voxelzoo.api import UsageError
from voxelzoo.cli.options import (
    AllowPickleOption,
    DatasetOptionOption,
    DeviceOption,
    read_pairs,
)
from voxelzoo.cli.output import TerminalProgress, print_json, print_table
from voxelzoo.cli.session import JsonOption, RegistryOption
from voxelzoo.host.zoo import open_zoo
from voxelzoo.runs.options import DTYPES

COLUMNS = ("id", "figure", "statistic", "expected", "obtained", "status", "why")


def reproduce(
    recipe: Annotated[str, typer.Argument(help="antonello2023, or a recipe file: ./mine.yaml")],
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", "-d", metavar="D", help="The recipe's data: a folder, NAME:PATH."
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option("--models", "--model", "-p", help="Only these of its models. Repeatable."),
    ] = None,
    figure: Annotated[
        list[str] | None, typer.Option("--figure", "-f", help="Only this figure. Repeatable.")
    ] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option("--subject", "-s", help="Only this subject; else the recipe's. Repeatable."),
    ] = None,
    miniature: Annotated[
        bool,
        typer.Option("--miniature", help="Tiny untrained networks on simulated data; no download."),
    ] = False,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Control: the recipe's networks, random weights.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print the recipe's file and run nothing: to copy from.")
    ] = False,
    store: Annotated[
        Path, typer.Option(envvar="ZOO_STORE", help="Folder that keeps every artefact.")
    ] = Path("zoo-store"),
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for tables, maps and pictures (reproduction-NAME)."),
    ] = None,
    device: DeviceOption = "cpu",
    dtype: Annotated[
        str | None, typer.Option(help="float32, bfloat16 or float16, instead of the recipe's.")
    ] = None,
    dataset_option: DatasetOptionOption = None,
    allow_pickle: AllowPickleOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: JsonOption = False,
    registry: RegistryOption = None,
) -> None:
    """Run a paper's recipe and compare: expected, obtained, match, mismatch, or not run and why.

    A match is a number within the tolerance that the recipe states, with
    its reason: how far off a true repeat may land, by what the paper prints
    (--json has both). On other data or fewer models than the recipe's a line
    is partial. What the paper says in words is not compared, nor is a
    miniature.

    Examples:  zoo reproduce antonello2023 --miniature
      zoo reproduce antonello2023 --dataset lebel2023:PATH --models opt-125m
      zoo reproduce antonello2023 --show > mine.yaml
      zoo reproduce ./mine.yaml --json
    """
    from voxelzoo.recipes.output import plain, write
    from voxelzoo.recipes.reproduce import ReproduceOptions, miniature_of, with_untrained
    from voxelzoo.recipes.reproduce import reproduce as run
    from voxelzoo.recipes.schema import find_recipe, load_recipe

    if dtype not in (None, *DTYPES):
        raise UsageError(f"--dtype {dtype!r}: one of {', '.join(DTYPES)}")
    path = find_recipe(recipe)
    chosen = load_recipe(path)
    if miniature:
        path = find_recipe(miniature_of(path, chosen))
        chosen = load_recipe(path).expecting(chosen)
    if show:
        typer.echo(path.read_text(encoding="utf-8"), nl=False)
        return
    if untrained:
        chosen = with_untrained(chosen)
    overlays = list(registry or [])
    if chosen.registry is not None:
        overlays.insert(0, path.parent / chosen.registry)
    with chosen.located("registry") if chosen.registry is not None else nullcontext():
        session = open_zoo(overlays, None, False)
    asked = ReproduceOptions(
        dataset=dataset,
        models=tuple(models or ()),
        figures=tuple(figure or ()),
        subjects=tuple(subject or ()),
        store=store,
        device=device,
        dtype=dtype,
        dataset_options=read_pairs("--dataset-option", dataset_option or ()),
        allow_pickle=allow_pickle,
    )
    with TerminalProgress(quiet) as progress:
        found = run(session, chosen, asked, progress)
        if found.numbers:
            folder = out or Path(f"reproduction-{chosen.name}")
            written = write(found, folder)
            progress.say(f"{len(written)} files written to {folder}")
    if as_json:
        print_json(reproduction=plain(found.record()))
        return
    _print(found)


def _print(found: Any) -> None:
    rows = [{**line.record(), "obtained": _obtained(line)} for line in found.lines]
    if sys.stdout.isatty():
        from voxelzoo.recipes.runner import NOT_ASKED_FOR

        asked = [row for row in rows if row["why"] != NOT_ASKED_FOR]
        if left := len(rows) - len(asked):
            found.notes.append(f"{left} lines of figures that were not asked for are left out")
        rows = asked
        for before, row in reversed(list(pairwise(rows))):
            if row["why"] and (row["why"], row["figure"]) == (before["why"], before["figure"]):
                row["why"] = "as above"
        print_table(rows, COLUMNS, title=found.recipe.title)
    else:
        print_table(rows, COLUMNS)
    for note in found.notes:
        typer.echo(f"zoo: {note}", err=True)
    counts: dict[str, int] = {}
    for line in found.lines:
        counts[line.status] = counts.get(line.status, 0) + 1
    said = ", ".join(f"{n} {status}" for status, n in counts.items())
    kept = f"{found.outcomes.n_computed} computed, {found.outcomes.n_kept} from the store"
    typer.echo(f"zoo: {said}; results: {kept}", err=True)


def _obtained(line: Any) -> str | None:
    """A number to four digits, with its interval where there is one."""
    if not isinstance(line.obtained, float):
        return None if line.obtained is None else str(line.obtained)
    interval = "" if line.low is None else f" ({line.low:.4g} to {line.high:.4g})"
    return f"{line.obtained:.4g}{interval}"
