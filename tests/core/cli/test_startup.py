"""What starting ``zoo`` costs: a command imports only what it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hermetic import Site
from voxelzoo.cli.application import COMMANDS
from zoo_cli import Zoo

HEAVY = {"numpy", "torch", "scipy", "zarr", "pandas", "sklearn", "transformers", "rich"}


def imported_by(site: Site, *arguments: str) -> set[str]:
    """Packages that a call of ``zoo`` imported."""
    script = (
        "import sys\nfrom voxelzoo.cli import main\ntry:\n    main()\n"
        "finally:\n    print(*sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=site.folder,
        env=site.environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return set(ended.stderr.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("list", "--json"), ("show", "word-rate"), ("plugins", "list"), ("data", "list")],
)
def test_listing_imports_nothing_heavy(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert not imported_by(Site(tmp_path), *arguments) & HEAVY


def test_a_second_listing_reads_neither_the_catalogue_nor_all_metadata(tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert {"yaml", "pydantic"} <= imported_by(site, "list")
    assert not {"yaml", "pydantic", "importlib.metadata"} & imported_by(
        site, "list", "--match", "opt-*", "--json"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(zoo: Zoo, name: str) -> None:
    ended = zoo(name, "--help")
    assert ended.code == 0
    assert f"zoo {name}" in ended.out


def test_importing_the_command_line_changes_no_setting_of_the_process() -> None:
    script = "import gc; before = gc.get_threshold(); import voxelzoo.cli\n"
    script += "assert gc.get_threshold() == before"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_number_that_is_none_is_refused_by_the_options_name(zoo: Zoo) -> None:
    ended = zoo("run", "-p", "word-rate", "--folds", "many")
    assert ended.code == 2
    assert "--folds" in ended.err
