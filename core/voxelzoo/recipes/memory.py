"""Whether a model fits into the memory of this machine, estimated before it is loaded."""

from __future__ import annotations

import os

from voxelzoo.api import MissingError
from voxelzoo.runs.estimate import estimate_extraction
from voxelzoo.runs.keys import StateKeys
from voxelzoo.runs.plan import Plan
from voxelzoo.text import human_bytes


def check_memory(plan: Plan, keys: StateKeys) -> None:
    """Check that the states that are still to be extracted fit into the memory of the device.

    Parameters
    ----------
    plan : Plan
        The run.
    keys : StateKeys
        The model and layers to extract. The extractor's estimate is used; if it gives none, the
        size of the weights.

    Raises
    ------
    MissingError
        If there is too little memory.
    """
    extraction = estimate_extraction(plan, keys, keys.layers)
    if not extraction.n_stories:
        return
    entry, request = keys.model.request.model, keys.model.request
    part, needed = "", extraction.peak_bytes
    if needed is None:
        part = " for its weights alone"
        needed = (entry.n_parameters or 0) * (4 if request.dtype == "float32" else 2)
    available = device_memory(request.device)
    if available and needed > available:
        raise MissingError(
            f"too big: {entry.name} needs {human_bytes(needed)}{part} in {request.dtype}, "
            f"{request.device} has {human_bytes(available)}"
        )


def device_memory(device: str) -> int:
    """Memory of a device in bytes; 0 if unknown."""
    if device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            return 0
        return int(torch.cuda.get_device_properties(torch.device(device)).total_memory)
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return 0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
