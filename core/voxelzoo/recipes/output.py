"""Writes a reproduction as files: tables, maps and pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import UsageError
from voxelzoo.recipes.figures.result import Axes, FigureResult
from voxelzoo.recipes.reproduction import Reproduction
from voxelzoo.text import human_count, spreadsheet_text


def write(reproduction: Reproduction, folder: Path) -> list[Path]:
    """Write the numbers of a reproduction as files.

    Parameters
    ----------
    reproduction : Reproduction
        What to write.
    folder : Path
        Created if it does not exist.

    Returns
    -------
    list of Path
        ``reproduction.json`` and ``table.csv``, then for each figure its rows as CSV and its maps
        as npz, and a PNG if matplotlib is installed; otherwise a note says so.

    Raises
    ------
    UsageError
        If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "reproduction.json"]
        written[0].write_text(json.dumps(reproduction.record(), indent=1, allow_nan=False))
        table = [line.record() for line in reproduction.lines]
        written.append(_write_csv(folder / "table.csv", table))
        for name, result in reproduction.figures.items():
            if result.rows:
                written.append(_write_csv(folder / f"{name}.csv", result.rows))
            if result.maps:
                written.append(folder / f"{name}.npz")
                maps: dict[str, Any] = {
                    key.replace("/", "_"): values for key, values in result.maps.items()
                }
                np.savez_compressed(written[-1], **maps)
        written.extend(_draw(reproduction, folder))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return written


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {k: spreadsheet_text(v) if isinstance(v, str) else v for k, v in row.items()}
            )
    return path


def _draw(reproduction: Reproduction, folder: Path) -> list[Path]:
    """A PNG for each figure, if matplotlib is installed."""
    try:
        from matplotlib.figure import Figure as Sheet
    except ImportError:
        note = "No pictures, because matplotlib is not installed: pip install 'voxelzoo[report]'"
        reproduction.notes.append(note)
        return []
    written = []
    for name, result in reproduction.figures.items():
        maps = _by_quantity(result)
        if result.axes is None and not maps:
            continue
        n_panels = 1 if result.axes is not None else len(maps)
        sheet = Sheet(figsize=(6 if n_panels == 1 else 4 * n_panels, 4), layout="constrained")
        sheet.suptitle(f"{name}: {reproduction.recipe.figures[name].summary}", fontsize=9)
        panels = sheet.subplots(1, n_panels, squeeze=False)[0]
        if result.axes is not None:
            _draw_lines(panels[0], result.rows, result.axes)
        else:
            for panel, (quantity, by_subject) in zip(panels, maps.items(), strict=True):
                _draw_histograms(panel, quantity, by_subject)
        written.append(folder / f"{name}.png")
        sheet.savefig(written[-1], dpi=120)
    return written


AXIS_LABELS = {
    "n_parameters": "parameters",
    "n_stories": "training stories",
    "mean_r": "mean r over voxels and subjects",
    "mean_signed_r2": "mean signed r² over voxels and subjects",
    "depth": "relative depth (0: embedding, 1: last layer)",
    "inflation_percent": "inflation of mean r (%)",
    "se_over_subjects": "standard error over subjects",
    "se_over_subsets": "standard error over subsets",
    "gain_per_doubling": "gain in r per doubling",
    "centre_of_mass": "centre of mass (position of the layer)",
    "normalised_r": "r / ceiling",
    "ceiling": "noise ceiling",
    "headroom": "headroom (ceiling - r)",
}
"""Labels of columns and maps; others are labelled by their name."""


def _label(name: str) -> str:
    return AXIS_LABELS.get(name, name.replace("_", " "))


def _draw_lines(panel: Any, rows: Sequence[Mapping[str, Any]], axes: Axes) -> None:
    for series in dict.fromkeys(row[axes.series] for row in rows):
        points = [
            (row[axes.x], row[axes.y], row.get(axes.error) if axes.error else None)
            for row in rows
            if row[axes.series] == series and None not in (row[axes.x], row[axes.y])
        ]
        if not points:
            continue
        x, y, error = zip(*sorted(points, key=lambda point: point[0]), strict=True)
        bars = [0.0 if e is None else e for e in error] if axes.error else None
        panel.errorbar(x, y, yerr=bars, marker="o", capsize=2, label=str(series))
    if axes.log:
        _label_sizes(panel, {row[axes.x] for row in rows if row[axes.x] is not None})
    if axes.y.startswith("mean"):
        panel.axhline(0.0, color="grey", linewidth=0.5)
    panel.set_xlabel(_label(axes.x))
    bars_are = f"; bars: {_label(axes.error)}" if axes.error else ""
    panel.set_ylabel(_label(axes.y) + bars_are, fontsize=8)
    if panel.get_legend_handles_labels()[0]:
        panel.legend(fontsize=6)


def _label_sizes(panel: Any, sizes: Set[float]) -> None:
    """A logarithmic axis with a tick at each size, or at powers of ten if there are many sizes."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    panel.set_xscale("log")
    if len(sizes) <= 8:
        panel.set_xticks(sorted(sizes))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.tick_params("x", labelsize=7, labelrotation=30)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda size, _: human_count(round(size))))


def _by_quantity(result: FigureResult) -> dict[str, dict[str, NDArray[Any]]]:
    """Maps of each quantity by subject, without the weights of stacks, which are many."""
    subjects = dict.fromkeys(str(row["subject"]) for row in result.rows if "subject" in row)
    quantities: dict[str, dict[str, NDArray[Any]]] = {}
    for name, values in result.maps.items():
        subject = next((each for each in subjects if name.endswith(f"_{each}")), "")
        quantity = name.removesuffix(f"_{subject}")
        if not quantity.startswith("weight_"):
            quantities.setdefault(quantity, {})[subject or "all subjects"] = values
    return quantities


def _draw_histograms(panel: Any, quantity: str, by_subject: Mapping[str, NDArray[Any]]) -> None:
    finite = {subject: v[np.isfinite(v)] for subject, v in by_subject.items()}
    every = np.concatenate(list(finite.values()))
    if len(every):
        n_bins = int(np.clip(np.sqrt(len(every) / len(finite)) * 2, 10, 60))
        edges = np.histogram_bin_edges(every, bins=n_bins)
        for subject, values in finite.items():
            panel.hist(values, bins=edges, histtype="step", label=subject)
        panel.legend(fontsize=6)
    panel.set_xlabel(_label(quantity), fontsize=8)
    panel.set_ylabel("voxels")
