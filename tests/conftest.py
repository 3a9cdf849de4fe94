"""Fixtures for every test: no network, no user configuration, and the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo_cli import Zoo, runner


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chaos", action="store_true", help="Chaos tests in full numbers.")


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether chaos tests run in full numbers."""
    return bool(request.config.getoption("--chaos"))


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A test sees neither the user's settings nor a network, wherever it runs."""
    nobody = tmp_path_factory.getbasetemp() / "nobody"
    monkeypatch.setenv("ZOO_CONFIG", str(nobody / "config.yaml"))
    monkeypatch.setenv("ZOO_CACHE", str(nobody / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("ZOO_DISABLE_PLUGINS", "ZOO_PLUGINS", "ZOO_NO_PLUGINS", "ZOO_STORE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Zoo:
    """The command line, run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return runner(monkeypatch, capfd)
