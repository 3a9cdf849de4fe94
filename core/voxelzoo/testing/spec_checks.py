"""Checks of a plugin's light half: its registration module and its specs."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
from typing import Any

from voxelzoo.api import DatasetSpec, ZooError
from voxelzoo.host.catalogue import load_catalogue
from voxelzoo.host.host import Host
from voxelzoo.host.records import PluginRecord, Registered
from voxelzoo.host.targets import load_target
from voxelzoo.testing.report import Named

HEAVY = ("torch", "transformers", "scipy", "sklearn", "zarr", "numpy")
"""What the light half of a plugin must not import."""


def plugin_checks(record: PluginRecord) -> list[Named]:
    """Checks of the registration module."""

    def is_light() -> None:
        """Imports the module in a process of its own and looks at what came along."""
        script = (
            f"import os, sys; kept = os.dup(1); os.dup2(2, 1)\n"  # the plugin may print
            f"import {record.module}\n"
            f"heavy = ', '.join(sorted(set({HEAVY!r}) & set(sys.modules)))\n"
            f"os.write(kept, heavy.encode())"
        )
        ended = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert ended.returncode == 0, ended.stderr.strip().splitlines()[-1]
        heavy = ended.stdout.strip()
        assert not heavy, f"importing {record.module} imports {heavy}"

    return [("imports nothing heavy", is_light)]


def row_checks(host: Host, name: str) -> list[Named]:
    """Checks of the rows that a plugin adds to the catalogue."""

    def rows() -> None:
        begins = f"plugin {name!r}: "
        problems = [
            problem.message.removeprefix(begins)
            for problem in load_catalogue(host).problems
            if problem.message.startswith(begins)
        ]
        assert not problems, "; ".join(problems)

    ships_rows = any(registered.plugin == name for registered in host.models)
    return [("rows of the catalogue are valid", rows)] if ships_rows else []


def spec_checks(registered: Registered[Any]) -> list[Named]:
    """Checks that every kind of spec must pass."""
    spec = registered.spec

    def summary() -> None:
        assert spec.summary.strip(), "the spec has no summary"

    def pickles() -> None:
        if isinstance(spec, DatasetSpec) and spec.recognise is not None:
            return  # a function need not be pickled
        assert pickle.loads(pickle.dumps(spec)) == spec, "a pickled spec differs"

    def target() -> None:
        module = spec.target.partition(":")[0]
        try:
            present = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:
            present = False
        assert present, f"no module {module}"
        try:
            load_target(registered)
        except ZooError as error:
            raise AssertionError(str(error)) from error

    return [
        ("has a summary", summary),
        ("can be sent to a worker", pickles),
        ("target can be imported", target),
    ]
