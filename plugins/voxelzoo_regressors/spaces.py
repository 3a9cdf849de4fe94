"""Feature spaces: named groups of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from voxelzoo.api import UsageError

SpaceColumns = Mapping[str, Any] | Sequence[int] | None
"""How a user names spaces: name to columns, or the widths of consecutive spaces."""


def named_spaces(spaces: SpaceColumns, n_features: int) -> dict[str, Any]:
    """Columns of each feature space.

    Parameters
    ----------
    spaces : mapping, sequence of int, or None
        Name to slice (or column indices), or the widths of consecutive spaces, which are then
        named ``"0"``, ``"1"``, ... None: all columns are one space.
    n_features : int
        Number of columns.

    Returns
    -------
    dict
        Name to slice or indices, in order.

    Raises
    ------
    UsageError
        If no space is named, or the widths do not add up to ``n_features``.

    Examples
    --------
    >>> named_spaces([4, 8], 12)
    {'0': slice(0, 4, None), '1': slice(4, 12, None)}
    """
    if spaces is None:
        return {"0": slice(0, n_features)}
    if isinstance(spaces, Mapping):
        if not spaces:
            raise UsageError("spaces: the mapping is empty; name at least one feature space")
        return {str(name): columns for name, columns in spaces.items()}
    edges = np.cumsum([0, *spaces])
    if not len(spaces) or edges[-1] != n_features or min(spaces) < 1:
        raise UsageError(f"spaces: widths {list(spaces)} do not add up to {n_features} columns")
    return {str(i): slice(int(edges[i]), int(edges[i + 1])) for i in range(len(spaces))}
