"""Content-addressed artefacts on disk: atomic, checksummed, reusable.

An artefact's key is the digest of everything that determines its value (its *provenance*). It is
one file, ``<root>/<kind>/<key>.npz``, that appears whole, by one rename, or not at all.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from numpy.typing import NDArray

from voxelzoo.api import DataError, NotFoundError
from voxelzoo.store import container
from voxelzoo.store.container import DamagedError

Kind = Literal["states", "aligned", "results"]


KINDS: tuple[Kind, ...] = ("states", "aligned", "results")
"""States at the model's own times, states at scan times, and results."""


ARTEFACT_VERSION = 2
"""Raised when the files of a store change. Version 1 was a folder for each artefact."""

T = TypeVar("T")


class ArtefactVersionError(DataError):
    """An artefact that another version of voxelzoo wrote, which this one cannot read.

    Attributes
    ----------
    reason : str
        Who wrote it.
    remedy : str
        What to do about it.
    """

    def __init__(self, where: str, reason: str, remedy: str) -> None:
        self.reason, self.remedy = reason, remedy
        super().__init__(f"{where}: {reason}; {remedy}")


class DamagedArtefactError(DataError):
    """An artefact whose bytes are not those that were written.

    Attributes
    ----------
    reason : str
        What is wrong.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{path}: damaged artefact ({reason}); run the same command again")


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, so that equal values have equal text.

    Parameters
    ----------
    value : Any
        JSON values; not NaN, nor infinite.

    Returns
    -------
    str

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
        return self.path.name.removesuffix(container.SUFFIX)

    @cached_property
    def _contents(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        if self.path.suffix != container.SUFFIX:
            raise ArtefactVersionError(
                str(self.path),
                "written by an earlier version of voxelzoo, whose stores this version cannot read",
                "delete it and run again",
            )
        document, arrays = self._reading(lambda: container.read_document(self.path))
        if not isinstance(document, dict):
            raise DamagedArtefactError(self.path, f"{container.DOCUMENT} is not an object")
        if (version := document.get("schema_version")) != ARTEFACT_VERSION:
            raise ArtefactVersionError(
                str(self.path),
                f"artefact version {version} is unknown, this voxelzoo reads {ARTEFACT_VERSION}",
                "upgrade voxelzoo",
            )
        for name in ("provenance", "summary"):
            if not isinstance(document.get(name), dict):
                raise DamagedArtefactError(self.path, f"{container.DOCUMENT} has no {name}")
        return document, arrays

    @property
    def provenance(self) -> dict[str, Any]:
        """Everything that determined the arrays."""
        return dict(self._contents[0]["provenance"])

    @property
    def summary(self) -> dict[str, Any]:
        """JSON values that were written with the arrays; of a result, its record."""
        return dict(self._contents[0]["summary"])

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays."""
        return self._contents[1]

    def read(self, name: str) -> NDArray[Any]:
        """Read one array.

        Parameters
        ----------
        name : str
            Its name in :attr:`arrays`.

        Returns
        -------
        ndarray

        Raises
        ------
        NotFoundError
            If there is no array of that name.
        DamagedArtefactError
            If its bytes do not match their checksum.
        """
        if name not in self.arrays:
            raise NotFoundError(f"{self.path} has no array {name!r}; it has {self.arrays}")
        return self._reading(lambda: container.read_array(self.path, name))

    def check(self) -> None:
        """Compare every byte with the digest that was taken when it was written.

        Raises
        ------
        DamagedArtefactError
            If it is damaged, or lies under the key of another artefact.
        ArtefactVersionError
            If another version of voxelzoo wrote it.
        """
        if self.path.suffix == container.SUFFIX:
            self._reading(lambda: container.check(self.path))
        if artefact_key(self.provenance) != self.key:
            raise DamagedArtefactError(self.path, "it lies under the key of another artefact")

    def _reading(self, read: Callable[[], T]) -> T:
        """What ``read`` returns; read once more if another machine replaced the file meanwhile."""
        try:
            try:
                return read()
            except OSError as error:
                if error.errno != errno.ESTALE:
                    raise
                return read()
        except DamagedError as error:
            raise DamagedArtefactError(self.path, str(error)) from error
        except FileNotFoundError as error:
            raise NotFoundError(f"{self.path} is no longer in the store; run again") from error
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno == errno.EIO:
                raise DamagedArtefactError(self.path, reason) from error
            raise DataError(f"{self.path}: cannot be read ({reason})") from error
