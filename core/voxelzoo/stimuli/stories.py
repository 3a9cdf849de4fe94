"""A stimulus: words, sound and features on one clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from voxelzoo.errors import DataError
from voxelzoo.stimuli.audio import Audio
from voxelzoo.stimuli.files import content_digest
from voxelzoo.stimuli.words import Words


@dataclass(frozen=True)
class Story:
    """One stimulus: words, sound, or states computed elsewhere, on one clock.

    Parameters
    ----------
    name : str
        Its name in the dataset.
    words : Words, optional
        The words.
    audio : Audio, optional
        The sound.
    features : mapping of str to Path, optional
        Files of states computed elsewhere, by name. Each has ``times`` (time,), in seconds, and
        ``states`` (time, unit) or (layer, time, unit).
    """

    name: str
    words: Words | None = None
    audio: Audio | None = None
    features: Mapping[str, Path] = field(default_factory=dict)

    def digest(self, modality: str) -> str:
        """Digest of what a model of this modality depends on.

        Parameters
        ----------
        modality : {"text", "audio", "any"}
            Words; sound; or both, and the states computed elsewhere.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        parts: list[str] = []
        if modality in ("text", "any") and self.words is not None:
            parts.append("words:" + self.words.digest)
        if modality in ("audio", "any") and self.audio is not None:
            parts.append("audio:" + self.audio.digest)
        if modality == "any":
            for name, path in sorted(self.features.items()):
                parts.append(f"features/{name}:" + content_digest(path))
        return content_digest(*parts)

    def need_words(self) -> Words:
        """The words; :class:`DataError` if the story has none."""
        if self.words is None:
            raise DataError(
                f"story {self.name!r} has no words; a text model needs words.csv or a TextGrid"
            )
        return self.words

    def need_audio(self) -> Audio:
        """The sound; :class:`DataError` if the story has none."""
        if self.audio is None:
            raise DataError(
                f"story {self.name!r} has no audio; a speech model needs a wav or flac file"
            )
        return self.audio

    @property
    def end(self) -> float:
        """End of the stimulus on the story's clock, in seconds."""
        ends = [0.0]
        if self.words is not None and len(self.words):
            ends.append(float(self.words.timed().offsets.max()))
        if self.audio is not None:
            ends.append(self.audio.start + self.audio.duration)
        return max(ends)
