"""The catalogue: ``registry.yaml``, rows that plugins ship, and users' overlays, as one list.

From low to high: the packaged ``registry.yaml``, plugins' rows, the user's ``registry.yaml``,
``./zoo.yaml``, each ``--registry FILE``. Rows merge field by field; the last value wins, ``null``
resets a field to its default, and every value remembers where it came from.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from voxelzoo.api import ModelEntry, NotFoundError, PluginError
from voxelzoo.host.blocking import config_path
from voxelzoo.host.catalogue_cache import CatalogueCache
from voxelzoo.host.host import Host
from voxelzoo.host.records import Problem, Registered
from voxelzoo.host.registry_files import RegistryFile, read_registry_file
from voxelzoo.host.registry_rows import FIELDS, FOLDER, default_of, row_problems


@dataclass(frozen=True)
class Catalogue:
    """Every model of this environment, sorted by name."""

    entries: tuple[ModelEntry, ...]
    problems: tuple[Problem, ...] = ()
    """Rows that plugins ship and that are invalid, so that they are not in the catalogue."""
    _sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    _distributions: Mapping[str, str] = field(default_factory=dict, repr=False)
    _missing: str = ""
    """A clause that names the plugins which are not loaded."""

    def find(self, name: str) -> ModelEntry:
        """The model with this name.

        Parameters
        ----------
        name
            Short name, canonical ``plugin/name``, an alias, or the hub id.

        Raises
        ------
        NotFoundError
            The name is unknown, or several models have it.
        """
        for matches in (
            [entry for entry in self.entries if entry.id == name],
            [entry for entry in self.entries if name in (entry.name, *entry.aliases)],
            [entry for entry in self.entries if (entry.repo or "").lower() == name.lower()],
        ):
            if len(matches) == 1:
                return matches[0]
            if matches:
                candidates = ", ".join(
                    f"{entry.id} ({self._distributions.get(entry.plugin, 'not installed')})"
                    for entry in matches
                )
                raise NotFoundError(f"model {name!r} is ambiguous; use one of {candidates}")
        names = [each for e in self.entries for each in (e.name, e.id, e.repo, *e.aliases)]
        near = difflib.get_close_matches(name, [n for n in names if n], n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "`zoo list` lists all"
        raise NotFoundError(f"no model {name!r}; {hint}{self._missing}")

    def sources(self, entry: ModelEntry) -> Mapping[str, str]:
        """Where each field of a row came from: ``file:line``, a distribution, or ``default``."""
        sources = self._sources.get(entry.id, {})
        return {name: sources.get(name, "default") for name in FIELDS}


def default_registry_path() -> Path:
    """The checkout's ``registry.yaml`` where there is one, else the copy inside the package."""
    root = Path(__file__).resolve().parents[3]
    if (root / "registry.yaml").is_file() and (root / "pyproject.toml").is_file():
        return root / "registry.yaml"
    return Path(str(resources.files("voxelzoo") / "_data" / "registry.yaml"))


def overlay_paths() -> list[Path]:
    """The user's and the project's overlays, where they exist, from low to high."""
    candidates = (config_path().parent / "registry.yaml", Path("zoo.yaml"))
    return [path for path in candidates if path.is_file()]


def load_catalogue(host: Host, overlays: Sequence[Path] = ()) -> Catalogue:
    """Merges registry files and plugins' rows into one catalogue.

    What was merged before and has not changed is read from a cache.

    Parameters
    ----------
    host
        The plugins, with the rows they ship.
    overlays
        Registry files of ``--registry``.

    Raises
    ------
    PluginError
        A file is invalid; the message has file and line.
    """
    paths = [default_registry_path(), *overlay_paths(), *overlays]
    cache = CatalogueCache(paths, host.models)
    merged = cache.read()
    if merged is None:
        merger = _Merger()
        merger.add_file(read_registry_file(paths[0]))
        merger.add_plugins(host.models)
        for path in paths[1:]:
            merger.add_file(read_registry_file(path))
        merged = merger.merged()
        cache.write(merged)
    entries = [ModelEntry(**values) for values in merged["rows"].values()]
    return Catalogue(
        entries=tuple(sorted(entries, key=lambda entry: (entry.name, entry.plugin))),
        problems=tuple(Problem(**problem) for problem in merged["dropped"]),
        _sources=merged["sources"],
        _distributions={r.name: f"{r.distribution} {r.version}" for r in host.records},
        _missing=host.missing_plugins(),
    )


def validate_registry(path: Path) -> list[str]:
    """Everything wrong with a registry or overlay, each as ``file:line: problem``; empty if valid.

    A row need not state fields that the packaged registry gives it.

    Raises
    ------
    PluginError
        The file cannot be read.
    """
    file = read_registry_file(path)
    merger = _Merger()
    if path.resolve() != default_registry_path().resolve():
        merger.add_file(read_registry_file(default_registry_path()))
    merger.merge_file(file)
    return [f"{path}:{line}: {problem}" for line, problem in sorted(set(merger.problems))]


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
