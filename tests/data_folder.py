"""A plain-folder study whose responses follow word rate, slow as responses are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

TR = 2.0


def random_text(n: int, seed: int) -> list[str]:
    """Words of no story."""
    rng = np.random.default_rng([seed, 77])
    return ["".join(rng.choice(list("abcdefghij"), 4)) for _ in range(n)]


def slow_noise(n_trs: int, n_voxels: int, seed: int) -> np.ndarray:
    """(TR, voxel) float32: each row holds most of the one before."""
    rng = np.random.default_rng([seed, 33])
    rows = rng.normal(size=(n_trs, n_voxels))
    for i in range(1, n_trs):
        rows[i] = 0.7 * rows[i - 1] + 0.7 * rows[i]
    return rows.astype(np.float32)


def write_words(path: Path, text: list[str], onsets: np.ndarray) -> None:
    lines = [f"{word},{t:.3f},{t + 0.2:.3f}" for word, t in zip(text, onsets, strict=True)]
    path.write_text("word,onset,offset\n" + "\n".join(lines) + "\n")


def write_study(
    root: Path,
    n_trs: int = 120,
    n_voxels: int = 20,
    subjects: tuple[str, ...] = ("ann",),
    lag: float = 5.0,
    test: tuple[str, ...] = ("three",),
) -> Path:
    """Two training stories and test stories; voxels follow word rate ``lag`` s late, plus noise.

    Words come in slow waves. Responses begin with the story.
    """
    root.mkdir(parents=True)
    stories = ("one", "two", *test)
    description = {
        "name": "study",
        "tr": TR,
        "start": 0.0,
        "stories": {"train": ["one", "two"], "test": list(test)},
        "subjects": list(subjects),
    }
    (root / "dataset.yaml").write_text(yaml.safe_dump(description))
    for seed, story in enumerate(stories):
        rng = np.random.default_rng([seed, 11])
        seconds = np.arange(0, n_trs * TR, 0.25)
        slow = np.convolve(rng.normal(size=len(seconds)), np.hanning(60), mode="same")
        spoken = rng.uniform(size=len(seconds)) < 1 / (1 + np.exp(-2 * slow / slow.std()))
        onsets = seconds[spoken]
        folder = root / "stories" / story
        folder.mkdir(parents=True)
        write_words(folder / "words.csv", random_text(len(onsets), seed), onsets)
        rate = np.histogram(onsets + lag, np.arange(n_trs + 1) * TR)[0].astype(float)
        rate = (rate - rate.mean()) / rate.std()
        for i, subject in enumerate(subjects):
            noise = slow_noise(n_trs, n_voxels, 100 * (i + 1) + seed)
            (root / "responses" / subject).mkdir(parents=True, exist_ok=True)
            rows = rate[:, None] * np.linspace(0.3, 1, n_voxels) + noise
            np.save(root / "responses" / subject / f"{story}.npy", rows.astype(np.float32))
    return root
