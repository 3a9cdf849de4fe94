"""``zoo results``: what the store holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voxelzoo.api import UsageError
from voxelzoo.cli.output import is_terminal, print_json, print_line, print_table
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


ModelOption = Annotated[str | None, typer.Option(help="Only this model.")]
SubjectOption = Annotated[str | None, typer.Option(help="Only this subject.")]
DatasetOption = Annotated[str | None, typer.Option(help="Only this dataset.")]
LayerOption = Annotated[int | None, typer.Option(help="Only this layer.")]
UntrainedOption = Annotated[
    bool | None,
    typer.Option("--untrained/--trained", help="Only models with random weights, or trained ones."),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=VALUE",
        help="Only results with this value, of any field that zoo results show prints, such as "
        "shift=0 or options.stride=1. Repeatable.",
    ),
]


def _chosen(
    store: Store, where: list[str] | None, keys: list[str] | None = None, **wanted: Any
) -> Results:
    """The results that the options choose: those of the keys, or all, without what is filtered."""
    from voxelzoo.store.result_columns import parse_filters
    from voxelzoo.store.result_list import Results

    given = {name: value for name, value in wanted.items() if value is not None}
    results = Results(map(store.result, keys)) if keys else read_results(store)
    return results.where(**given).matching(parse_filters(where or ()))


@app.command("list")
def list_results(
    store: StoreOption = Path("zoo-store"),
    model: ModelOption = None,
    subject: SubjectOption = None,
    dataset: DatasetOption = None,
    layer: LayerOption = None,
    untrained: UntrainedOption = None,
    where: WhereOption = None,
    as_json: JsonOption = False,
) -> None:
    """List results, oldest first, with every setting in which they differ.

    Examples:  zoo results list --model opt-125m --trained
      zoo results list --where protocol=clean --where options.stride=1
    """
    from voxelzoo.store.result_columns import result_row, telling_columns

    results = _chosen(
        open_store(store),
        where,
        model=model,
        subject=subject,
        dataset=dataset,
        layer=layer,
        untrained=untrained,
    )
    if as_json:
        print_json(results=[_flat(result) for result in results])
        return
    rows = [
        result_row(each) | {"model": each.record.label, "key": each.key[:12]} for each in results
    ]
    if is_terminal() and rows:
        _print_brief(rows)
        return
    columns = [*COLUMNS[:6], *telling_columns(rows, COLUMNS), *COLUMNS[6:]]
    print_table([dict.fromkeys(columns) | row for row in rows], columns)


def _print_brief(rows: list[dict[str, Any]]) -> None:
    """What differs between results as columns, and what they share above the table."""
    from voxelzoo.store.result_columns import telling_columns

    names = ("dataset", "protocol", "evaluation", "n_voxels")
    shared = [name for name in names if len({row[name] for row in rows}) == 1]
    others = [name for name in names if name not in shared]
    shown = ["key", "model", "layer", "subject", *others]
    # The model's name says whether it was trained.
    extra = [name for name in telling_columns(rows, shown) if name != "untrained"]
    columns = [*shown, *extra, "mean_r"]
    of_all = [f"{rows[0][name]} voxels" if name == "n_voxels" else rows[0][name] for name in shared]
    print_table(
        [dict.fromkeys(columns) | row | {"key": row["key"][:8]} for row in rows],
        columns,
        title="; ".join(map(str, of_all)) or None,
    )


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
    from voxelzoo.store.result_columns import region_columns, result_row

    result = open_store(store).result(key)
    arrays = result.artefact.arrays
    if as_json:
        print_json(result=_flat(result), provenance=result.provenance, arrays=arrays)
        return
    values = result_row(result) | region_columns(result.record)
    rows = [{"field": name, "value": value} for name, value in values.items()]
    rows.append({"field": "arrays", "value": ", ".join(arrays)})
    print_table(rows, ("field", "value"))


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="A .csv (a row a voxel) or .npz file.")],
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Only these results. Repeatable.")
    ] = None,
    store: StoreOption = Path("zoo-store"),
    model: ModelOption = None,
    subject: SubjectOption = None,
    dataset: DatasetOption = None,
    layer: LayerOption = None,
    untrained: UntrainedOption = None,
    where: WhereOption = None,
) -> None:
    """Write per-voxel values: long-form CSV, or npz with KEY/ARRAY for each result.

    The CSV has a column for every setting in which the results differ, and
    calls untrained models MODEL (untrained), so that grouping its rows by
    model does not mix them with trained ones.

    Examples:  zoo results export voxels.csv --key 3fa9
      zoo results export voxels.csv --model opt-125m --layer 9
    """
    if out.suffix not in (".csv", ".npz"):
        raise UsageError(f"{out}: the file is a .csv or a .npz")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out}: no folder {out.absolute().parent}")
    chosen = _chosen(
        open_store(store),
        where,
        keys=key,
        model=model,
        subject=subject,
        dataset=dataset,
        layer=layer,
        untrained=untrained,
    )
    if not chosen:
        raise UsageError(f"{store} holds no such result")
    with written_whole(out) as draft:
        if out.suffix == ".npz":
            _write_npz(draft, chosen)
        else:
            _write_csv(draft, chosen)


def _write_npz(path: Path, results: Results) -> None:
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


def _write_csv(path: Path, results: Results) -> None:
    """A row a voxel; an undefined value is an empty field."""
    import csv

    import numpy as np

    from voxelzoo.store.result_columns import result_row, telling_columns

    named = ("r", "signed_r2", "ceiling", "r_repeated", "r_normalised", "alpha")
    first = ("key", "model", "layer", "untrained", "subject", "dataset")
    rows = [result_row(each) | {"model": each.record.label} for each in results]
    what = [*first, *telling_columns(rows, first[1:])]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*what, "voxel", "label", *named])
        for result, row in zip(results, rows, strict=True):
            labels = result.labels
            columns = {name: result.map(name) if name in result.maps else None for name in named}
            for voxel in range(result.record.n_voxels):
                values = [None if c is None else float(c[voxel]) for c in columns.values()]
                writer.writerow(
                    [
                        *(_cell(row.get(name)) for name in what),
                        voxel,
                        _cell(labels[voxel]) if labels else "",
                        *("" if v is None or not np.isfinite(v) else f"{v:.6g}" for v in values),
                    ]
                )


def _cell(value: Any) -> Any:
    return spreadsheet_text(value) if isinstance(value, str) else value
