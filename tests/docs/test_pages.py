"""The README and the pages: their links, and the files that they tell a reader to write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pages import PAGES, ROOT, block, blocks
from voxelzoo.host.catalogue import validate_registry
from voxelzoo.recipes.loading import load_recipe
from voxelzoo_datasets.description import read_description

LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("path", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])
def test_links_lead_to_files_of_the_repository(path: Path) -> None:
    prose = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    links = [link for link in LINK.findall(prose) if not link.startswith("https://")]
    assert not [link for link in links if not (path.parent / link).exists()]


def test_the_readme_can_be_read_in_one_go() -> None:
    assert (ROOT / "README.md").read_text().count("\n") <= 120


def test_the_picture_is_small() -> None:
    assert all(picture.stat().st_size < 100_000 for picture in (ROOT / "docs/images").iterdir())


@pytest.mark.parametrize("path", PAGES, ids=[str(path.relative_to(ROOT)) for path in PAGES])
def test_examples_of_python_and_yaml_are_well_formed(path: Path) -> None:
    for each in blocks(path):
        if each.language == "python":
            compile(each.text, each.where, "exec")
        if each.language == "yaml":
            assert yaml.safe_load(each.text), each.where


def test_the_example_of_a_dataset_is_read(tmp_path: Path) -> None:
    path = tmp_path / "dataset.yaml"
    path.write_text(block("docs/your-data.md", "# dataset.yaml"))
    description = read_description(path)
    assert description.name == "my-study"
    assert description.stories.test == ["gamma"]


def test_the_example_of_a_registry_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "lab-models.yaml"
    path.write_text(block("docs/models.md", "# lab-models.yaml"))
    assert validate_registry(path) == []


def test_the_example_of_a_recipe_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(block("docs/reproduce.md", "# mine.yaml"))
    assert load_recipe(path).name == "mine"


def test_the_citation_file_says_what_its_format_requires() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "license", "version"} <= citation.keys()
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys()
