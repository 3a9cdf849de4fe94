"""A dataset made from arrays in memory, for notebooks and simulations: no folder is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from voxelzoo.api import (
    Audio,
    DataError,
    DatasetInfo,
    NotFoundError,
    ScanClock,
    Story,
    Words,
    content_digest,
    read_textgrid,
    read_words_csv,
)

if TYPE_CHECKING:
    import pandas as pd

    WordsLike: TypeAlias = Words | pd.DataFrame | Sequence[tuple[str, float, float]] | str | Path
    AudioLike: TypeAlias = Audio | tuple[ArrayLike, int] | str | Path


class InMemoryDataset:
    """Stories and responses given as arrays, tables or paths.

    It can be passed wherever a dataset is expected: to :func:`voxelzoo.run`, :func:`voxelzoo.plan`
    and the checks and guards behind them.

    Parameters
    ----------
    name : str
        Name of the dataset in results. It is part of no key: two datasets with the same words,
        sound and responses share their results.
    responses : mapping of str to mapping of str to array_like
        Responses by subject, then by story: (TR, voxel), or (repeat, TR, voxel) where a story was
        heard several times. They are kept as float32. A voxel without data is NaN.
    tr : float
        Repetition time, in seconds.
    words : mapping of str to words, optional
        Words of each story: a pandas DataFrame with the columns ``word``, ``onset`` and ``offset``,
        a sequence of (word, onset, offset), a :class:`~voxelzoo.api.Words`, or the path of a
        ``.csv`` or ``.TextGrid`` file. Times are in seconds on the story's clock.
    audio : mapping of str to audio, optional
        Sound of each story: (samples, rate in Hz) with samples (sample,) or (sample, channel), an
        :class:`~voxelzoo.api.Audio`, or the path of a sound file. It begins at time 0.
    features : mapping of str to mapping of str to path, optional
        States computed elsewhere: by story, then by name, an ``.npz`` file with ``times`` (time,)
        and ``states`` (time, unit) or (layer, time, unit).
    test_stories : sequence of str, optional
        Held-out stories. Without any, the only story is cut into contiguous folds.
    start : float or mapping of str to float, default 0.0
        Time on the story's clock at which the first response row begins, in seconds; by story
        where they differ.
    voxel_labels : mapping of str to sequence of str, or sequence of str, optional
        A region's name for each voxel: by subject, or one sequence for all subjects.
    averages : sequence of str, optional
        Subjects that are means over others. They count as no further person.
    licence, citation, summary : str, optional
        What results and the methods paragraph say of the dataset.

    Raises
    ------
    DataError
        If a story has neither words, sound nor features, an array has the wrong shape, subjects
        differ in the number of rows of a story, or labels do not match the voxels.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> story = [(f"word{i}", 0.5 * i, 0.5 * i + 0.4) for i in range(100)]
    >>> dataset = InMemoryDataset(
    ...     "sketch", responses={"S1": {"story": rng.standard_normal((30, 8))}}, tr=2.0,
    ...     words={"story": story},
    ... )
    >>> dataset
    InMemoryDataset('sketch': 1 subject, 1 story, TR 2 s)
    >>> dataset.clock("story").n_trs
    30
    """

    def __init__(
        self,
        name: str,
        *,
        responses: Mapping[str, Mapping[str, ArrayLike]],
        tr: float,
        words: Mapping[str, WordsLike] | None = None,
        audio: Mapping[str, AudioLike] | None = None,
        features: Mapping[str, Mapping[str, str | Path]] | None = None,
        test_stories: Sequence[str] = (),
        start: float | Mapping[str, float] = 0.0,
        voxel_labels: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
        averages: Sequence[str] = (),
        licence: str | None = None,
        citation: str | None = None,
        summary: str = "A dataset in memory.",
    ) -> None:
        self._info = DatasetInfo(name, summary, licence, citation)
        self._tr, self._start = tr, start
        self._words, self._audio = dict(words or {}), dict(audio or {})
        self._features = {
            story: {each: Path(path) for each, path in named.items()}
            for story, named in (features or {}).items()
        }
        self._responses = {
            subject: {story: _array(values, subject, story) for story, values in stories.items()}
            for subject, stories in responses.items()
        }
        self._averages = tuple(averages)
        if unknown := [each for each in self._averages if each not in self._responses]:
            raise DataError(f"averages: {unknown[0]!r} is not one of the subjects")
        self._test = _checked_tests(test_stories, self._responses)
        self._labels = self._checked_labels(voxel_labels)
        self._story = cache(self._read_story)
        for story in self._every_story():
            self._check_story(story)

    def __repr__(self) -> str:
        n_subjects, n_stories = len(self._responses), len(self._every_story())
        return (
            f"InMemoryDataset({self._info.name!r}: "
            f"{n_subjects} subject{'s' if n_subjects != 1 else ''}, "
            f"{n_stories} {'stories' if n_stories != 1 else 'story'}, TR {self._tr:g} s)"
        )

    # ----------------------------------------------------------------------- the dataset interface

    def info(self) -> DatasetInfo:
        """Name, licence and citation, as they were passed."""
        return self._info

    def subjects(self) -> tuple[str, ...]:
        """Subjects, in the order of ``responses``."""
        return tuple(self._responses)

    def averages(self) -> tuple[str, ...]:
        """Subjects that are means over others."""
        return self._averages

    def train_stories(self) -> tuple[str, ...]:
        """Stories that every subject heard, test stories excluded."""
        return tuple(
            story
            for story in self._every_story()
            if story not in self._test and all(story in own for own in self._responses.values())
        )

    def test_stories(self) -> tuple[str, ...]:
        """Held-out stories."""
        return self._test

    def own_stories(self, subject: str) -> tuple[str, ...]:
        """Training stories that this subject heard and some other subject did not."""
        shared = {*self.train_stories(), *self._test}
        return tuple(story for story in self._of(subject) if story not in shared)

    def story(self, name: str) -> Story:
        """Words, sound and features of a story."""
        self._known_story(name)
        return self._story(name)

    def clock(self, story: str) -> ScanClock:
        """When each response row of a story was acquired."""
        self._known_story(story)
        rows = next(own[story].shape[-2] for own in self._responses.values() if story in own)
        start = self._start.get(story, 0.0) if isinstance(self._start, Mapping) else self._start
        return ScanClock(tr=self._tr, start=start, n_trs=rows)

    def responses(self, subject: str, story: str) -> NDArray[np.float32]:
        """(TR, voxel), or (repeat, TR, voxel) where the story was heard several times."""
        own = self._of(subject)
        if story not in own:
            self._known_story(story)
            raise NotFoundError(f"subject {subject!r} has no responses to story {story!r}")
        return own[story]

    @contextmanager
    def open_responses(self, subject: str, story: str) -> Iterator[NDArray[np.float32]]:
        """The responses, to be sliced by voxel."""
        yield self.responses(subject, story)

    def voxel_labels(self, subject: str) -> list[str] | None:
        """A region's name for each voxel, if there are labels."""
        self._of(subject)
        return self._labels.get(subject)

    def fingerprint(self, subject: str, story: str) -> str:
        """Digest of the responses."""
        return content_digest("memory", self.responses(subject, story))

    # ------------------------------------------------------------------------------------- checks

    def _every_story(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(story for own in self._responses.values() for story in own))

    def _of(self, subject: str) -> Mapping[str, NDArray[np.float32]]:
        if subject not in self._responses:
            names = ", ".join(self._responses)
            raise NotFoundError(f"no subject {subject!r} in {self._info.name!r}; it has {names}")
        return self._responses[subject]

    def _known_story(self, name: str) -> None:
        if name not in self._every_story():
            names = ", ".join(self._every_story())
            raise NotFoundError(f"no story {name!r} in {self._info.name!r}; it has {names}")

    def _check_story(self, name: str) -> None:
        stimuli = (self._words, self._audio, self._features)
        if not any(name in given for given in stimuli):
            raise DataError(
                f"story {name!r} has neither words, audio nor features; pass one of them"
            )
        rows = {s: own[name].shape[-2] for s, own in self._responses.items() if name in own}
        if len(set(rows.values())) > 1:
            counts = ", ".join(f"{subject} {n}" for subject, n in rows.items())
            raise DataError(f"story {name!r}: subjects differ in the number of TRs ({counts})")
        self.clock(name)

    def _checked_labels(
        self, labels: Mapping[str, Sequence[str]] | Sequence[str] | None
    ) -> dict[str, list[str]]:
        if labels is None:
            return {}
        by_subject = (
            labels if isinstance(labels, Mapping) else dict.fromkeys(self._responses, labels)
        )
        checked = {subject: [str(label) for label in own] for subject, own in by_subject.items()}
        for subject, own in checked.items():
            n_voxels = next(iter(self._of(subject).values())).shape[-1]
            if len(own) != n_voxels:
                raise DataError(
                    f"subject {subject!r}: {len(own)} voxel labels for {n_voxels} voxels"
                )
        return checked

    def _read_story(self, name: str) -> Story:
        return Story(
            name,
            words=_read_words(self._words[name], name) if name in self._words else None,
            audio=_read_audio(self._audio[name], name) if name in self._audio else None,
            features=self._features.get(name, {}),
        )


def _array(values: ArrayLike, subject: str, story: str) -> NDArray[np.float32]:
    """Responses as read-only float32, (TR, voxel) or (repeat, TR, voxel)."""
    where = f"subject {subject!r}, story {story!r}"
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise DataError(f"{where}: responses are {array.dtype}, not real numbers")
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise DataError(
            f"{where}: responses have shape {array.shape}; "
            "expected (TR, voxel) or (repeat, TR, voxel)"
        )
    with np.errstate(over="ignore"):  # a value that overflows is infinite, and is refused below
        array = array.astype(np.float32)
    if np.isinf(array).any():
        *_, row, voxel = np.argwhere(np.isinf(array))[0]
        raise DataError(f"{where}: TR {row}, voxel {voxel} is infinite")
    array.flags.writeable = False
    return array


def _checked_tests(
    tests: Sequence[str], responses: Mapping[str, Mapping[str, Any]]
) -> tuple[str, ...]:
    if isinstance(tests, str):
        raise DataError(f"test_stories is a sequence of names; pass [{tests!r}]")
    if not responses:
        raise DataError("responses has no subject")
    for story in tests:
        if without := [subject for subject, own in responses.items() if story not in own]:
            raise DataError(
                f"test story {story!r}: no responses of {', '.join(without)}; "
                "every subject needs every test story"
            )
    return tuple(tests)


def _read_words(words: Any, story: str) -> Words:
    if isinstance(words, Words):
        return words
    if isinstance(words, str | Path):
        path = Path(words)
        return read_textgrid(path) if path.suffix.lower() == ".textgrid" else read_words_csv(path)
    columns = ("word", "onset", "offset")
    try:
        if hasattr(words, "columns"):  # a DataFrame; pandas need not be imported to know one
            text, onsets, offsets = (list(words[column]) for column in columns)
        else:
            text, onsets, offsets = map(list, zip(*words, strict=True))
        return Words(
            tuple("" if word is None else str(word) for word in text),
            np.asarray(onsets, dtype=np.float64),
            np.asarray(offsets, dtype=np.float64),
        )
    except DataError as error:
        raise DataError(f"words of story {story!r}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"words of story {story!r}: expected a table with the columns word, onset and offset, "
            f"or a sequence of (word, onset, offset) ({error})"
        ) from None


def _read_audio(audio: Any, story: str) -> Audio:
    if isinstance(audio, Audio):
        return audio
    if isinstance(audio, str | Path):
        return Audio(path=Path(audio))
    try:
        samples, rate = audio
        return Audio(samples=np.asarray(samples, dtype=np.float32), rate=int(rate))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"audio of story {story!r}: expected a path or (samples, rate in Hz) ({error})"
        ) from None
