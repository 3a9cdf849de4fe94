"""Hugging Face checkpoints, found, loaded and told apart; shared by every model family.

A checkpoint is first brought to a folder on this machine (:func:`checkpoint_folder`: a local path,
the hub's cache, or a download) and then loaded from that folder alone. So nothing reaches for the
network half-way, no revision drifts while it loads, and what is missing is said in one line.
"""

from __future__ import annotations

import os

# Before transformers is imported: a pickled checkpoint would otherwise start a background upload.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")

import atexit
import hashlib
import importlib.util
import shutil
import socket
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, BitsAndBytesConfig, PretrainedConfig
from transformers.utils import logging as transformers_logging

from voxelzoo.api import (
    DataError,
    ExtractorRequest,
    MissingError,
    PluginError,
    UsageError,
    hub_cache,
    is_local,
    local_snapshot,
    weight_files,
)

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

DEVICE_MAPS = ("auto", "balanced", "sequential", "cpu", "disk")
"""How accelerate may spread a network."""

SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken")
"""Configuration and tokenizer: what a repository holds beside weights."""


def as_dtype(name: str) -> torch.dtype:
    """The torch dtype of that name."""
    try:
        return DTYPES[name]
    except KeyError:
        raise UsageError(f"dtype {name!r}: use one of {', '.join(DTYPES)}") from None


# ------------------------------------------------------------------------------ finding


def checkpoint_folder(request: ExtractorRequest) -> Path:
    """Folder on this machine with the model's configuration and complete weights.

    Tried in order: the row's own folder, the hub's cache, and a download where the hub answers.
    Raises :class:`MissingError` that says what is missing, where it was looked for and the mend.
    """
    model = request.model
    kind = model.weights_format
    if model.repo is None:
        raise MissingError(
            f"{model.name}: its weights are not published; give a folder that has them as 'repo' "
            "in a row of your own (--registry FILE), or use --untrained"
        )
    folder = local_snapshot(model.repo, model.revision)
    if folder is not None and (found := weight_files(folder, kind)):
        if any(path.suffix == ".bin" for path in found):
            _allow_pickle(request)
        return folder
    if not is_local(model.repo) and hub_answers():
        if kind == "pickle":
            _allow_pickle(request)
        weights = ["model*.safetensors", "model.safetensors.index.json"]
        if kind == "pickle":
            weights += ["pytorch_model*.bin", "pytorch_model.bin.index.json"]
        request.notify(f"{model.name}: downloading {model.repo} from the hub")
        folder = _download(model.name, model.repo, model.revision, [*weights, *SMALL_FILES])
        if weight_files(folder, kind):
            return folder
        raise MissingError(
            f"{model.name}: {model.repo} has no {_file_name(kind)} "
            f"(looked in {folder}); if it has a pickle, say so by 'weights_format: pickle'"
        )
    raise MissingError(
        f"{model.name}: no {_file_name(kind)} of {model.repo}{_at(model.revision)} "
        f"in {_where(model.repo)}{_how_to_get(request)}"
    )


def _allow_pickle(request: ExtractorRequest) -> None:
    if not request.allow_pickle:
        raise UsageError(
            f"{request.model.name}: its weights are a pickle, and loading one can run any code it "
            "holds; say --allow-pickle if you trust the source, or use --untrained"
        )


def config_folder(request: ExtractorRequest) -> Path | None:
    """Folder with ``config.json``: on this machine or fetched alone, else ``None``."""
    model = request.model
    if model.repo is None:
        return None
    folder = local_snapshot(model.repo, model.revision)
    if folder is not None and (folder / "config.json").is_file():
        return folder
    if is_local(model.repo) or not hub_answers():
        return None
    folder = _download(model.name, model.repo, model.revision, SMALL_FILES)
    return folder if (folder / "config.json").is_file() else None


def fetch_small_files(request: ExtractorRequest, repo: str) -> Path:
    """Folder with the configuration and tokenizer of another repository, here or fetched."""
    folder = local_snapshot(repo)
    if folder is not None:
        return folder
    if is_local(repo) or not hub_answers():
        raise MissingError(
            f"{request.model.name}: tokenizer {repo} is not in {_where(repo)}"
            + ("" if is_local(repo) else f"{_UNREACHABLE} 'hf download {repo}'")
        )
    return _download(request.model.name, repo, None, SMALL_FILES)


@cache
def hub_answers() -> bool:
    """Whether the hub can be reached, decided once and within seconds.

    The hub's own client would go on trying for half a minute a file.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if getproxies().get("https"):
        return True
    address = urlsplit(constants.ENDPOINT)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=3):
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
        raise MissingError(f"{name}: {repo} could not be fetched ({reason})") from None


_UNREACHABLE = ", and the hub cannot be reached; where there is a network, run"


def _file_name(kind: str) -> str:
    return "pytorch_model.bin" if kind == "pickle" else "model.safetensors (whole or in shards)"


def _at(revision: str | None) -> str:
    return f" at {revision[:12]}" if revision else ""


def _where(repo: str) -> str:
    return str(Path(repo).expanduser() if is_local(repo) else hub_cache())


def _how_to_get(request: ExtractorRequest) -> str:
    model = request.model
    if is_local(model.repo or ""):
        return "; put it there, mend 'repo' in the row, or use --untrained"
    revision = f" --revision {model.revision}" if model.revision else ""
    return f"{_UNREACHABLE} 'hf download {model.repo}{revision}', or use --untrained"


# ------------------------------------------------------------------------------ identity


def source_fingerprint(request: ExtractorRequest) -> dict[str, Any]:
    """What determines the weights and configuration, as JSON values.

    Untrained: the configuration. From the hub: the commit. From a folder of one's own: the digest
    of each file, so that a checkpoint changed in place is another checkpoint.
    """
    if request.untrained:
        return {"config": load_config(request).to_diff_dict()}
    model = request.model
    if model.repo is not None and not is_local(model.repo):
        if model.revision is not None:
            return {"commit": model.revision}
        return {"commit": checkpoint_folder(request).name}
    folder = checkpoint_folder(request)
    weights = weight_files(folder, model.weights_format)
    return {"files": file_digests([*weights, folder / "config.json"])}


def file_digests(files: list[Path]) -> dict[str, str]:
    """SHA-256 of each file that exists, by file name."""
    digests = {}
    for path in files:
        if path.is_file():
            found = path.stat()
            digests[path.name] = _digest(path.resolve(), found.st_size, found.st_mtime_ns)
    return digests


@cache
def _digest(path: Path, size: int, changed: int) -> str:
    """Digest of a file; size and time of change only tell a rewritten file from the one read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ------------------------------------------------------------------------------ loading


def load_config(request: ExtractorRequest) -> PretrainedConfig:
    """The network's configuration.

    Trained: the checkpoint's own ``config.json``. Untrained: the row's ``architecture``, or the
    checkpoint's where the row gives none.
    """
    model = request.model
    if request.untrained and model.architecture:
        return config_from(model.name, model.architecture)
    folder = config_folder(request) if request.untrained else checkpoint_folder(request)
    if folder is None:
        raise MissingError(
            f"{model.name}: the row gives no architecture and there is no config.json of "
            f"{model.repo} in {_where(model.repo or '')}; add 'architecture' to the row"
        )
    try:
        return AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=_trusted(request)
        )
    except (OSError, ValueError, KeyError, StrictDataclassError) as error:
        raise PluginError(
            f"{model.name}: {folder}/config.json cannot be used ({_first_line(error)})"
        ) from None


def config_from(name: str, architecture: Mapping[str, Any]) -> PretrainedConfig:
    """Configuration from a row's ``architecture``: ``model_type`` and its figures."""
    figures = dict(architecture)
    try:
        return AutoConfig.for_model(figures.pop("model_type"), **figures)
    except KeyError:
        raise PluginError(f"{name}: its architecture has no model_type") from None
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise PluginError(
            f"{name}: its architecture cannot be used ({_first_line(error)})"
        ) from None


def load_model(
    request: ExtractorRequest, auto_class: Any, config: PretrainedConfig
) -> torch.nn.Module:
    """The network, in evaluation mode, in the dtype asked for, on the device asked for.

    Random weights are drawn on the CPU from ``request.seed``, whatever the device, and leave the
    global random state as it was. Of the request's options, ``device_map`` (``auto``, ``balanced``,
    ``sequential``, ``cpu`` or ``disk``) spreads trained weights by accelerate over GPUs, memory and
    disk, and ``quantize`` (``8bit`` or ``4bit``) loads them by bitsandbytes.
    """
    dtype = as_dtype(request.dtype)
    device = checked_device(request.device)
    placement = _placement(request, device, dtype)
    if request.untrained:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(request.seed)
            model = auto_class.from_config(config, dtype=dtype)
    else:
        model = _load_trained(request, auto_class, config, dtype, placement)
    model.requires_grad_(False)
    model.eval()
    loaded: torch.nn.Module = model if placement else model.to(device)
    return loaded


def _placement(
    request: ExtractorRequest, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """Arguments of ``from_pretrained`` for weights that are spread out or quantised."""
    name, asked = request.model.name, request.options.get("device_map")
    bits = request.options.get("quantize")
    if asked is None and bits is None:
        return {}
    if request.untrained:
        raise UsageError(f"{name}: device_map and quantize are for trained weights")
    if asked not in (None, *DEVICE_MAPS):
        raise UsageError(f"{name}: device_map {asked!r}: use one of {', '.join(DEVICE_MAPS)}")
    if bits not in (None, "8bit", "4bit"):
        raise UsageError(f"{name}: quantize {bits!r}: use 8bit or 4bit")
    spread = {"": asked} if asked in ("cpu", "disk") else asked or {"": str(device)}
    placement: dict[str, Any] = {"device_map": spread}
    if asked is not None:
        placement["offload_folder"] = tempfile.mkdtemp(prefix="zoo-offload-")
        atexit.register(shutil.rmtree, placement["offload_folder"], ignore_errors=True)
    if bits is not None:
        if importlib.util.find_spec("bitsandbytes") is None:
            raise MissingError(
                f"{name}: quantize={bits} needs bitsandbytes; run 'pip install bitsandbytes'"
            )
        placement["quantization_config"] = BitsAndBytesConfig(
            load_in_8bit=bits == "8bit",
            load_in_4bit=bits == "4bit",
            bnb_4bit_compute_dtype=dtype,
        )
    return placement


def _load_trained(
    request: ExtractorRequest,
    auto_class: Any,
    config: PretrainedConfig,
    dtype: torch.dtype,
    placement: Mapping[str, Any],
) -> Any:
    folder = checkpoint_folder(request)
    weights = weight_files(folder, request.model.weights_format)
    try:
        model, report = auto_class.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=weights[0].suffix == ".safetensors",
            trust_remote_code=_trusted(request),
            local_files_only=True,
            output_loading_info=True,
            **placement,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{request.model.name}: the weights in {folder} cannot be loaded ({_first_line(error)})"
        ) from None
    # What a checkpoint lacks would be left random, with a warning at most.
    if absent := sorted(report["missing_keys"]):
        raise DataError(
            f"{request.model.name}: the weights in {folder} lack {len(absent)} tensors of "
            f"{type(model).__name__}, {absent[0]} among them; they are of another architecture"
        )
    return model


def checked_device(name: str) -> torch.device:
    """The torch device of that name; :class:`UsageError` where this machine lacks it."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"device {name!r}: use cpu, cuda, cuda:1 or mps") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {name!r}: this machine has no CUDA device; use --device cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError(f"device {name!r}: this machine has no MPS device; use --device cpu")
    return device


def _trusted(request: ExtractorRequest) -> bool:
    return request.trust_remote_code and request.model.trust_remote_code


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
