"""Memory and restart of ``zoo data import``: 4 GB of generated responses, killed half way.

    python tests/benchmarks/bench_import.py [GIGABYTES] [FOLDER]

Writes a plain folder of responses, imports it in a process of its own, kills that with signal 9
when half of the pieces are there, runs it again, and prints what each took. Fails where an import
holds 1 GiB or more, loses a finished piece, or reads back other numbers.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

N_TRS, N_VOXELS = 300, 95_556
ZOO = "from voxelzoo.cli import main; main()"


def generate(root: Path, gigabytes: float) -> list[Path]:
    """A plain folder of UTS03's width: as many stories as make so many gigabytes."""
    n_stories = max(3, round(gigabytes * 1e9 / (N_TRS * N_VOXELS * 4)))
    names = [f"story{i:02d}" for i in range(n_stories)]
    (root / "responses" / "S3").mkdir(parents=True)
    (root / "dataset.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "large",
                "tr": 2.0,
                "start": 0.0,
                "stories": {"train": names[:-1], "test": names[-1:]},
                "subjects": ["S3"],
            }
        )
    )
    rng = np.random.default_rng(0)
    files = []
    for name in names:
        folder = root / "stories" / name
        folder.mkdir(parents=True)
        words = "".join(f"{name}w{i},{i},{i + 0.5}\n" for i in range(600))
        (folder / "words.csv").write_text("word,onset,offset\n" + words)
        files.append(root / "responses" / "S3" / f"{name}.npy")
        np.save(files[-1], rng.standard_normal((N_TRS, N_VOXELS), dtype=np.float32))
    return files


def import_it(source: Path, copy: Path, stop_at: int | None = None) -> tuple[float, float, int]:
    """(seconds, peak resident MiB, exit code); killed when ``stop_at`` pieces are there."""
    begun = time.monotonic()
    call = [sys.executable, "-c", ZOO, "data", "import", str(source), str(copy), "--quiet"]
    process = subprocess.Popen(call)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, resident(process.pid))
        if stop_at is not None and len(pieces(copy)) >= stop_at:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            break
        time.sleep(0.01)
    if stop_at is None:  # the kernel's own account, which misses no moment
        peak = max(peak, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    return time.monotonic() - begun, peak, process.returncode


def resident(pid: int) -> float:
    """MiB now resident, mapped files included."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * resource.getpagesize() / (1 << 20)


def pieces(copy: Path) -> dict[Path, int]:
    """Finished responses, and when each was written."""
    return {p: (p / "zarr.json").stat().st_mtime_ns for p in copy.glob("responses/*/*.zarr")}


def main() -> None:
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
    root = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        files = generate(root / "source", gigabytes)
        copy = root / "copy"
        size = sum(file.stat().st_size for file in files) / 1e9
        print(f"{len(files)} stories of {N_TRS} x {N_VOXELS}: {size:.2f} GB")
        seconds, peak, code = import_it(root / "source", copy, stop_at=len(files) // 2)
        kept = pieces(copy)
        print(f"killed after {seconds:.1f} s: {len(kept)} pieces, peak {peak:.0f} MiB, rc {code}")
        assert code == -signal.SIGKILL
        assert peak < 1024
        seconds, peak, code = import_it(root / "source", copy)
        print(f"finished in {seconds:.1f} s: {len(pieces(copy))} pieces, peak {peak:.0f} MiB")
        assert code == 0
        assert peak < 1024
        assert all(pieces(copy)[path] == at for path, at in kept.items()), "a piece was lost"

        from voxelzoo_datasets.imported import ImportedDataset

        read = ImportedDataset(copy)
        for file in files:
            assert np.array_equal(read.responses("S3", file.stem), np.load(file))
        print("every piece reads back as it was; those of the killed import were not touched")
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
