"""What a stranger gets: the wheel in a clean environment, and a third party's package beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "tests" / "example_plugin"

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Environment:
    """A virtual environment outside the checkout."""

    folder: Path

    def __call__(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        program = self.folder / "bin" / command[0]
        return subprocess.run(
            [str(program), *command[1:]],
            cwd=self.folder,
            check=check,
            capture_output=True,
            text=True,
            env={"PATH": str(self.folder / "bin"), "HOME": str(self.folder), "HF_HUB_OFFLINE": "1"},
        )


def build_wheel(source: Path, out: Path) -> Path:
    """The wheel that pip builds of a folder, with the build backend that is here."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run(
        [*command, "--no-build-isolation", "--wheel-dir", str(out), str(source)], check=True
    )
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel, installed without the checkout.

    Dependencies are those of the environment that runs the tests: its site-packages is on the path
    as a plain folder, whose own .pth files, the checkout's among them, are not heeded.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    environment = Environment(folder)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment("pip", "install", "--quiet", "--no-deps", "--ignore-installed", str(wheel))
    where = environment("python", "-c", "import voxelzoo; print(voxelzoo.__file__)").stdout
    assert where.startswith(str(folder)), where
    return environment


def test_a_wheel_holds_our_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert all(name.startswith("voxelzoo") for name in top), top
    assert {"voxelzoo/_data/registry.yaml", "voxelzoo/py.typed"} <= set(names)
    packages = {folder.name for folder in (ROOT / "plugins").glob("voxelzoo_*")}
    assert packages <= top
    assert not [name for name in names if "/test_" in name or name.endswith(".md")]


def test_an_installed_zoo_lists_and_validates_its_catalogue(installed: Environment) -> None:
    models = json.loads(installed("zoo", "list", "--json").stdout)["models"]
    assert {"whisper-large", "opt-175b", "word-rate"} <= {model["model"] for model in models}
    assert "valid" in installed("zoo", "registry", "validate").stdout
    records = json.loads(installed("zoo", "plugins", "list", "--json").stdout)["plugins"]
    assert {record["status"] for record in records} == {"loaded"}


def test_an_installed_zoo_passes_its_conformance_suite(installed: Environment) -> None:
    suite = ["-p", "no:cacheprovider", "--pyargs", "voxelzoo.testing.suite"]
    ended = installed("python", "-m", "pytest", "-q", *suite, "--zoo-plugin", "baselines")
    assert " passed" in ended.stdout, ended.stdout
    assert "failed" not in ended.stdout


def test_a_third_partys_package_joins_by_being_installed(
    installed: Environment, tmp_path: Path
) -> None:
    """No file of ours changes: pip install, and it is listed, shown, checked and run."""
    before = json.loads(installed("zoo", "list", "--json").stdout)["models"]
    assert "word-novelty" not in {model["model"] for model in before}
    plugin = build_wheel(EXAMPLE, tmp_path)
    installed("pip", "install", "--quiet", "--no-deps", "--no-index", str(plugin))

    rows = json.loads(installed("zoo", "list", "--json").stdout)["models"]
    (row,) = [row for row in rows if row["model"] == "word-novelty"]
    assert row["plugin"] == "novelty"
    run = ("zoo", "run", "--plugin", "word-novelty", "--plugin", "word-rate", "--json")
    results = json.loads(installed(*run, "--dataset-option", "seconds=60").stdout)["results"]
    assert {result["model"] for result in results} == {"word-novelty", "word-rate"}
    assert installed("zoo", "check", "novelty").returncode == 0

    others = json.loads(installed("zoo", "list", "--no-plugins", "--json").stdout)["models"]
    assert "word-novelty" not in {model["model"] for model in others}
