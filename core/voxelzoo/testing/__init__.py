"""The conformance kit that plugin authors run.

``zoo check NAME``, or in pytest ``pytest --pyargs voxelzoo.testing.suite --zoo-plugin NAME``.
Everything runs offline, on very small random networks.
"""

from voxelzoo.testing.checks import check_plugin
from voxelzoo.testing.report import Check, Report

__all__ = ["Check", "Report", "check_plugin"]
