"""Stories of latents, and voxels in three regions that follow them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DatasetInfo, NotFoundError, ScanClock, Story, Words, content_digest
from voxelzoo_planted.truth import LAG, LATENTS, N_LATENTS, Floats, process, spell

TR = 2.0
REGIONS = ("early", "late", "both")


class Planted:
    """Options: ``seed``, ``stories`` and ``test_stories`` (6, 12), ``trs`` and ``test_trs`` of each
    (120, 30), ``voxels`` of each region (12), ``repeats`` of a test story (4)."""

    def __init__(self, path: Path | None = None, **options: str) -> None:
        told = {name: int(value) for name, value in options.items()}
        self.seed, self.n_voxels = told.get("seed", 0), told.get("voxels", 12)
        self.n_trs = {f"train{i:02}": told.get("trs", 120) for i in range(told.get("stories", 6))}
        tests = range(told.get("test_stories", 12))
        self._tests = {f"test{i:02}": told.get("test_trs", 30) for i in tests}
        self.repeats = told.get("repeats", 4)
        self._stories: dict[str, Story] = {}
        rng = self._rng("voxels")
        self.share = rng.uniform(0.3, 0.6, 3 * self.n_voxels)
        """Signal's share of a single response's variance, (voxel,)."""
        self.weight = np.linspace(0.1, 0.9, self.n_voxels)
        """Weight of the text in the best stack of text and speech, of voxels in ``both``."""
        directions = rng.standard_normal((4, 2, self.n_voxels))
        early, late, of_text, of_speech = directions / np.linalg.norm(directions, axis=1)[:, None]
        self._mix = np.zeros((N_LATENTS, 3 * self.n_voxels))
        first, second, third = (slice(i * self.n_voxels, (i + 1) * self.n_voxels) for i in range(3))
        self._mix[LATENTS["early"], first] = early
        self._mix[LATENTS["late"], second] = late
        self._mix[LATENTS["late"], third] = np.sqrt(self.weight) * of_text
        self._mix[LATENTS["speech"], third] = np.sqrt(1 - self.weight) * of_speech

    @property
    def ceiling(self) -> Floats:
        """r of the true signal with the mean over a test story's repeats, (voxel,)."""
        found: Floats = np.sqrt(self.share / (self.share + (1 - self.share) / self.repeats))
        return found

    def info(self) -> DatasetInfo:
        """Name."""
        return DatasetInfo("planted", "Voxels whose drivers, ceilings and best layers are known.")

    def subjects(self) -> tuple[str, ...]:
        """One."""
        return ("s1",)

    def train_stories(self) -> tuple[str, ...]:
        """Heard once."""
        return tuple(self.n_trs)

    def test_stories(self) -> tuple[str, ...]:
        """Heard ``repeats`` times."""
        return tuple(self._tests)

    def clock(self, story: str) -> ScanClock:
        """Volumes from the story's beginning on."""
        return ScanClock(TR, 0.0, self._rows(story))

    def story(self, name: str) -> Story:
        """A word in the middle of each volume, which spells the latents."""
        if name not in self._stories:
            times = self.clock(name).times
            words = Words(spell(self._latents(name)[LAG:]), times - 0.5, times + 0.5)
            self._stories[name] = Story(name, words=words)
        return self._stories[name]

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """(TR, voxel), or (repeat, TR, voxel) of a test story."""
        signal = self._latents(story)[:-LAG] @ self._mix
        n = self.repeats if story in self._tests else 1
        noise = self._rng("scanner", story).standard_normal((n, *signal.shape))
        heard = np.sqrt(self.share) * signal + np.sqrt(1 - self.share) * noise
        return (heard if n > 1 else heard[0]).astype(np.float32)

    def voxel_labels(self, subject: str) -> list[str]:
        """Its region."""
        return np.repeat(REGIONS, self.n_voxels).tolist()

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of the responses."""
        return content_digest("planted", self.responses(subject, story))

    def _rows(self, story: str) -> int:
        try:
            return (self.n_trs | self._tests)[story]
        except KeyError:
            raise NotFoundError(f"planted: no story {story!r}") from None

    def _latents(self, story: str) -> Floats:
        """Each row's, and those of a few rows before the story."""
        return process(self._rng("latents", story), self._rows(story) + LAG, N_LATENTS)

    def _rng(self, *purpose: str) -> np.random.Generator:
        key = content_digest(str(self.seed), *purpose).encode()
        return np.random.default_rng(int.from_bytes(key[:12], "little"))
