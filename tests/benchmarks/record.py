"""Records of benchmarks: what was measured, on which machine, with which versions."""

from __future__ import annotations

import json
import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RECORDS = Path(__file__).parent / "records"
PACKAGES = ("voxelzoo", "torch", "numpy", "scipy", "himalaya", "scikit-learn", "transformers")


def machine() -> dict[str, Any]:
    """Processor, number of cores that may be used, and memory in GiB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "memory_gib": round(memory, 1),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Versions of the packages whose speed is compared, of those that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_record(name: str, command: str, rows: list[dict[str, Any]]) -> Path:
    """Writes a record and returns its path.

    Parameters
    ----------
    name : str
        Of the file, without suffix.
    command : str
        What measures it again.
    rows : list of dict
        What was measured.
    """
    RECORDS.mkdir(exist_ok=True)
    path = RECORDS / f"{name}.json"
    record = {
        "command": command,
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "rows": rows,
    }
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path
