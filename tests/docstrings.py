"""Checks of docstrings: examples that run, and parameters that are all documented."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any


def modules_of(*packages: str) -> list[str]:
    """Names of all modules of some packages."""
    return sorted(
        f"{package}.{module.name}"
        for package in packages
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__)
    )


def failed_examples(name: str) -> tuple[int, int]:
    """Examples that failed, and examples that ran, in the docstrings of a module."""
    result = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE
    )
    return result.failed, result.attempted


def public_objects(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any], str]]:
    """Public functions, classes and methods that a module defines: name, object, docstring.

    A class is paired with its own docstring, which documents the parameters of ``__init__``.
    """
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value) or inspect.isclass(value):
            yield name, value, inspect.getdoc(value) or ""


def undocumented_parameters(function: Callable[..., Any], doc: str) -> list[str]:
    """Parameters of a function or class that its ``Parameters`` section does not name."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-+$|\Z)", doc, re.S | re.M)
    named = set()
    for line in (section.group(1) if section else "").splitlines():
        if line and not line.startswith(" "):
            names = line.split(" : ")[0]
            named |= {each.strip().lstrip("*") for each in names.split(",")}
    return [name for name in inspect.signature(function).parameters if name not in named]
