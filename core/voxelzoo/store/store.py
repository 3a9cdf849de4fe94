"""A store: a folder of artefacts, and the results among them."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, NotFoundError, UsageError, ZooError
from voxelzoo.store.artefacts import Artefact, Kind, artefact_key, checksum, draft_path
from voxelzoo.store.records import RecordVersionError
from voxelzoo.store.result_list import Results
from voxelzoo.store.results import Result

CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class Store:
    """A folder of artefacts, shared by runs and, if it is on a shared disk, by machines.

    Parameters
    ----------
    root : Path
        The folder; it is created when something is first written.
    """

    root: Path

    def find(self, kind: Kind, provenance: Mapping[str, Any]) -> Artefact | None:
        """The artefact with this provenance, if it was made."""
        return self.get(kind, artefact_key(provenance))

    def get(self, kind: Kind, key: str) -> Artefact | None:
        """The artefact with this key, if it was made."""
        path = self.root / kind / key
        return Artefact(path) if path.is_dir() else None

    def holds(self, kind: Kind) -> bool:
        """Whether any artefact of a kind was ever written."""
        return (self.root / kind).is_dir()

    def put(
        self,
        kind: Kind,
        provenance: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any] | Callable[[], NDArray[Any]]],
        summary: Mapping[str, Any] | None = None,
        replace: bool = False,
    ) -> Artefact:
        """Write an artefact, completely or not at all.

        Parameters
        ----------
        kind : {"states", "aligned", "results"}
            What it is.
        provenance : mapping
            Everything that determines it, as JSON values.
        arrays : mapping of str to array or callable
            Arrays by name, chunked along their last axis. A callable is called when its array is
            written, so that not all need to be in memory. A name with ``/`` is in a group.
        summary : mapping, optional
            JSON values to write beside the arrays.
        replace : bool
            Whether to replace an artefact that is there; otherwise it stays, as it is the same.

        Raises
        ------
        ZooError
            If the store cannot be written to.
        """
        import zarr

        target = self.root / kind / artefact_key(provenance)
        draft = draft_path(self.root)
        try:
            draft.mkdir(parents=True)
            group = zarr.open_group(draft / "arrays", mode="w", zarr_format=3)
            checksums = {}
            for name, values in arrays.items():
                array = np.asarray(values() if callable(values) else values, order="C")
                group.create_array(name, data=array, chunks=_chunks(array))
                checksums[name] = checksum(array)
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
        """The artefact whose key begins with ``prefix``.

        Raises
        ------
        NotFoundError
            If no artefact, or more than one, begins with it.
        """
        artefacts = [artefact for artefact in self.all(kind) if artefact.key.startswith(prefix)]
        if len(artefacts) == 1:
            return artefacts[0]
        what = "no" if not artefacts else f"{len(artefacts)}"
        raise NotFoundError(
            f"{what} {kind} in {self.root} begin with key {prefix!r}; `zoo results list` shows them"
        )

    def result(self, prefix: str) -> Result:
        """The result whose key begins with ``prefix``.

        Raises
        ------
        NotFoundError
            If no result, or more than one, begins with it.
        RecordVersionError
            If another version of voxelzoo wrote the result.
        """
        result = Result(self.by_key("results", prefix))
        _ = result.record
        return result

    def results(self, *, notify: Callable[[str], None] = warn, **wanted: Any) -> Results:
        """Results, oldest first.

        Parameters
        ----------
        notify : callable
            Called with one line if some results were written by another version of voxelzoo; they
            are skipped. By default this is a Python warning.
        **wanted
            Only results whose fields have these values, such as ``model="opt-125m"`` or
            ``subject=["S1", "S2"]``; see :meth:`Results.where`.

        Returns
        -------
        Results
            A sequence, with a ``table()``.

        Raises
        ------
        DataError
            If all results were written by another version of voxelzoo.
        """
        results: list[Result] = []
        skipped: list[RecordVersionError] = []
        for artefact in self.all("results"):
            result = Result(artefact)
            try:
                _ = result.record
                results.append(result)
            except RecordVersionError as error:
                skipped.append(error)
        folder = self.root / "results"
        if skipped and not results:
            raise DataError(f"{folder}: {skipped[0].reason}; {skipped[0].remedy}")
        if skipped:
            of = f"{len(skipped)} of {len(skipped) + len(results)} results"
            notify(f"{folder}: {of} are skipped: {skipped[0].reason}")
        return Results(results).where(**wanted)


def open_store(path: str | Path) -> Store:
    """The store in a folder.

    Parameters
    ----------
    path : str or Path
        The folder that was given to ``zoo run --store``.

    Raises
    ------
    UsageError
        If there is no such folder.
    """
    if not Path(path).is_dir():
        raise UsageError(f"no store at {path}; pass --store PATH, or make one with zoo run")
    return Store(Path(path))


def _chunks(array: NDArray[Any]) -> tuple[int, ...]:
    """All rows of blocks of columns, so that voxels and units can be read in blocks."""
    if array.ndim == 0 or array.size == 0:
        return tuple(max(1, n) for n in array.shape)
    rows = math.prod(array.shape[:-1])
    columns = max(1, CHUNK_BYTES // max(1, rows * array.dtype.itemsize))
    return (*array.shape[:-1], min(array.shape[-1], columns))
