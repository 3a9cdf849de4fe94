"""Checkpoints that are one GGUF file, as llama.cpp writes them: network, tokenizer and weights.

transformers reads them where the package ``gguf`` is installed, and turns quantised weights into
numbers of the requested precision.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxelzoo.api import DataError, MissingError
from voxelzoo_transformers.quiet import first_line, quiet_transformers

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def check_gguf_installed(model: str) -> None:
    """Raise :class:`MissingError` if the package ``gguf`` is not installed.

    Parameters
    ----------
    model : str
        The model's name, for the message.
    """
    if importlib.util.find_spec("gguf") is None:
        raise MissingError(
            f"{model}: its weights are a GGUF file, which needs the package gguf; "
            "run 'pip install voxelzoo[gguf]'"
        )


def unreadable(model: str, path: Path, error: Exception) -> DataError:
    """The error for a GGUF file that cannot be used, in one line."""
    return DataError(f"{model}: {path} cannot be used ({first_line(error)})")


def read_gguf_config(model: str, path: Path) -> PretrainedConfig:
    """The network's configuration that a GGUF file holds; read once for each file.

    Parameters
    ----------
    model : str
        The model's name, for messages.
    path : Path
        The file.

    Returns
    -------
    PretrainedConfig
        As transformers translates it.

    Raises
    ------
    MissingError
        If the package ``gguf`` is not installed.
    DataError
        If the file is damaged, or transformers does not know its architecture.
    """
    check_gguf_installed(model)
    status = path.stat()
    try:
        return _read_config(path, status.st_size, status.st_mtime_ns)
    except Exception as error:  # a damaged file can make the package raise anything
        raise unreadable(model, path, error) from None


@contextlib.contextmanager
def without_bars() -> Iterator[None]:
    """Hides the bar that transformers shows while it reads a GGUF file, whatever its settings."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


@lru_cache(maxsize=16)
def _read_config(path: Path, size: int, modified: int) -> Any:
    """A file's configuration; size and time of change tell a rewritten file from the old one."""
    with quiet_transformers():
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)


def read_gguf_tokenizer(model: str, path: Path) -> Any:
    """The tokenizer that a GGUF file holds.

    Parameters
    ----------
    model : str
        The model's name, for messages.
    path : Path
        The file.

    Returns
    -------
    PreTrainedTokenizerFast

    Raises
    ------
    MissingError
        If the package ``gguf`` is not installed.
    DataError
        If the file is damaged, or holds a tokenizer that transformers cannot read.
    """
    check_gguf_installed(model)
    with quiet_transformers():
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(
                path.parent, gguf_file=path.name, local_files_only=True
            )
        except Exception as error:  # a damaged file can make the package raise anything
            raise unreadable(model, path, error) from None
