"""What a checkpoint says of its model, read without loading it: parameters, layers, width."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from voxelzoo.api import ExtractorRequest, ModelEntry, ZooError, local_snapshot, weight_files
from voxelzoo_transformers.configuration import NetworkConfig, source_fingerprint
from voxelzoo_transformers.cost import built_size

_FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
"""Types of numbers that are parameters; masks and positions are whole numbers."""

_BUFFERS = re.compile(r"(masked_bias|inv_freq)$")
_HEADS = re.compile(r"(^|\.)(lm_head|embed_out)\.weight$")


def described(
    request: ExtractorRequest, config: NetworkConfig, n_layers: int, width: int
) -> ModelEntry:
    """The model's row, with what it lacks.

    Parameters
    ----------
    request : ExtractorRequest
        The model.
    config : NetworkConfig
        The network's configuration.
    n_layers, width : int
        Blocks, and units of a state, as the extractor gives them.

    Returns
    -------
    ModelEntry
        The row. A figure that it states is never changed.
    """
    row = request.model
    if row.n_layers is None:
        row = replace(row, n_layers=n_layers)
    if row.embed_dim is None:
        row = replace(row, embed_dim=width)
    if row.n_parameters is None:
        row = replace(row, n_parameters=_n_parameters(request, config))
    return row


def describe_weights(request: ExtractorRequest) -> str | None:
    """Commit of the weights, or a digest of their files; ``None`` for random weights."""
    if request.untrained:
        return None
    source = source_fingerprint(request)
    if "commit" in source:
        return str(source["commit"])
    content = json.dumps(source, sort_keys=True).encode()
    return f"sha256:{hashlib.sha256(content).hexdigest()[:32]}"


def _n_parameters(request: ExtractorRequest, config: NetworkConfig) -> int | None:
    """Parameters of the network without a head, as rows of the catalogue count them."""
    model = request.model
    folder = local_snapshot(model.repo, model.revision) if model.repo else None
    # Files of a larger network, or of a quantised one, do not have this network's numbers.
    if folder is not None and config.is_stated and not config.stated("quantization_config"):
        counted = count_parameters(weight_files(folder))
        if counted is not None:
            return counted
    try:
        return built_size(config).total
    except (ZooError, ValueError, TypeError, RuntimeError, ImportError):
        return None  # an architecture that transformers cannot build


def count_parameters(files: Sequence[Path]) -> int | None:
    """Parameters in safetensors files, read from their headers.

    Masks, positions and a language-model head are not counted.

    Parameters
    ----------
    files : sequence of Path
        All files of a checkpoint.

    Returns
    -------
    int or None
        ``None`` if there is no safetensors file, or one is damaged.
    """
    shapes: dict[str, list[int]] = {}
    for path in files:
        header = _read_header(path)
        if header is None:
            return None
        for name, tensor in header.items():
            if tensor["dtype"] in _FLOATS and not _BUFFERS.search(name):
                shapes[name] = tensor["shape"]
    return (
        sum(
            math.prod(shape)
            for name, shape in shapes.items()
            if not _is_mask(shape) and not _HEADS.search(name)
        )
        or None
    )


def _read_header(path: Path) -> dict[str, Any] | None:
    """Names, types and shapes of the tensors of a safetensors file."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if path.suffix != ".safetensors" or length > path.stat().st_size:
                return None
            header: dict[str, Any] = json.loads(file.read(length))
    except (OSError, ValueError):
        return None
    header.pop("__metadata__", None)
    return header


def _is_mask(shape: Sequence[int]) -> bool:
    """Whether a tensor has the shape of a causal mask, (1, 1, n, n), as GPT-2's files have them."""
    return len(shape) == 4 and shape[0] == shape[1] == 1 and shape[2] == shape[3]
