"""The house as a whole: hostile plugins at the command line, and the rules every room keeps."""

from __future__ import annotations

import ast
import json
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from hermetic import HOSTILE, Site, add_good, add_hostile
from voxelzoo.host.loading import load_host
from voxelzoo.testing import check_plugin
from zoo_cli import Zoo

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(path.name for path in (ROOT / "plugins").glob("voxelzoo_*"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    folder = tmp_path / "site"
    folder.mkdir()
    return Site(folder)


# ------------------------------------------------------------------------------ hostile plugins


def test_hostile_plugins_leave_the_listing_whole(site: Site) -> None:
    add_hostile(site)
    listed = site.zoo("list", "--json")
    assert listed.returncode == 0, listed.stderr
    models = {model["model"] for model in json.loads(listed.stdout)["models"]}
    assert {"whisper-large", "word-rate"} <= models
    for name in HOSTILE:
        assert f"zoot-{name}" in listed.stderr

    records = json.loads(site.zoo("plugins", "list", "--json").stdout)["plugins"]
    hostile = {r["name"]: r for r in records if r["name"] in HOSTILE}
    assert hostile.keys() == HOSTILE.keys()
    for record in hostile.values():
        assert record["status"] in ("failed", "incompatible")
        assert record["error"]
        assert "\n" not in record["error"]


@pytest.mark.parametrize("name", ["broken", "sysexit", "future"])
def test_running_a_model_of_a_hostile_plugin_names_its_distribution(site: Site, name: str) -> None:
    add_hostile(site)
    ended = site.zoo("run", "--plugin", f"{name}/model")
    assert ended.returncode in (3, 4)
    assert f"zoot-{name}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_two_models_of_one_name_must_be_told_apart(site: Site) -> None:
    add_good(site, "one", model="same")
    add_good(site, "two", model="same")
    ended = site.zoo("run", "--plugin", "same")
    assert ended.returncode == 3
    for name in ("one", "two"):
        assert f"{name}/same" in ended.stderr
        assert f"zoot-{name}" in ended.stderr
    small = ("--dataset-option", "seconds=60", "--dataset-option", "subjects=1")
    run = site.zoo("run", "--plugin", "one/same", *small, "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["results"][0]["model_id"] == "one/same"


def test_a_blocked_plugin_is_gone_and_says_why(site: Site) -> None:
    add_good(site, "one", model="mine")
    assert site.zoo("show", "one/mine").returncode == 0
    for arguments, variables in (
        (("--disable-plugin", "one"), {}),
        (("--disable-plugin", "zoot-one"), {}),
        (("--no-plugins",), {}),
        ((), {"ZOO_DISABLE_PLUGINS": "one"}),
        ((), {"ZOO_PLUGINS": "baselines,datasets"}),
    ):
        ended = site.zoo("run", "--plugin", "one/mine", *arguments, **variables)
        assert ended.returncode in (3, 4), ended.stderr
        assert "zoot-one" in ended.stderr


def test_what_plugins_print_or_warn_stays_out_of_the_document(site: Site) -> None:
    noisy = "import warnings\nprint('hello')\nwarnings.warn('careful')\n"
    site.add("zoot-noisy", {"noisy": noisy})
    for command in (
        ("list",),
        ("show", "whisper-tiny"),
        ("plugins", "list"),
        ("registry", "validate"),
        ("run", "--plugin", "nobody"),
        ("check", "aligners"),
    ):
        ended = site.zoo(*command, "--json")
        assert json.loads(ended.stdout)["schema_version"] == 1
        assert "\x1b" not in ended.stdout


# ---------------------------------------------------------------------------------- house rules


def test_entry_points_are_in_step() -> None:
    """pyproject.toml, the plugin folders and the installed metadata say the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["entry-points"]["voxelzoo.plugins"]
    installed = {
        point.name: point.value
        for point in metadata.distribution("voxelzoo").entry_points
        if point.group == "voxelzoo.plugins"
    }
    assert installed == declared, "run: pip install -e ."
    assert sorted({value.partition(".")[0] for value in declared.values()}) == PLUGINS
    for value in declared.values():
        assert (ROOT / "plugins" / (value.replace(".", "/") + ".py")).is_file()


def imported(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_imports_nothing_of_the_host_but_its_api(plugin: str) -> None:
    for path in (ROOT / "plugins" / plugin).rglob("*.py"):
        host = {m for m in imported(path) if m == "voxelzoo" or m.startswith("voxelzoo.")}
        assert host <= {"voxelzoo.api"}, f"{path.name} imports {host - {'voxelzoo.api'}}"


def test_the_host_imports_no_plugin() -> None:
    for path in (ROOT / "core").rglob("*.py"):
        own = {module for module in imported(path) if module.startswith("voxelzoo_")}
        assert not own, f"{path.name} imports {own}"


@pytest.mark.parametrize("name", [record.name for record in load_host().records])
def test_every_plugin_here_passes_its_conformance_checks(name: str) -> None:
    failed = [
        (report.subject, check.name, check.detail)
        for report in check_plugin(load_host(), name)
        for check in report.checks
        if check.status == "failed"
    ]
    assert not failed


def test_a_broken_promise_is_found(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extractor whose past depends on the future, and whose width is not as declared."""
    plugin = """
        from voxelzoo.api import ExtractorSpec, ModelEntry, hookimpl

        @hookimpl
        def zoo_register_extractors():
            row = ModelEntry(name="peek", plugin="peek", modality="text", n_layers=0, embed_dim=2)
            yield ExtractorSpec("peek", "peek_heavy:Peek", "text", "Looks ahead.", tiny=row)
    """
    heavy = """
        import numpy as np
        from voxelzoo.api import StateBlock

        class Peek:
            def __init__(self, request):
                pass
            def layers(self):
                return [0]
            def fingerprint(self):
                return {}
            def times(self, story):
                return story.need_words().times
            def extract(self, story, layers):
                total = sum(map(len, story.need_words().text))
                yield StateBlock(0, np.full((1, len(story.need_words()), 1), total, np.float32))
            def close(self):
                pass
    """
    site.add("zoot-peek", {"peek": plugin}, other={"peek_heavy": heavy})
    monkeypatch.syspath_prepend(site.folder)
    reports = check_plugin(load_host(), "peek")
    sys.modules.pop("peek_heavy")
    failed = {c.name for report in reports for c in report.checks if c.status == "failed"}
    assert failed == {"layers and width are as declared", "nothing after a state reaches it"}


def test_check_fails_for_a_plugin_that_did_not_load(zoo: Zoo) -> None:
    assert zoo("check", "nobody").code == 3
    assert zoo("check", "aligners").code == 0
