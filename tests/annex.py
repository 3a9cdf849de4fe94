"""Files of a git-annex repository whose content is not on this machine."""

from __future__ import annotations

from pathlib import Path


def unfetch(path: Path) -> None:
    """Replaces a file by what a datalad clone has before ``datalad get``: a dangling link."""
    path.unlink()
    key = "MD5E-s1--d41d8cd98f00b204e9800998ecf8427e" + "".join(path.suffixes)
    path.symlink_to(f"../../../.git/annex/objects/xx/yy/{key}/{key}")
