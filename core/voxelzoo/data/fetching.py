"""``zoo data fetch``: download the files of a manifest and check each against its checksum.

A manifest is YAML::

    files:
      - path: stories/one/words.csv     # in the folder that is downloaded to
        url: https://example.org/one.csv
        sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

A file appears under its name once its checksum is right. After an interruption, what was read is
kept in ``.parts``, and the download continues there if the server allows it.
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
from voxelzoo.bounded_yaml import load_yaml
from voxelzoo.progress import Progress, Silent

BLOCK = 1 << 20


def _below(path: str) -> str:
    """A path within the folder, other than where unfinished files are kept."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or "\0" in path or ".." in parts:
        raise ValueError(f"{path!r} is not a path within the folder")
    if parts[0] == ".parts":
        raise ValueError(f"{path!r} is where unfinished files are kept")
    return path


class RemoteFile(BaseModel):
    """One file of a manifest."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    path: Annotated[str, AfterValidator(_below)]
    """Where it goes, relative to the folder."""
    url: Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]*://.+")]
    """Where it is read: ``https``, ``s3`` or any other protocol of fsspec."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Checksum of its content."""


class Manifest(BaseModel):
    """The files of a dataset."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    files: Annotated[list[RemoteFile], Field(min_length=1)]


@dataclass(frozen=True)
class FetchReport:
    """How many files were downloaded."""

    n_fetched: int
    """Files that were downloaded."""
    n_kept: int
    """Files that were there already, with the right checksum."""
    n_bytes: int
    """Bytes that were downloaded."""


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Parameters
    ----------
    path : Path
        A YAML file.

    Raises
    ------
    DataError
        If it is no manifest; the message names the file, the field and the fault.
    """
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
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


def fetch(manifest: Manifest, root: Path, progress: Progress | None = None) -> FetchReport:
    """Download every file of a manifest that is not there yet.

    Parameters
    ----------
    manifest : Manifest
        The files.
    root : Path
        The folder to download to; made if it does not exist.
    progress : Progress, optional
        Told how many files are done.

    Returns
    -------
    FetchReport

    Raises
    ------
    DataError
        If a file does not match its checksum.
    MissingError
        If a file cannot be read; run again to continue.
    UsageError
        If the folder cannot be written.
    """
    fetched = kept = n_bytes = 0
    with (progress or Silent()).task("fetch", len(manifest.files)) as advance:
        for file in manifest.files:
            target = root / file.path
            if target.exists():
                if _sha256(target) != file.sha256:
                    raise DataError(
                        f"{target}: exists, but does not match its checksum; move it away"
                    )
                kept += 1
            else:
                n_bytes += _fetch_one(file, target, root / ".parts" / file.sha256)
                fetched += 1
            advance(1)
    if (root / ".parts").is_dir() and not any((root / ".parts").iterdir()):
        (root / ".parts").rmdir()
    return FetchReport(fetched, kept, n_bytes)


def _fetch_one(file: RemoteFile, target: Path, part: Path) -> int:
    """Download one file, check it and move it to ``target``; the bytes that were read."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{target.parent}: cannot be created ({error.strerror})") from error
    n_bytes = _read_into(file, part)
    if (digest := _sha256(part)) != file.sha256:
        part.unlink()
        raise DataError(
            f"{file.url}: SHA-256 is {digest}, but the manifest has {file.sha256}; the download "
            "was deleted"
        )
    part.replace(target)
    return n_bytes


def _read_into(file: RemoteFile, part: Path) -> int:
    """Append to ``part`` what is missing; from the start if the server cannot start elsewhere."""
    there = part.stat().st_size if part.exists() else 0
    try:
        try:
            return _read_from(there, file.url, part)
        except ValueError:  # what fsspec raises for a server without range requests
            if not there:
                raise
            return _read_from(0, file.url, part)
    except Exception as error:
        # Each protocol raises its own exceptions (aiohttp, botocore, OSError).
        raise MissingError(
            f"{file.url}: cannot be read ({_line(error)}); run the same command again to continue"
        ) from error


def _read_from(begin: int, url: str, part: Path) -> int:
    """Read from byte ``begin`` on; ``part`` is cut there only once the server has answered."""
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
