"""What a pass through a network takes, before it is loaded.

Sizes come from the network built without memory; speed from products of its shape, measured on the
device for a moment. Estimates are meant to be right within a factor of two.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from transformers import PretrainedConfig

from voxelzoo.api import ExtractorRequest
from voxelzoo_transformers.loading import as_dtype, checked_device

EFFICIENCY = 0.6
"""Share of the rate of plain matrix products at which a network runs."""

_BLOCK = re.compile(r"(^|\.)(layers?|h|blocks|transformer)\.\d+\.")
_EXPERT = re.compile(r"\bexperts?\b")
_DECODER = re.compile(r"^decoder\.")


@dataclass(frozen=True)
class NetworkSize:
    """Numbers of parameters."""

    total: int
    """All that are loaded."""
    per_position: int
    """Those of the blocks that every token or frame passes through; of experts, those that it
    is sent to."""


def network_size(auto_class: Any, config: PretrainedConfig) -> NetworkSize:
    """Sizes of the network that ``auto_class`` builds, a decoder beside an encoder left out of
    what runs."""
    with torch.device("meta"):
        model = auto_class.from_config(config)
    total, running = 0, 0.0
    idle = _DECODER if hasattr(model, "encoder") else None
    experts = getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None)
    used = getattr(config, "num_experts_per_tok", None)
    for name, parameter in model.named_parameters():
        total += parameter.numel()
        if _BLOCK.search(name) and not (idle and idle.search(name)):
            share = used / experts if used and experts and _EXPERT.search(name) else 1.0
            running += parameter.numel() * share
    return NetworkSize(total, int(running))


def bytes_a_number(request: ExtractorRequest) -> float:
    """Of a loaded weight."""
    quantized = {"8bit": 1.0, "4bit": 0.5}.get(request.options.get("quantize", ""))
    return quantized or float(as_dtype(request.dtype).itemsize)


def seconds(request: ExtractorRequest, flops: float, width: int) -> float:
    """Time that ``flops`` take in a network as wide as ``width``."""
    return flops / (EFFICIENCY * product_rate(request.device, request.dtype, width))


@cache
def product_rate(device: str, dtype: str, width: int) -> float:
    """Floating-point operations per second of products of that width, measured now."""
    at = checked_device(device)
    n = 512 if at.type == "cpu" else 4096
    with torch.inference_mode():
        left = torch.randn(n, width, device=at, dtype=torch.float32).to(as_dtype(dtype))
        right = torch.randn(width, 4 * width, device=at, dtype=torch.float32).to(as_dtype(dtype))
        best, spent = float("inf"), 0.0
        while spent < 0.2:
            begun = time.perf_counter()
            for _ in range(1 if at.type == "cpu" else 20):
                left @ right
            if at.type == "cuda":
                torch.cuda.synchronize(at)
            took = (time.perf_counter() - begun) / (1 if at.type == "cpu" else 20)
            best, spent = min(best, took), spent + took
    return 2 * n * width * 4 * width / best
