"""Where plugins are is remembered, and never outdated."""

from __future__ import annotations

import importlib.metadata
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hermetic import Site, add_good
from voxelzoo.host.loading import load_host
from voxelzoo.host.plugin_points import PluginPoint, plugin_points


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """An empty site-packages on the path, and an empty cache."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return Site(folder)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One item for each time that the metadata of all distributions are read."""
    groups: list[str] = []
    read = importlib.metadata.entry_points

    def noting(*, group: str) -> object:
        groups.append(group)
        return read(group=group)

    monkeypatch.setattr(importlib.metadata, "entry_points", noting)
    return groups


def points(prefix: str = "zoot") -> list[PluginPoint]:
    return [point for point in plugin_points() if point.distribution.startswith(prefix)]


def test_metadata_are_read_once_until_something_is_installed(site: Site, reads: list[str]) -> None:
    first = plugin_points()
    assert plugin_points() == first
    assert len(reads) == 1
    assert {"opt", "datasets"} <= {point.name for point in first if point.is_first_party}
    add_good(site)
    (point,) = points()
    assert (point.name, point.distribution, point.version) == ("nice", "zoot-nice", "1.2")
    assert not point.is_first_party
    assert len(reads) == 2


@pytest.mark.parametrize("change", ["entry points", "version", "removed", "renamed"])
def test_a_distribution_that_changes_in_place_is_read_anew(site: Site, change: str) -> None:
    add_good(site)
    assert [point.name for point in points()] == ["nice"]
    (info,) = site.folder.glob("*.dist-info")
    if change == "entry points":
        text = (info / "entry_points.txt").read_text()
        (info / "entry_points.txt").write_text(text + "second = zoot_nice_nice_plugin\n")
        assert [point.name for point in points()] == ["nice", "second"]
    elif change == "version":
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoot-nice\nVersion: 1.10\n")
        assert [point.version for point in points()] == ["1.10"]
    elif change == "removed":
        (info / "entry_points.txt").unlink()
        assert points() == []
    else:
        info.rename(info.with_name("zoot_other-1.2.dist-info"))
        assert [point.name for point in points()] == ["nice"]


def test_plugins_in_an_archive_are_listed_and_a_changed_archive_is_read_anew(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "plugins.zip"
    monkeypatch.syspath_prepend(archive)
    for names in (["one"], ["one", "two"]):
        with zipfile.ZipFile(archive, "w") as file:
            for name in names:
                info = f"zoot_{name}-1.0.dist-info"
                file.writestr(f"{info}/METADATA", f"Name: zoot-{name}\nVersion: 1.0\n")
                entry = f"[voxelzoo.plugins]\n{name} = zoot_{name}\n"
                file.writestr(f"{info}/entry_points.txt", entry)
        assert [point.name for point in points()] == names


def test_distributions_that_a_finder_brings_are_never_remembered(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    class Finder(importlib.metadata.DistributionFinder):
        def find_spec(self, *_: object) -> None:
            return None

        def find_distributions(self, context: object = None) -> Iterator[object]:
            for info in elsewhere.glob("*.dist-info"):
                yield importlib.metadata.PathDistribution(info)

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert points() == []
    add_good(Site(elsewhere))
    assert [point.name for point in points()] == ["nice"]


@pytest.mark.parametrize("value", ["not-a-module", "zoot_bad:", "no where", "zoot_bad:Missing.x"])
def test_an_entry_point_that_names_no_module_is_reported_and_stops_nothing(
    site: Site, value: str
) -> None:
    site.add("zoot-bad", {"bad": ""})
    (info,) = site.folder.glob("*.dist-info")
    (info / "entry_points.txt").write_text(f"[voxelzoo.plugins]\nbad = {value}\n")
    (record,) = [each for each in load_host().records if each.distribution == "zoot-bad"]
    assert record.status == "failed"
    assert record.error


def test_a_damaged_or_unwritable_cache_is_ignored(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = plugin_points()
    (file,) = (tmp_path / "cache").glob("plugins-*.json")
    for damage in ("", "{}", file.read_text().replace("points", "pints")):
        file.write_text(damage)
        assert plugin_points() == whole
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file" / "cache"))
    assert plugin_points() == whole
