from __future__ import annotations

import importlib

import pytest

from docstrings import undocumented

MODULES = [
    "block_draws",
    "bootstrap",
    "ceiling_intervals",
    "ceilings",
    "design",
    "inter_subject",
    "layers",
    "paired_tests",
    "repeats",
    "scaling",
    "scaling_forms",
    "significance",
    "traces",
]


@pytest.mark.parametrize("name", MODULES)
def test_every_parameter_is_documented(name: str) -> None:
    assert not list(undocumented(importlib.import_module(f"voxelzoo.science.{name}")))
