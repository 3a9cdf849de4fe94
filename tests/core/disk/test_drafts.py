"""Drafts: names that nobody shares, held by locks that end with their process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from voxelzoo.disk import drafts, locks
from voxelzoo.disk.drafts import ABANDONED_SECONDS, Draft, remove_abandoned_drafts
from voxelzoo.disk.locks import ProcessLock

HOLD = """
import sys, time
from pathlib import Path
from voxelzoo.disk.drafts import Draft
draft = Draft(Path(sys.argv[1]))
draft.path.mkdir()
print(draft.path, flush=True)
time.sleep(60)
"""


def hold(root: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process with a draft."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_drafts_of_killed_processes_are_removed_and_those_in_use_are_not(tmp_path: Path) -> None:
    process, theirs = hold(tmp_path)
    ours = Draft(tmp_path)
    ours.path.write_text("")
    remove_abandoned_drafts(tmp_path)
    assert theirs.exists()
    assert ours.path.exists()
    process.kill()
    process.wait()
    remove_abandoned_drafts(tmp_path)
    assert not theirs.exists()
    assert ours.path.exists()
    ours.release()
    assert not (tmp_path / ".drafts").exists()


@pytest.mark.parametrize("host", ["node.cluster.org", "a-b", "", "x" * 200])
def test_host_names_and_process_ids_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Containers of one host name, in which every process has the same number."""
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    all_drafts = [Draft(tmp_path) for _ in range(20)]
    for draft in all_drafts:
        draft.path.mkdir()
    remove_abandoned_drafts(tmp_path)
    assert all(draft.path.is_dir() for draft in all_drafts)
    for draft in all_drafts:
        draft.release()


def age(path: Path, seconds: float) -> None:
    at = time.time() - seconds
    os.utime(path, (at, at))


@pytest.mark.parametrize("why", ["another machine", "no locks"])
def test_where_locks_cannot_be_trusted_only_old_drafts_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """A network file system mounted without locks grants every lock to everyone."""
    process, theirs = hold(tmp_path)
    process.kill()
    process.wait()
    if why == "no locks":
        monkeypatch.setattr(locks, "_lock", lambda file: False)
    else:
        monkeypatch.setattr(drafts, "_machine", lambda: "another")
    remove_abandoned_drafts(tmp_path)
    assert theirs.exists()
    for path in (theirs, theirs.with_suffix(".lock")):
        age(path, ABANDONED_SECONDS + 60)
    remove_abandoned_drafts(tmp_path)
    assert not theirs.exists()


def test_a_write_to_the_store_shows_that_drafts_are_in_use(tmp_path: Path) -> None:
    with Draft(tmp_path) as draft:
        lock = draft.path.with_suffix(".lock")
        age(lock, ABANDONED_SECONDS + 60)
        drafts.touch_drafts()
        assert time.time() - lock.stat().st_mtime < 60


def test_drafts_of_earlier_versions_are_removed_once_they_are_old(tmp_path: Path) -> None:
    old = tmp_path / ".drafts" / "node.cluster.org-123-abc"
    old.mkdir(parents=True)
    remove_abandoned_drafts(tmp_path)
    assert old.exists()
    age(old, ABANDONED_SECONDS + 60)
    remove_abandoned_drafts(tmp_path)
    assert not old.exists()


def test_a_link_in_the_drafts_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("")
    link = tmp_path / ".drafts" / "link"
    link.parent.mkdir()
    link.symlink_to(elsewhere)
    at = time.time() - ABANDONED_SECONDS - 60
    os.utime(link, (at, at), follow_symlinks=False)
    os.utime(elsewhere, (at, at))
    remove_abandoned_drafts(tmp_path)
    assert (elsewhere / "file").exists()


def _take_turns(path: Path, log: Path, n: int) -> None:
    for _ in range(n):
        lock = ProcessLock(path)
        assert lock.acquire(wait=60)
        with log.open("a") as file:
            file.write(f"begin {os.getpid()}\n")
            file.flush()
            file.write(f"end {os.getpid()}\n")
        lock.release(remove=True)  # a lock that is removed must not let two in


def test_a_lock_lets_one_in_though_it_is_removed_each_time(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    processes = [
        fork.Process(target=_take_turns, args=(tmp_path / "lock", log, 50)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    lines = log.read_text().splitlines()
    assert len(lines) == 4 * 50 * 2
    for begin, end in zip(lines[::2], lines[1::2], strict=True):
        assert (begin.split()[0], end.split()[0]) == ("begin", "end")
        assert begin.split()[1] == end.split()[1]


def test_a_stopped_process_keeps_its_lock(tmp_path: Path) -> None:
    process, theirs = hold(tmp_path)
    process.send_signal(signal.SIGSTOP)
    remove_abandoned_drafts(tmp_path)
    assert theirs.exists()
    process.kill()
    process.wait()
