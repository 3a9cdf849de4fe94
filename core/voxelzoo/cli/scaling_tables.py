"""How ``zoo scaling`` prints its curves: one JSON document, or tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from voxelzoo.cli.output import is_terminal, print_json, print_line, print_one_table, print_table
from voxelzoo.text import counted, human_count, listed

Row = Mapping[str, Any]


def print_notes(notes: Sequence[str]) -> None:
    """What was skipped, on stderr."""
    for note in notes:
        print_line(f"zoo: {note}", error=True)


def print_law(law: Mapping[str, Any], as_json: bool, table: str | None) -> None:
    """A curve of size or data: points, slope with intervals, forms, regions and controls."""
    if as_json:
        print_json(**law)
        return
    names = ("points", "slope", "forms", "regions", "amounts", *_CONTROLS)
    if print_one_table({**_named(law, names), "slope": _slope_rows(law["slope"])}, table):
        _print_absent(law)
        return
    unit, metric, points = law["unit"], law["metric"], law["points"]
    columns = ["model", unit, "subset_seed", "layer", metric, "percent_over_smallest"]
    if all(point["subset_seed"] is None for point in points):
        columns.remove("subset_seed")
    chosen = listed(sorted({point["layer_chosen_by"] for point in points}))
    title = (
        f"{metric} against log10 {unit}: mean over voxels, then over "
        f"{counted(len(law['subjects']), 'subject')}; layer: {chosen}"
    )
    print_table([_readable(point, unit) for point in points], columns, title=title)
    _print_slope(law["slope"], metric)
    titles = {
        "amounts": f"mean over training subsets of each amount of {unit}",
        "forms": "forms of the curve, best first by out-of-sample error",
        "regions": "regions",
    }
    for name, title in titles.items():
        if law.get(name):
            rows = [_readable(row, "plateau_at") for row in law[name]]
            print_table(rows, list(rows[0]), title=title)
    _print_controls(law)


def _print_slope(slope: Mapping[str, Any], metric: str) -> None:
    line = f"{slope['per_decade']:+.4f} {metric} per decade"
    if slope["percent_per_decade"] is not None:
        line += f", {slope['percent_per_decade']:+.1f} %"
    if slope["r"] is not None:
        line += f"; r of the fit {slope['r']:.3f}"
    print_line(line)
    rows = []
    for source, interval in slope["intervals"].items():
        spans = interval or {"per_decade": None, "percent_per_decade": None}
        rows.append(
            {
                "resampled": source,
                "per decade": _span(spans["per_decade"], 4),
                "percent per decade": _span(spans["percent_per_decade"], 1),
            }
        )
    print_table(rows, list(rows[0]), title="95 % intervals")


def print_grid(law: Mapping[str, Any], as_json: bool, table: str | None) -> None:
    """Gains per decade of data, of size, and of both, and the controls."""
    if as_json:
        print_json(**law)
        return
    joint = law["interaction"]
    spans = joint["intervals"]["all"] or {}
    rows = [
        {
            "gain": name,
            "per_decade": joint[name],
            "low": spans.get(name, [None, None])[0],
            "high": spans.get(name, [None, None])[1],
        }
        for name in ("size", "data", "interaction")
    ]
    tables = {**_named(law, ("models",)), "interaction": rows, **_named(law, _CONTROLS)}
    if print_one_table(tables, table):
        _print_absent(law)
        return
    title = f"gain per decade of training {law['against']}, with 95 % intervals of all"
    print_table(law["models"], list(law["models"][0]), title=title)
    title = f"per decade of size, of data, and of both; r of the fit {joint['r']:.3f}"
    print_table(rows, list(rows[0]), title=title)
    _print_controls(law)


def print_layers(curves: Mapping[str, Any], as_json: bool, table: str | None) -> None:
    """Scores of every layer, the best layer of each region, and the controls."""
    if as_json:
        print_json(**curves)
        return
    rows = [{**row, "may_be_best": _layers(row["may_be_best"])} for row in curves["best"]]
    if print_one_table({**_named(curves, ("layers", *_CONTROLS)), "best": rows}, table):
        _print_absent(curves)
        return
    print_table(curves["layers"], list(curves["layers"][0]))
    if rows:
        print_table(rows, list(rows[0]), title="best layer of each region")
    _print_controls(curves, hidden=("stories", "layer_chosen_by"))


def _print_controls(record: Mapping[str, Any], hidden: Sequence[str] = ()) -> None:
    """Controls without the ``hidden`` columns; on stderr, a line for each that is missing."""
    if rows := record["controls"]:
        used = [column for column in rows[0] if any(row[column] is not None for row in rows)]
        columns = [column for column in used if column not in hidden]
        print_table(rows, columns, title="controls")
    if slopes := record.get("control_slopes"):
        print_table(slopes, list(slopes[0]), title="controls: slopes, with 95 % intervals of all")
    _print_absent(record)


def _print_absent(record: Mapping[str, Any]) -> None:
    """On stderr, a line for each control that is missing, with the command that makes it."""
    for absent in record.get("absent_controls", ()):
        n = len(absent["more_commands"])
        more = f" (and for {counted(n, 'more training set')}: see --json)" if n else ""
        print_line(f"zoo: no control {absent['control']!r}: {absent['command']}{more}", error=True)


_CONTROLS = ("controls", "control_slopes", "absent_controls")


def _named(record: Mapping[str, Any], names: Sequence[str]) -> dict[str, Sequence[Row]]:
    """Those tables of a report that it has."""
    return {name: record[name] for name in names if isinstance(record.get(name), list)}


def _slope_rows(slope: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The slope, a row for each source of chance with its interval."""
    rows = []
    for source, interval in slope["intervals"].items():
        row = {"resampled": source, **{n: v for n, v in slope.items() if n != "intervals"}}
        for name in ("per_decade", "percent_per_decade"):
            low, high = interval[name] if interval else (None, None)
            row |= {f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return rows


def _layers(layers: Sequence[int] | None) -> str:
    return "-" if layers is None else ", ".join(map(str, layers))


def _readable(row: Row, size: str) -> dict[str, Any]:
    """On a terminal, a row with its size as 125M."""
    value = row.get(size)
    if not is_terminal() or value is None or value < 1000:
        return dict(row)
    return {**row, size: human_count(round(value))}


def _span(interval: Sequence[float | None] | None, digits: int) -> str:
    if interval is None or None in interval:
        return "-"
    low, high = interval
    return f"{low:+.{digits}f} to {high:+.{digits}f}"
