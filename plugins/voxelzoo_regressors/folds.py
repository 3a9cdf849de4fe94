"""Which rows a fold holds out, and which of those it scores."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxelzoo_regressors.errors import FitError

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Fold:
    """Rows kept from the fit (``held``), and those of them whose predictions count (``scored``).

    The two differ by a gap: rows beside a block that would tell of it, being close in time.
    """

    held: Rows
    scored: Rows

    def scored_within_held(self) -> Rows:
        """Positions of the scored rows in ``held``."""
        order = np.argsort(self.held)
        found: Rows = order[np.searchsorted(self.held, self.scored, sorter=order)]
        return found


def group_folds(groups: NDArray[Any]) -> list[Fold]:
    """One fold a group (story), in order of first appearance."""
    labels, first, of_row = np.unique(groups, return_index=True, return_inverse=True)
    return [_plain(np.flatnonzero(of_row == i)) for i in np.argsort(first) if len(labels) > 1]


def block_folds(n: int, n_blocks: int, gap: int) -> list[Fold]:
    """Contiguous blocks of rows; ``gap`` rows to either side train no model that scores a block.

    The gap is at most half a block: short data are not used up by it.
    """
    if not 2 <= n_blocks <= n:
        raise FitError(f"{n_blocks} blocks of {n} rows: need 2 blocks or more, of 1 row or more")
    edges = np.linspace(0, n, n_blocks + 1).round().astype(int)
    gap = min(gap, n // n_blocks // 2)
    return [
        Fold(np.arange(max(0, start - gap), min(n, end + gap)), np.arange(start, end))
        for start, end in itertools.pairwise(edges)
    ]


def make_folds(
    cv: Any, n: int, groups: NDArray[Any] | None, gap: int, block_length: int
) -> list[Fold]:
    """Folds of ``n`` rows.

    ``cv`` is ``"groups"`` (leave one story out; five blocks where there is one story or none
    named), ``"blocks"`` (of ``block_length`` rows), a number of blocks, or a scikit-learn
    splitter or iterable of (train, test) rows, whose held-out rows are all that it does not
    train on.
    """
    if isinstance(cv, str) and cv == "groups":
        found = [] if groups is None else group_folds(groups)
        return found or block_folds(n, min(5, n), gap)
    if isinstance(cv, str) and cv == "blocks":
        return block_folds(n, max(2, round(n / block_length)), gap)
    if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
        return block_folds(n, int(cv), gap)
    if isinstance(cv, str):
        raise FitError(f"cv={cv!r}: not 'groups', 'blocks', a number of blocks or a splitter")
    splits = cv.split(np.zeros((n, 1)), np.zeros(n), groups) if hasattr(cv, "split") else cv
    folds = []
    for train, test in splits:
        held = np.setdiff1d(np.arange(n), train)
        if not len(train) or not len(test) or np.setdiff1d(test, held).size:
            raise FitError("cv: a split has an empty side, or a row in both of its sides")
        folds.append(Fold(held, np.asarray(test)))
    if not folds:
        raise FitError("cv: no splits")
    return folds


def _plain(rows: Rows) -> Fold:
    return Fold(rows, rows)
