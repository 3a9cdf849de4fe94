"""A store: a folder of artefacts, and the results among them."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from warnings import warn

from voxelzoo.api import DataError, NotFoundError, UsageError, ZooError
from voxelzoo.disk.drafts import Draft, touch_drafts
from voxelzoo.disk.files import flush_folder
from voxelzoo.disk.locks import ProcessLock
from voxelzoo.store import container
from voxelzoo.store.artefacts import (
    ARTEFACT_VERSION,
    Artefact,
    ArtefactVersionError,
    DamagedArtefactError,
    Kind,
    artefact_key,
)
from voxelzoo.store.container import Writable
from voxelzoo.store.records import RecordVersionError
from voxelzoo.store.result_list import Results
from voxelzoo.store.results import Result

COMMIT_SECONDS = 60.0
"""How long a commit waits for another of the same artefact. Then it goes on: the rename is atomic,
the lock only lets two writers join what they keep."""


QUARANTINE = ".quarantine"


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
        path = self._path(kind, key)
        return Artefact(path) if path.is_file() else None

    def find_intact(
        self, kind: Kind, provenance: Mapping[str, Any], notify: Callable[[str], None] = warn
    ) -> Artefact | None:
        """The artefact with this provenance, if it was made and every byte is as it was written.

        Parameters
        ----------
        kind : {"states", "aligned", "results"}
            What it is.
        provenance : mapping
            Everything that determines it.
        notify : callable
            Called with one line if it is damaged. It is then moved aside, so that it can be made
            again.

        Raises
        ------
        ArtefactVersionError
            If another version of voxelzoo wrote it.
        """
        artefact = self.find(kind, provenance)
        if artefact is None:
            return None
        try:
            artefact.check()
        except DamagedArtefactError as error:
            self.quarantine(artefact)
            notify(f"{artefact.path}: damaged ({error.reason}); moved aside and computed again")
            return None
        except NotFoundError:  # removed meanwhile
            return None
        return artefact

    def quarantine(self, artefact: Artefact) -> None:
        """Move an artefact aside, if it is still damaged. ``zoo store prune`` removes it there."""
        folder = self.root / QUARANTINE
        path = artefact.path
        try:
            folder.mkdir(exist_ok=True)
            with self.commit_lock(artefact.key):
                try:
                    Artefact(path).check()  # another process may have replaced it
                except DamagedArtefactError:
                    path.rename(folder / f"{path.parent.name}-{path.stem}-{uuid.uuid4().hex[:8]}")
        except NotFoundError:
            pass  # another process has moved it
        except OSError as error:
            raise self._unwritable(error) from error

    def holds(self, kind: Kind) -> bool:
        """Whether any artefact of a kind was ever written."""
        return (self.root / kind).is_dir()

    def put(
        self,
        kind: Kind,
        provenance: Mapping[str, Any],
        arrays: Mapping[str, Writable],
        summary: Mapping[str, Any] | None = None,
        replace: bool = False,
    ) -> Artefact:
        """Write an artefact, completely or not at all.

        It is written aside, read back and compared, flushed to disk, and appears by one rename. So
        a reader sees all of it or nothing, and two processes that make the same artefact do not
        disturb each other.

        Parameters
        ----------
        kind : {"states", "aligned", "results"}
            What it is.
        provenance : mapping
            Everything that determines it, as JSON values.
        arrays : mapping of str to array or callable
            Arrays by name. A callable is called when its array is written, so that not all need to
            be in memory. A name with ``/`` is in a group.
        summary : mapping, optional
            JSON values to write beside the arrays.
        replace : bool, default False
            Whether to replace an artefact that is there. Arrays that only the old one has are kept.
            Otherwise an intact one stays, as it is the same.

        Returns
        -------
        Artefact
            The artefact that is now in the store.

        Raises
        ------
        ZooError
            If the store cannot be written to.
        """
        document = {
            "schema_version": ARTEFACT_VERSION,
            "kind": kind,
            "provenance": provenance,
            "summary": summary or {},
        }
        key = artefact_key(provenance)
        target = self._path(kind, key)
        try:
            with Draft(self.root) as draft:
                container.write(draft.path, document, arrays)
                target.parent.mkdir(exist_ok=True)
                with self.commit_lock(key):
                    there = self._intact(target)
                    if there is None or replace:
                        if there is not None:
                            others = [name for name in there.arrays if name not in arrays]
                            container.add(draft.path, {n: partial(there.read, n) for n in others})
                        container.seal(draft.path)
                        os.replace(draft.path, target)
                        flush_folder(target.parent)
            touch_drafts()
        except OSError as error:
            raise self._unwritable(error) from error
        return Artefact(target)

    def all(self, kind: Kind) -> Iterator[Artefact]:
        """Every finished artefact of a kind, oldest first, damaged ones included."""
        folder = self.root / kind
        if folder.is_dir():
            paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
            for _, path in sorted((_modified(path), path) for path in paths):
                yield Artefact(path)

    def by_key(self, kind: Kind, prefix: str) -> Artefact:
        """The artefact whose key begins with ``prefix``.

        Parameters
        ----------
        kind : str
            Kind of artefact.
        prefix : str
            Beginning of its key, as long as it is unique.

        Returns
        -------
        Artefact

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

        Parameters
        ----------
        prefix : str
            Beginning of its key, as long as it is unique.

        Returns
        -------
        Result

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
            Called with one line if some results are damaged or were written by another version of
            voxelzoo; they are skipped. By default this is a Python warning.
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
        skipped: list[RecordVersionError | ArtefactVersionError] = []
        damaged: list[DataError] = []
        for artefact in self.all("results"):
            result = Result(artefact)
            try:
                _ = result.record
                results.append(result)
            except (RecordVersionError, ArtefactVersionError) as error:
                skipped.append(error)
            except DataError as error:
                damaged.append(error)
            except NotFoundError:  # removed meanwhile
                pass
        folder = self.root / "results"
        n_all = len(skipped) + len(damaged) + len(results)
        if skipped and not results and not damaged:
            raise DataError(f"{folder}: {skipped[0].reason}; {skipped[0].remedy}")
        if skipped:
            of = f"{len(skipped)} of {n_all} results"
            notify(f"{folder}: {of} are skipped: {skipped[0].reason}")
        if damaged:
            of = f"{len(damaged)} of {n_all} results"
            notify(f"{folder}: {of} are skipped: {damaged[0]} (zoo store verify lists them)")
        return Results(results).where(**wanted)

    @contextlib.contextmanager
    def commit_lock(self, key: str) -> Iterator[None]:
        """A context that one process at a time is in, for one artefact.

        There are 16 locks, which are never removed. Where locks are not enforced, or one is held
        for too long, the context is entered all the same.

        Parameters
        ----------
        key : str
            The artefact's key.

        Raises
        ------
        OSError
            If the store cannot be written to.
        """
        folder = self.root / ".locks"
        folder.mkdir(exist_ok=True)
        lock = ProcessLock(folder / key[0])
        lock.acquire(COMMIT_SECONDS)
        try:
            yield
        finally:
            lock.release()

    # ------------------------------------------------------------------------------------ inside

    def _path(self, kind: Kind, key: str) -> Path:
        return self.root / kind / f"{key}{container.SUFFIX}"

    def _intact(self, path: Path) -> Artefact | None:
        """What is there, unless it is damaged."""
        artefact = Artefact(path)
        try:
            artefact.check()
        except (DamagedArtefactError, NotFoundError):
            return None
        return artefact

    def _unwritable(self, error: OSError) -> ZooError:
        return ZooError(
            f"{self.root}: cannot write to the store ({error.strerror or error}); "
            "choose another with --store"
        )


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


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # removed meanwhile
        return 0.0
