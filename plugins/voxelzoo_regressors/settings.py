"""Validation of estimators' settings; each error names the setting and what it may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voxelzoo.api import UsageError


def require_choice(estimator: str, name: str, value: Any, choices: Sequence[str]) -> None:
    """Raises :class:`UsageError` if a setting is not one of some words."""
    if value not in choices:
        raise UsageError(f"{estimator}: {name}={value!r}; use one of {', '.join(choices)}")


def require_count(estimator: str, name: str, value: Any, least: int) -> None:
    """Raises :class:`UsageError` if a setting is not a whole number of ``least`` or more."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:
        raise UsageError(f"{estimator}: {name}={value!r}; use a whole number, {least} or more")


def require_delays(estimator: str, delays: Sequence[Any]) -> list[int]:
    """Delays as whole rows, 0 or more; raises :class:`UsageError` if they are not."""
    if not len(delays) or any(int(d) != d or d < 0 for d in delays):
        raise UsageError(f"{estimator}: delays={delays!r}; use whole numbers of rows, 0 or more")
    return [int(d) for d in delays]


def require_alphas(estimator: str, alphas: Any) -> NDArray[np.float64]:
    """Alphas as an array (alpha,); raises :class:`UsageError` if they are not positive numbers."""
    try:
        values = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.ndim != 1 or not values.size or not (np.isfinite(values) & (values > 0)).all():
        raise UsageError(f"{estimator}: alphas={alphas!r}; use positive numbers")
    return values


def require_device(estimator: str, device: str) -> str:
    """Name of a usable PyTorch device; raises :class:`UsageError` if it cannot be used."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{estimator}: device={device!r} is not available: {reason}") from error
    return device
