"""Whether a model's weights are on this machine, told from file names alone.

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
    """Whether a model's repository is a folder.

    Parameters
    ----------
    repo : str
        A path, or ``org/name`` of the hub.

    Returns
    -------
    bool
    """
    return repo.startswith((".", "/", "~")) or Path(repo).is_dir()


def local_snapshot(repo: str, revision: str | None = None) -> Path | None:
    """Folder of a model's repository on this machine.

    Parameters
    ----------
    repo : str
        A path, or ``org/name`` of the hub.
    revision : str, optional
        A commit or branch of the hub; by default what ``main`` last pointed to.

    Returns
    -------
    Path or None
        The path itself, or the snapshot in the hub's cache; None if it is not there.
    """
    if is_local(repo):
        folder = Path(repo).expanduser()
        return folder if folder.is_dir() else None
    home = hub_cache() / ("models--" + repo.replace("/", "--"))
    commit = revision
    if reference := _read(home / "refs" / (revision or "main")):
        commit = reference.strip()
    if not commit:
        return None
    snapshot = home / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def weight_files(folder: Path, weights_format: str = "safetensors") -> list[Path]:
    """Weight files of a checkpoint.

    Parameters
    ----------
    folder : Path
        The checkpoint's folder.
    weights_format : {"safetensors", "pickle"}, default "safetensors"
        With ``pickle``, a pickle is used if there are no safetensors.

    Returns
    -------
    list of Path
        Every shard; empty if one of them is missing.
    """
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
    return folder if folder and weight_files(folder, entry.weights_format) else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
