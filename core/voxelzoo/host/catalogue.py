"""The catalogue: ``registry.yaml``, rows that plugins ship, and users' overlays, as one list.

From low to high: the packaged ``registry.yaml``, plugins' rows, the user's ``registry.yaml``,
``./zoo.yaml``, each ``--registry FILE``. Rows merge field by field; the last value wins, ``null``
resets a field to its default, and every value remembers where it came from.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from voxelzoo.api import ModelEntry, NotFoundError
from voxelzoo.host.blocking import config_path
from voxelzoo.host.host import Host
from voxelzoo.host.json_cache import JsonCache, file_state
from voxelzoo.host.records import Problem, Registered


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
            [entry for entry in self.entries if entry.name == name],
            [entry for entry in self.entries if name in entry.aliases],
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
        return {item.name: sources.get(item.name, "default") for item in fields(ModelEntry)}


def default_registry_path() -> Path:
    """The checkout's ``registry.yaml`` where there is one, else the copy inside the package."""
    package = Path(__file__).resolve().parents[1]
    root = package.parents[1]
    if (root / "registry.yaml").is_file() and (root / "pyproject.toml").is_file():
        return root / "registry.yaml"
    return package / "_data" / "registry.yaml"


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
    cache = JsonCache("catalogue", _key(paths, host.models))
    merged = cache.read()
    if merged is None:
        # For start-up time: most calls find the catalogue in the cache.
        from voxelzoo.host.catalogue_merging import merge

        merged = merge(paths, host.models)
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

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    PluginError
        The file cannot be read.
    """
    # For start-up time, as in :func:`load_catalogue`.
    from voxelzoo.host.catalogue_merging import problems_of
    from voxelzoo.host.registry_files import read_registry_file

    file, packaged = read_registry_file(path), default_registry_path()
    base = None if path.resolve() == packaged.resolve() else read_registry_file(packaged)
    return [f"{path}:{line}: {problem}" for line, problem in problems_of(file, base)]


def _key(paths: Iterable[Path], rows: Iterable[Registered[ModelEntry]]) -> str:
    """What a catalogue is made from: registry files, the code that reads them, plugins' rows."""
    core = Path(__file__).parents[1]
    code = (*core.glob("host/*.py"), *core.glob("contract/*.py"), core / "strict_yaml.py")
    return repr([*((str(path), file_state(path)) for path in (*paths, *code)), *rows])
