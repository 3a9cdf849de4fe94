"""``zoo data import``: the same scores from the copy, whole pieces only, and nothing done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
import zarr

from data_folder import write_study
from voxelzoo.api import DataError, UsageError
from voxelzoo.data.importing import import_dataset
from voxelzoo.data.opening import open_dataset, opened_responses
from voxelzoo.host.loading import load_host
from voxelzoo_datasets.folder import FolderDataset
from voxelzoo_datasets.imported import ImportedDataset
from zoo_cli import Zoo

ZOO = "from voxelzoo.cli import main; main()"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two subjects, one with labels; silences, sound, features, repeats and a missing voxel."""
    root = write_study(tmp_path / "mine", subjects=("ann", "bob"))
    (root / "responses/ann/voxels.csv").write_text("label\n" + "AC\n" * 12 + '"V1, left"\n' * 8)
    words = root / "stories/two/words.csv"
    words.write_text(words.read_text() + ',240.125,240.5\n"say ""no"", he",241,241.5\n')
    soundfile.write(root / "stories/one/talk.flac", np.full(8000, 0.25), 8000)
    (root / "stories/one/features").mkdir()
    np.savez(root / "stories/one/features/mine.npz", times=[1.0], states=[[2.0]])
    for subject in ("ann", "bob"):
        file = root / "responses" / subject / "three.npy"
        rows = np.load(file)
        np.save(file, np.stack([rows, rows[:, ::-1], rows * 2]).astype(np.float64))
    rows = np.load(root / "responses/bob/one.npy")
    rows[:, 4] = np.nan
    np.save(root / "responses/bob/one.npy", rows)
    return root


def test_the_copy_is_the_dataset(zoo: Zoo, study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    said = zoo("data", "import", study, copy, "--json", "--quiet")
    assert said.code == 0, said.err
    assert said.json["written"] == 9
    source = FolderDataset(study)
    read = open_dataset(load_host(), str(copy))
    assert isinstance(read, ImportedDataset)
    assert read.info() == source.info()
    assert read.subjects() == source.subjects()
    assert read.train_stories() == source.train_stories()
    assert read.test_stories() == source.test_stories()
    for story in ("one", "two", "three"):
        assert read.clock(story) == source.clock(story)
        assert read.story(story).digest("any") == source.story(story).digest("any")
        for subject in ("ann", "bob"):
            expected = source.responses(subject, story)
            np.testing.assert_array_equal(read.responses(subject, story), expected)
            with opened_responses(read, subject, story) as opened:
                np.testing.assert_array_equal(opened[..., 3:7], expected[..., 3:7])
    assert read.voxel_labels("ann") == source.voxel_labels("ann")
    assert read.voxel_labels("bob") is None


@pytest.mark.parametrize("source", ["folder", "simulated"])
def test_the_copy_gives_the_same_scores(zoo: Zoo, study: Path, tmp_path: Path, source: str) -> None:
    where = study if source == "folder" else "simulated"
    assert zoo("data", "import", where, tmp_path / "copy", "-q").code == 0
    model = "word-rate" if source == "folder" else "mel-spectrogram"
    one, other = (
        zoo("run", "-p", model, "--dataset", data, "--json").json["results"]
        for data in (where, tmp_path / "copy")
    )
    assert len(one) == 2
    for a, b in zip(one, other, strict=True):
        assert {**a, "key": 0} == {**b, "key": 0}


def test_a_second_import_writes_nothing_and_a_changed_piece_alone(
    zoo: Zoo, study: Path, tmp_path: Path
) -> None:
    call = ("data", "import", study, tmp_path / "copy", "--json", "-q")
    assert zoo(*call).json["written"] == 9
    again = zoo(*call).json
    assert (again["written"], again["kept"]) == (0, 9)
    rows = np.load(study / "responses/ann/two.npy")
    np.save(study / "responses/ann/two.npy", rows + 1)
    assert zoo(*call).json["written"] == 1
    read = ImportedDataset(tmp_path / "copy").responses("ann", "two")
    np.testing.assert_array_equal(read, rows + 1)


def test_subjects_can_come_later(zoo: Zoo, study: Path, tmp_path: Path) -> None:
    call = ("data", "import", study, tmp_path / "copy", "--json", "-q")
    assert zoo(*call, "--subject", "bob").json["written"] == 6
    assert ImportedDataset(tmp_path / "copy").subjects() == ("bob",)
    assert zoo(*call).json == zoo(*call).json | {"written": 3, "kept": 6}
    assert ImportedDataset(tmp_path / "copy").subjects() == ("ann", "bob")


def test_wide_responses_are_chunked_by_voxel(tmp_path: Path) -> None:
    root = write_study(tmp_path / "wide", n_trs=60, n_voxels=12_000)
    import_dataset(FolderDataset(root), tmp_path / "copy")
    stored = zarr.open_array(tmp_path / "copy/responses/ann/one.zarr", mode="r")
    assert stored.chunks == (60, (1 << 20) // 240)
    assert stored.shards is not None
    assert stored.shards[-1] % stored.chunks[-1] == 0
    np.testing.assert_array_equal(
        ImportedDataset(tmp_path / "copy").responses("ann", "one"),
        np.load(root / "responses/ann/one.npy"),
    )


def test_a_bad_piece_stops_the_import_and_keeps_the_rest(
    zoo: Zoo, study: Path, tmp_path: Path
) -> None:
    good = np.load(study / "responses/bob/two.npy")
    bad = good.copy()
    bad[3, 7] = np.inf
    np.save(study / "responses/bob/two.npy", bad)
    call = ("data", "import", study, tmp_path / "copy", "-q")
    ended = zoo(*call)
    assert ended.code == 6
    assert "subject 'bob', story 'two': TR 3, voxel 7 is infinite" in ended.err
    assert not list((tmp_path / "copy").glob(".drafts/*"))
    unfinished = zoo("run", "-p", "word-rate", "--dataset", tmp_path / "copy")
    assert unfinished.code == 6
    assert "not finished" in unfinished.err
    np.save(study / "responses/bob/two.npy", good)
    finished = zoo(*call, "--json").json
    assert (finished["written"], finished["kept"]) == (2, 7)


def test_a_folder_with_something_else_is_left_alone(zoo: Zoo, study: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("x")
    ended = zoo("data", "import", study, tmp_path / "thesis")
    assert ended.code == 2
    assert sorted(p.name for p in (tmp_path / "thesis").iterdir()) == ["chapter1.tex"]
    zoo("data", "import", study, tmp_path / "copy", "-q")
    other = zoo("data", "import", "simulated", tmp_path / "copy", "-q")
    assert other.code == 2
    assert "'study', not of 'simulated'" in other.err
    assert zoo("data", "import", study, "/proc/nowhere").code == 2


def test_what_is_damaged_is_named(study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    import_dataset(FolderDataset(study), copy)
    (chunk,) = (p for p in (copy / "responses/ann/one.zarr/c").rglob("*") if p.is_file())
    whole = chunk.read_bytes()
    for damaged in (whole[:-10], whole[:100] + b"\xff\x00\xff" + whole[103:], b""):
        chunk.write_bytes(damaged)
        with pytest.raises(DataError, match=r"ann/one.zarr: damaged"):
            ImportedDataset(copy).responses("ann", "one")
    chunk.unlink()  # Zarr itself reads an absent chunk as zeros
    with pytest.raises(DataError, match=r"ann/one.zarr: damaged"):
        ImportedDataset(copy).responses("ann", "one")
    (copy / "responses/bob/one.zarr/zarr.json").write_text("{}")
    with pytest.raises(DataError, match=r"bob/one.zarr: damaged"):
        ImportedDataset(copy).fingerprint("bob", "one")
    # The next import writes anew what Zarr cannot open.
    import_dataset(FolderDataset(study), copy)
    ImportedDataset(copy).responses("bob", "one")


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"subjects": "ann"},
        {"train": ["../one"]},
        {"train": ["four"]},
        {"surprise": 1},
        {"stories": {}},
    ],
)
def test_a_description_that_makes_no_sense_is_named(
    study: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    copy = tmp_path / "copy"
    import_dataset(FolderDataset(study), copy)
    said = yaml.safe_load((copy / "imported.yaml").read_text())
    (copy / "imported.yaml").write_text(yaml.safe_dump(said | change))
    with pytest.raises(DataError, match=r"imported.yaml: "):
        ImportedDataset(copy)


def test_options_are_refused(study: Path, tmp_path: Path) -> None:
    import_dataset(FolderDataset(study), tmp_path / "copy")
    with pytest.raises(UsageError, match="no option"):
        ImportedDataset(tmp_path / "copy", radius="6mm")


def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    """The import is killed wherever it happens to be, again and again, and then finished."""
    root = write_study(tmp_path / "wide", n_trs=100, n_voxels=40_000, subjects=("ann", "bob"))
    copy = tmp_path / "copy"
    call = [sys.executable, "-c", ZOO, "data", "import", str(root), str(copy), "--json"]
    finished: set[Path] = set()
    for n in range(1, 5):
        process = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if len(list(copy.glob("responses/*/*.zarr"))) >= n:
                break
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        there = set(copy.glob("responses/*/*.zarr"))
        assert finished <= there
        finished = there
    times = {path: (path / "zarr.json").stat().st_mtime_ns for path in finished}
    done = subprocess.run(call, capture_output=True, check=True, text=True)
    assert json.loads(done.stdout)["kept"] >= len(finished)
    for path, at in times.items():
        assert (path / "zarr.json").stat().st_mtime_ns == at
    assert not (copy / ".drafts").exists()
    read = ImportedDataset(copy)
    for file in root.glob("responses/*/*.npy"):
        np.testing.assert_array_equal(read.responses(file.parent.name, file.stem), np.load(file))
    shutil.rmtree(copy)


@pytest.mark.slow
def test_memory_stays_small_however_large_a_file(tmp_path: Path) -> None:
    """A file of 800 MB is imported by a process that holds 500 at most, Zarr included."""
    root = write_study(tmp_path / "large", n_trs=60, n_voxels=4)
    description = yaml.safe_load((root / "dataset.yaml").read_text())
    description["stories"] = {"train": ["one"]}
    (root / "dataset.yaml").write_text(yaml.safe_dump(description))
    file = root / "responses/ann/one.npy"
    stored = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(4000, 50_000))
    rng = np.random.default_rng(0)
    for first in range(0, 4000, 500):
        stored[first : first + 500] = rng.standard_normal((500, 50_000), dtype=np.float32)
    del stored
    # The kernel's high-water mark of this very program; rusage would count its parent's too.
    program = (
        "from voxelzoo.cli import main\ntry:\n    main()\nfinally:\n"
        "    print(*(line for line in open('/proc/self/status') if 'VmHWM' in line))"
    )
    call = [
        sys.executable,
        "-c",
        program,
        "data",
        "import",
        str(root),
        str(tmp_path / "copy"),
        "-q",
    ]
    ended = subprocess.run(call, capture_output=True, text=True, check=True)
    assert int(ended.stdout.split()[-2]) < 500 * 1024  # KiB
    with opened_responses(ImportedDataset(tmp_path / "copy"), "ann", "one") as opened:
        np.testing.assert_array_equal(
            opened[:, 40_000:40_010], np.load(file, mmap_mode="r")[:, 40_000:40_010]
        )
    file.unlink()
    shutil.rmtree(tmp_path / "copy")
