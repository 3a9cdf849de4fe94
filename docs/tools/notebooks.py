"""Executes a notebook and writes it as Markdown, with its outputs."""

from __future__ import annotations

import base64
import re
import tempfile
from functools import cache
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

SECONDS = 900
"""A cell that takes longer fails."""


@cache
def executed(path: Path, changed: int) -> str:
    """Markdown of the notebook at ``path``, executed in an empty folder.

    Parameters
    ----------
    path
        A notebook in any format of jupytext; here Python files whose cells begin with ``# %%``.
    changed
        When the file was changed (ns): it is executed again only if it was.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises.
    """
    notebook = jupytext.read(path)
    notebook.metadata.setdefault("kernelspec", {"name": "python3", "display_name": "Python 3"})
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
        )
        client.execute()
    markdown, resources = MarkdownExporter().from_notebook_node(notebook)
    for name, content in resources["outputs"].items():
        kind = "svg+xml" if name.endswith(".svg") else "png"
        data = base64.b64encode(content).decode()
        markdown = markdown.replace(f"]({name})", f"](data:image/{kind};base64,{data})")
    return _without_styles(markdown)


def _without_styles(markdown: str) -> str:
    """Tables of pandas bring a style sheet each; the site has its own."""
    return re.sub(r"<style scoped>.*?</style>\n?", "", markdown, flags=re.S)
