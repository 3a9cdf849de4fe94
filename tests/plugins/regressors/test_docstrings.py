from __future__ import annotations

import importlib
import pkgutil

import pytest

import voxelzoo_aligners
import voxelzoo_regressors
from docstrings import undocumented

MODULES = [
    f"{package.__name__}.{module.name}"
    for package in (voxelzoo_aligners, voxelzoo_regressors)
    for module in pkgutil.iter_modules(package.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_every_parameter_is_documented(name: str) -> None:
    assert not list(undocumented(importlib.import_module(name)))
