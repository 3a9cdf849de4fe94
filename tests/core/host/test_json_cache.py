"""A kept catalogue is the one that would be merged anew, and never an outdated one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from voxelzoo.api import ModelEntry, PluginError
from voxelzoo.host import catalogue_merging, json_cache
from voxelzoo.host.catalogue import Catalogue, load_catalogue
from voxelzoo.host.host import Host
from voxelzoo.host.records import Registered

ROW = "schema_version: 1\nmodels:\n  {name}: {{plugin: opt, modality: text, n_layers: {layers}}}\n"
NO_PLUGINS = Host(records=())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache, and a working folder without registry files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Registry files that are read, in order."""
    files: list[Path] = []
    read = catalogue_merging.read_registry_file

    def noting(path: Path) -> object:
        files.append(path)
        return read(path)

    monkeypatch.setattr(catalogue_merging, "read_registry_file", noting)
    return files


def with_sources(each: Catalogue) -> list[tuple[ModelEntry, dict[str, str]]]:
    return [(entry, dict(each.sources(entry))) for entry in each.entries]


def test_what_is_kept_is_what_was_merged(folder: Path, reads: list[Path], tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(ROW.format(name="mine", layers=3))
    shipped = ModelEntry("theirs", "acme", "text", languages=("en",))
    invalid = ModelEntry("wrong", "acme", "text", n_layers=-1)
    rows = tuple(Registered(row, "acme", "zoot-acme", "1.2") for row in (shipped, invalid))
    host = Host(records=(), models=rows)
    first, n_read = load_catalogue(host, [overlay]), len(reads)
    second = load_catalogue(host, [overlay])
    assert len(reads) == n_read == 2
    assert with_sources(second) == with_sources(first)
    assert second.problems == first.problems
    assert "n_layers" in second.problems[0].message
    assert shipped in second.entries


def test_a_changed_file_or_row_is_merged_anew(folder: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(ROW.format(name="mine", layers=3))
    assert load_catalogue(NO_PLUGINS, [overlay]).find("mine").n_layers == 3
    overlay.write_text(ROW.format(name="mine", layers=4))
    assert load_catalogue(NO_PLUGINS, [overlay]).find("mine").n_layers == 4
    row = Registered(ModelEntry("mine", "opt", "text", embed_dim=7), "opt", "zoot-opt", "1")
    assert load_catalogue(Host(records=(), models=(row,)), [overlay]).find("mine").embed_dim == 7
    overlay.unlink()
    with pytest.raises(PluginError, match=r"mine\.yaml"):
        load_catalogue(NO_PLUGINS, [overlay])


def test_an_invalid_file_is_refused_every_time(folder: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(ROW.format(name="mine", layers=-3))
    for _ in range(2):
        with pytest.raises(PluginError, match=r"mine\.yaml:3"):
            load_catalogue(NO_PLUGINS, [overlay])


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"key": 1}', '{"key": KEY, "content": []}'])
def test_a_damaged_cache_is_ignored(folder: Path, damage: str) -> None:
    whole = load_catalogue(NO_PLUGINS)
    (file,) = folder.iterdir()
    key = json.dumps(json.loads(file.read_text())["key"])
    file.write_text(damage.replace("KEY", key))
    assert load_catalogue(NO_PLUGINS).entries == whole.entries


def test_a_folder_that_cannot_be_written_is_ignored(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.parent.joinpath("file").write_text("")
    monkeypatch.setenv("ZOO_CACHE", str(folder.parent / "file" / "cache"))
    assert load_catalogue(NO_PLUGINS).entries == load_catalogue(NO_PLUGINS).entries


def test_at_most_ten_are_kept_and_the_oldest_go(folder: Path, tmp_path: Path) -> None:
    for i in range(json_cache.LIMIT + 2):
        overlay = tmp_path / f"{i}.yaml"
        overlay.write_text(ROW.format(name=f"mine-{i}", layers=3))
        before = set(folder.glob("*")) if folder.is_dir() else set()
        load_catalogue(NO_PLUGINS, [overlay])
        (new,) = set(folder.glob("*")) - before
        os.utime(new, (i, i))
        if i == 0:
            oldest = new
    assert len(list(folder.iterdir())) == json_cache.LIMIT
    assert not oldest.exists()
