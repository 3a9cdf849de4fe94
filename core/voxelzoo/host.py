"""Finds plugins, isolates the broken ones, blocks the unwanted ones, and reports on all.

Plugins are found by the entry points of group ``voxelzoo.plugins``, first-party ones on the same
path as anyone's. pluggy's own loader lets one broken plugin take the program down and settles a
clash of names by directory order, so loading is done here: metadata first, blocking before any
import, then each plugin on its own, and its hooks one implementation at a time.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import os
import re
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, entry_points
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import pluggy

from voxelzoo import hookspecs
from voxelzoo.api import (
    API_OLDEST,
    API_VERSION,
    AlignerSpec,
    DatasetSpec,
    ExtractorSpec,
    MissingError,
    ModelEntry,
    NotFoundError,
    PluginError,
    RegressorSpec,
    Spec,
)

GROUP = "voxelzoo.plugins"
"""The entry-point group in which a distribution names its plugins."""

FIRST_PARTY = "voxelzoo"
"""The distribution whose plugins come with the host."""

Status = Literal["loaded", "failed", "blocked", "incompatible"]


@dataclass(frozen=True)
class PluginRecord:
    """What became of one entry point."""

    name: str
    distribution: str
    version: str
    status: Status
    hooks: tuple[str, ...]
    """Hooks it implements."""
    seconds: float
    """Time its import and its hooks took."""
    error: str | None
    """One line: why it is not loaded."""
    traceback: str | None
    first_party: bool
    module: str


S_co = TypeVar("S_co", bound=Spec | ModelEntry, covariant=True)


@dataclass(frozen=True)
class Registered(Generic[S_co]):
    """A spec, or a row of the catalogue, with the plugin and distribution that brought it."""

    spec: S_co
    plugin: str
    distribution: str
    version: str

    @property
    def id(self) -> str:
        """Canonical id, ``plugin/name``."""
        return f"{self.plugin}/{self.spec.name}"


@dataclass(frozen=True)
class Problem:
    """Something wrong that stopped nobody but its author."""

    distribution: str
    message: str

    def __str__(self) -> str:
        return f"{self.distribution}: {self.message}"


@dataclass(frozen=True)
class Host:
    """Every plugin of this environment and what it registered, sorted by canonical id."""

    records: tuple[PluginRecord, ...]
    extractors: tuple[Registered[ExtractorSpec], ...] = ()
    aligners: tuple[Registered[AlignerSpec], ...] = ()
    regressors: tuple[Registered[RegressorSpec], ...] = ()
    datasets: tuple[Registered[DatasetSpec], ...] = ()
    models: tuple[Registered[ModelEntry], ...] = ()
    problems: tuple[Problem, ...] = ()

    def record(self, plugin: str) -> PluginRecord | None:
        """The record of the plugin with this entry-point name: the loaded one, if any is."""
        found = [record for record in self.records if record.name == plugin]
        return min(found, key=lambda record: record.status != "loaded", default=None)

    def extractor(self, plugin: str, name: str | None = None) -> Registered[ExtractorSpec]:
        """A plugin's extractor; ``name`` is needed where it has more than one.

        Raises :class:`NotFoundError`, or :class:`PluginError` for a plugin that did not load.
        """
        self._check_loaded(plugin)
        own = [each for each in self.extractors if each.plugin == plugin]
        if not own:
            raise NotFoundError(f"plugin {plugin!r} has no extractor")
        wanted = own[0].spec.name if name is None and len(own) == 1 else name or plugin
        for each in own:
            if each.spec.name == wanted:
                return each
        names = [each.spec.name for each in own]
        if name is None:
            raise NotFoundError(
                f"plugin {plugin!r} has the extractors {', '.join(names)}; "
                "say which with the row's 'extractor'"
            )
        raise NotFoundError(
            f"plugin {plugin!r} has no extractor {name!r}; {suggestion(name, names)}"
        )

    def aligner(self, name: str) -> Registered[AlignerSpec]:
        """The aligner of this short or qualified name."""
        return self._one("aligner", self.aligners, name)

    def regressor(self, name: str) -> Registered[RegressorSpec]:
        """The regressor of this short or qualified name."""
        return self._one("regressor", self.regressors, name)

    def dataset(self, name: str) -> Registered[DatasetSpec]:
        """The dataset of this short or qualified name."""
        return self._one("dataset", self.datasets, name)

    def missing_plugins(self) -> str:
        """A clause that names the plugins which did not load, for a message about a lost name."""
        lost = [record for record in self.records if record.status != "loaded"]
        if not lost:
            return ""
        named = "; ".join(f"{describe(record)} {record.status}: {record.error}" for record in lost)
        return f" (not loaded: {named})"

    def _one(
        self, kind: str, registered: Sequence[Registered[S_co]], name: str
    ) -> Registered[S_co]:
        plugin, slash, _ = name.rpartition("/")
        found = [each for each in registered if name == (each.id if slash else each.spec.name)]
        if len(found) == 1:
            return found[0]
        if found:
            candidates = ", ".join(f"{e.id} ({e.distribution} {e.version})" for e in found)
            raise NotFoundError(f"{kind} {name!r} is ambiguous; use one of {candidates}")
        if slash:
            self._check_loaded(plugin)
        names = [each.id if slash else each.spec.name for each in registered]
        raise NotFoundError(
            f"no {kind} {name!r}; {suggestion(name, names)}{self.missing_plugins()}"
        )

    def _check_loaded(self, plugin: str) -> None:
        record = self.record(plugin)
        if record is None:
            installed = ", ".join(sorted({r.name for r in self.records})) or "none"
            raise NotFoundError(
                f"no plugin {plugin!r} is installed; installed: {installed} "
                f"(others come by pip, such as: pip install voxelzoo-{plugin})"
            )
        if record.status != "loaded":
            raise PluginError(f"plugin {describe(record)} is {record.status}: {record.error}")


def describe(record: PluginRecord) -> str:
    """A plugin with its distribution, as messages name it."""
    return f"{record.name!r} of {record.distribution} {record.version}"


def suggestion(name: str, names: Iterable[str]) -> str:
    """``did you mean ...?`` with the nearest names, or a list of all where none is near."""
    every = sorted(set(names))
    near = difflib.get_close_matches(name, every, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there are: {', '.join(every)}" if every else "there is none"


# -------------------------------------------------------------------------------------- loading


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
    found = sorted(entry_points(group=GROUP), key=lambda point: (point.name, _name(point)))
    blocking = _Blocking.read(disabled, first_party_only)
    blocking.check_names(found)
    loader = _Loader(strict=_flag("ZOO_STRICT_PLUGINS") if strict is None else strict)
    names = Counter(point.name for point in found if blocking.reason(point) is None)
    for point in found:
        if reason := blocking.reason(point):
            loader.note(point, "blocked", reason)
        elif names[point.name] > 1:
            rivals = [_label(p) for p in found if p.name == point.name and p is not point]
            loader.note(
                point,
                "failed",
                f"name {point.name!r} is also provided by {' and '.join(rivals)}; "
                "uninstall or disable one of them",
            )
        else:
            loader.load(point)
    return loader.host(blocking.problems)


@dataclass
class _Blocking:
    """Which plugins are not to be imported, and by whose word."""

    reasons: dict[str, str]
    """Normalised entry-point or distribution name -> where it was disabled."""
    allowed: frozenset[str] | None
    first_party_only: str | None
    typed: Collection[str]
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def read(cls, disabled: Collection[str], first_party_only: bool) -> _Blocking:
        reasons = {_normal(name): "the user's config.yaml" for name in _disabled_by_config()}
        reasons |= {_normal(n): "ZOO_DISABLE_PLUGINS" for n in _names("ZOO_DISABLE_PLUGINS") or ()}
        reasons |= {_normal(name): "--disable-plugin" for name in disabled}
        only = "--no-plugins" if first_party_only else None
        if only is None and _flag("ZOO_NO_PLUGINS"):
            only = "ZOO_NO_PLUGINS"
        allowed = _names("ZOO_PLUGINS")
        return cls(
            reasons, None if allowed is None else frozenset(map(_normal, allowed)), only, disabled
        )

    def reason(self, point: EntryPoint) -> str | None:
        names = {_normal(point.name), _normal(_name(point))}
        for name in sorted(names & self.reasons.keys()):
            return f"disabled by {self.reasons[name]}"
        if self.first_party_only and not _is_first_party(point):
            return f"third-party plugins are off ({self.first_party_only})"
        if self.allowed is not None and not names & self.allowed:
            return "not in ZOO_PLUGINS"
        return None

    def check_names(self, found: Sequence[EntryPoint]) -> None:
        known = {_normal(name) for point in found for name in (point.name, _name(point))}
        for name in self.typed:
            if _normal(name) not in known:
                raise NotFoundError(f"no plugin {name!r} to disable; {suggestion(name, known)}")
        for name in sorted(self.reasons.keys() - known):
            self.problems.append(
                Problem(FIRST_PARTY, f"{self.reasons[name]} disables {name!r}, which is no plugin")
            )


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
                distribution=_name(point),
                version=_version(point),
                status=status,
                hooks=tuple(sorted(hooks)),
                seconds=seconds,
                error=error,
                traceback=traceback,
                first_party=_is_first_party(point),
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
                Registered(spec, point.name, _name(point), _version(point)) for spec in specs
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
                    message = f"{caller.name} raised {_one_line(error)}"
                    self.problems.append(Problem(_name(point), f"plugin {point.name!r}: {message}"))
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
            mend = "upgrade voxelzoo" if version > API_VERSION else f"upgrade {_name(point)}"
            raise _RefusedError(
                f"written for plugin API {version}; this host speaks "
                f"{API_OLDEST} to {API_VERSION}: {mend}",
                "incompatible",
            )
        if version < API_VERSION:
            warnings.warn(
                f"{_label(point)} uses plugin API {version}; the current one is {API_VERSION}",
                DeprecationWarning,
                stacklevel=2,
            )
        if not isinstance(spec.target, str) or not _TARGET.fullmatch(spec.target):
            raise _RefusedError(
                f"{hook}: {spec.name!r} has target {_short(spec.target)}, not "
                "'package.module:Class'"
            )


# -------------------------------------------------------------------------------------- targets


def load_target(registered: Registered[Any]) -> Any:
    """Imports what a spec's target names.

    Raises :class:`MissingError` where a package it needs is absent or of the wrong version, and
    :class:`PluginError` where the import itself fails.
    """
    spec = registered.spec
    who = f"{registered.id} of {registered.distribution} {registered.version}"
    for package in getattr(spec, "requires", ()):
        if not _is_importable(package):
            raise MissingError(f"{who} needs {package}, which is not installed: {_pip(package)}")
    if unmet := _wrong_versions(registered):
        raise MissingError(f"{who} needs {unmet[0]}: {_pip(unmet[0].split(', found')[0])}")
    module_name, _, attribute = spec.target.partition(":")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            target: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        if _flag("ZOO_STRICT_PLUGINS"):
            raise
        message = f"{who}: {module_name} cannot be imported: {_one_line(error)}"
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


def unmet_requirements(distribution: str) -> list[str]:
    """Requirements of an installed distribution that this environment does not meet.

    Each as ``"torch>=2.11,<2.12, found 2.9"`` or ``"torch, not installed"``; extras are not looked
    at. Development and local builds count as the release they precede.
    """
    try:
        required = Distribution.from_name(distribution).requires or []
    except PackageNotFoundError:
        return []
    return [unmet for text in required if (unmet := _unmet(text))]


def _unmet(text: str) -> str | None:
    try:
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.version import InvalidVersion, Version
    except ImportError:
        return None
    try:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            return None
        wanted = f"{requirement.name}{requirement.specifier}"
        found = Distribution.from_name(requirement.name).version
        release = Version(found).base_version
        return None if release in requirement.specifier else f"{wanted}, found {found}"
    except PackageNotFoundError:
        return f"{wanted}, not installed"
    except (InvalidRequirement, InvalidVersion):
        return None


def _wrong_versions(registered: Registered[Any]) -> list[str]:
    """Requirements on the packages that the spec says it runs on, installed but unsuitable."""
    packages = {_normal(package) for package in getattr(registered.spec, "requires", ())}
    if not packages:
        return []
    return [
        unmet
        for unmet in unmet_requirements(registered.distribution)
        if ", found " in unmet and _normal(re.split(r"[^\w.-]", unmet)[0]) in packages
    ]


def _is_importable(package: str) -> bool:
    try:
        return package in sys.modules or importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _pip(requirement: str) -> str:
    return f"pip install '{requirement}'"


# --------------------------------------------------------------------------------- user settings


def config_path() -> Path:
    """The user's ``config.yaml``; ``ZOO_CONFIG`` names another."""
    if given := os.environ.get("ZOO_CONFIG"):
        return Path(given).expanduser()
    import platformdirs

    return platformdirs.user_config_path("voxelzoo") / "config.yaml"


def _disabled_by_config() -> tuple[str, ...]:
    path = config_path()
    if not path.is_file():
        return ()
    from voxelzoo.strict_yaml import read_yaml

    document = read_yaml(path)
    for line, problem in document.problems:
        raise PluginError(f"{path}:{line}: {problem}")
    settings = {} if document.value is None else document.value
    plugins = settings.get("plugins", {}) if isinstance(settings, Mapping) else None
    names = plugins.get("disabled", ()) if isinstance(plugins, Mapping) else None
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise PluginError(
            f"{path}:{document.line('plugins', 'disabled')}: write plugins: {{disabled: [NAME]}}"
        )
    return names


def _flag(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() not in ("", "0", "false", "no")


def _names(variable: str) -> list[str] | None:
    text = os.environ.get(variable)
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


# -------------------------------------------------------------------------------------- metadata


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def _identity(dist: Distribution | None) -> tuple[str, str]:
    """Name and version, of which a damaged distribution may lack either."""
    try:
        metadata: Any = dist.metadata if dist is not None else {}
        return metadata["Name"] or "unknown", metadata["Version"] or "unknown"
    except (KeyError, TypeError, OSError):
        return "unknown", "unknown"


def _name(point: EntryPoint) -> str:
    return _identity(point.dist)[0]


def _version(point: EntryPoint) -> str:
    return _identity(point.dist)[1]


def _label(point: EntryPoint) -> str:
    return f"{_name(point)} {_version(point)}"


def _is_first_party(point: EntryPoint) -> bool:
    return _normal(_name(point)) == FIRST_PARTY


# ---------------------------------------------------------------------------------------- errors


def _reason(error: BaseException, dist: Distribution | None) -> str:
    if isinstance(error, _RefusedError):
        return str(error)
    reason = _one_line(error)
    if isinstance(error, ImportError) and dist is not None:
        unmet = unmet_requirements(_identity(dist)[0])
        if unmet:
            reason += f" (it needs {'; '.join(unmet)})"
    return reason


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


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
