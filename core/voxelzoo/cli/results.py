"""``zoo results``: what the store holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxelzoo.api import UsageError
from voxelzoo.cli.output import print_json, print_line, print_table
from voxelzoo.cli.session import JsonOption
from voxelzoo.disk.files import written_whole
from voxelzoo.text import spreadsheet_text

if TYPE_CHECKING:
    from voxelzoo.store.result_list import Results
    from voxelzoo.store.results import Result
    from voxelzoo.store.store import Store

app = typer.Typer(help="List, show and export results.", no_args_is_help=True)

StoreOption = Annotated[Path, typer.Option(envvar="ZOO_STORE", help="The folder given to zoo run.")]
COLUMNS = (
    "key",
    "model",
    "layer",
    "subject",
    "dataset",
    "protocol",
    "n_voxels",
    "mean_r",
    "best_voxel_r",
    "evaluation",
)


def open_store(store: Path) -> Store:
    """The store in that folder; :class:`UsageError` if there is none."""
    from voxelzoo.store.store import open_store

    return open_store(store)


def read_results(store: Store, **wanted: Any) -> Results:
    """Results with these values; those of another version are named in one line on stderr."""
    return store.results(notify=lambda line: print_line(f"zoo: {line}", error=True), **wanted)


@app.command("list")
def list_results(
    store: StoreOption = Path("zoo-store"),
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only this subject.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List results, oldest first.

    Example:  zoo results list --model opt-125m
    """
    asked = {"model": model, "subject": subject}
    wanted = {name: value for name, value in asked.items() if value is not None}
    records = [_flat(result) for result in read_results(open_store(store), **wanted)]
    if as_json:
        print_json(results=records)
    else:
        print_table([{**r, "key": r["key"][:12]} for r in records], COLUMNS)


def _flat(result: Result) -> dict[str, Any]:
    return {**result.record.flat(), "key": result.key}


@app.command()
def show(
    key: Annotated[str, typer.Argument(help="A result's key, or its beginning.")],
    store: StoreOption = Path("zoo-store"),
    as_json: JsonOption = False,
) -> None:
    """Show one result: its scores and all that determined them.

    Example:  zoo results show 3fa9 --json
    """
    result = open_store(store).result(key)
    arrays = result.artefact.arrays
    if as_json:
        print_json(result=_flat(result), provenance=result.provenance, arrays=arrays)
        return
    rows = [
        {"field": name, "value": value}
        for name, value in _flat(result).items()
        if name != "by_label"
    ]
    rows += [
        {"field": f"mean_r[{label}]", "value": score.mean_r}
        for label, score in result.record.scores.by_region.items()
    ]
    rows.append({"field": "arrays", "value": ", ".join(arrays)})
    print_table(rows, ("field", "value"))


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="A .csv (a row a voxel) or .npz file.")],
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Only these results. Repeatable.")
    ] = None,
    store: StoreOption = Path("zoo-store"),
) -> None:
    """Write per-voxel values: long-form CSV, or npz with KEY/ARRAY for each result.

    Example:  zoo results export voxels.csv --key 3fa9
    """
    if out.suffix not in (".csv", ".npz"):
        raise UsageError(f"{out}: the file is a .csv or a .npz")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out}: no folder {out.absolute().parent}")
    opened = open_store(store)
    chosen = [opened.result(k) for k in key] if key else list(read_results(opened))
    if not chosen:
        raise UsageError(f"{store} holds no result")
    with written_whole(out) as draft:
        if out.suffix == ".npz":
            _write_npz(draft, chosen)
        else:
            _write_csv(draft, chosen)


def _write_npz(path: Path, results: list[Result]) -> None:
    """``KEY/ARRAY`` per result, labels as text, and ``KEY/summary`` as JSON.

    Weights of a design's columns, which may be larger than memory, stay in the store.
    """
    import json

    import numpy as np

    arrays: dict[str, Any] = {}
    for result in results:
        of_result = {name: result.map(name) for name in result.maps}
        if result.labels is not None:
            of_result["label"] = np.asarray(result.labels)
        for part in result.held_out.values():
            of_result |= part.read()
        of_result["summary"] = np.asarray(json.dumps(result.record.flat()))
        arrays |= {f"{result.key}/{name}": array for name, array in of_result.items()}
    np.savez(path, **arrays)


def _write_csv(path: Path, results: list[Result]) -> None:
    """A row a voxel; an undefined value is an empty field."""
    import csv

    import numpy as np

    named = ("r", "signed_r2", "ceiling", "r_repeated", "r_normalised", "alpha")
    what = ("key", "model", "layer", "subject", "dataset")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*what, "voxel", "label", *named])
        for result in results:
            record, labels = _flat(result), result.labels
            columns = {name: result.map(name) if name in result.maps else None for name in named}
            for voxel in range(result.record.n_voxels):
                values = [None if c is None else float(c[voxel]) for c in columns.values()]
                writer.writerow(
                    [
                        *(_cell(record[name]) for name in what),
                        voxel,
                        _cell(labels[voxel]) if labels else "",
                        *("" if v is None or not np.isfinite(v) else f"{v:.6g}" for v in values),
                    ]
                )


def _cell(value: Any) -> Any:
    return spreadsheet_text(value) if isinstance(value, str) else value
