"""Which parameters a docstring in numpydoc form leaves out."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any


def undocumented(module: ModuleType) -> Iterator[str]:
    """Parameters of a module's public functions, classes and methods that are not documented.

    A docstring of one line may name them in its sentence; a longer one needs a section.
    """
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value) and not issubclass(value, Exception):
            yield from _missing(name, value)
            for method, function in vars(value).items():
                if not method.startswith("_") and inspect.isfunction(function):
                    yield from _missing(f"{name}.{method}", function)
        elif inspect.isfunction(value):
            yield from _missing(name, value)


def _missing(name: str, value: Callable[..., Any]) -> Iterator[str]:
    doc = inspect.getdoc(value) or ""
    if "\n" not in doc:
        return
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-+$|\Z)", doc, re.S | re.M)
    entries = re.findall(r"^(\S.*?)(?: : .*)?$", section.group(1) if section else "", re.M)
    documented = {each.strip().lstrip("*") for entry in entries for each in entry.split(",")}
    for parameter in inspect.signature(value).parameters:
        if parameter not in documented | {"self"}:
            yield f"{name}: {parameter}"
