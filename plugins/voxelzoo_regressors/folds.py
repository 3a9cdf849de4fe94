"""Which rows a cross-validation fold holds out, and which of those it scores."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo_regressors.arrays import Rows
from voxelzoo_regressors.errors import FitError


@dataclass(frozen=True)
class Fold:
    """One fold of a cross-validation.

    The two sets of rows differ by a gap: rows beside a scored block are not scored, but they do
    not train either, because neighbouring TRs are correlated.

    Parameters
    ----------
    held : ndarray of int, shape (held,)
        Rows that the fold's model is not trained on.
    scored : ndarray of int, shape (scored,)
        Those of them whose predictions are scored.
    """

    held: Rows
    scored: Rows

    def scored_within_held(self) -> Rows:
        """Positions of the scored rows in ``held``, (scored,)."""
        order = np.argsort(self.held)
        positions: Rows = order[np.searchsorted(self.held, self.scored, sorter=order)]
        return positions


def group_folds(groups: NDArray[Any]) -> list[Fold]:
    """Leave-one-group-out folds.

    Parameters
    ----------
    groups : ndarray of shape (row,)
        Group (story) of each row.

    Returns
    -------
    list of Fold
        One fold per group, in order of first appearance. Empty if there is only one group.
    """
    labels, first, of_row = np.unique(groups, return_index=True, return_inverse=True)
    if len(labels) < 2:
        return []
    held_out = [np.flatnonzero(of_row == i) for i in np.argsort(first)]
    return [Fold(rows, rows) for rows in held_out]


def block_folds(n: int, n_blocks: int, gap: int) -> list[Fold]:
    """Contiguous blocks of rows, each held out once.

    Parameters
    ----------
    n : int
        Number of rows.
    n_blocks : int
        Number of blocks, 2 to ``n``.
    gap : int
        Rows to either side of a block that do not train the model scored on it. At most half a
        block is used, so that short data keep enough training rows.

    Returns
    -------
    list of Fold
        One fold per block.

    Raises
    ------
    FitError
        If the rows cannot be cut into that many blocks.
    """
    if not 2 <= n_blocks <= n:
        raise FitError(
            f"{n} rows cannot be cut into {n_blocks} blocks: "
            "at least 2 blocks of at least 1 row are needed"
        )
    edges = np.linspace(0, n, n_blocks + 1).round().astype(int)
    gap = min(gap, n // n_blocks // 2)
    return [
        Fold(np.arange(max(0, start - gap), min(n, end + gap)), np.arange(start, end))
        for start, end in itertools.pairwise(edges)
    ]


def make_folds(
    cv: Any, n: int, groups: NDArray[Any] | None, gap: int, block_length: int
) -> list[Fold]:
    """Folds for ``n`` rows.

    Parameters
    ----------
    cv : {"groups", "blocks"}, int, scikit-learn splitter, or iterable of (train, test)
        ``"groups"``: leave one group (story) out; five blocks if there are fewer than two groups.
        ``"blocks"``: contiguous blocks of ``block_length`` rows. int: that many contiguous
        blocks. With a splitter or an iterable, every row that a split does not train on is held
        out.
    n : int
        Number of rows.
    groups : ndarray of shape (row,) or None
        Group (story) of each row.
    gap : int
        Rows beside a contiguous block that do not train (see :func:`block_folds`).
    block_length : int
        Rows per block, for ``"blocks"``.

    Returns
    -------
    list of Fold
        At least one fold.

    Raises
    ------
    FitError
        If ``cv`` is not one of these, or gives a split that cannot be used.
    """
    if isinstance(cv, str) and cv == "groups":
        by_group = [] if groups is None else group_folds(groups)
        return by_group or block_folds(n, min(5, n), gap)
    if isinstance(cv, str) and cv == "blocks":
        return block_folds(n, max(2, round(n / block_length)), gap)
    if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
        return block_folds(n, int(cv), gap)
    if isinstance(cv, str):
        raise FitError(f"cv={cv!r}: use 'groups', 'blocks', a number of blocks or a splitter")
    splits = cv.split(np.zeros((n, 1)), np.zeros(n), groups) if hasattr(cv, "split") else cv
    folds = []
    for train, test in splits:
        held = np.setdiff1d(np.arange(n), train)
        if not len(train) or not len(test) or np.setdiff1d(test, held).size:
            raise FitError("cv: a split has no training or no test rows, or a row that is in both")
        folds.append(Fold(held, np.asarray(test)))
    if not folds:
        raise FitError("cv: no splits")
    return folds
