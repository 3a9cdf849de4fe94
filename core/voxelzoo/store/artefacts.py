"""Content-addressed artefacts on disk: atomic, checksummed, reusable.

An artefact's key is the digest of everything that determines its value (its *provenance*). It is
a folder ``<root>/<kind>/<key>`` with a Zarr v3 group and ``artefact.json``; it appears whole, by
one rename, or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, NotFoundError

Kind = Literal["states", "aligned", "results"]


KINDS: tuple[Kind, ...] = ("states", "aligned", "results")
"""States at the model's own times, states at scan times, and results."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal values have equal text.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": [2.0, None]})
    '{"a":[2.0,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def artefact_key(provenance: Mapping[str, Any]) -> str:
    """Key of the artefact with this provenance: 64 hex digits of a SHA-256 digest."""
    return hashlib.sha256(canonical_json(provenance).encode()).hexdigest()


@dataclass(frozen=True)
class Artefact:
    """A finished artefact: arrays, everything that determined them, and a summary."""

    path: Path

    @property
    def key(self) -> str:
        """Digest of the provenance."""
        return self.path.name

    @cached_property
    def _document(self) -> dict[str, Any]:
        try:
            document = json.loads((self.path / "artefact.json").read_text())
        except (OSError, ValueError) as error:
            raise self._damaged(str(error)) from error
        if not isinstance(document, dict):
            raise self._damaged("artefact.json is not an object")
        return document

    def _damaged(self, reason: str) -> DataError:
        return DataError(f"{self.path}: damaged artefact ({reason}); delete it and run again")

    @property
    def provenance(self) -> dict[str, Any]:
        """Everything that determined the arrays."""
        return dict(self._document["provenance"])

    @property
    def summary(self) -> dict[str, Any]:
        """JSON values that were written with the arrays; of a result, its record."""
        return dict(self._document["summary"])

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(self._document["checksums"])

    def read(self, name: str) -> NDArray[Any]:
        """Read one array.

        Raises
        ------
        NotFoundError
            If there is no array of that name.
        DataError
            If it is damaged: its checksum is not the one taken when it was written.
        """
        import zarr

        if name not in self._document["checksums"]:
            raise NotFoundError(f"{self.path} has no array {name!r}; it has {self.arrays}")
        try:
            array = np.asarray(zarr.open_array(self.path / "arrays" / name, mode="r")[...])
        except (OSError, ValueError, RuntimeError) as error:
            raise self._damaged(f"array {name!r}: {error}") from error
        if checksum(array) != self._document["checksums"][name]:
            raise self._damaged(f"array {name!r} does not match its checksum")
        return array


def draft_path(root: Path) -> Path:
    """A unique path in a store, for what is unfinished or temporary."""
    return root / ".drafts" / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"


def remove_abandoned_drafts(root: Path) -> None:
    """Remove drafts that killed processes of this machine left in a store."""
    for draft in (root / ".drafts").glob("*"):
        host, _, process = draft.name.rpartition("-")[0].rpartition("-")
        try:
            if host == socket.gethostname():
                os.kill(int(process), 0)
        except (ProcessLookupError, ValueError):
            shutil.rmtree(draft, ignore_errors=True)
        except OSError:
            pass  # a process of another user


def checksum(array: NDArray[Any]) -> str:
    """Digest of an array's type, shape and values: 64 hex digits."""
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(array.data if array.size else b"")
    return digest.hexdigest()
