"""What MkDocs does besides: pages that are written from the code, and the notebook.

A page asks for generated text by a comment on a line of its own: ``<!-- commands -->``,
``<!-- exit codes -->``, ``<!-- names of voxelzoo.api -->``, ``<!-- notebook from_python.py -->`` or
``<!-- file CHANGELOG.md -->``, a file of the repository.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from command_reference import command_sections, exit_codes
from notebooks import executed

DOCS = Path(__file__).resolve().parents[1]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts generated text where a page asks for it."""
    return re.sub(r"^<!-- (.+) -->$", lambda asked: _generated(asked[1]), markdown, flags=re.M)


def _generated(asked: str) -> str:
    if asked == "commands":
        return command_sections()
    if asked == "exit codes":
        return exit_codes()
    if asked.startswith("names of "):
        return _names(asked.removeprefix("names of "))
    if asked.startswith("notebook "):
        return _notebook(asked.removeprefix("notebook "))
    if asked.startswith("file "):
        return _file(asked.removeprefix("file "))
    raise ValueError(f"a page asks for {asked!r}, which nothing generates")


def _names(module: str) -> str:
    """A mkdocstrings block for each public name of a module."""
    names = sorted(importlib.import_module(module).__all__, key=str.casefold)
    return "\n\n".join(f"::: {module}.{name}" for name in names)


def _file(name: str) -> str:
    """Markdown as it is; anything else as a block of code."""
    text = (DOCS.parent / name).read_text(encoding="utf-8").rstrip("\n")
    suffix = Path(name).suffix.removeprefix(".")
    return text if suffix == "md" else f"```{suffix}\n{text}\n```"


def _notebook(name: str) -> str:
    path = DOCS / "notebooks" / name
    return executed(path, path.stat().st_mtime_ns)
