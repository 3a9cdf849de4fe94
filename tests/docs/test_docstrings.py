"""Everything that a plugin author or a notebook's user meets documents its parameters."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import voxelzoo
from docstrings import undocumented, undocumented_of
from voxelzoo import api
from voxelzoo.host.loading import load_host

TABLES = ("voxelzoo", "voxelzoo.api", "voxelzoo_transformers.api", "voxelzoo_regressors")
"""Packages whose ``__all__`` is the one table of public names."""

PACKAGES = (
    *(f"voxelzoo.{floor}" for floor in ("contract", "data", "host", "runs", "store", "stimuli")),
    *(
        f"voxelzoo_{plugin}"
        for plugin in ("aligners", "baselines", "datasets", "hubert", "llama", "opt", "regressors")
    ),
    *(f"voxelzoo_{plugin}" for plugin in ("transformers", "wavlm", "whisper")),
    "voxelzoo.science",
)


def names() -> list[str]:
    return [
        f"{table}:{name}" for table in TABLES for name in importlib.import_module(table).__all__
    ]


def targets() -> list[str]:
    """What the specs of voxelzoo's own plugins name: users type its options."""
    host = load_host(first_party_only=True)
    kinds = (host.extractors, host.aligners, host.regressors, host.datasets)
    return sorted({each.spec.target for kind in kinds for each in kind})


@pytest.mark.parametrize("name", [*names(), *targets()])
def test_every_parameter_of_a_public_name_is_documented(name: str) -> None:
    module, _, attribute = name.partition(":")
    value = getattr(importlib.import_module(module), attribute)
    assert not list(undocumented_of(name, value))


def modules() -> list[str]:
    return [
        module.name
        for package in PACKAGES
        for module in pkgutil.walk_packages(
            importlib.import_module(package).__path__, package + "."
        )
    ]


@pytest.mark.parametrize("name", modules())
def test_a_docstring_of_several_lines_documents_every_parameter(name: str) -> None:
    assert not list(undocumented(importlib.import_module(name)))


def test_a_missing_parameter_is_noticed() -> None:
    def short(first: int) -> None:
        """Does nothing with first."""

    def long(first: int, second: int) -> None:
        """Does nothing.

        Parameters
        ----------
        first : int
            Documented.

        Raises
        ------
        second
            Not a parameter here.
        """

    assert list(undocumented_of("short", short)) == ["short: first"]
    assert not list(undocumented_of("short", short, strict=False))
    assert list(undocumented_of("long", long, strict=False)) == ["long: second"]
    assert {"Dataset", "Extractor"} <= set(api.__all__)
    assert "run" in voxelzoo.__all__
