"""Slices that cover a range, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator


def blocks(n: int, size: int) -> Iterator[slice]:
    """Consecutive slices that cover a range.

    Parameters
    ----------
    n : int
        Length of the range.
    size : int
        Items of a slice; the last may be shorter.

    Yields
    ------
    slice
    """
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
