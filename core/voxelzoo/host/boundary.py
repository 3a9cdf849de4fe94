"""Where the errors of plugins end: in one line that names the plugin.

A plugin is a stranger: it may raise anything, ``SystemExit`` and ``KeyboardInterrupt`` included,
and may never return. Only an :class:`~voxelzoo.errors.Interrupted` is the user's.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voxelzoo.errors import Interrupted, PluginError, UsageError, ZooError
from voxelzoo.text import one_line

HOOK_SECONDS = 30.0
"""How long the import and the hooks of one plugin may take; ``ZOO_PLUGIN_SECONDS`` sets another."""

_OWNERS: dict[str, str] = {}
"""Packages of loaded plugins, each with the plugin and distribution that it belongs to."""


class TimeUpError(BaseException):
    """A plugin took longer than it may. No plugin catches it by ``except Exception``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"did not end within {seconds:g} s")


def note_owner(target: str, who: str) -> None:
    """Remember which plugin a package belongs to.

    Parameters
    ----------
    target : str
        A module of the package, or a spec's target in it.
    who : str
        Plugin and distribution, for messages.
    """
    _OWNERS.setdefault(package_of(target), who)


def as_zoo_error(error: BaseException, doing: str = "") -> ZooError:
    """An error of any kind as one that is printed in a line.

    Parameters
    ----------
    error : BaseException
        What was raised.
    doing : str, optional
        What was being done, such as ``on story 'a'``.

    Returns
    -------
    ZooError
        The error itself if it is one. Otherwise a :class:`PluginError` that names the plugin whose
        code is nearest to where it was raised, or an internal error if that is no plugin.

    Raises
    ------
    Interrupted
        If the user ended the program.
    """
    if isinstance(error, Interrupted | GeneratorExit):
        raise error
    if isinstance(error, ZooError):
        return error
    what = _in_words(error, doing)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if owner := _owner(frame.filename):
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            return PluginError(f"{owner} failed: {what} ({where})")
    if isinstance(error, MemoryError):
        return ZooError(
            "out of memory; zoo plan says what a run needs. Fewer voxels, layers or stories, or a "
            "smaller batch_size, need less"
        )
    if isinstance(error, OSError):
        return ZooError(f"{f'{error.filename}: ' if error.filename else ''}{_in_words(error)}")
    return ZooError(
        f"internal error: {what}; please report it with the output of the same command after: "
        "export ZOO_TRACEBACK=1"
    )


@contextmanager
def plugin_call(who: str, doing: str = "") -> Iterator[None]:
    """A context in which code of one plugin runs: whatever it raises becomes a `ZooError`.

    Parameters
    ----------
    who : str
        The plugin and its distribution.
    doing : str, optional
        What is being done, such as ``on story 'a'``.

    Raises
    ------
    PluginError
        For anything that is raised and is no `ZooError`.
    """
    try:
        yield
    except (ZooError, Interrupted, GeneratorExit):
        raise
    except BaseException as error:
        if os.environ.get("ZOO_STRICT_PLUGINS"):
            raise
        what = _in_words(error, doing)
        raise PluginError(f"{who} failed: {what}") from error


@contextmanager
def time_limit(seconds: float | None = None) -> Iterator[None]:
    """A context that is left by :class:`TimeUpError` after some time, in the main thread.

    Parameters
    ----------
    seconds : float, optional
        How long; :data:`HOOK_SECONDS` by default.

    Raises
    ------
    UsageError
        If ``ZOO_PLUGIN_SECONDS`` is not a positive number.
    """
    limit = _hook_seconds() if seconds is None else seconds
    in_main = threading.current_thread() is threading.main_thread()
    if sys.platform == "win32" or not in_main:
        yield
        return

    def stop(*_: object) -> None:
        raise TimeUpError(limit)

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit, 1.0)  # again, if it is caught
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _hook_seconds() -> float:
    text = os.environ.get("ZOO_PLUGIN_SECONDS") or str(HOOK_SECONDS)
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", text) or not float(text):
        raise UsageError(f"ZOO_PLUGIN_SECONDS is {text!r}; set it to a number of seconds")
    return float(text)


def _in_words(error: BaseException, doing: str = "") -> str:
    """What was raised, and what was being done."""
    if isinstance(error, OSError) and error.strerror:
        said = error.strerror
    else:
        said = str(error) if isinstance(error, TimeUpError) else one_line(error)
    return " ".join(part for part in (said, doing) if part)


def package_of(target: str) -> str:
    """The package of a module, or of a spec's target in one."""
    return re.split("[.:]", target)[0]


def _owner(filename: str) -> str | None:
    """The plugin to which a source file belongs."""
    parts = Path(filename).with_suffix("").parts
    for part in reversed(parts):
        if part in _OWNERS:
            return _OWNERS[part]
    return None
