"""The conformance checks as pytest tests: ``pytest --pyargs voxelzoo.testing.suite``."""

from __future__ import annotations

import pytest

from voxelzoo.host.loading import load_host
from voxelzoo.host.records import suggestion
from voxelzoo.testing.checks import check_plugin


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a plugin: those named by ``--zoo-plugin``, or all that are loaded."""
    names = metafunc.config.getoption("--zoo-plugin")
    known = {record.name for record in load_host().records}
    if unknown := sorted(set(names) - known):
        raise pytest.UsageError(f"no plugin {unknown[0]!r}; {suggestion(unknown[0], known)}")
    loaded = [record.name for record in load_host().records if record.status == "loaded"]
    metafunc.parametrize("plugin", names or loaded)


def test_plugin_keeps_the_contract(plugin: str) -> None:
    """Every check of the plugin passes or does not apply."""
    failed = [
        f"{report.subject}: {check.name}: {check.detail}"
        for report in check_plugin(load_host(), plugin)
        for check in report.checks
        if check.status == "failed"
    ]
    assert not failed, "\n".join(failed)
