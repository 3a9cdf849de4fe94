"""transformers without its noise, and its errors in one line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Imports and uses transformers without its warnings, progress bars and background upload.

    transformers would start an upload to convert a pickled checkpoint. Its settings are restored
    afterwards: a notebook that uses transformers itself keeps its own.
    """
    variable = "DISABLE_SAFETENSORS_CONVERSION"
    before = os.environ.get(variable)
    os.environ.setdefault(variable, "1")
    try:
        from transformers.utils import logging

        verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
    finally:
        if before is None:
            os.environ.pop(variable, None)


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its class if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
