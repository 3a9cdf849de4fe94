"""Recipes of one's own: written to a file, loaded, or run by the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recipe_files import Load, Reproduce
from voxelzoo.recipes.loading import load_recipe
from voxelzoo.recipes.schema import Recipe
from zoo_cli import Zoo


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """``load(text)``: the recipe of that text, in a file ``mine.yaml``."""

    def load(text: str) -> Recipe:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return load_recipe(path)

    return load


@pytest.fixture
def reproduce_recipe(zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reproduce:
    """``reproduce_recipe(text, "--figure", "one")``: what ``zoo reproduce --json`` prints.

    Lines are by their id. There are no weights on the machine.
    """
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))

    def reproduce(text: str, *arguments: object) -> dict[str, Any]:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        ended = zoo("reproduce", path, "--json", "--quiet", *arguments)
        assert ended.code == 0, ended.err
        record: dict[str, Any] = ended.json["reproduction"]
        return record | {"lines": {line["id"]: line for line in record["lines"]}}

    return reproduce
