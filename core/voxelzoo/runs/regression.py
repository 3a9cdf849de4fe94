"""A regressor with its options, resolved: what makes fresh ones, and what they are known by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxelzoo.api import HasCoefficients, Regressor, RegressorSpec
from voxelzoo.host.records import Registered
from voxelzoo.host.targets import build


@dataclass(frozen=True)
class ChosenRegressor:
    """A regressor with its options.

    Parameters
    ----------
    registered : Registered
        Its spec, and the plugin that registered it.
    options : mapping
        The options that were set.
    parameters : mapping
        Every parameter of a fresh regressor, defaults included.
    has_coefficients : bool
        Whether the weights of a design's columns can be read from a fitted one.
    """

    registered: Registered[RegressorSpec]
    options: Mapping[str, Any]
    parameters: Mapping[str, Any]
    has_coefficients: bool

    @classmethod
    def open(
        cls, registered: Registered[RegressorSpec], options: Mapping[str, Any]
    ) -> ChosenRegressor:
        """Build one regressor, so that a wrong option is reported before anything is computed.

        Raises
        ------
        UsageError
            If the regressor does not have an option.
        """
        regressor: Regressor = build(registered, options)
        return cls(
            registered,
            dict(options),
            regressor.get_params(deep=False),
            isinstance(regressor, HasCoefficients),
        )

    @property
    def spec(self) -> RegressorSpec:
        """Its spec."""
        return self.registered.spec

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
        return self._plain(self.options)

    @property
    def provenance(self) -> dict[str, Any]:
        """What determines its values, as JSON values."""
        return {
            "id": self.registered.id,
            "distribution": self.registered.distribution,
            "version": self.registered.version,
            "parameters": self._plain(dict(sorted(self.parameters.items()))),
        }

    def _plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        neutral = {"cache", *self.spec.neutral_options}
        return {name: _plain(value) for name, value in values.items() if name not in neutral}


def _plain(value: Any) -> Any:
    """A regressor's parameter as a JSON value."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return repr(value)
