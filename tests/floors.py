"""The floors of the house, read from its imports: for the test of floors and for the docs."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

CORE = Path(__file__).resolve().parents[1] / "core" / "voxelzoo"

FLOORS = (
    ("cli",),
    ("python",),
    ("recipes",),
    ("reports",),
    ("testing",),
    ("runs",),
    ("data", "store"),
    ("science",),
    ("host",),
    ("api",),
    ("contract",),
    ("stimuli",),
    ("disk",),
    ("blocks", "bounded_yaml", "errors", "memory", "progress", "signals", "strict_yaml", "text"),
)
"""From the top down. A module may import its own floor and those below it."""


def height(module: str) -> int:
    """The floor of a module, the lowest being 0."""
    room = module.split(".")[1]
    for i, rooms in enumerate(reversed(FLOORS)):
        if room in rooms:
            return i
    raise LookupError(f"{module} is on no floor; FLOORS in tests/floors.py names them")


def modules() -> dict[str, Path]:
    """Every module of the core by name, without the package itself."""
    found = {}
    for path in sorted(CORE.rglob("*.py")):
        parts = path.relative_to(CORE.parent).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if len(parts) > 1:
            found[".".join(parts)] = path
    return found


def imports(path: Path, known: Mapping[str, Path]) -> Iterator[tuple[str, bool]]:
    """Modules of the core that a file imports, and whether inside a function."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("voxelzoo"):
            module = node.module or ""
            names = [
                f"{module}.{alias.name}" if f"{module}.{alias.name}" in known else module
                for alias in node.names
            ]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name in known:
                yield name, id(node) in inside


def arrows() -> dict[str, set[str]]:
    """What each module of the core imports of it, inside functions as well."""
    known = modules()
    return {
        module: {name for name, _ in imports(path, known) if name != module}
        for module, path in known.items()
    }


def floor_map() -> str:
    """The floors as a page of the docs: what each is for, its modules, and what it imports."""
    known, of = modules(), arrows()
    lines = ["# The floors", "", INTRODUCTION, ""]
    for rooms in FLOORS:
        for room in rooms:
            own = {module: path for module, path in known.items() if module.split(".")[1] == room}
            below = sorted({name.split(".")[1] for module in own for name in of[module]} - {room})
            lines += [f"## {room}", "", _summary(known[f"voxelzoo.{room}"]), ""]
            if len(own) > 1:
                lines += [
                    f"- `{module.removeprefix('voxelzoo.')}`: {_summary(path)}"
                    for module, path in own.items()
                    if module != f"voxelzoo.{room}"
                ]
                lines.append("")
            lines += [f"Imports: {', '.join(below) or 'nothing of the core'}.", ""]
    return "\n".join(lines)


INTRODUCTION = (
    "The core is a house: a folder is a floor, and a module imports only its own floor and those "
    "below it. This page is written from the imports themselves "
    "(`python tests/floors.py > docs/floors.md`), and a test compares the two."
)


def _summary(path: Path) -> str:
    """First sentence of a module's docstring."""
    doc = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(doc.split("\n\n")[0].split())


if __name__ == "__main__":
    print(floor_map(), end="")
