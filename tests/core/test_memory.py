from __future__ import annotations

import pytest
import torch

from voxelzoo.memory import halved, is_out_of_memory

CPU_MESSAGE = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError(CPU_MESSAGE), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (ValueError(CPU_MESSAGE), False),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


def test_a_batch_is_halved_down_to_the_least_size_and_no_further() -> None:
    sizes = []
    size: int | None = 100
    while size is not None:
        sizes.append(size)
        size = halved(size, MemoryError(), least=32)
    assert sizes == [100, 50, 32]


def test_other_errors_are_raised_again() -> None:
    error = RuntimeError("shapes cannot be multiplied")
    with pytest.raises(RuntimeError) as raised:
        halved(100, error)
    assert raised.value is error
