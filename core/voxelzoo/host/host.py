"""Every plugin of this environment, looked up by name or by what it declares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voxelzoo.api import (
    AlignerSpec,
    Control,
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

    # ------------------------------------------------------------------------------------ by name

    def record(self, plugin: str) -> PluginRecord | None:
        """The record of the plugin with this entry-point name, or ``None``.

        Of several with one name, the one that is loaded.

        Parameters
        ----------
        plugin
            Entry-point name.
        """
        records = [record for record in self.records if record.name == plugin]
        return min(records, key=lambda record: record.status != "loaded", default=None)

    def require_plugin(self, plugin: str) -> PluginRecord:
        """The record of a loaded plugin.

        Parameters
        ----------
        plugin
            Entry-point name.

        Raises
        ------
        NotFoundError
            No installed plugin has this name.
        PluginError
            The plugin is installed and was not loaded; the message says why.
        """
        record = self.record(plugin)
        if record is None:
            hint = suggestion(plugin, (record.name for record in self.records))
            raise NotFoundError(f"no plugin {plugin!r} is installed; {hint}")
        if record.status != "loaded":
            raise PluginError(f"plugin {describe(record)} is {record.status}: {record.error}")
        return record

    def extractor(self, plugin: str, name: str | None = None) -> Registered[ExtractorSpec]:
        """A plugin's extractor.

        Parameters
        ----------
        plugin
            The plugin's entry-point name.
        name
            Which extractor, if the plugin has more than one. Without it, the only one or the one
            named like the plugin.

        Raises
        ------
        NotFoundError
            No plugin, or no extractor of it, has this name.
        PluginError
            The plugin was not loaded.
        """
        self.require_plugin(plugin)
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
                "name one in the row's field 'extractor'"
            )
        raise NotFoundError(
            f"plugin {plugin!r} has no extractor {name!r}; {suggestion(name, names)}"
        )

    def aligner(self, name: str) -> Registered[AlignerSpec]:
        """Find an aligner by name.

        Parameters
        ----------
        name
            Short name, or ``plugin/name``.

        Returns
        -------
        Registered
            The spec, with the plugin that registered it.

        Raises
        ------
        NotFoundError
            The name is unknown, or several distributions provide it.
        """
        return self._one("aligner", self.aligners, name)

    def regressor(self, name: str) -> Registered[RegressorSpec]:
        """Find a regressor by name.

        Parameters
        ----------
        name
            Short name, or ``plugin/name``.

        Returns
        -------
        Registered
            The spec, with the plugin that registered it.

        Raises
        ------
        NotFoundError
            The name is unknown, or several distributions provide it.
        """
        return self._one("regressor", self.regressors, name)

    def dataset(self, name: str) -> Registered[DatasetSpec]:
        """Find a dataset by name.

        Parameters
        ----------
        name
            Short name, or ``plugin/name``.

        Returns
        -------
        Registered
            The spec, with the plugin that registered it.

        Raises
        ------
        NotFoundError
            The name is unknown, or several distributions provide it.
        """
        return self._one("dataset", self.datasets, name)

    # ----------------------------------------------------------------------- by what they declare

    def default_aligner(self, protocol: str) -> Registered[AlignerSpec]:
        """The aligner that a protocol uses if the user names none.

        Parameters
        ----------
        protocol
            Name of the protocol.

        Raises
        ------
        NotFoundError
            No aligner, or more than one, declares the protocol in ``default_for``.
        """
        declared = [each for each in self.aligners if protocol in each.spec.default_for]
        return self._only(declared, f"default aligner of protocol {protocol!r}", "--aligner NAME")

    def default_regressor(self, protocol: str) -> Registered[RegressorSpec]:
        """The regressor that a protocol uses if the user names none.

        Parameters
        ----------
        protocol
            Name of the protocol.

        Raises
        ------
        NotFoundError
            No regressor, or more than one, declares the protocol in ``default_for``.
        """
        declared = [each for each in self.regressors if protocol in each.spec.default_for]
        what = f"default regressor of protocol {protocol!r}"
        return self._only(declared, what, "--regressor NAME")

    def stacking_regressor(self) -> Registered[RegressorSpec]:
        """The regressor of recipes' joint fits (``RegressorSpec.stacks``).

        Raises
        ------
        NotFoundError
            No regressor, or more than one, declares it.
        """
        declared = [each for each in self.regressors if each.spec.stacks]
        return self._only(declared, "regressor that stacks feature spaces")

    def default_dataset(self) -> Registered[DatasetSpec]:
        """The dataset used if the user names none (``DatasetSpec.default``).

        Raises
        ------
        NotFoundError
            No dataset, or more than one, declares it.
        """
        declared = [each for each in self.datasets if each.spec.default]
        return self._only(declared, "default dataset", "--dataset NAME:PATH")

    def control(self, kind: Control) -> Registered[ModelEntry]:
        """The baseline that controls for something (``ModelEntry.control``), such as ``timing``.

        Parameters
        ----------
        kind
            What it controls for.

        Raises
        ------
        NotFoundError
            No plugin's model, or more than one, declares it.
        """
        declared = [each for each in self.models if each.spec.control == kind]
        return self._only(declared, f"baseline that controls for {kind}")

    # ------------------------------------------------------------------------------------ messages

    def missing_plugins(self) -> str:
        """A clause that names the plugins which are not loaded, for messages about unknown names.

        Empty if all are loaded.
        """
        missing = [record for record in self.records if record.status != "loaded"]
        if not missing:
            return ""
        named = "; ".join(f"{describe(rec)} {rec.status}: {rec.error}" for rec in missing)
        return f" (not loaded: {named})"

    def _one(
        self, kind: str, registered: Sequence[Registered[S_co]], name: str
    ) -> Registered[S_co]:
        """The one of this name, short or qualified."""
        plugin, slash, _ = name.rpartition("/")
        matches = [each for each in registered if name == (each.id if slash else each.spec.name)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise NotFoundError(f"{kind} {name!r} is ambiguous; use one of {_listed(matches)}")
        if slash:
            self.require_plugin(plugin)
        names = [each.id if slash else each.spec.name for each in registered]
        raise NotFoundError(
            f"no {kind} {name!r}; {suggestion(name, names)}{self.missing_plugins()}"
        )

    def _only(
        self, declared: Sequence[Registered[S_co]], what: str, option: str = ""
    ) -> Registered[S_co]:
        """The only one that declares something; ``option`` is how the user can name one."""
        if len(declared) == 1:
            return declared[0]
        fix = f"; pass {option}" if option else ""
        if declared:
            raise NotFoundError(f"more than one {what}: {_listed(declared)}{fix}")
        raise NotFoundError(f"no {what} is installed{fix}{self.missing_plugins()}")


def _listed(registered: Sequence[Registered[S_co]]) -> str:
    return ", ".join(f"{e.id} ({e.distribution} {e.version})" for e in registered)
