"""Merges registry files and plugins' rows into one catalogue.

Apart from :mod:`voxelzoo.host.catalogue`, because most calls of ``zoo`` find the result in a cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from voxelzoo.api import ModelEntry, PluginError
from voxelzoo.host.records import Problem, Registered
from voxelzoo.host.registry_files import RegistryFile, read_registry_file
from voxelzoo.host.registry_rows import FIELDS, FOLDER, default_of, row_problems


def merge(paths: Sequence[Path], models: Iterable[Registered[ModelEntry]]) -> dict[str, Any]:
    """Merges registry files and plugins' rows.

    Parameters
    ----------
    paths
        The packaged registry, then overlays from low to high. Plugins' rows come after the first.
    models
        Rows that plugins ship.

    Returns
    -------
    dict
        JSON values: ``rows`` and ``sources`` by canonical id, and ``dropped``, the problems of
        plugins' rows that are invalid.

    Raises
    ------
    PluginError
        A file is invalid; the message has file and line.
    """
    merger = _Merger()
    merger.add_file(read_registry_file(paths[0]))
    merger.add_plugins(models)
    for path in paths[1:]:
        merger.add_file(read_registry_file(path))
    return merger.merged()


def problems_of(file: RegistryFile, base: RegistryFile | None) -> list[tuple[int, str]]:
    """Everything wrong with a registry or overlay.

    Parameters
    ----------
    file
        The file to check.
    base
        The packaged registry, whose fields the rows of ``file`` need not repeat; ``None`` if
        ``file`` is itself that.

    Returns
    -------
    list of (int, str)
        Lines with what is wrong, sorted.
    """
    merger = _Merger()
    if base is not None:
        merger.add_file(base)
    merger.merge_file(file)
    return sorted(set(merger.problems))


@dataclass
class _Row:
    """A row being merged: its values, and where each was stated."""

    where: tuple[Path | None, int]
    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


class _Merger:
    """Merges registry files and plugins' rows, one over another."""

    def __init__(self) -> None:
        self.rows: dict[str, _Row] = {}
        self.problems: list[tuple[int, str]] = []
        self.dropped: list[Problem] = []

    def add_file(self, file: RegistryFile) -> None:
        """Merges a file; raises :class:`PluginError` if it is invalid."""
        self.merge_file(file)
        if self.problems:
            line, problem = min(self.problems)
            others = len(self.problems) - 1
            more = f" ({others} more: zoo registry validate {file.path})" if others else ""
            raise PluginError(f"{file.path}:{line}: {problem}{more}")

    def add_plugins(self, models: Iterable[Registered[ModelEntry]]) -> None:
        """Merges rows that plugins ship; an invalid one is skipped and reported."""
        for registered in models:
            given = {
                name: value
                for name, item in FIELDS.items()
                if (value := getattr(registered.spec, name)) != default_of(item)
            }
            if wrong := row_problems(given):
                text = "; ".join(f"{name}: {problem}" for name, problem in wrong.items())
                message = f"plugin {registered.plugin!r}: row {registered.spec.name!r}: {text}"
                self.dropped.append(Problem(registered.distribution, message))
                continue
            source = f"{registered.distribution} {registered.version}"
            row = self.rows.setdefault(registered.id, _Row((None, 0)))
            row.values |= given
            row.sources |= dict.fromkeys(given, source)

    def merge_file(self, file: RegistryFile) -> None:
        """Merges those rows of a file that are valid, and notes what is wrong with the others."""
        self.problems = list(file.problems)
        for key, fields in file.rows.items():
            row = self._target(key, fields, file.lines[key])
            if row is None:
                continue
            row.where = (file.path, file.lines[key])
            for name, (value, line) in fields.items():
                row.sources[name] = f"{file.path}:{line}"
                if value is None:
                    row.values.pop(name, None)
                elif name != "override":
                    row.values[name] = _resolve(name, value, file.path)
        self._check()

    def _target(self, key: str, fields: Mapping[str, tuple[Any, int]], line: int) -> _Row | None:
        """The row that a key of a file means, new or existing; ``None`` if it is a problem."""
        given, slash, name = key.rpartition("/")
        plugin = given if slash else fields.get("plugin", (None, 0))[0]
        if slash and fields.get("plugin", (given, 0))[0] != given:
            self.problems.append((line, f"models.{key}: key and plugin disagree"))
            return None
        existing = [row_id for row_id in self.rows if row_id.rpartition("/")[2] == name]
        if plugin is None:
            if len(existing) == 1:
                return self.rows[existing[0]]
            problem = (
                f"is ambiguous; write one of {', '.join(existing)} as its key"
                if existing
                else "is new, so it needs plugin and modality"
            )
            self.problems.append((line, f"models.{key}: {problem}"))
            return None
        row_id = f"{plugin}/{name}"
        if row_id not in self.rows and existing and not slash:
            if not fields.get("override", (False, 0))[0] or len(existing) > 1:
                owners = ", ".join(existing)
                self.problems.append(
                    (
                        line,
                        f"models.{key}: already exists as {owners}; to give it to plugin "
                        f"{plugin!r} add override: true, to have both write {row_id!r} as its key",
                    )
                )
                return None
            self.rows[row_id] = self.rows.pop(existing[0])
        row = self.rows.setdefault(row_id, _Row((None, line)))
        row.values |= {"name": name, "plugin": plugin}
        return row

    def _check(self) -> None:
        """Notes rows without a modality, and names that clash within one file."""
        names: dict[tuple[Path | None, str], str] = {}
        for row_id, row in self.rows.items():
            path, line = row.where
            if "modality" not in row.values:
                self.problems.append((line, f"models.{row.values['name']}: modality is missing"))
            for name in (row.values["name"], *row.values.get("aliases", ())):
                other = names.setdefault((path, name), row_id)
                if path is not None and other != row_id:
                    self.problems.append((line, f"{row_id}: {name!r} is also a name of {other}"))

    def merged(self) -> dict[str, Any]:
        """Rows, their sources and the rows that were skipped, as JSON values."""
        return {
            "rows": {row_id: row.values for row_id, row in self.rows.items()},
            "sources": {row_id: row.sources for row_id, row in self.rows.items()},
            "dropped": [asdict(problem) for problem in self.dropped],
        }


def _resolve(name: str, value: Any, path: Path) -> Any:
    """A folder is written relative to the file that names it."""
    if name in ("repo", "tokenizer") and isinstance(value, str) and FOLDER.match(value):
        return os.path.normpath(path.resolve().parent / Path(value).expanduser())
    return value
