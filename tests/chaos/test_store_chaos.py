"""A store under attack: killed runs, many writers, changed bytes, full disks.

A small part runs with every other test; ``pytest --chaos tests/chaos`` runs all of it.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaos import contents, kill_after, tree
from data_folder import write_study
from zoo_cli import Zoo

pytestmark = pytest.mark.chaos
ZOO = [sys.executable, "-c", "from voxelzoo.cli import main; main()"]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "study", n_trs=60, n_voxels=6, subjects=("ann", "bob"))


def run_of(study: Path, store: Path, keep: str = "predictions,states") -> list[str]:
    """A run of two models."""
    return [
        *ZOO, "run", "-q", "-p", "word-rate", "-p", "word-length", "--dataset", str(study),
        "--delays", "1", "--keep", keep, "--store", str(store),
    ]  # fmt: skip


def test_killed_runs_end_as_one_that_was_not(study: Path, tmp_path: Path, full: bool) -> None:
    begun = time.monotonic()
    subprocess.run(run_of(study, tmp_path / "whole"), check=True, capture_output=True)
    seconds = time.monotonic() - begun
    rng = random.Random(0)
    for i in range(40 if full else 3):
        if i % 5 == 0:
            shutil.rmtree(tmp_path / "store", ignore_errors=True)
        before = contents(tmp_path / "store")
        kill_after(run_of(study, tmp_path / "store"), rng.uniform(0.4, 1.0) * seconds)
        after = contents(tmp_path / "store")
        assert {name: after.get(name) for name in before} == before
    subprocess.run(run_of(study, tmp_path / "store"), check=True, capture_output=True)
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")
    assert not (tmp_path / "store" / ".drafts").exists()


def test_killed_imports_end_as_one_that_was_not(study: Path, tmp_path: Path, full: bool) -> None:
    def call(to: str) -> list[str]:
        return [*ZOO, "data", "import", str(study), str(tmp_path / to), "-q"]

    begun = time.monotonic()
    subprocess.run(call("whole"), check=True, capture_output=True)
    seconds = time.monotonic() - begun
    rng = random.Random(0)
    for i in range(20 if full else 2):
        if i % 4 == 0:
            shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        kill_after(call("copy"), rng.uniform(0.4, 1.0) * seconds)
    subprocess.run(call("copy"), check=True, capture_output=True)
    assert tree(tmp_path / "copy") == tree(tmp_path / "whole")


WRITER = """
import random, socket, sys, time
from pathlib import Path
import numpy as np
from voxelzoo.disk.drafts import Draft, remove_abandoned_drafts
from voxelzoo.store.store import Store
root, seconds, host, seed = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3], int(sys.argv[4])
socket.gethostname = lambda: host
store, rng, end, n = Store(root), random.Random(seed), time.time() + seconds, 0
held = Draft(root)
held.path.mkdir()
while time.time() < end:
    key = rng.randrange(5)
    kept = {"kept": np.full(9, key)} if rng.random() < 0.5 else {}
    store.put("results", {"n": key}, {"r": np.full(50, key)} | kept, {"n": key}, replace=True)
    if rng.random() < 0.2:
        remove_abandoned_drafts(root)
        assert held.path.is_dir(), "a draft in use was removed"
    n += 1
print(n)
"""
READER = """
import sys, time
from pathlib import Path
from voxelzoo.store.store import Store
store, end, seen, n = Store(Path(sys.argv[1])), time.time() + float(sys.argv[2]), {}, 0
while time.time() < end:
    there = {artefact.key: artefact for artefact in store.all("results")}
    assert not set(seen) - set(there), "a result was lost"
    for key, artefact in there.items():
        artefact.check()
        assert set(artefact.read("r")) == {artefact.summary["n"]}
        assert set(seen.get(key, ())) <= set(artefact.arrays), "an array was lost"
        seen[key] = artefact.arrays
    n += 1
print(n)
"""


def in_a_namespace(host: str) -> list[str]:
    """What runs a command as process 1 of a container of that host name, if this machine can."""
    call = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--uts"]
    try:
        subprocess.run([*call, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [*call, "sh", "-c", f'hostname {host}; exec "$@"', "sh"]


def test_many_writers_and_readers_lose_nothing(tmp_path: Path, full: bool) -> None:
    """Host names with dots, and equal ones, in which processes have equal numbers."""
    seconds = 60 if full else 3
    hosts = ["node.a.org", "node.a.org", "node.b.org", "same", "same", "same", "a-b-1", "x"]
    writers = [
        [*in_a_namespace(host), sys.executable, "-c", WRITER, str(tmp_path), str(seconds), host]
        for host in (hosts if full else hosts[:2])
    ]
    readers = [[sys.executable, "-c", READER, str(tmp_path), str(seconds)]] * (4 if full else 1)
    calls = [[*call, str(i)] for i, call in enumerate(writers)] + readers
    running = [
        subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for call in calls
    ]
    for process in running:
        out, err = process.communicate(timeout=seconds + 120)
        assert process.returncode == 0, err
        assert int(out) > 0
    assert not (tmp_path / ".drafts").exists()


def test_every_changed_byte_is_found_and_fixed(zoo: Zoo, tmp_path: Path, full: bool) -> None:
    study = write_study(tmp_path / "study", n_trs=40, n_voxels=3)
    store = tmp_path / "store"
    call = run_of(study, store, "predictions")[len(ZOO) :]
    assert zoo(*call).code == 0
    whole = contents(store)
    rng = random.Random(0)
    for _ in range(75 if full else 3):  # of four changes each
        names = rng.sample(sorted(whole), 4)
        for name in names:
            raw = bytearray(whole[name])
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
            (store / name).write_bytes(raw)
        found = zoo("store", "verify", "--store", store, "--json")
        assert found.code == 6
        assert sorted(f"{f['kind']}/{f['key']}.npz" for f in found.json["damaged"]) == sorted(names)
        for result in (store / "results").iterdir():
            if f"results/{result.name}" not in names:
                result.unlink()  # so that the run needs the states
        assert zoo(*call).code == 0
        assert contents(store) == whole
        assert zoo("store", "verify", "--store", store).code == 0


def test_a_full_disk_is_one_line(study: Path, tmp_path: Path, full: bool) -> None:
    """Stores on file systems of every size, from none to enough."""
    mount = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    disk = tmp_path / "disk"
    disk.mkdir()
    call = " ".join(f"'{part}'" for part in run_of(study, disk / "store"))
    sizes = [4, 8, 12, 16, 24, 32, 48, 64, 128, 4096] if full else [8, 32]
    ended = []
    for size in sizes:
        script = f"mount -t tmpfs -o size={size}k none {disk} && {call}"
        run = subprocess.run([*mount, script], capture_output=True, text=True)
        if "mount" in run.stderr and "denied" in run.stderr:
            pytest.skip("this machine lets no user mount a file system")
        assert "Traceback" not in run.stderr
        assert "internal error" not in run.stderr
        lines = run.stderr.strip().splitlines()
        assert (run.returncode == 0) == (not lines), run.stderr
        assert all("No space left" in line for line in lines), run.stderr
        ended.append(run.returncode)
    assert ended[0] == 1
    assert ended == sorted(ended, reverse=True)


def test_a_store_that_cannot_be_used_is_one_line(zoo: Zoo, study: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "half" / "results").mkdir(parents=True)
    (tmp_path / "half" / "aligned").write_text("a file where a folder should be")
    stores = [tmp_path / "file", tmp_path / "half", tmp_path / ("x" * 300), "/proc/nowhere"]
    for store in stores:
        ended = zoo(*run_of(study, Path(store))[len(ZOO) :], "--json")
        assert ended.code != 0
        document = json.loads(ended.out)
        assert document.get("failures") or document.get("error"), store
