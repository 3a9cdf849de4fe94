"""What a plugin must not register."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence

from voxelzoo.api import (
    API_OLDEST,
    API_VERSION,
    AlignerSpec,
    DatasetSpec,
    ExtractorSpec,
    ModelEntry,
    RegressorSpec,
    Spec,
    bibtex_key,
)
from voxelzoo.host.records import Status

RETURNS: Mapping[str, type] = {
    "zoo_register_extractors": ExtractorSpec,
    "zoo_register_aligners": AlignerSpec,
    "zoo_register_regressors": RegressorSpec,
    "zoo_register_datasets": DatasetSpec,
    "zoo_register_models": ModelEntry,
}
"""Hook -> the type of what it returns."""

_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class RefusedError(Exception):
    """A plugin that breaks the contract; the message says how."""

    def __init__(self, message: str, status: Status = "failed") -> None:
        super().__init__(message)
        self.status: Status = status


def check_specs(hook: str, specs: Sequence[object], plugin: str, label: str) -> None:
    """Checks what one hook of a plugin returned.

    Parameters
    ----------
    hook
        Name of the hook.
    specs
        What it returned.
    plugin
        Entry-point name of the plugin.
    label
        Name and version of its distribution, for messages.

    Raises
    ------
    RefusedError
        Something in ``specs`` is not what the hook may return.
    """
    names: set[str] = set()
    for spec in specs:
        if not isinstance(spec, RETURNS[hook]):
            raise RefusedError(
                f"{hook} gave {type(spec).__name__} {_short(spec)}, not {RETURNS[hook].__name__}"
            )
        assert isinstance(spec, Spec | ModelEntry)
        if not isinstance(spec.name, str) or not _NAME.fullmatch(spec.name):
            raise RefusedError(
                f"{hook}: name {spec.name!r} is not lower-case letters, digits, '-._'"
            )
        if spec.name in names:
            raise RefusedError(f"{hook} gave the name {spec.name!r} twice")
        names.add(spec.name)
        if isinstance(spec, ModelEntry):
            if spec.plugin != plugin:
                raise RefusedError(
                    f"{hook}: row {spec.name!r} is for plugin {spec.plugin!r}, not {plugin!r}"
                )
            continue  # the catalogue checks its other fields, as it does those of any row
        _check_version(hook, spec, label)
        if not isinstance(spec.target, str) or not _TARGET.fullmatch(spec.target):
            raise RefusedError(
                f"{hook}: {spec.name!r} has target {_short(spec.target)}, not "
                "'package.module:Class'"
            )
        _check_bibtex(hook, spec)


def _check_version(hook: str, spec: Spec, label: str) -> None:
    version = spec.api_version
    if not isinstance(version, int) or isinstance(version, bool):
        raise RefusedError(f"{hook}: {spec.name!r} has api_version {version!r}, not a number")
    if not API_OLDEST <= version <= API_VERSION:
        distribution = "voxelzoo" if version > API_VERSION else label.partition(" ")[0]
        raise RefusedError(
            f"written for plugin API {version}; this voxelzoo supports "
            f"{API_OLDEST} to {API_VERSION}: upgrade {distribution}",
            "incompatible",
        )
    if version < API_VERSION:
        warnings.warn(
            f"{label} uses plugin API {version}; the current one is {API_VERSION}",
            DeprecationWarning,
            stacklevel=2,
        )


def _check_bibtex(hook: str, spec: Spec) -> None:
    of_models = spec.model_bibtex if isinstance(spec, ExtractorSpec) else ()
    for name, entries in (("bibtex", spec.bibtex), ("model_bibtex", of_models)):
        if not isinstance(entries, tuple) or not all(isinstance(each, str) for each in entries):
            raise RefusedError(f"{hook}: {spec.name!r}: {name} is not a tuple of BibTeX entries")
        for entry in entries:
            try:
                bibtex_key(entry)
            except ValueError as error:
                raise RefusedError(f"{hook}: {spec.name!r}: {name} has {error}") from None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
