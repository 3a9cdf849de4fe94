"""The order of the floors: arrows point down, none goes in a circle, and no file grows long."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from floors import CORE, arrows, floor_map, height, modules

PLUGINS = CORE.parents[1] / "plugins"
MOST_LINES = 500
MOST_LINES_OF_A_FUNCTION = 60
SOURCES = sorted([*CORE.rglob("*.py"), *PLUGINS.rglob("*.py")])


def test_no_module_imports_from_a_floor_above_it() -> None:
    upward = [
        f"{module} imports {name}"
        for module, names in arrows().items()
        for name in names
        if height(name) > height(module)
    ]
    assert not upward


def test_no_imports_go_in_a_circle() -> None:
    TopologicalSorter(arrows()).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CORE.parents[1])))
def test_files_and_functions_can_be_read_at_a_glance(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MOST_LINES
    functions = {
        node.name: _n_lines(node)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {name: n for name, n in functions.items() if n > MOST_LINES_OF_A_FUNCTION}


def _n_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its docstring excluded: a table of parameters is not code."""
    assert function.end_lineno is not None
    first, n = function.body[0], function.end_lineno - function.lineno + 1
    documented = ast.get_docstring(function) is not None and first.end_lineno is not None
    return n - (first.end_lineno - first.lineno + 1 if documented else 0)  # type: ignore[operator]


def test_the_map_of_floors_is_that_of_the_imports() -> None:
    page = CORE.parents[1] / "docs" / "floors.md"
    assert page.read_text() == floor_map(), "run: python tests/floors.py > docs/floors.md"


def test_every_module_has_a_floor() -> None:
    assert all(height(module) >= 0 for module in modules())
