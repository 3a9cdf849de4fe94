"""Results as the store keeps them: labels, weights and held-out predictions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import UsageError
from voxelzoo.science.held_out import Floats, HeldOut
from voxelzoo.store.artefacts import Artefact

if TYPE_CHECKING:
    from voxelzoo.store.artefacts import Artefact

KEPT = {"predictions": "prediction_", "weights": "coef_"}
"""What results may have beside scores, with how the names of its arrays begin."""


def kept_with(artefact: Artefact) -> set[str]:
    """What of :data:`KEPT` a result has."""
    return {
        what
        for what, begin in KEPT.items()
        if any(name.startswith(begin) for name in artefact.arrays)
    }


def labels_as_bytes(labels: Sequence[str]) -> NDArray[np.uint8]:
    """Labels as UTF-8 bytes, one a line: plain numbers need no special Zarr type."""
    return np.frombuffer("\n".join(labels).encode(), dtype=np.uint8)


def read_labels(artefact: Artefact) -> list[str] | None:
    """The voxels' labels of a result, or ``None``."""
    if "label" not in artefact.arrays:
        return None
    return artefact.read("label").tobytes().decode().split("\n")


def read_weights(artefact: Artefact, voxels: slice = slice(None)) -> NDArray[np.float32]:
    """Weights (delay, unit, voxel) of some voxels of a result made with ``--keep weights``.

    Units are z-scored within each story, as they were fitted; an undefined voxel is NaN. Raises
    :class:`UsageError` for a result that kept none.
    """
    blocks = sorted(name for name in artefact.arrays if name.startswith("coef_"))
    if not blocks:
        raise UsageError(
            f"result {artefact.key[:12]} kept no weights: make it again with zoo run --keep weights"
        )
    n_voxels = len(artefact.read("r"))
    first, stop, _ = voxels.indices(n_voxels)
    edges = [*(int(name.removeprefix("coef_")) for name in blocks), n_voxels]
    found = [
        artefact.read(name)[..., max(0, first - start) : stop - start]
        for name, (start, end) in zip(blocks, pairwise(edges), strict=True)
        if start < stop and first < end
    ]
    return np.concatenate(found, axis=-1)


def read_responses(artefact: Artefact) -> dict[str, Floats]:
    """Held-out responses (TR, voxel) of a result that kept them, by part."""
    return {
        name.removeprefix("response_"): artefact.read(name)
        for name in artefact.arrays
        if name.startswith("response_")
    }


def read_held_out(artefact: Artefact) -> HeldOut:
    """Held-out predictions of a result.

    Raises :class:`UsageError` for a result that was made without ``--keep predictions``.
    """
    from voxelzoo.store.results import read_labels

    names = [n.removeprefix("prediction_") for n in artefact.arrays if n.startswith("prediction_")]
    if not names:
        raise UsageError(
            f"result {artefact.key[:12]} kept no predictions: make it again with "
            "zoo run --keep predictions"
        )
    return HeldOut(
        parts={
            name: (artefact.read(f"prediction_{name}"), artefact.read(f"response_{name}"))
            for name in names
        },
        joined=str(artefact.summary["evaluation"]).startswith("held-out stories"),
        labels=read_labels(artefact),
        repeats={
            name: artefact.read(f"repeats_{name}")
            for name in names
            if f"repeats_{name}" in artefact.arrays
        },
    )
