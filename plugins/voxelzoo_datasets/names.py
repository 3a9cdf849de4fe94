"""Names that users give: subjects, stories, and lists of them."""

from __future__ import annotations

from collections.abc import Collection

from voxelzoo.api import NotFoundError


def known(what: str, name: str, among: Collection[str], dataset: str) -> str:
    """``name``, or :class:`NotFoundError` that says which there are."""
    if name not in among:
        there = list(among)
        shown = ", ".join(there[:12]) + (f" and {len(there) - 12} more" if len(there) > 12 else "")
        raise NotFoundError(f"{dataset}: no {what} {name!r}; it has {shown or 'none'}")
    return name


def listed(text: str) -> tuple[str, ...]:
    """Parts between commas, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
