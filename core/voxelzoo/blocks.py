"""Slices that cover a range, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator


def blocks(n: int, size: int) -> Iterator[slice]:
    """Consecutive slices of ``size`` items that cover ``range(n)``; the last may be shorter."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
