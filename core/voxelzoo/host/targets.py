"""Imports a spec's target, and builds its object."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Mapping
from typing import Any

from voxelzoo.api import MissingError, PluginError, UsageError
from voxelzoo.errors import Interrupted
from voxelzoo.host.blocking import flag
from voxelzoo.host.boundary import plugin_call
from voxelzoo.host.distributions import normalised_name, unmet_requirements
from voxelzoo.host.records import Registered
from voxelzoo.text import one_line


def load_target(registered: Registered[Any]) -> Any:
    """Imports what a spec's target names.

    Parameters
    ----------
    registered
        The spec, with the plugin it comes from.

    Raises
    ------
    MissingError
        A package that it requires is missing, or has the wrong version.
    PluginError
        The import fails, or the target is not there or not callable.
    """
    spec = registered.spec
    who = f"{registered.id} of {registered.distribution} {registered.version}"
    for package in spec.requires:
        if not _is_importable(package):
            raise MissingError(f"{who} needs {package}, which is not installed: {_pip(package)}")
    if unmet := _wrong_versions(registered):
        raise MissingError(f"{who} needs {unmet[0]}: {_pip(unmet[0].split(', found')[0])}")
    module_name, _, attribute = spec.target.partition(":")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            target: Any = importlib.import_module(module_name)
    except Interrupted:
        raise
    except BaseException as error:
        if flag("ZOO_STRICT_PLUGINS"):
            raise
        message = f"{who}: {module_name} cannot be imported: {one_line(error)}"
        own = module_name.partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and (error.name or own).split(".")[0] != own:
            raise MissingError(f"{message}: {_pip(str(error.name).split('.')[0])}") from error
        raise PluginError(message) from error
    try:
        for part in attribute.split("."):
            target = getattr(target, part)
    except AttributeError:
        raise PluginError(f"{who}: {module_name} has no {attribute!r}") from None
    if not callable(target):
        raise PluginError(f"{who}: {spec.target} is not callable")
    return target


def _wrong_versions(registered: Registered[Any]) -> list[str]:
    """Requirements on the spec's packages that are installed in an unsuitable version."""
    packages = {normalised_name(package) for package in registered.spec.requires}
    if not packages:
        return []
    return [
        unmet
        for unmet in unmet_requirements(registered.distribution)
        if ", found " in unmet and normalised_name(re.split(r"[^\w.-]", unmet)[0]) in packages
    ]


def _is_importable(package: str) -> bool:
    try:
        return package in sys.modules or importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _pip(requirement: str) -> str:
    return f"pip install '{requirement}'"


def build(registered: Registered[Any], options: Mapping[str, Any]) -> Any:
    """Imports a spec's target and calls it with ``options``.

    Parameters
    ----------
    registered
        The spec, with the plugin it comes from.
    options
        Arguments of the target, by name.

    Raises
    ------
    UsageError
        It has no such option.
    MissingError, PluginError
        As :func:`load_target`.
    """
    target = load_target(registered)
    names = [name for name in inspect.signature(target).parameters if name != "self"]
    if unknown := [name for name in options if name not in names]:
        raise UsageError(
            f"{registered.spec.name} has no option {unknown[0]!r}; "
            f"its options: {', '.join(names) or 'none'}"
        )
    with plugin_call(f"{registered.id} of {registered.distribution} {registered.version}"):
        return target(**options)
