"""Hostile input: mutated pickles, YAML and Zarr folders, and generated command lines."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from data_folder import write_study
from zoo_cli import Zoo

pytestmark = pytest.mark.chaos

MUTATE = """
import pickle, random, resource, shutil, sys, time
from pathlib import Path
import joblib, numpy as np, yaml, zarr
from voxelzoo.api import ZooError, load_yaml, open_zarr_array
from voxelzoo_datasets.pickles import read_pickle

resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
folder, kind, n = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rng = random.Random(n)

def mutated(raw):
    raw = bytearray(raw)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at, what = rng.randrange(len(raw) + 1), rng.randrange(5)
        if what == 0 and at < len(raw):
            raw[at] ^= 1 << rng.randrange(8)
        elif what == 1 and at < len(raw):
            raw[at] = rng.choice([0, 1, 255, ord("R"), ord("b"), ord("."), ord("("), ord("O")])
        elif what == 2:
            raw[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif what == 3:
            del raw[at : at + rng.randrange(1, 20)]
        else:
            other = rng.randrange(len(raw) + 1)
            raw[at:at] = raw[other : other + rng.randrange(1, 60)]
    return bytes(raw)

def touch(value, depth=0):
    if depth < 20:
        if isinstance(value, dict):
            for each in value.items():
                touch(each, depth + 1)
        elif isinstance(value, (list, tuple, set)):
            for each in value:
                touch(each, depth + 1)
        elif isinstance(value, np.ndarray) and value.size < 10**6:
            value.tolist()

content = {"a": np.arange(12.0).reshape(3, 4), "o": np.array(["x", 1, None], dtype=object),
           "t": np.array(["a", "bcd"]), "s": np.float32(1.5), "l": [1, "x", b"y", (None, True)]}
whole = []
if kind == "pickle":
    for protocol in range(6):
        whole.append(pickle.dumps(content, protocol=protocol))
    for compress in (0, 3, ("gzip", 3), ("xz", 3)):
        joblib.dump(content, folder / "whole", compress=compress)
        whole.append((folder / "whole").read_bytes())
elif kind == "yaml":
    whole.append(b"name: a\\ntr: 2.0\\nbase: &b {x: [1, 2], y: &y z}\\nmine: {<<: *b, q: *y}\\n")
else:
    array = zarr.create_array(folder / "z", shape=(8, 9), chunks=(8, 3), shards=(8, 9),
                              dtype="float32", zarr_format=3)
    array[:] = np.arange(72).reshape(8, 9)

read = refused = 0
slowest = 0.0
for i in range(n):
    begun = time.monotonic()
    try:
        if kind == "pickle":
            (folder / "x").write_bytes(mutated(rng.choice(whole)))
            touch(read_pickle(folder / "x"))
        elif kind == "yaml":
            touch(load_yaml(mutated(rng.choice(whole)).decode("utf-8", "replace")))
        else:
            shutil.rmtree(folder / "x", ignore_errors=True)
            shutil.copytree(folder / "z", folder / "x")
            path = rng.choice([p for p in (folder / "x").rglob("*") if p.is_file()])
            path.write_bytes(mutated(path.read_bytes()))
            array = open_zarr_array(folder / "x")
            try:
                array[...]
            except Exception:
                raise ZooError("damaged chunk")
        read += 1
    except (ZooError, yaml.YAMLError, ValueError, TypeError, OverflowError):
        refused += 1
    slowest = max(slowest, time.monotonic() - begun)
assert slowest < 10, slowest
print(read, refused)
"""


@pytest.mark.parametrize("kind", ["pickle", "yaml", "zarr"])
def test_mutated_files_crash_nothing(tmp_path: Path, kind: str, full: bool) -> None:
    n = 1000 if full else 60
    ended = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", MUTATE, str(tmp_path), kind, str(n)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    read, refused = map(int, ended.stdout.split())
    assert read + refused == n
    assert refused > n // 10


COMMANDS = [
    "list", "show", "run", "plan", "extract", "test", "check", "explain", "data list",
    "data describe", "data check", "data import", "data fetch", "results list", "results show",
    "results export", "store list", "store verify", "store prune", "store pack", "scaling size",
    "scaling layers", "plugins list", "registry validate", "reproduce", "nonsense",
]  # fmt: skip
OPTIONS = [
    "--store", "--dataset", "--subject", "--json", "-q", "--quiet", "--folds", "--delays", "--gap",
    "--layer", "--aligner", "--regressor", "--seed", "--keep", "--shift", "--protocol", "--ceiling",
    "--train-stories", "--subset-seed", "--untrained", "--model", "--kind", "--older-than",
    "--larger-than", "--match", "--modality", "--registry", "--dtype", "--device", "--window",
    "--stride", "--context", "--permutations", "--over", "--metric", "--bogus", "--help",
]  # fmt: skip
VALUES = [
    "", "0", "-1", "1", "2", "1e400", "nan", "inf", "99999999999999999999", "x", "a=b", "=", ":",
    "word-rate", "ridge", "ridge:alphas=0", "ridge:alphas=x", "lanczos:window=-1", "lanczos:x=1",
    "./study", "./nowhere", "./study/dataset.yaml", "folder:./study", "folder:", "/dev/null", "..",
    "\x1b[31m", "\u202e", "\udce9", "é" * 300, "a,b", "all", "last", "0-99", "1,1,1", "clean",
    "30d", "5MB", "float16", "cuda", "inter-subject", "predictions", "nothing", "./st", "~",
]  # fmt: skip


def test_generated_command_lines_end_in_a_line(zoo: Zoo, tmp_path: Path, full: bool) -> None:
    write_study(tmp_path / "study", n_trs=40, n_voxels=2, subjects=("ann", "bob"))
    rng = random.Random(1)
    for _ in range(400 if full else 25):
        arguments = rng.choice(COMMANDS).split()
        arguments += ["-p", "word-rate"] * (arguments[0] in ("run", "plan", "extract"))
        arguments += [rng.choice(VALUES) for _ in range(rng.choice([0, 0, 1, 2]))]
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            arguments += [rng.choice(OPTIONS), *([rng.choice(VALUES)] * (rng.random() < 0.8))]
        if arguments[0] in ("run", "plan", "extract", "test", "check", "reproduce"):
            arguments += ["--dataset", "./study"] if arguments[0] in ("run", "plan") else []
        ended = zoo(*arguments)  # asserts that there is neither a traceback nor an internal error
        assert "\x1b" not in ended.err, arguments
        assert ended.code in range(7), (arguments, ended)
