"""YAML that would take all memory is refused before it does."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from voxelzoo.bounded_yaml import FREE, load_yaml
from voxelzoo.data.fetching import read_manifest
from voxelzoo.errors import ZooError
from voxelzoo.host.registry_files import read_registry_file
from voxelzoo.recipes.loading import load_recipe
from voxelzoo_datasets.description import read_description


def bomb(levels: int = 9, width: int = 9) -> str:
    """Aliases of aliases: ``width ** levels`` values."""
    lines = [f"a0: &a0 [{', '.join(['x'] * width)}]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join([*lines, f"name: *a{levels - 1}"]) + "\n"


TEXTS = {
    "aliases of aliases": bomb(),
    "an alias of a long text": f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 500)}]\n",
    "itself": "a: &a [*a]\n",
    "itself as a value": "&a name: &b {b: *b}\n",
    "deep lists": "[" * 20_000,
    "deep mappings": "{a: " * 500 + "}" * 500,
    "deep blocks": "\n".join(" " * i + "-" for i in range(500)),
    "no anchor": "a: *b\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_beyond_the_bounds_is_refused_at_once(name: str) -> None:
    begun = time.monotonic()
    with pytest.raises(yaml.YAMLError):
        load_yaml(TEXTS[name])
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("read", [read_manifest, load_recipe, read_description])
def test_every_reader_says_so_in_a_line(tmp_path: Path, read: object, name: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(TEXTS[name])
    with pytest.raises(ZooError) as raised:
        read(path)  # type: ignore[operator]
    assert "file.yaml" in str(raised.value)
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("name", TEXTS)
def test_a_registry_file_beyond_the_bounds_has_one_problem(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(TEXTS[name])
    (problem,) = read_registry_file(path).problems
    assert "not valid YAML" in str(problem)


def test_ordinary_aliases_are_read() -> None:
    text = "base: &base {tr: 2.0, names: &names [a, b]}\nmine: {<<: *base, others: *names}\n"
    assert load_yaml(text) == yaml.safe_load(text)
    assert load_yaml("") is None
    large = "x: [" + ", ".join(["value"] * (FREE // 4)) + "]\n"
    assert len(load_yaml(large)["x"]) == FREE // 4


def test_text_that_runs_code_is_refused(tmp_path: Path) -> None:
    text = f'!!python/object/apply:os.mkdir ["{tmp_path / "ran"}"]'
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)
    assert not (tmp_path / "ran").exists()
