"""A reproduction as files: tables, maps and pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import UsageError
from voxelzoo.recipes.figures import Axes, FigureResult
from voxelzoo.recipes.outcome import Reproduction


def write(found: Reproduction, folder: Path) -> list[Path]:
    """Writes ``reproduction.json``, a CSV and an npz of maps a figure, and PNGs with matplotlib.

    Raises :class:`UsageError` where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "reproduction.json"]
        written[0].write_text(json.dumps(plain(found.record()), indent=1, allow_nan=False))
        table = [line.record() for line in found.lines]
        written.append(_write_csv(folder / "table.csv", table))
        for name, numbers in found.numbers.items():
            if numbers.rows:
                written.append(_write_csv(folder / f"{name}.csv", numbers.rows))
            if numbers.maps:
                written.append(folder / f"{name}.npz")
                maps: dict[str, Any] = {
                    key.replace("/", "_"): value for key, value in numbers.maps.items()
                }
                np.savez_compressed(written[-1], **maps)
        written.extend(_draw(found, folder))
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return written


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def plain(value: Any) -> Any:
    """JSON values: a number that is not finite is null."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _draw(found: Reproduction, folder: Path) -> list[Path]:
    """A PNG a figure, where matplotlib is there."""
    try:
        from matplotlib.figure import Figure as Sheet
    except ImportError:
        found.notes.append("no pictures without matplotlib: pip install 'voxelzoo[report]'")
        return []
    written = []
    for name, numbers in found.numbers.items():
        maps = _by_quantity(numbers)
        if numbers.axes is None and not maps:
            continue
        n_panels = 1 if numbers.axes is not None else len(maps)
        sheet = Sheet(figsize=(6 if n_panels == 1 else 4 * n_panels, 4), layout="constrained")
        sheet.suptitle(f"{name}: {found.recipe.figures[name].summary}", fontsize=9)
        panels = sheet.subplots(1, n_panels, squeeze=False)[0]
        if numbers.axes is not None:
            _draw_lines(panels[0], numbers.rows, numbers.axes)
        else:
            for panel, (quantity, by_subject) in zip(panels, maps.items(), strict=True):
                _draw_histograms(panel, quantity, by_subject)
        written.append(folder / f"{name}.png")
        sheet.savefig(written[-1], dpi=120)
    return written


WORDS = {
    "n_parameters": "parameters",
    "n_stories": "training stories",
    "mean_r": "mean r over voxels and subjects",
    "mean_signed_r2": "mean signed r² over voxels and subjects",
    "depth": "depth (0: embedding, 1: last layer)",
    "inflation_percent": "added to mean r (percent)",
}
"""How axes are called, where not by the column's name."""


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
    panel.set_xlabel(WORDS.get(axes.x, axes.x.replace("_", " ")))
    bars_are = f"; bars: {axes.error.replace('_', ' ')}" if axes.error else ""
    panel.set_ylabel(WORDS.get(axes.y, axes.y.replace("_", " ")) + bars_are, fontsize=8)
    panel.legend(fontsize=6)


def _label_sizes(panel: Any, sizes: Set[float]) -> None:
    """A logarithmic axis whose ticks are the sizes that there are, or powers of ten."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    panel.set_xscale("log")
    if len(sizes) <= 8:
        panel.set_xticks(sorted(sizes))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.tick_params("x", labelsize=7, labelrotation=30)
    panel.xaxis.set_major_formatter(FuncFormatter(lambda size, _: _short_count(size)))


def _short_count(n: float) -> str:
    """``125M`` for 125e6."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if n >= size:
            return f"{n / size:.3g}{letter}"
    return f"{n:g}"


def _by_quantity(numbers: FigureResult) -> dict[str, dict[str, NDArray[Any]]]:
    """Maps of each quantity by subject; weights of stacks left out, of which there are many."""
    subjects = dict.fromkeys(str(row["subject"]) for row in numbers.rows if "subject" in row)
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for name, values in numbers.maps.items():
        subject = next((each for each in subjects if name.endswith(f"_{each}")), "")
        quantity = name.removesuffix(f"_{subject}")
        if not quantity.startswith("weight_"):
            found.setdefault(quantity, {})[subject or "all subjects"] = values
    return found


def _draw_histograms(panel: Any, quantity: str, by_subject: Mapping[str, NDArray[Any]]) -> None:
    finite = {subject: v[np.isfinite(v)] for subject, v in by_subject.items()}
    every = np.concatenate(list(finite.values()))
    if len(every):
        n_bins = int(np.clip(np.sqrt(len(every) / len(finite)) * 2, 10, 60))
        edges = np.histogram_bin_edges(every, bins=n_bins)
        for subject, values in finite.items():
            panel.hist(values, bins=edges, histtype="step", label=subject)
        panel.legend(fontsize=6)
    panel.set_xlabel(quantity.replace("_", " "), fontsize=8)
    panel.set_ylabel("voxels")
