"""Checks of words, sound and scan clocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import DataError, ScanClock, Story, Words, ZooError
from voxelzoo.data.check.findings import CheckReport, ClockReport, StoryReport, attempt
from voxelzoo.stimuli.files import require_downloaded

LONG_GAP = 3.0
"""Seconds without a word from which a pause counts as a gap."""


SLACK = 1.0
"""Seconds by which words may end after their sound: aligners round, encoders pad."""


IDLE = 60.0
"""Seconds for which a scan may continue after its story without a warning."""


OUTSIDE = 0.25
"""Share of a story's words outside the scan above which there is a warning."""


def check_story(
    report: CheckReport,
    name: str,
    split: Literal["train", "test"],
    story: Story | None,
    clock: ScanClock | None,
) -> StoryReport:
    """Check one story's words and sound against its scan clock.

    Parameters
    ----------
    report : CheckReport
        Where findings are added.
    name : str
        Name of the story.
    split : {"train", "test"}
        What the story is for.
    story : Story or None
        The story; ``None`` if it could not be read.
    clock : ScanClock or None
        When its volumes were acquired; ``None`` if that could not be read.

    Returns
    -------
    StoryReport
    """
    words = story.words if story is not None else None
    spoken = words.spoken() if words is not None else None
    silence = _silences(spoken) if spoken is not None else np.zeros(0)
    gaps = silence[silence > LONG_GAP]
    before, after = _outside(spoken, clock)
    if spoken is not None:
        _check_words(report, name, spoken, before, after)
    seconds, rate = _check_audio(report, name, story, spoken)
    if story is not None and clock is not None:
        _check_end(report, name, story, clock)
    return StoryReport(
        name=name,
        split=split,
        n_words=sum(map(bool, words.text)) if words is not None else None,
        n_untimed=int((~words.is_timed).sum()) if words is not None else None,
        n_silences=sum(not text for text in words.text) if words is not None else None,
        words_begin=float(spoken.onsets[0]) if spoken else None,
        words_end=float(spoken.offsets.max()) if spoken else None,
        n_gaps=len(gaps) if spoken is not None else None,
        longest_gap=float(silence.max()) if len(silence) else None,
        n_words_before_scan=before,
        n_words_after_scan=after,
        audio_seconds=seconds,
        audio_rate=rate,
        features=tuple(story.features) if story is not None else (),
        clock=ClockReport.of(clock, story) if clock is not None else None,
    )


def _silences(words: Words) -> NDArray[np.float64]:
    """Seconds between each word and the next, (word - 1,); negative where they overlap."""
    ended: NDArray[np.float64] = np.maximum.accumulate(words.offsets)
    return words.onsets[1:] - ended[:-1]


def _outside(words: Words | None, clock: ScanClock | None) -> tuple[int | None, int | None]:
    """How many words lie before the first kept volume, and after the last."""
    if words is None or clock is None:
        return None, None
    end = clock.start + clock.n_trs * clock.tr
    return int((words.times < clock.start).sum()), int((words.times > end).sum())


def _check_words(
    report: CheckReport, name: str, words: Words, before: int | None, after: int | None
) -> None:
    if not len(words):
        report.add("error", "words", name, "no word has any text")
        return
    if words.onsets[0] < 0:
        report.add(
            "warning", "words", name, f"words begin at {words.onsets[0]:g} s, before the story"
        )
    if before is None or after is None:
        return
    outside = before + after
    message = (
        f"{outside} of {len(words)} words lie outside the scan ({before} before it, {after} after)"
    )
    if outside == len(words):
        report.add("error", "words-outside-scan", name, f"{message}: the clock is another story's")
    elif outside > OUTSIDE * len(words):
        report.add("warning", "words-outside-scan", name, message)


def _check_audio(
    report: CheckReport, name: str, story: Story | None, words: Words | None
) -> tuple[float | None, int | None]:
    """Read the sound to its end; its length in seconds and its samples per second."""
    if story is None or story.audio is None:
        return None, None
    audio = story.audio
    if audio.path is not None:
        try:
            require_downloaded(audio.path)
        except DataError as error:
            report.add("warning", "not-fetched", name, f"{error}; speech models need it")
            return None, None

    def read() -> tuple[float, int]:
        heard = False
        for piece in audio.pieces(1 << 20):  # to the end: the last part may be damaged
            heard = heard or bool(piece.any())
        if not heard:
            raise DataError(f"{audio.path or name}: the sound is silent throughout")
        return audio.duration, audio.native_rate

    sound = attempt(report, "audio", name, read)
    if sound is None:
        return None, None
    if words:
        ends, lasts = audio.start + audio.duration, float(np.nanmax(words.offsets))
        if lasts > ends + SLACK:
            late = int((words.times > ends).sum())
            report.add(
                "error",
                "audio-too-short",
                name,
                f"the sound ends at {ends:.1f} s, the words at {lasts:.1f} s: {late} words have "
                "no sound",
            )
    return sound


def _check_end(report: CheckReport, name: str, story: Story, clock: ScanClock) -> None:
    try:
        ends = story.end
    except ZooError:
        return  # its sound is damaged, which is a finding already
    idle = clock.start + clock.n_trs * clock.tr - ends
    if ends > 0 and idle > IDLE:
        report.add(
            "warning",
            "length-mismatch",
            name,
            f"the scan continues for {idle:.0f} s ({idle / clock.tr:.0f} TRs) after the story "
            "ends; is it the scan of this story?",
        )


def check_clocks(report: CheckReport, clocks: Mapping[str, ScanClock]) -> None:
    """Warn of a story whose TR or first volume differs from most others: 2.0 s against 2.0045 s.

    Parameters
    ----------
    report : CheckReport
        Where findings are added.
    clocks : mapping of str to ScanClock
        The clock of each story.
    """
    for what, values in (
        ("TR", {name: round(clock.tr, 4) for name, clock in clocks.items()}),
        ("first kept volume", {name: round(clock.start, 2) for name, clock in clocks.items()}),
    ):
        counts = Counter(values.values())
        usual, times = counts.most_common(1)[0] if counts else (0.0, 0)
        if times <= len(values) / 2:
            continue  # no value is usual
        for name, value in values.items():
            if value != usual:
                report.add(
                    "warning",
                    "clock",
                    name,
                    f"{what} {value:g} s; {times} stories have {usual:g} s",
                )


def check_same_stories(
    report: CheckReport, stories: Mapping[str, Story], train: Sequence[str]
) -> None:
    """Warn of training stories with the same words: one story under two names.

    Parameters
    ----------
    report : CheckReport
        Where findings are added.
    stories : mapping of str to Story
        Every story that could be read.
    train : sequence of str
        Names of the training stories.
    """
    seen: dict[object, str] = {}
    for name in train:
        if name in stories and (words := stories[name].words) is not None:
            text = words.spoken().text
            if text and text in seen:
                report.add(
                    "warning",
                    "duplicate-story",
                    name,
                    f"has the same words as {seen[text]!r}: it counts twice in training",
                )
            seen.setdefault(text, name)
