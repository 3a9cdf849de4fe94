"""A plain folder dataset in miniature, written as a user would write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

DESCRIPTION = {
    "name": "mini",
    "tr": 2.0,
    "start": 4.0,
    "stories": {"train": ["one", "two"], "test": ["three"]},
    "subjects": ["ann", "bob"],
    "licence": "CC0",
    "citation": "Nobody (2024)",
}


def write_mini_folder(root: Path) -> Path:
    """Two training stories, a test story of three repeats, two subjects of five voxels."""
    rng = np.random.default_rng(0)
    (root / "dataset.yaml").write_text(yaml.safe_dump(DESCRIPTION))
    for story in ("one", "two", "three"):
        folder = root / "stories" / story
        folder.mkdir(parents=True)
        lines = [f"{story}{i},{4 + i},{4.5 + i}" for i in range(20)]
        (folder / "words.csv").write_text("word,onset,offset\n" + "\n".join(lines) + "\n")
    soundfile.write(root / "stories/one/sound.flac", rng.uniform(-0.1, 0.1, 16_000), 16_000)
    for subject in ("ann", "bob"):
        folder = root / "responses" / subject
        folder.mkdir(parents=True)
        for story in ("one", "two"):
            np.save(folder / f"{story}.npy", rng.normal(size=(12, 5)).astype(np.float32))
        np.save(folder / "three.npy", rng.normal(size=(3, 12, 5)))
    return root


@pytest.fixture
def mini(tmp_path: Path) -> Path:
    return write_mini_folder(tmp_path)
