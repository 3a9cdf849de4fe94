"""What a store holds, what is damaged in it, and what can be removed or made smaller."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxelzoo.api import DataError, NotFoundError
from voxelzoo.disk.drafts import Draft
from voxelzoo.disk.files import flush_folder
from voxelzoo.store import container
from voxelzoo.store.artefacts import (
    KINDS,
    Artefact,
    ArtefactVersionError,
    DamagedArtefactError,
    Kind,
)
from voxelzoo.store.store import QUARANTINE, Store

WORTH_PACKING = 0.95
"""An artefact is packed if it becomes smaller than this share of its size."""


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One artefact, or one damaged artefact that was moved aside."""

    path: Path
    kind: str
    """``results``, ``aligned`` or ``states``; ``damaged`` for one that was moved aside."""
    key: str
    model: str | None
    """Short name of its model; None if it cannot be read."""
    n_bytes: int
    age_days: float
    """Days since it was written."""
    problem: str | None
    """Why it cannot be read; None if it can."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which artefacts are meant: those to which all of this applies.

    Parameters
    ----------
    kinds : tuple of str
        Of these kinds; all by default.
    model : str, optional
        Of this model.
    older_than_days : float, optional
        Written longer ago than this.
    larger_than : int, optional
        Larger than this many bytes.
    damaged : bool, default False
        That cannot be read, or were moved aside.
    """

    kinds: tuple[str, ...] = ()
    model: str | None = None
    older_than_days: float | None = None
    larger_than: int | None = None
    damaged: bool = False

    def __contains__(self, file: object) -> bool:
        return (
            isinstance(file, StoredFile)
            and (not self.kinds or file.kind in self.kinds)
            and (self.model is None or file.model == self.model)
            and (self.older_than_days is None or file.age_days > self.older_than_days)
            and (self.larger_than is None or file.n_bytes > self.larger_than)
            and (not self.damaged or file.problem is not None)
        )


def list_files(store: Store) -> Iterator[StoredFile]:
    """Everything in a store, oldest first within each kind. What cannot be read is listed too."""
    for kind in KINDS:
        for artefact in store.all(kind):
            with suppress(FileNotFoundError):  # removed meanwhile
                yield _file(artefact, kind, lambda each: None)
    folder = store.root / QUARANTINE
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        key = path.name.split("-")[1] if path.name.count("-") == 2 else path.name
        yield StoredFile(
            path=path, kind="damaged", key=key, model=None, problem="moved aside", **_stat(path)
        )


def verify(store: Store, advance: Callable[[int], None] = lambda n: None) -> list[StoredFile]:
    """Every artefact whose bytes are not those that were written, or that cannot be read.

    Parameters
    ----------
    store : Store
        The store. Nothing in it is changed.
    advance : callable
        Called with 1 after each artefact.

    Returns
    -------
    list of StoredFile
    """
    damaged = []
    for kind in KINDS:
        for artefact in store.all(kind):
            with suppress(FileNotFoundError):  # removed meanwhile
                file = _file(artefact, kind, Artefact.check)
                damaged += [file] if file.problem is not None else []
            advance(1)
    return damaged


def remove(file: StoredFile) -> int:
    """Remove a file; bytes that became free. One that is gone already is no error."""
    if file.path.is_dir() and not file.path.is_symlink():
        shutil.rmtree(file.path)
    else:
        file.path.unlink(missing_ok=True)
    return file.n_bytes


def pack(store: Store, file: StoredFile, dry_run: bool) -> int:
    """Compress an artefact without loss, if that is worth it.

    Parameters
    ----------
    store : Store
        Its store.
    file : StoredFile
        The artefact. One that cannot be read stays as it is.
    dry_run : bool
        Whether to only measure.

    Returns
    -------
    int
        Bytes that became, or would become, free.
    """
    artefact = Artefact(file.path)
    if file.problem is not None or file.kind not in KINDS:
        return 0
    try:
        artefact.check()
        before = file.path.stat()
        with Draft(store.root) as draft:
            container.compress(file.path, draft.path)
            size = draft.path.stat().st_size
            if size > WORTH_PACKING * before.st_size:
                return 0
            if not dry_run:
                container.seal(draft.path)
                os.utime(draft.path, ns=(before.st_atime_ns, before.st_mtime_ns))
                with store.commit_lock(artefact.key):
                    now = file.path.stat()
                    if (now.st_mtime_ns, now.st_size) != (before.st_mtime_ns, before.st_size):
                        return 0  # replaced meanwhile
                    draft.path.replace(file.path)
                    flush_folder(file.path.parent)
        return before.st_size - size
    except (DataError, NotFoundError, FileNotFoundError):
        return 0


def _file(artefact: Artefact, kind: Kind, check: Callable[[Artefact], None]) -> StoredFile:
    model, problem = None, None
    try:
        check(artefact)
        model = _model(artefact, kind)
    except (DamagedArtefactError, ArtefactVersionError) as error:
        problem = error.reason
    except DataError as error:
        problem = str(error)
    except NotFoundError:
        raise FileNotFoundError(artefact.path) from None
    return StoredFile(
        path=artefact.path,
        kind=kind,
        key=artefact.key,
        model=model,
        problem=problem,
        **_stat(artefact.path),
    )


def _model(artefact: Artefact, kind: Kind) -> str | None:
    if kind == "results":
        return str(artefact.summary.get("model"))
    model = artefact.provenance.get("model")
    name = model.get("id") if isinstance(model, dict) else None
    return str(name).rpartition("/")[2] if name else None


def _stat(path: Path) -> dict[str, Any]:
    stat = path.stat()
    n_bytes = stat.st_size
    if path.is_dir():
        n_bytes = sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return {"n_bytes": n_bytes, "age_days": max(0.0, time.time() - stat.st_mtime) / 86400}
