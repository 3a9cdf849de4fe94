"""Recognises when memory has run out, so that work can continue in smaller batches."""

from __future__ import annotations

import sys


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that CPU or GPU memory has run out.

    Parameters
    ----------
    error : BaseException
        What was raised. PyTorch raises ``torch.OutOfMemoryError`` for a GPU and a plain
        ``RuntimeError`` for the CPU; NumPy raises ``MemoryError``.

    Returns
    -------
    bool
        True for any of those. PyTorch is not imported to answer.
    """
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate" in str(error)


def halved(size: int, error: Exception, least: int = 1) -> int | None:
    """The batch size to try next after a batch ran out of memory.

    Also returns PyTorch's unused GPU memory to the device. Call it in the ``except`` clause, and
    start the smaller batch after that clause: until then the error's traceback keeps the tensors
    of the failed batch alive.

    Parameters
    ----------
    size : int
        Number of items (voxels, windows, contexts) in the batch that failed.
    error : Exception
        What the batch raised.
    least : int, default 1
        The smallest batch size that is worth trying.

    Returns
    -------
    int or None
        Half of ``size``, rounded down, but at least ``least``. None if ``size`` is not above
        ``least``: the batch cannot be made smaller.

    Raises
    ------
    Exception
        ``error`` itself, if it does not mean that memory has run out.

    Examples
    --------
    >>> halved(100, MemoryError())
    50
    >>> halved(32, MemoryError(), least=32) is None
    True
    """
    if not is_out_of_memory(error):
        raise error
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    return max(least, size // 2) if size > least else None
