"""``zoo store``: what a store holds, what is damaged in it, and how to make it smaller."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxelzoo.api import DataError, UsageError
from voxelzoo.cli.output import TerminalProgress, print_json, print_line, print_table
from voxelzoo.cli.results import StoreOption, open_store
from voxelzoo.cli.session import JsonOption
from voxelzoo.text import counted, human_bytes

if TYPE_CHECKING:
    from voxelzoo.store.maintenance import Selection, StoredFile
    from voxelzoo.store.store import Store

app = typer.Typer(help="Check, list, prune and compress a store.", no_args_is_help=True)


class StoredKind(StrEnum):
    """What ``--kind`` takes."""

    results = "results"
    aligned = "aligned"
    states = "states"


KindOption = Annotated[
    list[StoredKind] | None,
    typer.Option(
        "--kind",
        help="Only results, states at scan times (aligned), or states at the model's own times. "
        "Repeatable.",
    ),
]
ModelOption = Annotated[str | None, typer.Option(help="Only this model.")]
OlderOption = Annotated[
    str | None, typer.Option(help="Only what was written longer ago than this: 30d, 12h.")
]
LargerOption = Annotated[str | None, typer.Option(help="Only files larger than this: 500MB, 2GB.")]
YesOption = Annotated[
    bool, typer.Option("--yes", help="Do it. Without this, only say what would be done.")
]


@app.command("list")
def list_store(
    store: StoreOption = Path("zoo-store"),
    kind: KindOption = None,
    model: ModelOption = None,
    older_than: OlderOption = None,
    larger_than: LargerOption = None,
    each: Annotated[bool, typer.Option("--each", help="A row for each file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List what a store holds: number, size and age, by kind and model.

    Example:  zoo store list --kind aligned
    """
    wanted = _selection(kind, model, older_than, larger_than)
    files = _files(open_store(store), wanted)
    if as_json:
        print_json(files=[_row(file) for file in files])
    elif each:
        print_table([_row(file) for file in files], COLUMNS)
    else:
        print_table(_groups(files), ("kind", "model", "n", "size", "oldest_days"))


COLUMNS = ("kind", "key", "model", "n_bytes", "age_days", "problem")


@app.command()
def verify(store: StoreOption = Path("zoo-store"), as_json: JsonOption = False) -> None:
    """Read every byte of a store, and list what is damaged. Exit code 6 if anything is.

    zoo run computes what is damaged again; zoo store prune --damaged removes it.

    Example:  zoo store verify --store /shared/store
    """
    from voxelzoo.store import maintenance

    opened = open_store(store)
    n = sum(1 for _ in maintenance.list_files(opened))
    with TerminalProgress() as progress, progress.task("verify", n) as advance:
        damaged = maintenance.verify(opened, advance)
    if as_json:
        print_json(n_files=n, damaged=[_row(file) for file in damaged])
    elif damaged:
        print_table([_row(file) for file in damaged], ("kind", "key", "problem"))
    if damaged:
        raise typer.Exit(DataError.exit_code)


@app.command()
def prune(
    store: StoreOption = Path("zoo-store"),
    kind: KindOption = None,
    model: ModelOption = None,
    older_than: OlderOption = None,
    larger_than: LargerOption = None,
    damaged: Annotated[
        bool,
        typer.Option("--damaged", help="Only what cannot be read, and what was moved aside."),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove files from a store. What was removed is computed again when a run needs it.

    Example:  zoo store prune --kind aligned --older-than 30d --yes
    """
    from voxelzoo.store import maintenance

    if not (kind or model or older_than or larger_than or damaged):
        raise UsageError(
            "zoo store prune: say what to remove with --kind, --model, --older-than, "
            "--larger-than or --damaged"
        )
    files = _files(open_store(store), _selection(kind, model, older_than, larger_than, damaged))
    freed = sum(maintenance.remove(file) if yes else file.n_bytes for file in files)
    _report("remove", "removed", files, freed, yes, as_json)


@app.command()
def pack(
    store: StoreOption = Path("zoo-store"),
    kind: KindOption = None,
    model: ModelOption = None,
    older_than: OlderOption = None,
    larger_than: LargerOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compress files of a store without loss. They are used as before.

    Example:  zoo store pack --older-than 30d --yes
    """
    from voxelzoo.store import maintenance

    opened = open_store(store)
    files = _files(opened, _selection(kind, model, older_than, larger_than))
    smaller, freed = [], 0
    with TerminalProgress() as progress, progress.task("pack", len(files)) as advance:
        for file in files:
            if n_bytes := maintenance.pack(opened, file, dry_run=not yes):
                smaller.append(file)
                freed += n_bytes
            advance(1)
    _report("compress", "compressed", smaller, freed, yes, as_json)


def _report(
    do: str, did: str, files: Sequence[StoredFile], freed: int, yes: bool, as_json: bool
) -> None:
    if as_json:
        print_json(files=[_row(file) for file in files], n_bytes_freed=freed, done=yes)
        return
    print_table(_groups(files), ("kind", "model", "n", "size", "oldest_days"))
    n = counted(len(files), "file")
    line = f"{did} {n}, {human_bytes(freed)} freed"
    if not yes:
        line = f"would {do} {n} and free {human_bytes(freed)}; pass --yes to do it"
    print_line(line, error=True)


def _files(store: Store, wanted: Selection) -> list[StoredFile]:
    from voxelzoo.store.maintenance import list_files

    return [file for file in list_files(store) if file in wanted]


def _selection(
    kind: Iterable[StoredKind] | None,
    model: str | None,
    older_than: str | None,
    larger_than: str | None,
    damaged: bool = False,
) -> Selection:
    from voxelzoo.store.maintenance import Selection

    return Selection(
        kinds=tuple(each.value for each in kind or ()),
        model=model,
        older_than_days=_quantity("--older-than", older_than, {"h": 1 / 24, "d": 1, "w": 7}),
        larger_than=_bytes(larger_than),
        damaged=damaged,
    )


def _bytes(text: str | None) -> int | None:
    units = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
    n = _quantity("--larger-than", text, units)
    return None if n is None else int(n)


def _quantity(option: str, text: str | None, units: dict[str, float]) -> float | None:
    """A number with a unit, in the unit that counts 1."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([A-Za-z]+)", text, re.ASCII)
    if match is None or match[2] not in units:
        raise UsageError(f"{option} {text!r}: pass a number and a unit ({', '.join(units)})")
    return float(match[1]) * units[match[2]]


def _row(file: StoredFile) -> dict[str, Any]:
    return {
        "kind": file.kind,
        "key": file.key,
        "model": file.model,
        "n_bytes": file.n_bytes,
        "age_days": round(file.age_days, 2),
        "problem": file.problem,
    }


def _groups(files: Sequence[StoredFile]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str | None], list[StoredFile]] = {}
    for file in files:
        groups.setdefault((file.kind, file.model), []).append(file)
    return [
        {
            "kind": kind,
            "model": model,
            "n": len(group),
            "size": human_bytes(sum(file.n_bytes for file in group)),
            "oldest_days": round(max(file.age_days for file in group), 1),
        }
        for (kind, model), group in groups.items()
    ]
