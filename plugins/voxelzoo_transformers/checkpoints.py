"""Finds the files of Hugging Face checkpoints: in a folder, in the hub's cache, or by download.

A checkpoint is first brought to a folder on this machine (:func:`checkpoint_folder`) and then
loaded from that folder alone. Loading therefore never waits for the network half-way, the revision
cannot change while it loads, and missing files are reported in one line. Nothing here imports torch
or transformers.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from voxelzoo.api import (
    ExtractorRequest,
    MissingError,
    UsageError,
    gguf_name,
    hub_cache,
    hub_id,
    is_local,
    local_snapshot,
    weight_files,
)

SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken")
"""Files of a repository other than weights: configuration and tokenizer."""

_HUB_TIMEOUT = 3.0
"""Seconds to wait for the hub to accept a connection."""


def checkpoint_folder(request: ExtractorRequest) -> Path:
    """Folder on this machine with the model's configuration and complete weights.

    Tried in order: the folder that the model's row names, the hub's cache, and a download if the
    hub can be reached.

    Parameters
    ----------
    request : ExtractorRequest
        The model, and whether pickled weights are allowed.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    MissingError
        If the weights are not here and cannot be downloaded. The message says what is missing,
        where it was looked for and how to get it.
    UsageError
        If the weights are a pickle and ``request.allow_pickle`` is false.
    """
    model = request.model
    kind = model.weights_format
    if model.repo is None:
        raise MissingError(
            f"{model.name}: its weights are not published; add a row of your own with their folder "
            "as 'repo' (--registry FILE), or use --untrained"
        )
    folder = local_snapshot(model.repo, model.revision)
    gguf = gguf_name(model.repo)
    if folder is not None and (weights := weight_files(folder, kind, gguf)):
        if any(path.suffix == ".bin" for path in weights):
            _check_pickle_allowed(request)
        return folder
    if not is_local(model.repo) and hub_answers():
        return _downloaded_checkpoint(request, model.repo)
    raise MissingError(
        f"{model.name}: no {gguf or _file_name(kind)} of {model.repo}{_at(model.revision)} "
        f"in {location(model.repo)}{_how_to_get(request)}"
    )


def _downloaded_checkpoint(request: ExtractorRequest, repo: str) -> Path:
    model, gguf = request.model, gguf_name(repo)
    weights = [gguf] if gguf else ["model*.safetensors", "model.safetensors.index.json"]
    if model.weights_format == "pickle":
        _check_pickle_allowed(request)
        weights += ["pytorch_model*.bin", "pytorch_model.bin.index.json"]
    request.notify(f"{model.name}: downloading {repo} from the hub")
    folder = _download(model.name, hub_id(repo), model.revision, [*weights, *SMALL_FILES])
    if not weight_files(folder, model.weights_format, gguf):
        raise MissingError(
            f"{model.name}: {repo} has no {gguf or _file_name(model.weights_format)} "
            f"(looked in {folder}); if its weights are a pickle, add 'weights_format: pickle' to "
            "the row"
        )
    return folder


def _check_pickle_allowed(request: ExtractorRequest) -> None:
    if not request.allow_pickle:
        raise UsageError(
            f"{request.model.name}: its weights are a pickle, and loading a pickle can run any "
            "code that is in it; pass --allow-pickle if you trust the source, or use --untrained"
        )


def config_folder(request: ExtractorRequest) -> Path | None:
    """Folder with the model's ``config.json``; weights are not needed.

    Parameters
    ----------
    request : ExtractorRequest
        The model.

    Returns
    -------
    Path or None
        A folder on this machine, downloaded if the hub can be reached. None if there is none.
    """
    model = request.model
    if model.repo is None:
        return None
    if gguf_name(model.repo) is not None:
        return checkpoint_folder(request)  # the file holds the configuration
    folder = local_snapshot(model.repo, model.revision)
    if folder is not None and (folder / "config.json").is_file():
        return folder
    if is_local(model.repo) or not hub_answers():
        return None
    folder = _download(model.name, model.repo, model.revision, SMALL_FILES)
    return folder if (folder / "config.json").is_file() else None


def fetch_small_files(request: ExtractorRequest, repo: str) -> Path:
    """Folder with the configuration and tokenizer of another repository.

    Parameters
    ----------
    request : ExtractorRequest
        The model that needs them, for messages.
    repo : str
        Hub id or local folder.

    Returns
    -------
    Path
        A folder on this machine, downloaded if it was not here.

    Raises
    ------
    MissingError
        If the files are not here and cannot be downloaded.
    """
    folder = local_snapshot(repo)
    if folder is not None:
        return folder
    if is_local(repo) or not hub_answers():
        raise MissingError(
            f"{request.model.name}: tokenizer {repo} is not in {location(repo)}"
            + ("" if is_local(repo) else f"{_UNREACHABLE} 'hf download {repo}'")
        )
    return _download(request.model.name, repo, None, SMALL_FILES)


@cache
def hub_answers() -> bool:
    """Whether the hub can be reached, decided once per process and within seconds.

    The hub's own client would retry for half a minute per file.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if getproxies().get("https"):
        return True
    address = urlsplit(constants.ENDPOINT)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=_HUB_TIMEOUT):
            return True
    except OSError:
        return False


def _download(name: str, repo: str, revision: str | None, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(
            snapshot_download(
                repo,
                revision=revision,
                cache_dir=hub_cache(),
                allow_patterns=list(patterns),
                ignore_patterns=["*/*"],
            )
        )
    except GatedRepoError:
        raise MissingError(
            f"{name}: {repo} is gated; accept its licence on the hub and log in with "
            "'hf auth login', or use --untrained"
        ) from None
    except RevisionNotFoundError:
        raise MissingError(f"{name}: {repo} has no revision {revision}") from None
    except RepositoryNotFoundError:
        raise MissingError(f"{name}: the hub has no repository {repo} that you may read") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MissingError(f"{name}: {repo} could not be downloaded ({reason})") from None


_UNREACHABLE = ", and the hub cannot be reached; on a machine with a network, run"


def _file_name(kind: str) -> str:
    return "pytorch_model.bin" if kind == "pickle" else "model.safetensors (whole or in shards)"


def _at(revision: str | None) -> str:
    return f" at {revision[:12]}" if revision else ""


def location(repo: str) -> str:
    """Where files of a repository are looked for: its folder, or the hub's cache."""
    return str(Path(repo).expanduser() if is_local(repo) else hub_cache())


def _how_to_get(request: ExtractorRequest) -> str:
    model = request.model
    if is_local(model.repo or ""):
        return "; put it there, correct 'repo' in the row, or use --untrained"
    revision = f" --revision {model.revision}" if model.revision else ""
    what = " ".join(filter(None, (hub_id(model.repo or ""), gguf_name(model.repo))))
    return f"{_UNREACHABLE} 'hf download {what}{revision}', or use --untrained"


def file_digests(files: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of each file that exists, by file name; a GGUF file may have any name."""
    digests = {}
    for path in files:
        if path.is_file():
            status = path.stat()
            name = "gguf" if gguf_name(path.name) else path.name
            digests[name] = _digest(path.resolve(), status.st_size, status.st_mtime_ns)
    return digests


@lru_cache(maxsize=1024)
def _digest(path: Path, size: int, modified: int) -> str:
    """Digest of a file; its size and time of change only tell a rewritten file from the old one."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
