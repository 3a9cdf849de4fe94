"""YAML that means what it looks like.

YAML 1.1, which PyYAML speaks, reads ``no`` as false, ``0123456`` as an octal number, ``12:30`` as
750 and an unquoted date as a date, takes ``1e-5`` for text, and silently keeps the last of two
equal keys. Here each of these is a problem with its file and line. Sequences become tuples.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from voxelzoo.bounded_yaml import check_bounds
from voxelzoo.errors import PluginError

if TYPE_CHECKING:
    _Base = yaml.CSafeLoader
else:  # PyYAML built without libyaml has only the slow loader
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Document:
    """A YAML file: its value, the line of every key, and what is wrong with it."""

    path: Path
    value: Any
    lines: Mapping[tuple[str, ...], int]
    problems: tuple[tuple[int, str], ...] = ()
    """(line, what is wrong)."""

    def line(self, *keys: str) -> int:
        """Line of a key, or of the nearest one that encloses it."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys, 1)


def read_yaml(path: Path) -> Document:
    """Reads a file and collects every problem; one that is no YAML at all has the value ``None``.

    Raises :class:`PluginError` where the file cannot be read.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PluginError(f"{path}: not UTF-8 text ({error.reason})") from None
    except OSError as error:
        raise PluginError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        check_bounds(content)
        loader = _StrictLoader(content)
        try:
            node = loader.get_single_node()
            value = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        reason = " ".join(part for part in (error.problem, error.context) if part)
        return Document(path, None, {}, ((line, f"not valid YAML: {reason}"),))
    except yaml.YAMLError as error:  # such as a control character, which has no mark
        reason = str(error).splitlines()[0]
        return Document(path, None, {}, ((1, f"not valid YAML: {reason}"),))
    lines: dict[tuple[str, ...], int] = {}
    if node is not None:
        _note_lines(node, (), lines)
    return Document(path, value, lines, tuple(sorted(set(loader.problems))))


def _note_lines(node: Any, keys: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> None:
    if isinstance(node, yaml.MappingNode) and len(keys) < 4:
        for key, value in node.value:
            here = (*keys, str(key.value))
            lines[here] = key.start_mark.line + 1
            _note_lines(value, here, lines)


_TEN = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FRACTION = re.compile(r"[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?|[-+]?\.inf|\.nan", re.IGNORECASE)
_POWER = re.compile(r"[-+]?\d+[eE][-+]?\d+")


class _StrictLoader(_Base):
    """Collects problems in place of guessing; the value it guessed stands in for the right one."""

    def __init__(self, content: str) -> None:
        super().__init__(content)
        self.problems: list[tuple[int, str]] = []

    def complain(self, node: yaml.Node, problem: str) -> None:
        self.problems.append((node.start_mark.line + 1, problem))

    def mapping(self, node: yaml.MappingNode) -> dict[Hashable, Any]:
        kept: dict[object, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.complain(key, "a key must be text")
            elif key.value in kept:
                first = kept[key.value][0].start_mark.line + 1
                self.complain(key, f"duplicate key {key.value!r}, first on line {first}")
            else:
                kept[key.value] = (key, value)
        node.value = list(kept.values())
        return self.construct_mapping(node, deep=True)

    def sequence(self, node: yaml.SequenceNode) -> tuple[Any, ...]:
        return tuple(self.construct_object(item, deep=True) for item in node.value)

    def boolean(self, node: yaml.ScalarNode) -> bool:
        value = self.construct_yaml_bool(node)
        if node.value.lower() not in ("true", "false"):
            self.complain(
                node,
                f"{node.value} is read as {str(value).lower()}: quote it if text is meant, "
                "else write true or false",
            )
        return bool(value)

    def integer(self, node: yaml.ScalarNode) -> int:
        value = int(self.construct_yaml_int(node))
        if not _TEN.fullmatch(node.value):
            self.complain(
                node, f"{node.value} is read as the number {value}: quote it, or write plain digits"
            )
        return value

    def real(self, node: yaml.ScalarNode) -> float:
        value = float(self.construct_yaml_float(node))
        if not _FRACTION.fullmatch(node.value):
            self.complain(
                node, f"{node.value} is read as the number {value:g}: quote it, or write it plainly"
            )
        return value

    def date(self, node: yaml.ScalarNode) -> str:
        self.complain(node, f"{node.value} is read as a date: quote it")
        return str(node.value)

    def text(self, node: yaml.ScalarNode) -> str:
        if not node.style and _POWER.fullmatch(node.value):
            digits = node.value.lower().replace("e", ".0e")
            self.complain(node, f"{node.value} is read as text: write {digits}, or quote it")
        return str(node.value)


_CONSTRUCTORS: dict[str, Any] = {
    "map": _StrictLoader.mapping,
    "seq": _StrictLoader.sequence,
    "bool": _StrictLoader.boolean,
    "int": _StrictLoader.integer,
    "float": _StrictLoader.real,
    "timestamp": _StrictLoader.date,
    "str": _StrictLoader.text,
}
for _tag, _construct in _CONSTRUCTORS.items():
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _construct)
