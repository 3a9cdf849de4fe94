"""``zoo results``: what the store holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxelzoo.api import UsageError
from voxelzoo.cli.output import print_json, print_table
from voxelzoo.cli.session import JsonOption

if TYPE_CHECKING:
    from voxelzoo.store.artefacts import Artefact, Store

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
    """The store in that folder; :class:`UsageError` where there is none."""
    from voxelzoo.store.artefacts import Store

    if not store.is_dir():
        raise UsageError(f"no store at {store}; say --store PATH, or make one with zoo run")
    return Store(store)


def _record(artefact: Artefact) -> dict[str, Any]:
    return {**artefact.summary, "key": artefact.key}


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
    records = [
        record
        for record in map(_record, open_store(store).all("results"))
        if model in (None, record["model"], record["model_id"])
        and subject in (None, record["subject"])
    ]
    if as_json:
        print_json(results=records)
    else:
        print_table([{**r, "key": r["key"][:12]} for r in records], COLUMNS)


@app.command()
def show(
    key: Annotated[str, typer.Argument(help="A result's key, or its beginning.")],
    store: StoreOption = Path("zoo-store"),
    as_json: JsonOption = False,
) -> None:
    """Show one result: its scores and all that determined them.

    Example:  zoo results show 3fa9 --json
    """
    artefact = open_store(store).by_key("results", key)
    if as_json:
        print_json(result=_record(artefact), provenance=artefact.provenance, arrays=artefact.arrays)
        return
    flat = [
        {"field": name, "value": value}
        for name, value in _record(artefact).items()
        if name != "by_label"
    ]
    flat += [
        {"field": f"mean_r[{label}]", "value": scores["mean_r"]}
        for label, scores in artefact.summary["by_label"].items()
    ]
    flat.append({"field": "arrays", "value": ", ".join(artefact.arrays)})
    print_table(flat, ("field", "value"))


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
    chosen = [opened.by_key("results", k) for k in key] if key else list(opened.all("results"))
    if not chosen:
        raise UsageError(f"{store} holds no result")
    draft = out.with_name(f".{out.stem}.{os.getpid()}{out.suffix}")
    try:
        if out.suffix == ".npz":
            _write_npz(draft, chosen)
        else:
            _write_csv(draft, chosen)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def _write_npz(path: Path, artefacts: list[Artefact]) -> None:
    """``KEY/ARRAY`` per result, labels as text, and ``KEY/summary`` as JSON.

    Weights of a design's columns, which may be larger than memory, stay in the store.
    """
    import json

    import numpy as np

    from voxelzoo.store.results import read_labels

    arrays: dict[str, Any] = {}
    for artefact in artefacts:
        for name in artefact.arrays:
            if name.startswith("coef_"):
                continue
            value = read_labels(artefact) if name == "label" else artefact.read(name)
            arrays[f"{artefact.key}/{name}"] = np.asarray(value)
        arrays[f"{artefact.key}/summary"] = np.asarray(json.dumps(artefact.summary))
    np.savez(path, **arrays)


def _write_csv(path: Path, artefacts: list[Artefact]) -> None:
    """A row a voxel; an undefined value is an empty field."""
    import csv

    import numpy as np

    from voxelzoo.store.results import read_labels

    named = ("r", "signed_r2", "ceiling", "r_normalised", "alpha")
    what = ("key", "model", "layer", "subject", "dataset")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*what, "voxel", "label", *named])
        for artefact in artefacts:
            record = _record(artefact)
            labels = read_labels(artefact)
            columns = {n: artefact.read(n) if n in artefact.arrays else None for n in named}
            for voxel in range(len(artefact.read("r"))):
                values = [None if c is None else float(c[voxel]) for c in columns.values()]
                writer.writerow(
                    [
                        *(record[name] for name in what),
                        voxel,
                        labels[voxel] if labels else "",
                        *("" if v is None or not np.isfinite(v) else f"{v:.6g}" for v in values),
                    ]
                )
