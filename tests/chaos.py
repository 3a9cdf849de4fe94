"""What the chaos tests share: content of folders, and processes that are killed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path


def contents(store: Path) -> dict[str, bytes]:
    """Every artefact of a store."""
    return {
        f"{kind}/{path.name}": path.read_bytes()
        for kind in ("aligned", "results", "states")
        for path in (store / kind).glob("*")
    }


def tree(root: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def kill_after(call: Sequence[str], seconds: float) -> None:
    """Run a command, and kill it after some time, if it has not ended."""
    process = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
