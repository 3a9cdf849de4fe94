"""Names of a result's arrays in the store. Nothing else knows them.

========================  =========================================================================
``r``, ``ceiling``, ...   Maps of all voxels: everything without a ``/``.
``label``                 The voxels' labels as UTF-8, one a line.
``story/NAME/r``          r in one held-out story; with predictions kept, ``prediction`` and
                          ``response`` (TR, voxel) as well, and ``repeats`` (repeat, TR, voxel).
``fold/1/r``              The same of one fold.
``coef/000000``           Weights (delay, unit, voxel) of the voxels from that number on.
========================  =========================================================================

``NAME`` is percent-encoded, so that a story of any name has a folder of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from voxelzoo.science.scores import Scores
from voxelzoo.science.splits import FOLD, EvaluationKind
from voxelzoo.store.artefacts import Artefact
from voxelzoo.store.container import Writable

LABELS = "label"


PREDICTIONS, WEIGHTS = "predictions", "weights"


KEPT = frozenset({PREDICTIONS, WEIGHTS})
"""What a result may have beside scores."""


def group_name(kind: EvaluationKind, part: str) -> str:
    """Folder of the arrays of one held-out story or fold.

    Parameters
    ----------
    kind : {"stories", "folds"}
        What was held out.
    part : str
        Name of the story, or of the fold.

    Returns
    -------
    str

    Examples
    --------
    >>> group_name("stories", "a/b.v2"), group_name("folds", "fold3")
    ('story/a%2Fb%2Ev2', 'fold/3')
    """
    if kind == "folds":
        return f"fold/{part.removeprefix(FOLD)}"
    return f"story/{quote(part, safe='').replace('.', '%2E')}"


def groups(names: Sequence[str]) -> dict[str, str]:
    """Held-out stories or folds among the names of a result's arrays, each with its folder."""
    parts = {}
    for name in names:
        kind, _, rest = name.partition("/")
        part, _, what = rest.rpartition("/")
        if what and kind in ("story", "fold"):
            of = unquote(part) if kind == "story" else f"{FOLD}{part}"
            parts[of] = f"{kind}/{part}"
    return parts


def maps(names: Sequence[str]) -> tuple[str, ...]:
    """The maps of all voxels among the names of a result's arrays."""
    return tuple(name for name in names if "/" not in name and name != LABELS)


def weight_blocks(names: Sequence[str]) -> dict[int, str]:
    """Blocks of weights among the names of a result's arrays, by their first voxel."""
    blocks = {int(name.partition("/")[2]): name for name in names if name.startswith("coef/")}
    return dict(sorted(blocks.items()))


def kept_with(artefact: Artefact) -> frozenset[str]:
    """What of :data:`KEPT` a result has."""
    names = artefact.arrays
    has = {
        PREDICTIONS: any(f"{group}/prediction" in names for group in groups(names).values()),
        WEIGHTS: bool(weight_blocks(names)),
    }
    return frozenset(what for what, there in has.items() if there)


def result_arrays(
    scores: Scores, labels: Sequence[str] | None = None, predictions: bool = False
) -> Mapping[str, Writable]:
    """Every array of a result, by its name in the store.

    Parameters
    ----------
    scores : Scores
        The maps, what was held out, and weights if they were asked for.
    labels : sequence of str, optional
        One for each voxel.
    predictions : bool
        Whether to keep predictions and responses of what was held out.
    """
    arrays: dict[str, Writable] = dict(scores.maps())
    if labels:
        arrays[LABELS] = labels_as_bytes(labels)
    for name, part in scores.parts.items():
        group = group_name(scores.kind, name)
        arrays[f"{group}/r"] = part.r
        if predictions:
            arrays |= {f"{group}/{what}": make for what, make in part.arrays().items()}
    return arrays | {f"coef/{first:06}": make for first, make in scores.coefficients.items()}


def labels_as_bytes(labels: Sequence[str]) -> NDArray[np.uint8]:
    """Labels as UTF-8 bytes, one a line: plain numbers need no special Zarr type."""
    return np.frombuffer("\n".join(labels).encode(), dtype=np.uint8)


def labels_from_bytes(values: NDArray[np.uint8]) -> list[str]:
    """What :func:`labels_as_bytes` was given."""
    return values.tobytes().decode().split("\n")
