"""Whether a model's weights are on this machine, judged by file names alone.

Standard library only: ``zoo list`` asks this for every row.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from voxelzoo.contract.specs import ModelEntry

WHOLE = {"safetensors": "model.safetensors", "pickle": "pytorch_model.bin"}
"""File of an unsharded checkpoint, by weights format."""


def hub_cache() -> Path:
    """Folder where Hugging Face keeps downloads, by its own environment variables."""
    if folder := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(folder).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "huggingface" / "hub"


def is_local(repo: str) -> bool:
    """Whether a model's repository is a folder, or a GGUF file.

    Parameters
    ----------
    repo : str
        A path, or ``org/name`` or ``org/name/file.gguf`` of the hub.

    Returns
    -------
    bool
    """
    if repo.startswith((".", "/", "~")) or Path(repo).is_dir():
        return True
    return gguf_name(repo) is not None and (Path(repo).is_file() or repo.count("/") != 2)


def gguf_name(repo: str | None) -> str | None:
    """Name of the GGUF file that a model's repository is.

    Parameters
    ----------
    repo : str or None
        A path, or ``org/name`` or ``org/name/file.gguf`` of the hub.

    Returns
    -------
    str or None
        None if the repository is a folder.
    """
    return Path(repo).name if repo is not None and repo.lower().endswith(".gguf") else None


def hub_id(repo: str) -> str:
    """``org/name`` of a repository of the hub.

    Parameters
    ----------
    repo : str
        ``org/name`` or ``org/name/file.gguf``.

    Returns
    -------
    str
    """
    return repo if gguf_name(repo) is None else repo.rpartition("/")[0]


def local_snapshot(repo: str, revision: str | None = None) -> Path | None:
    """Folder of a model's repository on this machine.

    Parameters
    ----------
    repo : str
        A path, or ``org/name`` or ``org/name/file.gguf`` of the hub.
    revision : str, optional
        A commit or branch of the hub; by default what ``main`` last pointed to.

    Returns
    -------
    Path or None
        The path itself, or the snapshot in the hub's cache; None if it is not there. Of a GGUF
        file, the folder that it is in.
    """
    if is_local(repo):
        path = Path(repo).expanduser()
        if gguf_name(repo) is not None and path.is_file():
            return path.parent
        return path if path.is_dir() else None
    home = hub_cache() / ("models--" + hub_id(repo).replace("/", "--"))
    commit = revision
    if reference := _read(home / "refs" / (revision or "main")):
        commit = reference.strip()
    if not commit:
        return None
    snapshot = home / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def weight_files(
    folder: Path, weights_format: str = "safetensors", gguf: str | None = None
) -> list[Path]:
    """Weight files of a checkpoint.

    Parameters
    ----------
    folder : Path
        The checkpoint's folder.
    weights_format : {"safetensors", "pickle"}, default "safetensors"
        With ``pickle``, a pickle is used if there are no safetensors.
    gguf : str, optional
        Name of the GGUF file that the checkpoint is.

    Returns
    -------
    list of Path
        Every shard; empty if one of them is missing.
    """
    if gguf is not None:
        return [folder / gguf] if (folder / gguf).is_file() else []
    for kind in ("safetensors", "pickle"):
        if kind == "pickle" and weights_format != "pickle":
            continue
        whole = folder / WHOLE[kind]
        if whole.is_file():
            return [whole]
        if index := _read(folder / (WHOLE[kind] + ".index.json")):
            try:
                names = sorted(set(json.loads(index)["weight_map"].values()))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            shards = [folder / str(name) for name in names]
            if all(shard.is_file() for shard in shards):
                return shards
    return []


def weights_location(entry: ModelEntry) -> Path | None:
    """Where a model's weights are on this machine.

    Parameters
    ----------
    entry : ModelEntry
        The model's row.

    Returns
    -------
    Path or None
        The folder; None if weights are missing or incomplete.
    """
    if entry.repo is None:
        return None
    folder = local_snapshot(entry.repo, entry.revision)
    return (
        folder
        if folder and weight_files(folder, entry.weights_format, gguf_name(entry.repo))
        else None
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
