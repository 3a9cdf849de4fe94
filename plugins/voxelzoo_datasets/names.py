"""Names of subjects and stories in user options."""

from __future__ import annotations

from collections.abc import Collection

from voxelzoo.api import NotFoundError


def check_name(kind: str, name: str, among: Collection[str], dataset: str) -> str:
    """Return ``name`` if it is in ``among``; :class:`NotFoundError` lists the valid names."""
    if name not in among:
        valid = list(among)
        shown = ", ".join(valid[:12]) + (f" and {len(valid) - 12} more" if len(valid) > 12 else "")
        raise NotFoundError(f"{dataset}: no {kind} {name!r}; it has {shown or 'none'}")
    return name


def listed(text: str) -> tuple[str, ...]:
    """Split at commas; drop blanks and duplicates, keep the order."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
