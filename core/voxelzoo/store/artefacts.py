"""Content-addressed artefacts on disk: atomic, checksummed, reusable.

An artefact's key is the digest of everything that determines its value (its *provenance*). It is
a folder ``<root>/<kind>/<key>`` with a Zarr v3 group and ``artefact.json``; it appears whole, by
one rename, or not at all.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, NotFoundError, ZooError

Kind = Literal["states", "aligned", "results"]


KINDS: tuple[Kind, ...] = ("states", "aligned", "results")
"""States at a model's own times, the same on the scanner's clock, and scores."""


CHUNK_BYTES = 8 << 20


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def artefact_key(provenance: Mapping[str, Any]) -> str:
    """Key of the artefact that this provenance determines: 64 hex digits."""
    return hashlib.sha256(canonical_json(provenance).encode()).hexdigest()


@dataclass(frozen=True)
class Artefact:
    """A finished artefact: arrays, what determined them, and a summary."""

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
        return DataError(f"{self.path}: damaged artefact ({reason}); remove it and run again")

    @property
    def provenance(self) -> dict[str, Any]:
        """All that determined the arrays."""
        return dict(self._document["provenance"])

    @property
    def summary(self) -> dict[str, Any]:
        """What was said of it when it was made."""
        return dict(self._document["summary"])

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of its arrays."""
        return tuple(self._document["checksums"])

    def read(self, name: str) -> NDArray[Any]:
        """One array, checked against the checksum taken when it was written."""
        import zarr

        if name not in self._document["checksums"]:
            raise NotFoundError(f"{self.path} has no array {name!r}; it has {self.arrays}")
        try:
            array = np.asarray(zarr.open_array(self.path / "arrays" / name, mode="r")[...])
        except (OSError, ValueError, RuntimeError) as error:
            raise self._damaged(f"array {name!r}: {error}") from error
        if _checksum(array) != self._document["checksums"][name]:
            raise self._damaged(f"array {name!r} does not match its checksum")
        return array


def draft_path(root: Path) -> Path:
    """A path of nobody else's in a store, for what is not finished or not to stay."""
    return root / ".drafts" / f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"


def remove_abandoned_drafts(root: Path) -> None:
    """Removes what killed processes of this machine left in a store's drafts."""
    for draft in (root / ".drafts").glob("*"):
        host, _, process = draft.name.rpartition("-")[0].rpartition("-")
        try:
            if host == socket.gethostname():
                os.kill(int(process), 0)
        except (ProcessLookupError, ValueError):
            shutil.rmtree(draft, ignore_errors=True)
        except OSError:
            pass  # another user's, and alive


@dataclass(frozen=True)
class Store:
    """A folder of artefacts, shared by runs and, where it is on a common disk, by machines."""

    root: Path

    def find(self, kind: Kind, provenance: Mapping[str, Any]) -> Artefact | None:
        """The artefact with this provenance, if it was made."""
        return self.get(kind, artefact_key(provenance))

    def get(self, kind: Kind, key: str) -> Artefact | None:
        """The artefact with this key, if it was made."""
        path = self.root / kind / key
        return Artefact(path) if path.is_dir() else None

    def put(
        self,
        kind: Kind,
        provenance: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any] | Callable[[], NDArray[Any]]],
        summary: Mapping[str, Any] | None = None,
        replace: bool = False,
    ) -> Artefact:
        """Writes an artefact, whole or not at all. Arrays are chunked along their last axis; one
        given by a function is made when it is its turn.

        Where another process finished the same artefact first, that one stays; with ``replace``
        it goes, for one with more arrays.
        """
        import zarr

        target = self.root / kind / artefact_key(provenance)
        draft = draft_path(self.root)
        try:
            draft.mkdir(parents=True)
            group = zarr.open_group(draft / "arrays", mode="w", zarr_format=3)
            checksums = {}
            for name, given in arrays.items():
                array = np.asarray(given() if callable(given) else given, order="C")
                group.create_array(name, data=array, chunks=_chunks(array))
                checksums[name] = _checksum(array)
            document = {
                "schema_version": 1,
                "kind": kind,
                "provenance": provenance,
                "summary": summary or {},
                "checksums": checksums,
            }
            (draft / "artefact.json").write_text(json.dumps(document, indent=1, allow_nan=False))
            target.parent.mkdir(parents=True, exist_ok=True)
            if replace and target.is_dir():
                target.rename(draft.with_suffix(".old"))
            try:
                draft.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
        except OSError as error:
            raise ZooError(
                f"{self.root}: cannot write to the store ({error.strerror or error}); "
                "choose another with --store"
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            shutil.rmtree(draft.with_suffix(".old"), ignore_errors=True)
        return Artefact(target)

    def all(self, kind: Kind) -> Iterator[Artefact]:
        """Every finished artefact of a kind, oldest first."""
        folder = self.root / kind
        if folder.is_dir():
            for path in sorted(folder.iterdir(), key=lambda path: (path.stat().st_mtime, path)):
                if (path / "artefact.json").is_file():
                    yield Artefact(path)

    def by_key(self, kind: Kind, prefix: str) -> Artefact:
        """The artefact whose key begins with ``prefix``."""
        found = [artefact for artefact in self.all(kind) if artefact.key.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        what = "no" if not found else f"{len(found)}"
        raise NotFoundError(
            f"{what} {kind} in {self.root} begin with key {prefix!r}; `zoo results list` shows them"
        )


def _checksum(array: NDArray[Any]) -> str:
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def _chunks(array: NDArray[Any]) -> tuple[int, ...]:
    """Whole rows of blocks of columns, so that voxels and units stream in blocks."""
    if array.ndim == 0 or array.size == 0:
        return tuple(max(1, n) for n in array.shape)
    rows = math.prod(array.shape[:-1])
    columns = max(1, CHUNK_BYTES // max(1, rows * array.dtype.itemsize))
    return (*array.shape[:-1], min(array.shape[-1], columns))
