"""A regressor with its options: what makes fresh ones, and what determines its values.

Importing a regressor can take seconds (torch, scikit-learn). So its parameters are remembered in
the store, and a run that finds every result there does not import it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from voxelzoo.api import HasCoefficients, Regressor, RegressorSpec
from voxelzoo.host.records import Registered
from voxelzoo.host.targets import build
from voxelzoo.runs.models import unlisted
from voxelzoo.store.artefacts import artefact_key
from voxelzoo.store.store import Store


@dataclass(frozen=True)
class _Built:
    """What is read of a regressor once it is built, as JSON values."""

    parameters: Mapping[str, Any]
    has_coefficients: bool


class ChosenRegressor:
    """A regressor with its options. It is imported when it is first needed.

    Parameters
    ----------
    registered : Registered
        Its spec, and the plugin that registered it.
    options : mapping
        The options that were set.
    store : Store
        Where its parameters are remembered.
    """

    def __init__(
        self, registered: Registered[RegressorSpec], options: Mapping[str, Any], store: Store
    ) -> None:
        self.registered = registered
        self.options = dict(options)
        self._store = store

    @property
    def spec(self) -> RegressorSpec:
        """Its spec."""
        return self.registered.spec

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Every parameter, defaults included, as JSON values.

        Raises
        ------
        UsageError
            If the regressor does not have an option that was set.
        """
        return self._built.parameters

    def check_options(self) -> None:
        """Raise :class:`UsageError` if the regressor does not have an option that was set."""
        _ = self.parameters

    @property
    def has_coefficients(self) -> bool:
        """Whether the weights of a design's columns can be read from a fitted one."""
        return self._built.has_coefficients

    @property
    def takes_cache(self) -> bool:
        """Whether it wants a folder in which fits on the same design share what they can."""
        return "cache" in self.parameters and self.parameters["cache"] is None

    def make(self, cache: Path | None = None) -> Regressor:
        """A fresh regressor.

        Parameters
        ----------
        cache : Path, optional
            Folder in which fits on the same design share what they can.
        """
        more = {} if cache is None else {"cache": str(cache)}
        regressor: Regressor = build(self.registered, {**self.options, **more})
        return regressor

    @property
    def settings(self) -> dict[str, Any]:
        """The options that were set and change values, as JSON values."""
        return self._that_matter({name: _plain(value) for name, value in self.options.items()})

    @property
    def provenance(self) -> dict[str, Any]:
        """What determines its values, as JSON values."""
        parameters = self._that_matter(self.parameters)
        return {**self._identity, "parameters": parameters, **unlisted(self.settings, parameters)}

    def remember(self) -> None:
        """Write its parameters to the store, so that later runs need not import it."""
        if self._memory.exists():
            return
        draft = self._memory.with_suffix(f".{uuid4().hex}")
        try:
            draft.parent.mkdir(exist_ok=True)
            built = asdict(self._built)
            draft.write_text(json.dumps({"built": built, "sha256": artefact_key(built)}))
            draft.replace(self._memory)
        except OSError:
            return  # it only saves time

    # ------------------------------------------------------------------------------------ inside

    @property
    def _identity(self) -> dict[str, str]:
        return self.registered.identity(self.spec.target)

    def _that_matter(self, values: Mapping[str, Any]) -> dict[str, Any]:
        neutral = {"cache", *self.spec.neutral_options}
        return {name: value for name, value in values.items() if name not in neutral}

    @cached_property
    def _built(self) -> _Built:
        try:
            memory = json.loads(self._memory.read_text())
            if memory["sha256"] == artefact_key(memory["built"]):
                return _Built(**memory["built"])
        except (OSError, ValueError, TypeError, KeyError):
            pass
        regressor = self.make()
        parameters = sorted(regressor.get_params(deep=False).items())
        return _Built(
            {name: _plain(value) for name, value in parameters},
            isinstance(regressor, HasCoefficients),
        )

    @cached_property
    def _memory(self) -> Path:
        """The file in the store; another one if an option or the regressor's code changes."""
        options = {name: _plain(value) for name, value in self.options.items()}
        key = artefact_key({**self._identity, "options": options})
        return self._store.root / "regressors" / f"{key}.json"


def _plain(value: Any) -> Any:
    """A regressor's parameter as a JSON value."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return repr(value)
