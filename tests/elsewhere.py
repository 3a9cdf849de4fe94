"""A device that is not there: operations on it run on the CPU, but mixing devices is an error.

As on a GPU, a tensor of one device cannot be combined with a tensor of another, nor become a NumPy
array. Indices and numbers may come from the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

DEVICE = torch.device("cuda", 0)

_TRANSFERS = {torch.tensor, torch.as_tensor, Tensor.to, Tensor.cpu, Tensor.cuda}
_INDEXING = {Tensor.__getitem__, Tensor.__setitem__}
_TO_NUMPY = {Tensor.numpy, Tensor.__array__}


class OnDevice(Tensor):
    """A tensor that pretends to lie on the device."""

    __torch_function__ = torch._C._disabled_torch_function_impl


class Elsewhere(TorchFunctionMode):
    """While this is active, ``device="cuda"`` is the device that is not there."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        tensors = list(_tensors([*args, *kwargs.values()]))
        there = [tensor for tensor in tensors if isinstance(tensor, OnDevice)]
        if func == Tensor.device.__get__:
            return DEVICE if there else func(*args, **kwargs)
        if func in _TO_NUMPY and there:
            raise TypeError("can't convert a tensor on the device to numpy: use .cpu()")
        goes = _destination(func, args, kwargs)
        if goes is None:
            self._refuse_mixtures(func, args, kwargs)
            goes = bool(there)
        args = [_on_cpu(value) for value in args]
        kwargs = {name: _on_cpu(value) for name, value in kwargs.items()}
        return _placed(func(*args, **kwargs), goes)

    def _refuse_mixtures(self, func: Callable[..., Any], args: Any, kwargs: Any) -> None:
        values = [*args, *kwargs.values()]
        if func in _INDEXING:  # indices may lie on the CPU
            values = [values[0], *values[2:]]
        kinds = {isinstance(t, OnDevice) for t in _tensors(values) if t.dim()}
        if len(kinds) > 1:
            raise RuntimeError(f"expected all tensors to be on the same device: {func}")


def _destination(func: Callable[..., Any], args: Any, kwargs: Any) -> bool | None:
    """Whether a call's result goes to the device (True) or to the CPU (False), if it says so."""
    if func is Tensor.cpu:
        return False
    named = [kwargs.get("device"), *(args[1:] if func is Tensor.to else ())]
    for value in named:
        if isinstance(value, OnDevice):
            return True
        if isinstance(value, Tensor):
            return False
        if isinstance(value, str | torch.device):
            return torch.device(value).type == DEVICE.type
    return False if func is torch.tensor else None


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, OnDevice):
        return value.as_subclass(Tensor)
    if isinstance(value, torch.device) or (isinstance(value, str) and value.startswith("cuda")):
        return torch.device("cpu")
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return type(value)(_on_cpu(item) for item in value)
    return value


def _placed(value: Any, there: bool) -> Any:
    if isinstance(value, Tensor):
        return value.as_subclass(OnDevice if there else Tensor)
    if isinstance(value, tuple) and not isinstance(value, torch.Size):
        items = [_placed(item, there) for item in value]
        return type(value)(items) if hasattr(value, "n_fields") else tuple(items)
    if isinstance(value, list):
        return [_placed(item, there) for item in value]
    return value
