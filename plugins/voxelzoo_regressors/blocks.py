"""Blocks of voxels: how many fit in memory, and those of them that can be fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxelzoo_regressors.arrays import Rows, defined_voxels

LEAST_VOXELS = 32
"""Blocks are not made smaller than this when memory runs out."""


CACHE_NUMBERS = 2**19
"""Numbers to work on between two passes, so that they stay in the processor's cache."""


def block_width(n_rows: int, n_products: int, itemsize: int) -> int:
    """Voxels per block for a work space of about 256 MiB.

    Parameters
    ----------
    n_rows : int
        Number of rows (TRs).
    n_products : int
        Arrays (row, voxel) in memory at once.
    itemsize : int
        Bytes per number.

    Returns
    -------
    int
        A multiple of 64, from 64 to 2,048.
    """
    width = np.clip(2**28 // (n_rows * (n_products + 2) * itemsize), 64, 2048)
    return int(width) // 64 * 64


def response_blocks(
    Y: Any, width: Callable[[], int], device: torch.device, dtype: torch.dtype
) -> Iterator[tuple[slice, Tensor, NDArray[np.bool_]]]:
    """Reads responses a block of voxels at a time.

    Blocks without a usable voxel are skipped.

    Parameters
    ----------
    Y : array of shape (row, voxel)
        Responses, in memory or on disk.
    width : callable
        Gives the number of voxels to read next. It may change between blocks.
    device, dtype : torch.device, torch.dtype
        Where to put the responses, and in which precision.

    Yields
    ------
    block : slice
        Voxels of the block.
    y : Tensor of shape (row, usable voxel)
        Responses that are finite and vary.
    defined : ndarray of bool, shape (voxel of the block,)
        Which voxels of the block those are.
    """
    start = 0
    while start < Y.shape[1]:
        block = slice(start, min(Y.shape[1], start + width()))
        values = np.ascontiguousarray(Y[:, block])
        defined = defined_voxels(values)
        if defined.any():
            values = values if defined.all() else values[:, defined]
            yield block, torch.tensor(values, dtype=dtype, device=device), defined
        start = block.stop


def row_index(rows: Rows, device: torch.device) -> Tensor | slice:
    """Row numbers as an index; consecutive ones as a slice, which indexes without a copy.

    Parameters
    ----------
    rows : ndarray of int, shape (row,)
        Row numbers.
    device : torch.device
        Where to put an index that is not a slice.
    """
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows) and (np.diff(rows) == 1).all():
        return slice(first, last + 1)
    return torch.as_tensor(rows, device=device)


def index_chunks(n: int, size: int) -> Iterator[slice]:
    """The first ``n`` indices in runs of ``size``, or of 1 if that is less."""
    size = max(1, size)
    return (slice(start, min(n, start + size)) for start in range(0, n, size))
