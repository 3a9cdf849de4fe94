"""Reads a registry file: ``registry.yaml``, or an overlay of it.

A registry file is data alone: it can use installed plugins, it cannot name code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxelzoo.host.registry_rows import FIELDS, NAME, row_model, row_problems, unknown_field

if TYPE_CHECKING:
    from voxelzoo.strict_yaml import Document

SCHEMA_VERSION = 1
"""Version of the format of registry files."""

_KEY = re.compile(rf"^([a-z0-9][a-z0-9._-]*/)?{NAME}$")


@dataclass(frozen=True)
class RegistryFile:
    """One registry file: its valid rows, each field with its line, and what is wrong."""

    path: Path
    rows: Mapping[str, Mapping[str, tuple[Any, int]]]
    """Key -> field -> (value, line)."""
    lines: Mapping[str, int]
    """Key -> line."""
    problems: tuple[tuple[int, str], ...]
    """(line, what is wrong)."""


def read_registry_file(path: Path) -> RegistryFile:
    """Reads and checks a registry file row by row, collecting every problem.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    PluginError
        The file cannot be read.
    """
    from voxelzoo.strict_yaml import read_yaml  # for start-up time: most calls need no YAML

    document = read_yaml(path)
    problems = dict(document.problems)
    rows: dict[str, dict[str, tuple[Any, int]]] = {}
    lines: dict[str, int] = {}

    def complain(line: int, problem: str) -> None:
        problems.setdefault(line, problem)  # a problem of the YAML itself explains it better

    for key, values in _rows(document, complain):
        lines[key] = document.line("models", key)
        wrong = {name: unknown_field(name) for name in values.keys() - FIELDS.keys() - {"override"}}
        stated = {name: value for name, value in values.items() if name in FIELDS}
        wrong |= row_problems({"name": key.rpartition("/")[2]} | stated)
        if not isinstance(values.get("override", False), bool):
            wrong["override"] = "must be true or false"
        for name, problem in wrong.items():
            complain(document.line("models", key, name), f"models.{key}.{name}: {problem}")
        if not wrong:
            rows[key] = {n: (v, document.line("models", key, n)) for n, v in values.items()}
    return RegistryFile(path, rows, lines, tuple(problems.items()))


def _rows(
    document: Document, complain: Callable[[int, str], None]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The rows of a file whose outline is right."""
    value = document.value
    if value is None and document.problems:
        return  # not even YAML, which is a problem already
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


def registry_schema() -> dict[str, Any]:
    """JSON Schema of a registry file, for editors."""
    row = row_model().model_json_schema()
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
