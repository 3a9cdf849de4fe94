"""The catalogue: ``registry.yaml``, rows that plugins ship, and users' overlays, as one list.

From low to high: the packaged ``registry.yaml``, plugins' rows, the user's ``registry.yaml``,
``./zoo.yaml``, each ``--registry FILE``. Rows merge field by field, the last word wins, ``null``
puts a field back to its default, and every value remembers where it came from. A registry file is
data alone: it can use installed plugins, it cannot name code.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from voxelzoo.api import ModelEntry, NotFoundError, PluginError
from voxelzoo.host.blocking import config_path
from voxelzoo.host.host import Host
from voxelzoo.host.records import Problem, Registered, suggestion
from voxelzoo.strict_yaml import Document, read_yaml

if TYPE_CHECKING:
    from pydantic import BaseModel

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Catalogue:
    """Every model this environment knows, sorted by name."""

    entries: tuple[ModelEntry, ...]
    problems: tuple[Problem, ...] = ()
    """Rows that plugins shipped and that were left out."""
    _sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    _distributions: Mapping[str, str] = field(default_factory=dict, repr=False)
    _lost: str = ""

    def find(self, name: str) -> ModelEntry:
        """The model of this name: short, canonical ``plugin/name``, an alias, or its hub id.

        Raises :class:`NotFoundError` for a name that is unknown, or that more than one model has.
        """
        for found in (
            [entry for entry in self.entries if entry.id == name],
            [entry for entry in self.entries if name in (entry.name, *entry.aliases)],
            [entry for entry in self.entries if (entry.repo or "").lower() == name.lower()],
        ):
            if len(found) == 1:
                return found[0]
            if found:
                candidates = ", ".join(
                    f"{entry.id} ({self._distributions.get(entry.plugin, 'not installed')})"
                    for entry in found
                )
                raise NotFoundError(f"model {name!r} is ambiguous; use one of {candidates}")
        names = [known for e in self.entries for known in (e.name, e.id, e.repo, *e.aliases)]
        near = difflib.get_close_matches(name, [n for n in names if n], n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else "`zoo list` names them all"
        raise NotFoundError(f"no model {name!r}; {hint}{self._lost}")

    def sources(self, entry: ModelEntry) -> Mapping[str, str]:
        """Where each field of a row came from: ``file:line``, a distribution, or ``default``."""
        known = self._sources.get(entry.id, {})
        return {name: known.get(name, "default") for name in _FIELDS}


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
    """Merges every layer into one catalogue; ``overlays`` are those of ``--registry``.

    Raises :class:`PluginError` for a file that is not valid, with file and line.
    """
    merger = _Merger()
    merger.add_file(_read_layer(default_registry_path()))
    merger.add_plugins(host.models)
    for path in (*overlay_paths(), *overlays):
        merger.add_file(_read_layer(path))
    return merger.catalogue(host)


def validate_registry(path: Path) -> list[str]:
    """Everything wrong with a registry or overlay, each as ``file:line: problem``; empty if valid.

    A row may leave out fields that the packaged registry gives it. Raises :class:`PluginError`
    where the file cannot be read.
    """
    layer = _read_layer(path)
    merger = _Merger()
    if path.resolve() != default_registry_path().resolve():
        merger.add_file(_read_layer(default_registry_path()))
    merger.merge_file(layer)
    return [f"{path}:{line}: {problem}" for line, problem in sorted(set(merger.problems))]


def registry_schema() -> dict[str, Any]:
    """JSON Schema of a registry file, for editors."""
    row = _row_model().model_json_schema()
    fields = {key: value for key, value in row["properties"].items() if key != "name"}
    nullable = {key: {"anyOf": [value, {"type": "null"}]} for key, value in fields.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "voxelzoo model registry",
        "type": "object",
        "additionalProperties": False,
        "required": ["schema_version"],
        "properties": {
            "schema_version": {"const": SCHEMA_VERSION},
            "models": {
                "type": "object",
                "propertyNames": {"pattern": _KEY.pattern},
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {**nullable, "override": {"type": "boolean"}},
                },
            },
        },
    }


@dataclass
class _Row:
    """A row under way: what has been said of it, and where."""

    where: tuple[Path | None, int]
    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Layer:
    """One registry file: its valid rows, each field with its line, and what is wrong."""

    path: Path
    rows: Mapping[str, Mapping[str, tuple[Any, int]]]
    lines: Mapping[str, int]
    problems: tuple[tuple[int, str], ...]


class _Merger:
    """Lays one layer over another."""

    def __init__(self) -> None:
        self.rows: dict[str, _Row] = {}
        self.problems: list[tuple[int, str]] = []
        self.dropped: list[Problem] = []

    def add_file(self, layer: _Layer) -> None:
        """Merges a file; raises :class:`PluginError` where it is not valid."""
        self.merge_file(layer)
        if self.problems:
            line, problem = min(self.problems)
            others = len(self.problems) - 1
            more = f" ({others} more: zoo registry validate {layer.path})" if others else ""
            raise PluginError(f"{layer.path}:{line}: {problem}{more}")

    def add_plugins(self, models: Iterable[Registered[ModelEntry]]) -> None:
        """Merges rows that plugins ship; one that is not valid is left out and reported."""
        for registered in models:
            given = {
                name: value
                for name, item in _FIELDS.items()
                if (value := getattr(registered.spec, name)) != _default(item)
            }
            if wrong := _row_problems(given):
                text = "; ".join(f"{name}: {problem}" for name, problem in wrong.items())
                message = f"plugin {registered.plugin!r}: row {registered.spec.name!r}: {text}"
                self.dropped.append(Problem(registered.distribution, message))
                continue
            source = f"{registered.distribution} {registered.version}"
            row = self.rows.setdefault(registered.id, _Row((None, 0)))
            row.values |= given
            row.sources |= dict.fromkeys(given, source)

    def merge_file(self, layer: _Layer) -> None:
        """Merges those rows of a file that are valid, and notes what is wrong with the others."""
        self.problems = list(layer.problems)
        for key, fields in layer.rows.items():
            row = self._target(key, fields, layer.lines[key])
            if row is None:
                continue
            row.where = (layer.path, layer.lines[key])
            for name, (value, line) in fields.items():
                row.sources[name] = f"{layer.path}:{line}"
                if value is None:
                    row.values.pop(name, None)
                elif name != "override":
                    row.values[name] = _resolve(name, value, layer.path)
        self._check()

    def _target(self, key: str, fields: Mapping[str, tuple[Any, int]], line: int) -> _Row | None:
        """The row that a key of a file speaks of, new or known."""
        given, slash, name = key.rpartition("/")
        plugin = given if slash else fields.get("plugin", (None, 0))[0]
        if slash and fields.get("plugin", (given, 0))[0] != given:
            self.problems.append((line, f"models.{key}: key and plugin disagree"))
            return None
        known = [row_id for row_id in self.rows if row_id.rpartition("/")[2] == name]
        if plugin is None:
            if len(known) == 1:
                return self.rows[known[0]]
            problem = (
                f"is ambiguous; write one of {', '.join(known)} as its key"
                if known
                else "is new, so it needs plugin and modality"
            )
            self.problems.append((line, f"models.{key}: {problem}"))
            return None
        row_id = f"{plugin}/{name}"
        if row_id not in self.rows and known and not slash:
            if not fields.get("override", (False, 0))[0] or len(known) > 1:
                owners = ", ".join(known)
                self.problems.append(
                    (
                        line,
                        f"models.{key}: already there as {owners}; to give it to plugin "
                        f"{plugin!r} add override: true, to have both write {row_id!r} as its key",
                    )
                )
                return None
            self.rows[row_id] = self.rows.pop(known[0])
        row = self.rows.setdefault(row_id, _Row((None, line)))
        row.values |= {"name": name, "plugin": plugin}
        return row

    def _check(self) -> None:
        """Notes rows that lack what every row must have, and names that clash in one file."""
        names: dict[tuple[Path | None, str], str] = {}
        for row_id, row in self.rows.items():
            path, line = row.where
            if "modality" not in row.values:
                self.problems.append((line, f"models.{row.values['name']}: modality is missing"))
            for name in (row.values["name"], *row.values.get("aliases", ())):
                other = names.setdefault((path, name), row_id)
                if path is not None and other != row_id:
                    self.problems.append((line, f"{row_id}: {name!r} is also a name of {other}"))

    def catalogue(self, host: Host) -> Catalogue:
        entries = [ModelEntry(**row.values) for row in self.rows.values()]
        return Catalogue(
            entries=tuple(sorted(entries, key=lambda entry: (entry.name, entry.plugin))),
            problems=tuple(self.dropped),
            _sources={row_id: row.sources for row_id, row in self.rows.items()},
            _distributions={r.name: f"{r.distribution} {r.version}" for r in host.records},
            _lost=host.missing_plugins(),
        )


def _resolve(name: str, value: Any, path: Path) -> Any:
    """A folder is written relative to the file that names it."""
    if name in ("repo", "tokenizer") and isinstance(value, str) and _FOLDER.match(value):
        return os.path.normpath(path.resolve().parent / Path(value).expanduser())
    return value


def _default(item: dataclasses.Field[Any]) -> Any:
    if item.default_factory is not dataclasses.MISSING:
        return item.default_factory()
    return item.default


def _read_layer(path: Path) -> _Layer:
    """Reads and checks one registry file, row by row."""
    document = read_yaml(path)
    problems = dict(document.problems)
    rows: dict[str, dict[str, tuple[Any, int]]] = {}
    lines: dict[str, int] = {}

    def complain(line: int, problem: str) -> None:
        problems.setdefault(line, problem)  # a trap on this line says it better

    for key, values in _models(document, complain):
        lines[key] = document.line("models", key)
        wrong = {name: _unknown(name) for name in values.keys() - _FIELDS.keys() - {"override"}}
        stated = {name: value for name, value in values.items() if name in _FIELDS}
        wrong |= _row_problems({"name": key.rpartition("/")[2]} | stated)
        if not isinstance(values.get("override", False), bool):
            wrong["override"] = "must be true or false"
        for name, problem in wrong.items():
            complain(document.line("models", key, name), f"models.{key}.{name}: {problem}")
        if not wrong:
            rows[key] = {n: (v, document.line("models", key, n)) for n, v in values.items()}
    return _Layer(path, rows, lines, tuple(problems.items()))


def _models(document: Document, complain: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of a file whose outline is right."""
    value = document.value
    if value is None and document.problems:
        return  # not even YAML: that is said already
    if not isinstance(value, Mapping):
        complain(1, "not a registry; it must begin with schema_version: 1")
        return
    for key in value.keys() - {"schema_version", "models"}:
        complain(document.line(str(key)), f"unknown key {key!r}; use schema_version and models")
    if value.get("schema_version") != SCHEMA_VERSION:
        complain(
            document.line("schema_version"),
            f"schema_version is {value.get('schema_version')!r}; this version reads "
            f"schema_version: {SCHEMA_VERSION}",
        )
        return
    models = value.get("models") or {}
    if not isinstance(models, Mapping):
        complain(document.line("models"), "models must map names to rows")
        return
    for key, row in models.items():
        if not isinstance(key, str):
            complain(document.line("models", str(key)), f"name {key!r} must be text: quote it")
        elif not _KEY.fullmatch(key):
            complain(
                document.line("models", key),
                f"models.{key}: a name has lower-case letters, digits, '-' and '.'",
            )
        elif not isinstance(row, Mapping) or not all(isinstance(name, str) for name in row):
            complain(document.line("models", key), f"models.{key}: must map fields to values")
        elif "name" in row:
            complain(document.line("models", key, "name"), f"models.{key}: its key is its name")
        else:
            yield key, row


_NAME = r"[a-z0-9][a-z0-9.-]*"


_KEY = re.compile(rf"^([a-z0-9][a-z0-9._-]*/)?{_NAME}$")


_FOLDER = re.compile(r"\.{1,2}/|~|/|\.{1,2}$")


_PATTERNS = {
    "name": (rf"^{_NAME}$", "lower-case letters, digits, '-' and '.'"),
    "plugin": (r"^[a-z0-9][a-z0-9._-]*$", "the entry-point name of a plugin"),
    "revision": (
        r"^[0-9a-f]{40}$",
        "the quoted 40 hexadecimal digits of a commit, or null; a branch such as main moves",
    ),
    "repo": (
        r"^([\w.-]+(/[\w.-]+)?|(\.{1,2}/|~|/).*|\.{1,2})$",
        "a hub id such as facebook/opt-125m, or a folder that begins with ./ or /",
    ),
    "tokenizer": (
        r"^([\w.-]+(/[\w.-]+)?|(\.{1,2}/|~|/).*|\.{1,2})$",
        "a hub id, or a folder that begins with ./ or /",
    ),
    "release_date": (r"^\d{4}(-\d{2}(-\d{2})?)?$", "a quoted date such as '2023-11-06'"),
    "reference": (r"^https?://\S+$", "an address that begins with https://"),
}
"""Field -> what its text must match, and how to say so."""


_LEAST = {"n_parameters": 1, "n_layers": 0, "embed_dim": 1, "sample_rate_hz": 1}


_FIELDS = {item.name: item for item in dataclasses.fields(ModelEntry)}


@cache
def _row_model() -> type[BaseModel]:
    """A strict model of a row, made from :class:`ModelEntry` so that fields are stated once."""
    from pydantic import ConfigDict, Field, create_model

    hints = get_type_hints(ModelEntry)
    fields: dict[str, Any] = {}
    for name, item in _FIELDS.items():
        rule = Field(pattern=_PATTERNS.get(name, (None,))[0], ge=_LEAST.get(name))
        default = _default(item)
        required = default is dataclasses.MISSING
        fields[name] = (Annotated[hints[name], rule], ... if required else default)
    config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())
    model: type[BaseModel] = create_model("ModelRow", __config__=config, **fields)
    return model


def _row_problems(values: Mapping[str, Any]) -> dict[str, str]:
    """Field -> what is wrong with it, for a row that may leave fields out or null."""
    from pydantic import ValidationError

    given = {name: value for name, value in values.items() if value is not None}
    wrong = {}
    complete = {"plugin": "unknown", "modality": "any"} | given
    try:
        _row_model().model_validate(complete)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=True):
            name = str(detail["loc"][0])
            wrong[name] = _say(name, detail)
    architecture = given.get("architecture")
    if isinstance(architecture, Mapping) and architecture and "model_type" not in architecture:
        wrong["architecture"] = "has no model_type"
    if given.get("trust_remote_code") and "revision" not in given:
        wrong["trust_remote_code"] = "needs a pinned revision beside it"
    return wrong


def _unknown(name: str) -> str:
    return f"unknown field; {suggestion(name, _FIELDS.keys() - {'name'})}"


def _say(name: str, detail: Any) -> str:
    """One plain sentence for a validation error."""
    value, kind = detail["input"], detail["type"]
    if name in _PATTERNS:
        return f"{value!r} is not {_PATTERNS[name][1]}"
    if kind == "literal_error":
        return f"{value!r} is not {detail['ctx']['expected']}"
    if kind == "string_type":
        return f"{value!r} is not text: quote it"
    if kind == "int_type":
        return f"{value!r} is not a whole number"
    if kind == "bool_type":
        return f"{value!r} is neither true nor false"
    if kind == "tuple_type":
        return f"{value!r} is not a list"
    if kind == "greater_than_equal":
        return f"{value!r} is less than {_LEAST[name]}"
    return str(detail["msg"])
