"""Which parameters of public functions, classes and methods are not documented."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import ModuleType
from typing import Any

from voxelzoo.contract import interfaces, regression


def undocumented(module: ModuleType) -> Iterator[str]:
    """Undocumented parameters of a module's own public names.

    A docstring of one line may name them in its sentence; a longer one needs a section.
    """
    for name, value in vars(module).items():
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__:
            yield from undocumented_of(name, value, strict=False)


def undocumented_of(name: str, value: Any, *, strict: bool = True) -> Iterator[str]:
    """Undocumented parameters of a function, or of a class and its public methods.

    A field of a dataclass is documented in the section or by a string below it; a method in its own
    section, or in that of the class or protocol whose method it is.

    Parameters
    ----------
    name
        For messages.
    value
        The function or class; anything else has no parameters.
    strict
        Whether a docstring of one line needs a section, too.
    """
    if inspect.isfunction(value):
        yield from _missing(name, value, [value], strict)
    elif inspect.isclass(value) and not issubclass(value, Exception):
        if not getattr(value, "_is_protocol", False):
            yield from _missing(name, value, [*value.__mro__[:-1]], strict)
        for method, function in vars(value).items():
            plain = getattr(function, "__func__", function)
            if not method.startswith("_") and inspect.isfunction(plain):
                yield from _missing(f"{name}.{method}", plain, _same(value, method), strict)


def _same(owner: type, method: str) -> list[Any]:
    """The method in its class, in the classes that it derives from, and in the protocols."""
    protocols = [
        value
        for module in (interfaces, regression)
        for value in vars(module).values()
        if getattr(value, "_is_protocol", False)
    ]
    return [
        getattr(each, "__func__", each)
        for cls in (*owner.__mro__, *protocols)
        if (each := vars(cls).get(method)) is not None
    ]


def _missing(
    name: str, value: Callable[..., Any], documents: list[Any], strict: bool
) -> Iterator[str]:
    if not strict and "\n" not in (inspect.getdoc(value) or ""):
        return
    documented = {"self", "cls"}.union(*map(_sections, documents), *map(_fields, documents))
    try:
        parameters = inspect.signature(value).parameters
    except ValueError:  # a class of C, such as an enumeration's base
        return
    for parameter in parameters:
        if parameter not in documented and not parameter.startswith("_"):
            yield f"{name}: {parameter}"


def _sections(value: Any) -> set[str]:
    """What the section on parameters names."""
    doc = inspect.cleandoc(value.__doc__ or "")
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-+$|\Z)", doc, re.S | re.M)
    entries = re.findall(r"^(\S.*?)(?: : .*)?$", section.group(1) if section else "", re.M)
    return {each.strip().lstrip("*") for entry in entries for each in entry.split(",")}


def _fields(value: Any) -> set[str]:
    """Fields of a class with a string below them."""
    if not inspect.isclass(value):
        return set()
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
    except (OSError, TypeError):
        return set()
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    return {
        field.target.id
        for field, after in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }
