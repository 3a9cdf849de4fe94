"""Words, TextGrids, sound and the scan clock: read right, or refused in one line."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings, strategies as st

from annex import unfetch
from shared_data import SHARED, needs_shared
from voxelzoo.api import (
    Audio,
    DataError,
    ScanClock,
    Story,
    Words,
    ZooError,
    content_digest,
    read_textgrid,
    read_words_csv,
)
from voxelzoo.blocks import blocks

Item = tuple[float, float, str]

quick = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def make_words(*items: Item) -> Words:
    onsets, offsets, text = zip(*items, strict=True)
    return Words(text, np.array(onsets, float), np.array(offsets, float))


# ---------------------------------------------------------------------------------------- words


def test_a_word_is_placed_at_its_middle() -> None:
    words = make_words((1, 2, "a"), (2, 2.5, ""), (3, 5, "b"))
    np.testing.assert_array_equal(words.times, [1.5, 2.25, 4])
    assert words.spoken().text == ("a", "b")
    np.testing.assert_array_equal(words.spoken().times, [1.5, 4])
    np.testing.assert_array_equal(words.shifted(40).times, [41.5, 42.25, 44])


@pytest.mark.parametrize(
    ("onsets", "offsets", "said"),
    [
        ([1.0], [0.5], "word 1 ('a') ends at 0.5 s, before it begins"),
        ([2.0, 1.0], [3.0, 3.0], "word 2 ('b') begins at 1 s, before the word that precedes"),
        ([1.0, np.nan], [3.0, 3.0], "word 2 ('b') has no finite time"),
        ([1.0, 2.0], [3.0], "2 words but"),
    ],
)
def test_impossible_times_are_refused(onsets: list[float], offsets: list[float], said: str) -> None:
    with pytest.raises(DataError) as caught:
        Words(("a", "b")[: len(onsets)], np.array(onsets), np.array(offsets))
    assert said in str(caught.value)


def test_digest_follows_text_and_times() -> None:
    same = make_words((0, 1, "a"), (1, 2, "b"))
    assert same.digest == make_words((0, 1, "a"), (1, 2, "b")).digest
    for other in (((0, 1, "a"), (1, 2, "c")), ((0, 1, "a"), (1, 2.1, "b")), ((0, 1, "ab"),)):
        assert make_words(*other).digest != same.digest


# ------------------------------------------------------------------------------------------ csv


times = st.floats(0, 1e5, allow_nan=False)
labels = st.text(
    st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=12
).map(str.strip)
items = st.lists(st.tuples(times, times, labels), min_size=1, max_size=15).map(
    lambda raw: [
        (onset, offset, label)
        for (onset, offset), label in zip(
            sorted((min(a, b), max(a, b)) for a, b, _ in raw), [c for *_, c in raw], strict=True
        )
    ]
)


@quick
@given(items=items, bom=st.booleans(), ending=st.sampled_from(["\n", "\r\n"]))
def test_csv_round_trip(tmp_path: Path, items: list[Item], bom: bool, ending: str) -> None:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator=ending)
    writer.writerow(["word", "onset", "offset"])
    writer.writerows([label, repr(onset), repr(offset)] for onset, offset, label in items)
    path = tmp_path / "words.csv"
    path.write_bytes(written.getvalue().encode("utf-8-sig" if bom else "utf-8"))
    words = read_words_csv(path)
    assert words.text == tuple(label for *_, label in items)
    np.testing.assert_array_equal(words.onsets, [onset for onset, *_ in items])
    np.testing.assert_array_equal(words.offsets, [offset for _, offset, _ in items])


def test_csv_columns_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "words.csv"
    path.write_text('speaker,Offset, word,onset\nx,2,"a, b",1\n\nx,3,c,2\n')
    words = read_words_csv(path)
    assert words.text == ("a, b", "c")
    np.testing.assert_array_equal(words.offsets, [2, 3])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", ":1: no column word, onset, offset"),
        (b"word,onset,offset\n", "no words"),
        (b"word,start,offset\na,1,2\n", ":1: no column onset"),
        (b"word,onset,offset\na,1,2\nb,2\n", ":3: 2 fields, expected 3"),
        (b"word,onset,offset\na,1,2\nb,two,3\n", ":3: onset 'two'"),
        (b"word,onset,offset\na,nan,2\n", "has no finite time"),
        (b"word,onset,offset\na,2,1\n", "before it begins"),
        (b"word,onset,offset\na,1,2\0\n", "NUL"),
        (b"word,onset,offset\n\xff\xfe,1,2\n", "not UTF-8"),
    ],
)
def test_csv_faults_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "words.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_words_csv(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (read_words_csv, read_textgrid):
        with pytest.raises(DataError, match="cannot be read"):
            read(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("content", "command"),
    [
        ("/annex/objects/MD5E-s9--0123.csv\n", "datalad get words.csv"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ],
)
def test_content_that_was_not_fetched_is_named(tmp_path: Path, content: str, command: str) -> None:
    path = tmp_path / "words.csv"
    path.write_text(content)
    reads: list[Callable[[], object]] = [
        lambda: read_words_csv(path),
        lambda: read_textgrid(path),
        lambda: Audio(path=path).read(16_000),
        lambda: content_digest(path),
    ]
    for read in reads:
        with pytest.raises(DataError, match=r"words.csv: not fetched yet") as caught:
            read()
        assert command in str(caught.value)


def test_a_link_without_its_annexed_target_is_named(tmp_path: Path) -> None:
    path = tmp_path / "words.csv"
    path.write_text("")
    unfetch(path)
    with pytest.raises(DataError, match=r"datalad get words.csv"):
        read_words_csv(path)


# ------------------------------------------------------------------------------------- TextGrid


def quoted(label: str) -> str:
    return '"' + label.replace('"', '""') + '"'


def long_form(tiers: list[tuple[str, list[Item]]]) -> str:
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += [
        "xmin = 0 ",
        "xmax = 100000 ",
        "tiers? <exists> ",
        f"size = {len(tiers)} ",
        "item []:",
    ]
    for number, (name, items) in enumerate(tiers, start=1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier" ']
        lines += [f"        name = {quoted(name)} ", "        xmin = 0 ", "        xmax = 100000 "]
        lines += [f"        intervals: size = {len(items)} "]
        for place, (onset, offset, label) in enumerate(items, start=1):
            lines += [f"        intervals [{place}]:", f"            xmin = {onset!r} "]
            lines += [f"            xmax = {offset!r} ", f"            text = {quoted(label)} "]
    return "\n".join(lines) + "\n"


def short_form(tiers: list[tuple[str, list[Item]]]) -> str:
    lines = ['File type = "ooTextFile"', '"TextGrid"', "", "0", "100000", "<exists>"]
    lines += [str(len(tiers))]
    for name, items in tiers:
        lines += ['"IntervalTier"', quoted(name), "0", "100000", str(len(items))]
        for onset, offset, label in items:
            lines += [repr(onset), repr(offset), quoted(label)]
    return "\n".join(lines) + "\n"


FORMS = {"long": long_form, "short": short_form}
SILENT = ("sp", "sil", "SIL", "", "<unk>", "{LG}", "[noise]", " ")


@quick
@given(
    items=items,
    form=st.sampled_from(sorted(FORMS)),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_textgrid_round_trip(
    tmp_path: Path, items: list[Item], form: str, encoding: str, ending: str
) -> None:
    """Every label survives: quotes, brackets, numbers, signs; in each form, encoding, ending."""
    items = [*items, (1e5, 1e5, "end")]
    path = tmp_path / "story.TextGrid"
    tiers = [("phone", [(0.0, 1.0, "w")]), ("word", items)]
    path.write_bytes(FORMS[form](tiers).replace("\n", ending).encode(encoding))
    words = read_textgrid(path)
    for read, (*_, label) in zip(words.text, items, strict=True):
        bracketed = label[:1] + label[-1:] in ("<>", "{}", "[]")
        silent = bracketed or label.lower() in ("", "sp", "sil", "pau", "spn")
        assert read == ("" if silent else label)
    np.testing.assert_array_equal(words.onsets, [onset for onset, *_ in items])
    np.testing.assert_array_equal(words.offsets, [offset for _, offset, _ in items])


@pytest.mark.parametrize("form", sorted(FORMS))
@pytest.mark.parametrize("label", ['say "no"', "[1", "1]", "a <b> c", "3.5", "x = 3", "é", "'s"])
def test_labels_that_look_like_syntax_are_labels(tmp_path: Path, form: str, label: str) -> None:
    path = tmp_path / "story.TextGrid"
    path.write_text(FORMS[form]([("words", [(0.0, 1.0, label), (1.0, 2.5, "b")])]), "utf-8")
    assert read_textgrid(path).text == (label, "b")


@pytest.mark.parametrize("label", SILENT)
def test_silences_stay_as_items_without_text(tmp_path: Path, label: str) -> None:
    path = tmp_path / "story.TextGrid"
    path.write_text(long_form([("word", [(0.0, 1.0, label), (1.0, 2.5, "b")])]))
    words = read_textgrid(path)
    assert words.text == ("", "b")
    assert words.spoken().text == ("b",)


def test_tiers_are_chosen_by_name(tmp_path: Path) -> None:
    path = tmp_path / "story.TextGrid"
    a, b = [(0.0, 1.0, "a")], [(0.0, 1.0, "b")]
    path.write_text(long_form([("phones", a), ("Words", b)]))
    assert read_textgrid(path).text == ("b",)
    assert read_textgrid(path, "phones").text == ("a",)
    with pytest.raises(DataError, match="no tier 'x'; its interval tiers are 'phones', 'Words'"):
        read_textgrid(path, "x")
    path.write_text(long_form([("speech", a)]))
    assert read_textgrid(path).text == ("a",)
    path.write_text(long_form([("speech", a), ("other", b)]))
    with pytest.raises(DataError, match="no tier 'word'"):
        read_textgrid(path)
    path.write_text(long_form([("word", a), ("word", b)]))
    with pytest.raises(DataError, match="2 tiers are called 'word'"):
        read_textgrid(path)


def test_point_tiers_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "story.TextGrid"
    path.write_text(
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n5\n<exists>\n2\n'
        '"TextTier"\n"clicks"\n0\n5\n1\n2.5\n"click"\n'
        '"IntervalTier"\n"word"\n0\n5\n1\n0\n5\n"a"\n'
    )
    assert read_textgrid(path).text == ("a",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not a Praat TextGrid"),
        ("hello", "not a Praat TextGrid"),
        ('File type = "ooTextFile"\nObject class = "PitchTier"\n', "not a TextGrid"),
        ('File type = "ooTextFile"\nObject class = "TextGrid"\n0\n1\n<absent>\n', "no interval"),
        (long_form([("word", [(0.0, 1.0, "sp")])]), "no words"),
        (long_form([("word", [(2.0, 1.0, "a")])]), "before it begins"),
        (long_form([("word", [(0.0, 1.0, "a")])])[:-20], "cut short"),
        (short_form([("word", [(0.0, 1.0, "a")])]).replace("1.0", "1e999"), "too large"),
        (short_form([("word", [(0.0, 1.0, "a")])]).replace("\n1\n", "\n1.5\n"), "how many"),
        (short_form([("word", [(0.0, 1.0, "a")])]).replace("1.0", '"1.0"'), "expected a number"),
    ],
)
def test_textgrid_faults_are_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "story.TextGrid"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        read_textgrid(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


@settings(parent=quick, max_examples=500)
@given(
    form=st.sampled_from(sorted(FORMS)),
    at=st.floats(0, 1),
    patch=st.one_of(
        st.binary(max_size=6), st.sampled_from([b'"', b"<exists>", b"9e9", b"-1", b"["])
    ),
    cut=st.integers(0, 60),
)
def test_a_damaged_textgrid_never_gives_a_traceback(
    tmp_path: Path, form: str, at: float, patch: bytes, cut: int
) -> None:
    tier = [(float(i), i + 1.0, f"word{i}") for i in range(5)]
    whole = FORMS[form]([("phone", tier), ("word", tier)]).encode()
    start = int(at * len(whole))
    path = tmp_path / "story.TextGrid"
    path.write_bytes(whole[:start] + patch + whole[start + cut :])
    said = str(path)
    try:
        read_textgrid(path)
    except ZooError as error:
        said = str(error)
    assert str(path) in said


@needs_shared
def test_the_published_alice() -> None:
    (path,) = (SHARED / "data" / "alice").glob("*/*.TextGrid")
    words = read_textgrid(path)
    assert len(words) == 2423
    assert len(words.spoken()) == 2127
    assert words.spoken().text[:3] == ("Alice", "was", "beginning")
    assert words.spoken().onsets[0] == 20.05891632653599


# ---------------------------------------------------------------------------------------- sound


def test_sound_from_a_file_is_that_in_memory(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (8_000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "s.wav", samples, 8_000, subtype="FLOAT")
    file, memory = Audio(path=tmp_path / "s.wav"), Audio(samples=samples, rate=8_000)
    assert file.duration == memory.duration == 1.0
    np.testing.assert_allclose(file.read(8_000), samples.mean(axis=1), atol=1e-6)
    np.testing.assert_array_equal(file.read(16_000), memory.read(16_000))
    assert len(file.read(16_000)) == 16_000


def test_resampling_keeps_a_tone(tmp_path: Path) -> None:
    t = np.arange(44_100) / 44_100
    tone = np.sin(2 * np.pi * 440 * t).astype(np.float32)
    read = Audio(samples=tone, rate=44_100).read(16_000)
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(read[200:-200], expected[200:-200], atol=5e-3)


def test_damaged_sound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.wav"
    path.write_bytes(b"RIFFnothing")
    with pytest.raises(DataError, match=r"s.wav: not readable as audio"):
        Audio(path=path).read(16_000)
    with pytest.raises(DataError, match=r"nothing.wav: not readable as audio"):
        _ = Audio(path=tmp_path / "nothing.wav").duration
    soundfile.write(path, np.zeros(0), 16_000)
    with pytest.raises(DataError, match="no samples"):
        Audio(path=path).read(16_000)
    bad = np.zeros(1600, np.float32)
    bad[800] = np.nan
    with pytest.raises(DataError, match=r"sample 800 \(0.050 s\) is not a finite number"):
        Audio(samples=bad, rate=16_000).read(16_000)
    with pytest.raises(DataError, match="either a file or samples"):
        Audio()


# ------------------------------------------------------------------------------ story and clock


def test_digest_is_of_what_a_modality_can_see(tmp_path: Path) -> None:
    words = make_words((0, 1, "a"))
    audio = Audio(samples=np.zeros(100, np.float32), rate=100)
    np.savez(tmp_path / "f.npz", times=[0.0])
    bare = Story("s", words=words)
    full = Story("s", words=words, audio=audio, features={"f": tmp_path / "f.npz"})
    assert bare.digest("text") == full.digest("text")
    assert bare.digest("any") != full.digest("any")
    assert bare.digest("audio") != full.digest("audio")
    assert Story("other name", words=words).digest("text") == bare.digest("text")
    before = full.digest("any")
    np.savez(tmp_path / "f.npz", times=[1.0])
    assert full.digest("any") != before
    assert full.end == 1.0


def test_digest_frames_its_parts(tmp_path: Path) -> None:
    assert content_digest("ab", "c") != content_digest("a", "bc")
    assert content_digest(np.zeros(2)) != content_digest(np.zeros((2, 1)))
    assert content_digest(np.zeros(2)) != content_digest(np.zeros(2, np.int64))
    (tmp_path / "f").write_bytes(b"abc")
    before = content_digest(tmp_path / "f")
    (tmp_path / "f").write_bytes(b"abd")
    assert content_digest(tmp_path / "f") != before


def test_volumes_are_sampled_at_their_middle() -> None:
    np.testing.assert_allclose(ScanClock(2.0, 20.0, 3).times, [21, 23, 25])
    for tr in (0.0, -1.0, float("nan")):
        with pytest.raises(DataError, match="TR must be"):
            ScanClock(tr, 0.0, 3)
    with pytest.raises(DataError, match="start must be"):
        ScanClock(2.0, float("inf"), 3)


@given(n=st.integers(0, 50), size=st.integers(1, 60))
def test_blocks_cover_everything_once(n: int, size: int) -> None:
    assert [i for block in blocks(n, size) for i in range(n)[block]] == list(range(n))


# ------------------------------------------------------------------------- words without times


def test_a_word_without_times_keeps_its_place_in_the_text(tmp_path: Path) -> None:
    """As aligners leave them: Gentle finds 954 of 957 words of a story."""
    path = tmp_path / "words.csv"
    path.write_text("word,onset,offset\none,0,1\nlost,,\n,1,2\ntwo,NA,n/a\nthree,2,3\n")
    words = read_words_csv(path)
    assert words.text == ("one", "lost", "", "two", "three")
    assert words.is_timed.tolist() == [True, False, True, False, True]
    assert words.spoken().text == ("one", "three")
    assert words.timed().text == ("one", "", "three")
    np.testing.assert_array_equal(words.times, [0.5, np.nan, 1.5, np.nan, 2.5])
    assert words.shifted(4).spoken().onsets.tolist() == [4.0, 6.0]
    assert Story("tale", words=words).end == 3.0
    assert words.digest == read_words_csv(path).digest


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,0,1\nb,,2\n", r":3: onset '' and offset '2' must be seconds"),
        ("a,0,1\nb,1,inf\n", "word 2 .'b'. has no finite time"),
        ("a,,\nb,,\n", "word 1 .'a'. has no finite time"),
        ("a,2,3\nb,,\nc,1,2\n", "word 3 .'c'. begins at 1 s, before the word that precedes it"),
        ('"a,0,1\nb,1,2\nc",2,3\n', ":4: a word runs over several lines"),
    ],
)
def test_half_a_time_is_no_time(tmp_path: Path, rows: str, message: str) -> None:
    path = tmp_path / "words.csv"
    path.write_text("word,onset,offset\n" + rows)
    with pytest.raises(DataError, match=message):
        read_words_csv(path)


def test_the_tier_of_the_only_speaker_is_read(tmp_path: Path) -> None:
    def grid(*names: str) -> Path:
        lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", "1", "<exists>"]
        lines.append(str(len(names)))
        for name in names:
            lines += ['"IntervalTier"', f'"{name}"', "0", "1", "1", "0", "1", f'"{name}"']
        path = tmp_path / "a.TextGrid"
        path.write_text("\n".join(lines) + "\n")
        return path

    assert read_textgrid(grid("ann - phones", "ann - words")).text == ("ann - words",)
    two = grid("ann - words", "bob - words")
    with pytest.raises(DataError, match="2 tiers are of speakers' words; its interval tiers are"):
        read_textgrid(two)
    assert read_textgrid(two, "bob - words").text == ("bob - words",)


def test_labels_are_kept_beside_the_words(tmp_path: Path) -> None:
    plain = Words(("a", ""), np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    assert plain.labels == ("a", "")
    labelled = Words(("a", ""), plain.onsets, plain.offsets, ("a", "{SL}"))
    assert labelled.digest != plain.digest
    assert labelled.shifted(1).labels == labelled.timed().labels == ("a", "{SL}")
    path = tmp_path / "words.csv"
    path.write_text("word,onset,offset,aligner_label\na,0,1,a\n,1,2,{SL}\n")
    assert read_words_csv(path).digest == labelled.digest
    with pytest.raises(DataError, match="2 words but 1 labels"):
        Words(("a", ""), plain.onsets, plain.offsets, ("a",))
