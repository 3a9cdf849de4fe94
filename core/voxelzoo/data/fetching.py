"""``zoo data fetch``: the files of a manifest, each held to its checksum.

A manifest is YAML::

    files:
      - path: stories/one/words.csv     # below the folder that is fetched into
        url: https://example.org/one.csv
        sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

A file appears under its name when its content has been checked. What was read before an
interruption is kept in ``.parts`` and gone on with, where the server can start in the middle.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from voxelzoo.api import DataError, MissingError, UsageError
from voxelzoo.progress import Progress, Silent

BLOCK = 1 << 20


def _below(path: str) -> str:
    """A path that stays within the folder and is not one of ours."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or "\0" in path or ".." in parts:
        raise ValueError(f"{path!r} is not a path below the folder")
    if parts[0] == ".parts":
        raise ValueError(f"{path!r} is where unfinished files are kept")
    return path


class RemoteFile(BaseModel):
    """One file: where it goes, where it comes from, what it must be."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    path: Annotated[str, AfterValidator(_below)]
    url: Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*://.+")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """The files of a dataset."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    files: Annotated[list[RemoteFile], Field(min_length=1)]


@dataclass(frozen=True)
class Fetched:
    """How a fetch went."""

    n_fetched: int
    n_kept: int
    """Files that were there already, with the right content."""
    n_bytes: int
    """Read now."""


def read_manifest(path: Path) -> Manifest:
    """The manifest in ``path``; :class:`DataError` names the file, the field and the fault."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "content"
        raise DataError(f"{path}: {where}: {first['msg'].lower()}") from None
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path}: not a manifest ({_line(error)})") from error
    paths = [file.path for file in manifest.files]
    if twice := [name for name in paths if paths.count(name) > 1]:
        raise DataError(f"{path}: {twice[0]} is listed twice")
    return manifest


def fetch(manifest: Manifest, root: Path, progress: Progress | None = None) -> Fetched:
    """Brings every file into ``root``; files already there and right are kept.

    Raises :class:`DataError` for content that does not match its checksum, :class:`MissingError`
    for what cannot be reached, and :class:`UsageError` for a folder that cannot be written.
    """
    fetched = kept = n_bytes = 0
    with (progress or Silent()).task("fetch", len(manifest.files)) as advance:
        for file in manifest.files:
            target = root / file.path
            if target.exists():
                if _sha256(target) != file.sha256:
                    raise DataError(
                        f"{target}: there, but not what the manifest says; move it away"
                    )
                kept += 1
            else:
                n_bytes += _fetch_one(file, target, root / ".parts" / file.sha256)
                fetched += 1
            advance(1)
    if (root / ".parts").is_dir() and not any((root / ".parts").iterdir()):
        (root / ".parts").rmdir()
    return Fetched(fetched, kept, n_bytes)


def _fetch_one(file: RemoteFile, target: Path, part: Path) -> int:
    """Bytes read; the file is then under its name."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{target.parent}: cannot be made ({error.strerror})") from error
    n_bytes = _read_into(file, part)
    if (found := _sha256(part)) != file.sha256:
        part.unlink()
        raise DataError(
            f"{file.url}: content has SHA-256 {found}, the manifest says {file.sha256}; "
            "nothing was kept of it"
        )
    part.replace(target)
    return n_bytes


def _read_into(file: RemoteFile, part: Path) -> int:
    """Appends to ``part`` what it lacks; from the start where the server knows no middle."""
    there = part.stat().st_size if part.exists() else 0
    try:
        try:
            return _read_from(there, file.url, part)
        except ValueError:  # fsspec's word for a server without ranges
            if not there:
                raise
            return _read_from(0, file.url, part)
    except Exception as error:
        # Each protocol fails in its own way (aiohttp, botocore, OSError); none is our bug.
        raise MissingError(
            f"{file.url}: cannot be read ({_line(error)}); run the same command again to go on"
        ) from error


def _read_from(begin: int, url: str, part: Path) -> int:
    """Bytes read; what ``part`` has beyond ``begin`` stays until the first of them is here."""
    import fsspec

    with fsspec.open(url, "rb").open() as remote:
        if begin:
            remote.seek(begin)
        block = remote.read(BLOCK)
        with part.open("r+b" if part.exists() else "wb") as local:
            local.seek(begin)
            local.truncate()
            while block:
                local.write(block)
                block = remote.read(BLOCK)
            local.flush()
            os.fsync(local.fileno())
            return local.tell() - begin


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
