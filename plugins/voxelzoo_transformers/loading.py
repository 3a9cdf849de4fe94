"""Loads a network with its weights, trained or random."""

from __future__ import annotations

import atexit
import importlib.util
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Literal

import torch
from safetensors import SafetensorError

from voxelzoo.api import (
    DataError,
    ExtractorRequest,
    MissingError,
    UsageError,
    gguf_name,
    weight_files,
)
from voxelzoo_transformers.checkpoints import checkpoint_folder
from voxelzoo_transformers.configuration import (
    NetworkConfig,
    trusts_remote_code,
)
from voxelzoo_transformers.gguf_files import check_gguf_installed, without_bars
from voxelzoo_transformers.quiet import first_line, quiet_transformers

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

DEVICE_MAPS = ("auto", "balanced", "sequential", "cpu", "disk")
"""How accelerate may spread a network."""

Head = Literal["none", "language-model"]
"""What follows the last block: nothing, or the projection that predicts the next token."""


def as_dtype(name: str) -> torch.dtype:
    """The torch dtype of that name; :class:`UsageError` if it is not one of :data:`DTYPES`."""
    try:
        return DTYPES[name]
    except KeyError:
        raise UsageError(f"dtype {name!r}: use one of {', '.join(DTYPES)}") from None


def auto_class(head: Head) -> Any:
    """The transformers class that builds a network with or without a language-model head."""
    from transformers import AutoModel, AutoModelForCausalLM

    return AutoModel if head == "none" else AutoModelForCausalLM


def load_model(
    request: ExtractorRequest, config: NetworkConfig, head: Head = "none"
) -> torch.nn.Module:
    """The network, in evaluation mode, in the requested dtype, on the requested device.

    Random weights are drawn on the CPU from ``request.seed``, on any device, and the global random
    state is left as it was. Of the request's options, ``device_map`` (``auto``, ``balanced``,
    ``sequential``, ``cpu`` or ``disk``) spreads trained weights by accelerate over GPUs, memory and
    disk, and ``quantize`` (``8bit`` or ``4bit``) loads them by bitsandbytes.

    Parameters
    ----------
    request : ExtractorRequest
        The model, its device and dtype, and whether it is untrained.
    config : NetworkConfig
        The network's configuration.
    head : {"none", "language-model"}, default "none"
        Whether the network also predicts the next token.

    Returns
    -------
    torch.nn.Module
        The network; none of its parameters requires a gradient.

    Raises
    ------
    UsageError
        For a device, dtype or option that cannot be used here.
    MissingError
        If the weights, or bitsandbytes, are missing.
    DataError
        If the weights are damaged, or are those of another architecture.
    """
    dtype = as_dtype(request.dtype)
    device = checked_device(request.device)
    placement = _placement(request, device, dtype)
    with quiet_transformers():
        if request.untrained:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(request.seed)
                model = auto_class(head).from_config(config.full, dtype=dtype)
        else:
            model = _load_trained(request, config, head, dtype, placement)
    model.requires_grad_(False)
    model.eval()
    loaded: torch.nn.Module = model if placement else model.to(device)
    return loaded


def _placement(
    request: ExtractorRequest, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """Arguments of ``from_pretrained`` for weights that are spread out or quantised."""
    name, device_map = request.model.name, request.options.get("device_map")
    bits = request.options.get("quantize")
    if device_map is None and bits is None:
        return {}
    if request.untrained:
        raise UsageError(f"{name}: device_map and quantize are for trained weights")
    if bits is not None and gguf_name(request.model.repo) is not None:
        raise UsageError(f"{name}: quantize is not for GGUF files, which are quantised already")
    if device_map not in (None, *DEVICE_MAPS):
        raise UsageError(f"{name}: device_map {device_map!r}: use one of {', '.join(DEVICE_MAPS)}")
    if bits not in (None, "8bit", "4bit"):
        raise UsageError(f"{name}: quantize {bits!r}: use 8bit or 4bit")
    one_place = device_map in ("cpu", "disk")
    spread = {"": device_map} if one_place else device_map or {"": str(device)}
    placement: dict[str, Any] = {"device_map": spread}
    if device_map is not None:
        placement["offload_folder"] = tempfile.mkdtemp(prefix="zoo-offload-")
        atexit.register(shutil.rmtree, placement["offload_folder"], ignore_errors=True)
    if bits is not None:
        if importlib.util.find_spec("bitsandbytes") is None:
            raise MissingError(
                f"{name}: quantize={bits} needs bitsandbytes; run 'pip install bitsandbytes'"
            )
        from transformers import BitsAndBytesConfig

        placement["quantization_config"] = BitsAndBytesConfig(
            load_in_8bit=bits == "8bit",
            load_in_4bit=bits == "4bit",
            bnb_4bit_compute_dtype=dtype,
        )
    return placement


def _load_trained(
    request: ExtractorRequest,
    config: NetworkConfig,
    head: Head,
    dtype: torch.dtype,
    placement: Mapping[str, Any],
) -> Any:
    folder, gguf = checkpoint_folder(request), gguf_name(request.model.repo)
    weights = weight_files(folder, request.model.weights_format, gguf)
    if gguf is not None:
        check_gguf_installed(request.model.name)
        placement = {**placement, "gguf_file": gguf}
    else:
        placement = {**placement, "use_safetensors": weights[0].suffix == ".safetensors"}
    try:
        with without_bars() if gguf else nullcontext():
            model, report = auto_class(head).from_pretrained(
                folder,
                config=config.full,
                dtype=dtype,
                trust_remote_code=trusts_remote_code(request),
                local_files_only=True,
                output_loading_info=True,
                **placement,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{request.model.name}: the weights in {folder} cannot be loaded ({first_line(error)})"
        ) from None
    # transformers would leave missing tensors at random values, with a warning at most.
    # A pooler (BERT's) follows the last hidden state, and many checkpoints have none.
    if missing := sorted(key for key in report["missing_keys"] if not key.startswith("pooler.")):
        raise DataError(
            f"{request.model.name}: {len(missing)} tensors of {type(model).__name__} are missing "
            f"from the weights in {folder}, such as {missing[0]}; they are of another architecture"
        )
    return model


def checked_device(name: str) -> torch.device:
    """The torch device of that name; :class:`UsageError` if this machine does not have it."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"device {name!r}: use cpu, cuda, cuda:1 or mps") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device {name!r}: this machine has no CUDA device; use --device cpu")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError(f"device {name!r}: this machine has no MPS device; use --device cpu")
    return device
