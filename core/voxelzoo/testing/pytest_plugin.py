"""Options of ``pytest --pyargs voxelzoo.testing.suite``.

pytest imports this module in every run of an environment that has voxelzoo, whatever is tested
there, so it stays light.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--zoo-plugin NAME``."""
    group = parser.getgroup("voxelzoo")
    group.addoption(
        "--zoo-plugin",
        action="append",
        default=[],
        metavar="NAME",
        help="voxelzoo.testing.suite checks this plugin only (repeatable; all loaded ones if none)",
    )
