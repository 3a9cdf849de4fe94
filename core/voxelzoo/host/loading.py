"""Finds and loads plugins, isolates broken ones, and records what became of each.

Plugins are found by the entry points of group ``voxelzoo.plugins``, first-party ones like anyone
else's. pluggy's own loader lets one broken plugin stop the program and settles a clash of names by
directory order, so loading is done here: metadata first, blocking before any import, then each
plugin on its own, and its hooks one implementation at a time.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import Any

import pluggy

from voxelzoo.api import ModelEntry
from voxelzoo.contract import hookspecs
from voxelzoo.errors import Interrupted
from voxelzoo.host.blocking import BlockList, flag
from voxelzoo.host.boundary import note_owner, time_limit
from voxelzoo.host.distributions import unmet_requirements
from voxelzoo.host.host import Host
from voxelzoo.host.plugin_points import PluginPoint, plugin_points
from voxelzoo.host.records import PluginRecord, Problem, Registered, Status, suggestion
from voxelzoo.host.validation import RETURNS, RefusedError, check_specs
from voxelzoo.text import one_line

MOST_SPECS = 10_000
"""Entries that one hook may return; a generator without end is cut off there."""


def load_host(
    *,
    disabled: Collection[str] = (),
    first_party_only: bool = False,
    strict: bool | None = None,
) -> Host:
    """Finds and loads every plugin that is not blocked.

    A plugin is blocked, and never imported, by its entry-point or distribution name: in
    ``disabled``, in ``ZOO_DISABLE_PLUGINS`` (comma-separated), under ``plugins: disabled:`` of the
    user's ``config.yaml``, or because ``ZOO_PLUGINS`` is set and does not list it.

    Parameters
    ----------
    disabled
        Names of plugins or distributions to block.
    first_party_only
        Block every distribution but voxelzoo's own, as ``ZOO_NO_PLUGINS=1`` does.
    strict
        Raise what a plugin raises, for plugin authors. By default ``ZOO_STRICT_PLUGINS`` decides.

    Raises
    ------
    NotFoundError
        A name in ``disabled`` is not that of an installed plugin.
    PluginError
        The user's ``config.yaml`` is invalid.
    """
    points = plugin_points()
    blocked = BlockList.read(disabled, first_party_only)
    blocked.check_names(points)
    loader = _PluginLoader(strict=flag("ZOO_STRICT_PLUGINS") if strict is None else strict)
    names = Counter(point.name for point in points if blocked.reason(point) is None)
    for point in points:
        if reason := blocked.reason(point):
            loader.record(point, "blocked", reason)
        elif names[point.name] > 1:
            rivals = [p.label for p in points if p.name == point.name and p is not point]
            loader.record(
                point,
                "failed",
                f"name {point.name!r} is also provided by {' and '.join(rivals)}; "
                "uninstall or disable one of them",
            )
        else:
            loader.load(point)
    return loader.host(blocked.problems)


class _PluginLoader:
    """Loads plugins one by one; one that fails leaves nothing but its record."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.records: list[PluginRecord] = []
        self.problems: list[Problem] = []
        self.registered: dict[str, list[Registered[Any]]] = defaultdict(list)
        self.manager = pluggy.PluginManager("voxelzoo")
        self.manager.add_hookspecs(hookspecs)

    def load(self, point: PluginPoint) -> None:
        """Imports a plugin, calls its hooks, and keeps what they return."""
        began = time.perf_counter()
        hooks: list[str] = []
        plugin: object | None = None
        try:
            # What a plugin prints must not end up in the data that `zoo` writes to stdout.
            with contextlib.redirect_stdout(sys.stderr), time_limit():
                plugin = point.load()
                self.manager.register(plugin, point.name)
                hooks = self._check_hooks(plugin)
                specs_of = self._call_hooks(point, plugin)
        except Interrupted:
            raise
        except BaseException as error:
            if plugin is not None and self.manager.is_registered(plugin):
                # register() records a plugin before it validates it.
                self.manager.unregister(plugin)
            if self.strict:
                raise
            self.record(
                point,
                error.status if isinstance(error, RefusedError) else "failed",
                _reason(error, point.distribution),
                traceback=_traceback(error),
                hooks=hooks,
                seconds=time.perf_counter() - began,
            )
            return
        who = f"plugin {point.name!r} of {point.label}"
        note_owner(point.module, who)
        for hook, specs in specs_of.items():
            for spec in specs:
                if not isinstance(spec, ModelEntry):
                    note_owner(spec.target, who)
            self.registered[hook] += [
                Registered(spec, point.name, point.distribution, point.version) for spec in specs
            ]
        self.record(point, "loaded", hooks=hooks, seconds=time.perf_counter() - began)

    def record(
        self,
        point: PluginPoint,
        status: Status,
        error: str | None = None,
        *,
        traceback: str | None = None,
        hooks: Iterable[str] = (),
        seconds: float = 0.0,
    ) -> None:
        """Notes what became of a plugin."""
        self.records.append(
            PluginRecord(
                name=point.name,
                distribution=point.distribution,
                version=point.version,
                status=status,
                hooks=tuple(sorted(hooks)),
                seconds=seconds,
                error=error,
                traceback=traceback,
                first_party=point.is_first_party,
                module=point.module,
            )
        )

    def host(self, problems: Sequence[Problem]) -> Host:
        """Everything that was loaded; ``problems`` come before those of the plugins."""

        def specs(hook: str) -> tuple[Registered[Any], ...]:
            return tuple(sorted(self.registered[hook], key=lambda each: each.id))

        return Host(
            records=tuple(sorted(self.records, key=lambda r: (r.name, r.distribution))),
            extractors=specs("zoo_register_extractors"),
            aligners=specs("zoo_register_aligners"),
            regressors=specs("zoo_register_regressors"),
            datasets=specs("zoo_register_datasets"),
            models=specs("zoo_register_models"),
            problems=(*problems, *self.problems),
        )

    def _check_hooks(self, plugin: object) -> list[str]:
        """Names of the plugin's hooks; refuses those that the host does not call."""
        hooks = []
        for caller in self.manager.get_hookcallers(plugin) or []:
            implementation = next(i for i in caller.get_hookimpls() if i.plugin is plugin)
            if caller.has_spec():
                hooks.append(caller.name)
            elif not implementation.optionalhook:
                raise RefusedError(
                    f"unknown hook {caller.name}; {suggestion(caller.name, RETURNS)}"
                )
            if implementation.hookwrapper or implementation.wrapper:
                raise RefusedError(f"hook {caller.name} is a wrapper; hooks only register")
        marked = {
            i.function
            for h in self.manager.get_hookcallers(plugin) or []
            for i in h.get_hookimpls()
        }
        for name in dir(plugin):
            if name.startswith("zoo_") and getattr(plugin, name) not in marked:
                raise RefusedError(f"{name} has no @hookimpl mark")
        return hooks

    def _call_hooks(self, point: PluginPoint, plugin: object) -> dict[str, list[Any]]:
        """What each hook of the plugin returns."""
        specs_of = {}
        for caller in self.manager.get_hookcallers(plugin) or []:
            if not caller.has_spec():
                continue
            for implementation in caller.get_hookimpls():
                if implementation.plugin is not plugin:
                    continue
                try:
                    returned: Any = implementation.function()
                    specs = [] if returned is None else list(islice(returned, MOST_SPECS + 1))
                    if len(specs) > MOST_SPECS:
                        raise RefusedError(f"returned more than {MOST_SPECS:,} entries")
                except Interrupted:
                    raise
                except BaseException as error:
                    message = f"{caller.name} raised {one_line(error)}"
                    self.problems.append(
                        Problem(point.distribution, f"plugin {point.name!r}: {message}")
                    )
                    if self.strict:
                        raise
                    raise RefusedError(message) from error
                check_specs(caller.name, specs, point.name, point.label)
                specs_of[caller.name] = specs
        return specs_of


def _reason(error: BaseException, distribution: str) -> str:
    """Why a plugin is not loaded, in one line."""
    if isinstance(error, RefusedError):
        return str(error)
    reason = one_line(error)
    if isinstance(error, ImportError):
        unmet = unmet_requirements(distribution)
        if unmet:
            reason += f" (it needs {'; '.join(unmet)})"
    return reason


def _traceback(error: BaseException) -> str | None:
    """The plugin's own traceback; a breach of the contract has none to show."""
    if isinstance(error, RefusedError):
        if error.__cause__ is None:
            return None
        error = error.__cause__
    import traceback

    return "".join(traceback.format_exception(error))
