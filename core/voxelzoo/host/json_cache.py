"""Small JSON files in the user's cache folder, so that most calls of ``zoo`` start fast.

Two things are kept: merged catalogues, and where installed plugins are. Each file holds a key that
says what it was made from, and is used only while that is unchanged. It may be deleted at any time;
a folder that cannot be written is ignored.
"""

from __future__ import annotations

import json
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from voxelzoo.disk.files import written_whole

LIMIT = 10
"""Most files of one kind that are kept."""


def cache_folder() -> Path:
    """Where the files are kept; ``ZOO_CACHE`` names another folder."""
    if folder := os.environ.get("ZOO_CACHE"):
        return Path(folder).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("voxelzoo")


class JsonCache:
    """One kept value.

    Parameters
    ----------
    kind
        What it is; begins the name of its file.
    key
        Everything that it is made from. A value kept under another key is not used.
    """

    def __init__(self, kind: str, key: str) -> None:
        self._kind = kind
        self._key = key
        self._file = cache_folder() / f"{kind}-{zlib.crc32(key.encode()):08x}.json"

    def read(self) -> dict[str, Any] | None:
        """What :meth:`write` was given, lists as tuples; ``None`` if it is not kept or outdated."""
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            content = _frozen(kept["content"]) if kept["key"] == self._key else None
            return content if isinstance(content, dict) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, content: dict[str, Any]) -> None:
        """Keeps JSON values; values that are not JSON, or a folder that is not writable: nothing.

        Other runs may write at the same time: a file is replaced whole.

        Parameters
        ----------
        content
            The value.
        """
        with suppress(OSError, TypeError, ValueError):
            text = json.dumps({"key": self._key, "content": content}, allow_nan=False)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self._file) as draft:
                draft.write_text(text, encoding="utf-8")
            kept = sorted(self._file.parent.glob(f"{self._kind}-*.json"), key=os.path.getmtime)
            for old in kept[:-LIMIT]:
                old.unlink(missing_ok=True)


def file_state(file: str | Path) -> tuple[str, int, int] | None:
    """Where a file is, when it changed and its size; ``None`` if there is none."""
    try:
        stat = os.stat(file)
    except OSError:
        return None
    return os.path.abspath(file), stat.st_mtime_ns, stat.st_size


def _frozen(value: Any) -> Any:
    """JSON values with tuples for lists, as registry files are read."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    if isinstance(value, dict):
        return {key: _frozen(each) for key, each in value.items()}
    return value
