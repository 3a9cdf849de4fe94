"""Finds plugins, isolates the broken ones, and reports on all.

Plugins are found by the entry points of group ``voxelzoo.plugins``, first-party ones on the same
path as anyone's. pluggy's own loader lets one broken plugin take the program down and settles a
clash of names by directory order, so loading is done here: metadata first, blocking before any
import, then each plugin on its own, and its hooks one implementation at a time.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any

import pluggy

from voxelzoo.api import (
    API_OLDEST,
    API_VERSION,
    AlignerSpec,
    DatasetSpec,
    ExtractorSpec,
    ModelEntry,
    RegressorSpec,
    Spec,
)
from voxelzoo.contract import hookspecs
from voxelzoo.host.blocking import Blocking, flag
from voxelzoo.host.distributions import (
    identity,
    is_first_party,
    label_of,
    name_of,
    unmet_requirements,
    version_of,
)
from voxelzoo.host.host import Host
from voxelzoo.host.records import PluginRecord, Problem, Registered, Status, suggestion
from voxelzoo.text import one_line

GROUP = "voxelzoo.plugins"
"""The entry-point group in which a distribution names its plugins."""


def load_host(
    *,
    disabled: Collection[str] = (),
    first_party_only: bool = False,
    strict: bool | None = None,
) -> Host:
    """Finds and loads every plugin that is not blocked.

    A plugin is blocked, and never imported, by entry-point or distribution name: in ``disabled``,
    in ``ZOO_DISABLE_PLUGINS`` (commas), under ``plugins: disabled:`` of the user's
    ``config.yaml``, or by its absence from ``ZOO_PLUGINS`` where that is set.
    ``first_party_only`` and ``ZOO_NO_PLUGINS=1`` block every distribution but voxelzoo's own.
    ``strict`` (``ZOO_STRICT_PLUGINS=1``) raises what a plugin raises, for plugin authors.

    Raises :class:`NotFoundError` where ``disabled`` names no plugin.
    """
    found = sorted(entry_points(group=GROUP), key=lambda point: (point.name, name_of(point)))
    blocking = Blocking.read(disabled, first_party_only)
    blocking.check_names(found)
    loader = _Loader(strict=flag("ZOO_STRICT_PLUGINS") if strict is None else strict)
    names = Counter(point.name for point in found if blocking.reason(point) is None)
    for point in found:
        if reason := blocking.reason(point):
            loader.note(point, "blocked", reason)
        elif names[point.name] > 1:
            rivals = [label_of(p) for p in found if p.name == point.name and p is not point]
            loader.note(
                point,
                "failed",
                f"name {point.name!r} is also provided by {' and '.join(rivals)}; "
                "uninstall or disable one of them",
            )
        else:
            loader.load(point)
    return loader.host(blocking.problems)


class _RefusedError(Exception):
    """A plugin that breaks the contract; its text says how."""

    def __init__(self, message: str, status: Status = "failed") -> None:
        super().__init__(message)
        self.status: Status = status


class _Loader:
    """Loads plugins one by one; a failing one leaves nothing behind but its record."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self.records: list[PluginRecord] = []
        self.problems: list[Problem] = []
        self.registered: dict[str, list[Registered[Any]]] = defaultdict(list)
        self.manager = pluggy.PluginManager("voxelzoo")
        self.manager.add_hookspecs(hookspecs)

    def note(
        self,
        point: EntryPoint,
        status: Status,
        error: str | None = None,
        *,
        traceback: str | None = None,
        hooks: Iterable[str] = (),
        seconds: float = 0.0,
    ) -> None:
        self.records.append(
            PluginRecord(
                name=point.name,
                distribution=name_of(point),
                version=version_of(point),
                status=status,
                hooks=tuple(sorted(hooks)),
                seconds=seconds,
                error=error,
                traceback=traceback,
                first_party=is_first_party(point),
                module=point.module,
            )
        )

    def load(self, point: EntryPoint) -> None:
        began = time.perf_counter()
        hooks: list[str] = []
        plugin: object | None = None
        try:
            # What a plugin prints must not end up in the data that `zoo` writes to stdout.
            with contextlib.redirect_stdout(sys.stderr):
                plugin = point.load()
                self.manager.register(plugin, point.name)
                hooks = self._check_hooks(plugin)
                results = self._call_hooks(point, plugin)
        except (Exception, SystemExit) as error:
            if plugin is not None and self.manager.is_registered(plugin):
                # register() records a plugin before it validates it.
                self.manager.unregister(plugin)
            if self.strict:
                raise
            status = error.status if isinstance(error, _RefusedError) else "failed"
            self.note(
                point,
                status,
                _reason(error, point.dist),
                traceback=_traceback(error),
                hooks=hooks,
                seconds=time.perf_counter() - began,
            )
            return
        for hook, specs in results.items():
            self.registered[hook] += [
                Registered(spec, point.name, name_of(point), version_of(point)) for spec in specs
            ]
        self.note(point, "loaded", hooks=hooks, seconds=time.perf_counter() - began)

    def _check_hooks(self, plugin: object) -> list[str]:
        """Names of the plugin's hooks; refuses those that no host calls."""
        known = {name for name in vars(hookspecs) if name.startswith("zoo_")}
        hooks = []
        for caller in self.manager.get_hookcallers(plugin) or []:
            implementation = next(i for i in caller.get_hookimpls() if i.plugin is plugin)
            if caller.has_spec():
                hooks.append(caller.name)
            elif not implementation.optionalhook:
                raise _RefusedError(f"unknown hook {caller.name}; {suggestion(caller.name, known)}")
            if implementation.hookwrapper or implementation.wrapper:
                raise _RefusedError(f"hook {caller.name} is a wrapper; hooks only register")
        marked = {
            i.function
            for h in self.manager.get_hookcallers(plugin) or []
            for i in h.get_hookimpls()
        }
        for name in dir(plugin):
            if name.startswith("zoo_") and getattr(plugin, name) not in marked:
                raise _RefusedError(f"{name} lacks the @hookimpl mark")
        return hooks

    def _call_hooks(self, point: EntryPoint, plugin: object) -> dict[str, list[Any]]:
        results = {}
        for caller in self.manager.get_hookcallers(plugin) or []:
            if not caller.has_spec():
                continue
            for implementation in caller.get_hookimpls():
                if implementation.plugin is not plugin:
                    continue
                try:
                    returned: Any = implementation.function()
                    specs = [] if returned is None else list(returned)
                except (Exception, SystemExit) as error:
                    message = f"{caller.name} raised {one_line(error)}"
                    self.problems.append(
                        Problem(name_of(point), f"plugin {point.name!r}: {message}")
                    )
                    if self.strict:
                        raise
                    raise _RefusedError(message) from error
                _check_specs(caller.name, specs, point)
                results[caller.name] = specs
        return results

    def host(self, problems: Sequence[Problem]) -> Host:
        def rows(hook: str) -> tuple[Registered[Any], ...]:
            return tuple(sorted(self.registered[hook], key=lambda each: each.id))

        return Host(
            records=tuple(sorted(self.records, key=lambda r: (r.name, r.distribution))),
            extractors=rows("zoo_register_extractors"),
            aligners=rows("zoo_register_aligners"),
            regressors=rows("zoo_register_regressors"),
            datasets=rows("zoo_register_datasets"),
            models=rows("zoo_register_models"),
            problems=(*problems, *self.problems),
        )


_RETURNS: Mapping[str, type] = {
    "zoo_register_extractors": ExtractorSpec,
    "zoo_register_aligners": AlignerSpec,
    "zoo_register_regressors": RegressorSpec,
    "zoo_register_datasets": DatasetSpec,
    "zoo_register_models": ModelEntry,
}


_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def _check_specs(hook: str, specs: Sequence[object], point: EntryPoint) -> None:
    """Refuses what a plugin must not register."""
    expected = _RETURNS[hook]
    seen = set()
    for spec in specs:
        if not isinstance(spec, expected):
            raise _RefusedError(
                f"{hook} gave {type(spec).__name__} {_short(spec)}, not {expected.__name__}"
            )
        assert isinstance(spec, Spec | ModelEntry)
        if not isinstance(spec.name, str) or not _NAME.fullmatch(spec.name):
            raise _RefusedError(
                f"{hook}: name {spec.name!r} is not lower-case letters, digits, '-._'"
            )
        if spec.name in seen:
            raise _RefusedError(f"{hook} gave the name {spec.name!r} twice")
        seen.add(spec.name)
        if isinstance(spec, ModelEntry):
            if spec.plugin != point.name:
                raise _RefusedError(
                    f"{hook}: row {spec.name!r} is for plugin {spec.plugin!r}, not {point.name!r}"
                )
            continue
        version = spec.api_version
        if not isinstance(version, int) or isinstance(version, bool):
            raise _RefusedError(f"{hook}: {spec.name!r} has api_version {version!r}, not a number")
        if not API_OLDEST <= version <= API_VERSION:
            mend = "upgrade voxelzoo" if version > API_VERSION else f"upgrade {name_of(point)}"
            raise _RefusedError(
                f"written for plugin API {version}; this host speaks "
                f"{API_OLDEST} to {API_VERSION}: {mend}",
                "incompatible",
            )
        if version < API_VERSION:
            warnings.warn(
                f"{label_of(point)} uses plugin API {version}; the current one is {API_VERSION}",
                DeprecationWarning,
                stacklevel=2,
            )
        if not isinstance(spec.target, str) or not _TARGET.fullmatch(spec.target):
            raise _RefusedError(
                f"{hook}: {spec.name!r} has target {_short(spec.target)}, not "
                "'package.module:Class'"
            )


def _reason(error: BaseException, dist: Distribution | None) -> str:
    if isinstance(error, _RefusedError):
        return str(error)
    reason = one_line(error)
    if isinstance(error, ImportError) and dist is not None:
        unmet = unmet_requirements(identity(dist)[0])
        if unmet:
            reason += f" (it needs {'; '.join(unmet)})"
    return reason


def _traceback(error: BaseException) -> str | None:
    """The plugin's own traceback; a breach of the contract has none to show."""
    if isinstance(error, _RefusedError):
        if error.__cause__ is None:
            return None
        error = error.__cause__
    import traceback

    return "".join(traceback.format_exception(error))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
