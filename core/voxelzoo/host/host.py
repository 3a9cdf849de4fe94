"""Every plugin of this environment, looked up by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voxelzoo.api import (
    AlignerSpec,
    DatasetSpec,
    ExtractorSpec,
    ModelEntry,
    NotFoundError,
    PluginError,
    RegressorSpec,
)
from voxelzoo.host.records import PluginRecord, Problem, Registered, S_co, describe, suggestion


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
