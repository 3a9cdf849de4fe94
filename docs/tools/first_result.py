"""Draws the picture of the first result: r of every voxel, by what drives it.

    python docs/tools/first_result.py docs/images/first-result.png

Runs word rate and an untrained Whisper on the simulated data, in a store in a temporary folder.
It takes about two minutes on two cores.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

MODELS = {
    "word-rate": ("word rate", ()),
    "whisper-tiny": ("an untrained Whisper", ("--untrained", "--stride", "1", "--layer", "4")),
}
"""Models by name: what they are called in the picture, and their options."""

DRIVERS = ("sound", "word-rate", "context", "noise")


def results(model: str, options: tuple[str, ...]) -> dict[str, list[tuple[float, float]]]:
    """(r, ceiling) of every voxel of the first subject, by what drives it."""
    with tempfile.TemporaryDirectory() as folder:
        zoo = [sys.executable, "-c", "from voxelzoo.cli import main; main()"]
        store = ["--store", str(Path(folder) / "store")]
        run = ["run", "--plugin", model, *options, "--subject", "sub-01", "--quiet"]
        table = Path(folder) / "voxels.csv"
        subprocess.run([*zoo, *run, *store], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*zoo, "results", "export", str(table), *store], check=True)
        voxels = defaultdict(list)
        with table.open(newline="") as file:
            for row in csv.DictReader(file):
                voxels[row["label"]].append((float(row["r"]), float(row["ceiling"])))
    return voxels


def draw(path: Path) -> None:
    """One panel a model: a dot a voxel, a line for the mean, a dashed one for the ceiling."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    rng = np.random.default_rng(0)
    figure, axes = plt.subplots(1, len(MODELS), figsize=(8, 3), sharey=True)
    for axis, (model, (title, options)) in zip(axes, MODELS.items(), strict=True):
        voxels = results(model, options)
        for place, driver in enumerate(DRIVERS):
            r, ceiling = np.array(voxels[driver]).T
            near = place + rng.uniform(-0.25, 0.25, len(r))
            axis.scatter(near, r, s=9, alpha=0.6, linewidths=0, color=f"C{place}")
            axis.hlines(r.mean(), place - 0.32, place + 0.32, color="black", linewidth=1.5)
            if driver != "noise":
                low, high = place - 0.32, place + 0.32
                axis.hlines(ceiling.mean(), low, high, color="grey", linestyles="dashed")
        axis.axhline(0, color="lightgrey", linewidth=0.8, zorder=0)
        axis.set_xticks(range(len(DRIVERS)), DRIVERS)
        axis.set_xlabel("what drives the voxel")
        axis.set_title(title, fontsize=11)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("r on the held-out story")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
