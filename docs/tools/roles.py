"""Docstrings are written for readers of the code, with Sphinx's roles; the site is Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Roles(griffe.Extension):
    """Turns roles into code, ``::`` before an example into a colon, references into a list."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrites the docstring of anything that griffe has read."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    """A docstring whose roles and literal blocks are Markdown."""
    text = re.sub(r":[a-z]+:`~[^`]*?(\w+)`", r"`\1`", docstring)
    text = re.sub(r":[a-z]+:`([^`]+)`", r"`\1`", text)
    text = re.sub(r"^( *)\.\. \[(\d+)\] ", r"\1\2. ", text, flags=re.M)
    text = re.sub(r"\[(\d+)\]_", r"[\1]", text)
    text = re.sub(r"^[ \t]*(::|\.\. code-block:: \w+)[ \t]*$", "", text, flags=re.M)
    return re.sub(r"[ \t]*::[ \t]*$", ":", text, flags=re.M)
