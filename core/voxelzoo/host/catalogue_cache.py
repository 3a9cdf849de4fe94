"""Keeps merged catalogues, so that most calls of ``zoo`` parse and validate no YAML.

One small JSON file for each set of registry files, in the user's cache folder (``ZOO_CACHE`` names
another), ten at most. A file is used only if everything it was made from is unchanged: the size and
time of every registry file and of the code that reads them, and the rows that plugins ship. It may
be deleted at any time; a folder that cannot be written is ignored.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from voxelzoo.api import ModelEntry
from voxelzoo.host.records import Registered

LIMIT = 10
"""Most files that are kept."""

_CODE = (
    *Path(__file__).parent.glob("*.py"),
    *(Path(__file__).parents[1] / "contract").glob("*.py"),
    Path(__file__).parents[1] / "strict_yaml.py",
)
"""Code that decides what a catalogue holds."""


def cache_folder() -> Path:
    """Where catalogues are kept."""
    if folder := os.environ.get("ZOO_CACHE"):
        return Path(folder).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("voxelzoo")


class CatalogueCache:
    """The kept catalogue of one set of registry files and plugins' rows.

    Parameters
    ----------
    paths
        The registry files, from low to high.
    rows
        Rows that plugins ship.
    """

    def __init__(self, paths: Iterable[Path], rows: Iterable[Registered[ModelEntry]]) -> None:
        states = [(str(path), _state(path)) for path in (*paths, *_CODE)]
        self._key = repr([*states, *rows])
        self._file = cache_folder() / f"catalogue-{zlib.crc32(self._key.encode()):08x}.json"

    def read(self) -> Mapping[str, Any] | None:
        """What :meth:`write` was given, lists as tuples; ``None`` if it is not kept or outdated."""
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            content = _frozen(kept["content"]) if kept["key"] == self._key else None
            return content if isinstance(content, dict) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, content: Mapping[str, Any]) -> None:
        """Keeps JSON values; values that are not JSON, or a folder that is not writable: nothing.

        Other runs may write at the same time: a file is replaced whole.
        """
        draft = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        with suppress(OSError, TypeError, ValueError):
            text = json.dumps({"key": self._key, "content": content}, allow_nan=False)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(text, encoding="utf-8")
            draft.replace(self._file)
            kept = sorted(self._file.parent.glob("catalogue-*.json"), key=os.path.getmtime)
            for old in kept[:-LIMIT]:
                old.unlink(missing_ok=True)


def _state(file: Path) -> tuple[str, int, int] | None:
    """Where a file is, when it changed and its size; ``None`` if there is none."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return str(file.absolute()), stat.st_mtime_ns, stat.st_size


def _frozen(value: Any) -> Any:
    """JSON values with tuples for lists, as registry files are read."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    if isinstance(value, dict):
        return {key: _frozen(each) for key, each in value.items()}
    return value
