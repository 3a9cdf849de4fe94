"""YAML whose aliases and depth are bounded, so that a small file cannot take all memory.

An alias repeats what it refers to. A few lines of aliases of aliases stand for more values than any
memory holds, and deep nesting overflows the stack of recursive readers.
"""

from __future__ import annotations

from typing import Any

import yaml

MOST_CHARACTERS = 16 << 20
"""Size of the largest file that is read."""


MOST_DEPTH = 100
"""Deepest nesting."""


FREE, MOST_GROWTH = 1_000_000, 4
"""With its aliases written out, a file may have this many characters, or this many times its own,
if that is more."""


def check_bounds(text: str) -> None:
    """Check YAML before it is composed.

    Parameters
    ----------
    text : str
        Content of a file.

    Raises
    ------
    yaml.YAMLError
        If it is too large, too deep, refers to itself, is too large with its aliases written out,
        or is not YAML.
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"{len(text):,} characters; at most {MOST_CHARACTERS:,} are read")
    most = max(FREE, MOST_GROWTH * len(text))
    sizes: dict[str, int] = {}
    levels: list[tuple[str | None, int]] = [(None, 0)]
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            levels.append((event.anchor, 1))
            if len(levels) > MOST_DEPTH:
                raise _error(f"nested more than {MOST_DEPTH} deep", event)
            continue
        size, anchor = 0, None
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = levels.pop()
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1 + len(event.value)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise _error(f"alias *{event.anchor:.40} has no anchor before it", event)
            size = sizes[event.anchor]
        if anchor is not None:
            sizes[anchor] = size
        outer, before = levels[-1]
        levels[-1] = outer, before + size
        if before + size > most:
            raise _error("aliases make it too large", event)


def load_yaml(text: str, loader: Any = yaml.SafeLoader) -> Any:
    """The value of a YAML text, after :func:`check_bounds`.

    Parameters
    ----------
    text : str
        Content of a file.
    loader : type, default yaml.SafeLoader
        The loader. It must be a safe one.

    Returns
    -------
    object

    Raises
    ------
    yaml.YAMLError
        If it is not YAML, or exceeds a bound.
    """
    check_bounds(text)
    return yaml.load(text, Loader=loader)


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _error(problem: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.composer.ComposerError(None, None, problem, event.start_mark)
