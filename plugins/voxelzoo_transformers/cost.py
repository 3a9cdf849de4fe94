"""Estimates what running a network takes, before it is loaded.

Sizes come from the model's row where that states them, otherwise from the network built without
memory. Speed comes from matrix products of the network's shape, timed for a moment. Estimates are
meant to be right within a factor of two, in half precision on a CPU within a factor of three.
"""

from __future__ import annotations

import platform
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from voxelzoo.api import ExtractorRequest, UsageError

if TYPE_CHECKING:
    from voxelzoo_transformers.configuration import NetworkConfig
    from voxelzoo_transformers.loading import Head

EFFICIENCY = 0.6
"""Speed of a network as a fraction of the speed of plain matrix products."""

ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}

LIBRARY_BYTES = 500_000_000
"""Memory that importing torch and transformers takes."""

HALF_PRECISION_SPEED = {
    "bfloat16": (("amx_bf16", 3.0), ("avx512_bf16", 1.5), ("avx512f", 0.5), ("", 0.06)),
    "float16": (("amx_fp16", 3.0), ("avx512_fp16", 1.5), ("avx512f", 0.5), ("", 0.1)),
}
"""Speed of half-precision products relative to float32 on an x86 CPU with that instruction set.

Typical of torch's kernels; the fastest that the CPU has counts, and the last is a CPU without any.
"""

_BLOCK = re.compile(r"(^|\.)(layers?|h|blocks|transformer)\.\d+\.")
_EXPERT = re.compile(r"\bexperts?\b")
_DECODER = re.compile(r"^decoder\.")

_LARGEST = {"cpu": 1024, "gpu": 8192}
"""Width of the products that stand for all wider ones: their speed no longer depends on it."""

_IMPORT_SECONDS = {"torch": 2.2, "transformers": 0.9, "transformers.modeling_utils": 1.6}
"""Time that importing a library takes; the last is what networks need beyond configurations."""

_PARAMETER_SECONDS = {False: 2.5e-9, True: 8e-9}
"""Time to read one weight, or to draw a random one (``untrained``)."""

_BLOCK_SECONDS, _TOKEN_SECONDS, _UNIT_SECONDS, _SCORE_SECONDS = 1.2e-3, 6e-7, 1.6e-8, 2.8e-9
"""Time on a CPU of a block for one batch, for each token, for each unit of it, and for each pair of
tokens in each head: what products of matrices do not account for."""

_GPU_BLOCK_SECONDS = 3e-4
"""Time to start the operations of a block on a GPU."""

_TIMED = 0.05
"""Seconds for which products are timed."""


@dataclass(frozen=True)
class NetworkSize:
    """Numbers of parameters."""

    total: int
    """All that are loaded."""
    per_position: int
    """Those that every token or frame passes through: all of the blocks' parameters, or, of a
    mixture of experts, the experts that a token is sent to."""


def stated_size(
    config: NetworkConfig, n_parameters: int | None, head: Head = "none"
) -> NetworkSize | None:
    """Size of a causal language model, from what its row and configuration state.

    All parameters but the embeddings are those of the blocks. Of a mixture of experts, in which an
    expert has three matrices (width, inner), a token passes through ``num_experts_per_tok``.

    Parameters
    ----------
    config : NetworkConfig
        The network's configuration.
    n_parameters : int or None
        Parameters without a head.
    head : {"none", "language-model"}, default "none"
        Whether it has a language-model head.

    Returns
    -------
    NetworkSize or None
        None if too little is stated.
    """
    vocabulary, width = config.stated("vocab_size"), config.stated("hidden_size")
    if not (n_parameters and vocabulary and width):
        return None
    embeddings = vocabulary * (config.stated("word_embed_proj_dim") or width)
    blocks = n_parameters - embeddings
    # Many heads share the embeddings' weights, but a row does not say whether this one does.
    total = n_parameters + (embeddings if head != "none" else 0)
    experts = config.stated("num_local_experts") or config.stated("num_experts")
    if not experts:
        return NetworkSize(total, blocks)
    used, depth = config.stated("num_experts_per_tok"), config.stated("num_hidden_layers")
    inner = config.stated("moe_intermediate_size") or config.stated("intermediate_size")
    if not (used and depth and inner) or config.stated("mlp_only_layers"):
        return None
    idle = depth * (experts - used) * 3 * width * inner
    return NetworkSize(total, blocks - idle) if idle < blocks else None


def built_size(config: NetworkConfig, head: Head = "none") -> NetworkSize:
    """Size of a network, counted on the network itself, built without memory.

    A decoder beside an encoder is loaded but does not run. Imports torch and transformers.

    Parameters
    ----------
    config : NetworkConfig
        The network's configuration.
    head : {"none", "language-model"}, default "none"
        Whether it has a language-model head.

    Returns
    -------
    NetworkSize
        The exact numbers.
    """
    import torch

    from voxelzoo_transformers.loading import auto_class
    from voxelzoo_transformers.quiet import quiet_transformers

    full = config.full
    with quiet_transformers(), torch.device("meta"):
        model = auto_class(head).from_config(full)
    total, running = 0, 0.0
    idle = _DECODER if hasattr(model, "encoder") else None
    experts = getattr(full, "num_local_experts", None) or getattr(full, "num_experts", None)
    used = getattr(full, "num_experts_per_tok", None)
    for name, parameter in model.named_parameters():
        total += parameter.numel()
        if _BLOCK.search(name) and not (idle and idle.search(name)):
            share = used / experts if used and experts and _EXPERT.search(name) else 1.0
            running += parameter.numel() * share
    return NetworkSize(total, int(running))


def block_size(width: int, inner: int) -> int:
    """Parameters of a transformer block: four projections of attention and two of the MLP.

    Biases and norms, under 1 % of them, are not counted.

    Parameters
    ----------
    width : int
        Units of a hidden state.
    inner : int
        Units of the MLP.

    Returns
    -------
    int
    """
    return 4 * width * width + 2 * width * inner


def conformer_block_size(width: int, inner: int) -> int:
    """Parameters of a conformer block: two MLPs, attention, and a gated convolution of width 1."""
    return block_size(width, inner) + 2 * width * inner + 3 * width * width


def weight_bytes(request: ExtractorRequest) -> float:
    """Bytes of one loaded weight."""
    quantized = {"8bit": 1.0, "4bit": 0.5}.get(request.options.get("quantize", ""))
    return quantized or float(item_bytes(request.dtype))


def item_bytes(dtype: str) -> int:
    """Bytes of one number of that dtype; :class:`UsageError` for an unknown one."""
    try:
        return ITEM_BYTES[dtype]
    except KeyError:
        raise UsageError(f"dtype {dtype!r}: use one of {', '.join(ITEM_BYTES)}") from None


def library_bytes(request: ExtractorRequest) -> float:
    """Memory of the CPU that the first network of a process takes beyond its own."""
    return LIBRARY_BYTES if request.device == "cpu" and "torch" not in sys.modules else 0.0


def seconds(request: ExtractorRequest, flops: float, width: int) -> float:
    """Time of ``flops`` operations in a network of that width, on the requested device."""
    largest = _LARGEST["cpu" if request.device == "cpu" else "gpu"]
    rate = product_rate(request.device, request.dtype, min(width, largest))
    return flops / (EFFICIENCY * rate)


def load_seconds(request: ExtractorRequest, n_parameters: int) -> float:
    """Time until a network is ready: libraries that are not imported yet, and its weights.

    Parameters
    ----------
    request : ExtractorRequest
        The model, and whether it is untrained.
    n_parameters : int
        All parameters of the network.

    Returns
    -------
    float
        Seconds, when its files have been read before; from a slow disk it takes longer.
    """
    imports = sum(time for name, time in _IMPORT_SECONDS.items() if name not in sys.modules)
    return imports + n_parameters * _PARAMETER_SECONDS[request.untrained]


def overhead_seconds(
    request: ExtractorRequest, passes: Sequence[int], n_batches: int, n_layers: int, heads: int
) -> float:
    """Time of a network beyond its products: most of the time of a small one.

    Every block of every batch starts a number of operations, every token passes through norms and
    activations, and the softmax of attention reads every pair of tokens. Constants were measured on
    one core of a server of 2024, in networks of 64 to 256 units.

    Parameters
    ----------
    request : ExtractorRequest
        The model and its device.
    passes : sequence of int
        Tokens or frames of each pass.
    n_batches : int
        Batches of passes.
    n_layers : int
        Blocks that run.
    heads : int
        Heads of attention.

    Returns
    -------
    float
        Seconds. On a GPU only what it takes to start operations.
    """
    if request.device != "cpu":
        return n_layers * n_batches * _GPU_BLOCK_SECONDS
    width = request.model.embed_dim or 0
    tokens = sum(passes) * (_TOKEN_SECONDS + width * _UNIT_SECONDS)
    scores = heads * sum(n * n for n in passes) * _SCORE_SECONDS
    return n_layers * (n_batches * _BLOCK_SECONDS + tokens + scores)


@lru_cache(maxsize=64)
def product_rate(device: str, dtype: str, width: int) -> float:
    """Floating-point operations per second of matrix products, timed now.

    Parameters
    ----------
    device, dtype : str
        As requested. On a CPU the product is NumPy's in float32, times a typical factor for half
        precision, so that torch is not imported; on other devices it is torch's.
    width : int
        The product is that of (n, width) with (width, 4 * width).

    Returns
    -------
    float
        Operations per second; a multiplication and an addition count as two.
    """
    item_bytes(dtype)
    if device == "cpu":
        left = np.ones((128, width), np.float32)
        right = np.ones((width, 4 * width), np.float32)
        took = _fastest(lambda: left @ right)
        return 2 * 128 * width * 4 * width / took * _half_precision_speed(dtype)
    return _torch_product_rate(device, dtype, width)


def _torch_product_rate(device: str, dtype: str, width: int) -> float:
    import torch
    from torch.nn.functional import linear

    from voxelzoo_transformers.loading import as_dtype, checked_device

    at = checked_device(device)
    n, repeats = 4096, 20
    with torch.inference_mode():
        left = torch.ones(n, width, device=at, dtype=as_dtype(dtype))
        weight = torch.ones(4 * width, width, device=at, dtype=as_dtype(dtype))

        def products() -> None:
            for _ in range(repeats):
                linear(left, weight)
            if at.type == "cuda":
                torch.cuda.synchronize(at)

        took = _fastest(products) / repeats
    return 2 * n * width * 4 * width / took


def _fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of the repetitions that fit into a moment."""
    best, spent = float("inf"), 0.0
    while spent < _TIMED:
        begun = time.perf_counter()
        work()
        took = time.perf_counter() - begun
        best, spent = min(best, took), spent + took
    return best


@cache
def _half_precision_speed(dtype: str) -> float:
    """Speed of products of this dtype on this CPU, relative to float32."""
    if dtype == "float32" or platform.machine() not in ("x86_64", "AMD64"):
        return 1.0
    try:
        flags = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    except OSError:  # not Linux: what most machines have
        flags = ["avx512f"]
    return next(speed for flag, speed in HALF_PRECISION_SPEED[dtype] if flag in (*flags, ""))
