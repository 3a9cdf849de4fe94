"""Decompositions of earlier fits, so that the next subject with the same stories needs none.

They are kept in memory within a process and, where a folder is given, on disk between runs.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

from voxelzoo_regressors.design import Design
from voxelzoo_regressors.engine import Decomposition, decompose, decomposition_of

log = logging.getLogger("voxelzoo.ridge")

MAX_BYTES = 2**30
"""Decompositions in memory are dropped, the longest unused first, when together larger than this;
the latest is kept always."""

_LAYOUT = "1"
"""Of the files; a change makes earlier ones unknown."""

_recent: OrderedDict[tuple[str, str], Decomposition] = OrderedDict()


def recent_decomposition(
    design: Design, intercept: bool, folder: Path | None = None
) -> Decomposition:
    """:func:`decompose`, or what it gave for a design with the same content.

    ``folder`` keeps eigenvalues and eigenvectors in a file named by the digest of all that
    determines them. A file that is damaged, or cannot be written, costs a decomposition and
    nothing else.
    """
    digest = _digest(design, intercept)
    key = digest, str(design.X.device)
    found = _recent.get(key)
    if found is None:
        kept = None if folder is None else _read(folder / f"{digest}.npz", design, intercept)
        found = _recent[key] = kept or decompose(design, intercept)
        if folder is not None and kept is None:
            _write(folder / f"{digest}.npz", found)
        while len(_recent) > 1 and sum(map(_size, _recent.values())) > MAX_BYTES:
            _recent.popitem(last=False)
    _recent.move_to_end(key)
    return found


def _digest(design: Design, intercept: bool) -> str:
    X = design.X
    digest = hashlib.sha256(X.cpu().contiguous().numpy().data)
    about = (_LAYOUT, tuple(X.shape), X.dtype, list(design.stories), list(design.delays))
    digest.update(repr((about, intercept)).encode())
    return digest.hexdigest()


def _read(path: Path, design: Design, intercept: bool) -> Decomposition | None:
    try:
        with np.load(path, allow_pickle=False) as kept:  # the archive checks its own sums
            s, vectors = kept["s"], kept["vectors"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("ridge: %s is of no use (%s); decomposing anew", path, error)
        return None
    log.debug("decomposition from %s", path)
    device = design.X.device
    return decomposition_of(
        design,
        torch.as_tensor(s, device=device),
        torch.as_tensor(vectors, device=device),
        intercept,
    )


def _write(path: Path, found: Decomposition) -> None:
    vectors = found.Q if found.V is None else found.V
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".npz")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, s=found.s.cpu().numpy(), vectors=vectors.cpu().numpy())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        log.warning("ridge: the decomposition is not kept (%s)", error)


def _size(decomposition: Decomposition) -> int:
    held: list[torch.Tensor | None] = [
        decomposition.Q,
        decomposition.V,
        decomposition.design.X,
    ]
    return sum(t.numel() * t.element_size() for t in held if t is not None)
