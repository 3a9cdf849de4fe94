"""Each word finds its tokens exactly, whatever the tokenizer does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from shared_data import SHARED, needs_shared
from voxelzoo.api import DataError, WindowPolicy, Words, parse_window_policy
from voxelzoo_transformers.text.reading import Reading, read_words, read_words_as_released
from voxelzoo_transformers.text.tokens import (
    NO_TOKEN,
    BuiltInTokenizer,
    HubTokenizer,
    Tokens,
    match_words,
)


def words_of(items: Sequence[str]) -> Words:
    onsets = np.arange(len(items), dtype=np.float64)
    return Words(tuple(items), onsets, onsets + 0.5)


@cache
def hub(name: str) -> HubTokenizer:
    return HubTokenizer(name, SHARED / "models" / name)


def last_characters(words: Sequence[str], tokens: Tokens) -> list[str | None]:
    """Text up to the end of each word's last token."""
    text = " ".join(words)
    found = match_words(words, tokens)
    return [None if i == NO_TOKEN else text[: tokens.ends[i]] for i in found.last]


HARD = [
    ["Alice's", "rabbit-hole", "don't", "stop!"],
    ["in", "1865", "1,234.5", "3rd"],
    ["café", "naïve", "Ærøskøbing", "日本語", "😀", "e\u0301t\u0301"],
    ["a", "b", "c"],
    ["'s", "'", "--", "..."],
    ["New York", "is", "two words in one"],
    ["Donaudampfschifffahrtsgesellschaft", "x"],
]


@needs_shared
@pytest.mark.parametrize("name", ["gpt2-tokenizer", "stories260K"])
@pytest.mark.parametrize("words", HARD, ids=lambda words: words[0])
def test_a_words_last_token_ends_with_the_word(name: str, words: list[str]) -> None:
    tokens = hub(name).encode(" ".join(words))
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    wanted = [" ".join(words)[:end] for end in ends]
    assert last_characters(words, tokens) == wanted


@needs_shared
@pytest.mark.parametrize("name", ["gpt2-tokenizer", "stories260K"])
@settings(deadline=None, max_examples=60)
@given(
    words=st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1), min_size=1)
)
def test_any_words_are_found_in_order_and_whole(name: str, words: list[str]) -> None:
    """No word's tokens begin in the word before it, and the last one covers its last character."""
    tokens = hub(name).encode(" ".join(words))
    found = match_words(words, tokens)
    stop = np.cumsum([len(word) + 1 for word in words]) - 1
    here = found.last != NO_TOKEN
    assert here.all()  # byte-level and byte-fallback vocabularies have a token for everything
    assert (tokens.starts[found.last] < stop).all()
    assert (tokens.ends[found.last] >= stop).all()
    assert (tokens.ends[found.first] > stop - [len(word) for word in words]).all()


@needs_shared
def test_offsets_agree_with_decoding() -> None:
    """Independent of offsets: decoding the tokens up to a word's last gives the text up to it."""
    tokenizer = hub("gpt2-tokenizer")
    words = [
        "Alice's",
        "sister",
        "wasn't",
        "reading",
        "café",
        "menus",
        "in",
        "1865",
        ",",
        "was",
        "she",
        "?",
    ]
    tokens = tokenizer.encode(" ".join(words))
    found = match_words(words, tokens)
    for i, last in enumerate(found.last):
        assert tokenizer._tokenizer.decode(tokens.ids[: last + 1]) == " ".join(words[: i + 1])


def in_code(tokenizer: Tokenizer) -> HubTokenizer:
    """A tokenizer made in code, wrapped as one from the hub is."""
    wrapped = HubTokenizer.__new__(HubTokenizer)
    wrapped._tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?")
    return wrapped


def over_spaces() -> HubTokenizer:
    """A tokenizer that knows "of the" as one token."""
    vocabulary = {"?": 0, "of the": 1, "one": 2, "cat": 3, " ": 4}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("of the|one|cat| "), "isolated")
    return in_code(tokenizer)


def test_a_token_that_reaches_over_a_space_is_the_last_of_both_words() -> None:
    tokens = over_spaces().encode("one of the cat")
    assert tokens.ids.tolist() == [2, 4, 1, 4, 3]
    found = match_words(["one", "of", "the", "cat"], tokens)
    assert found.last.tolist() == [0, 2, 2, 4]
    assert found.begin.tolist() == [0, 1, 2, 3]


def swallower() -> HubTokenizer:
    """A tokenizer whose normaliser deletes dashes, so that some words become no token."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0, "a": 1, "b": 2}, unk_token="?"))
    tokenizer.normalizer = normalizers.Replace("-", "")
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return in_code(tokenizer)


def test_a_word_that_becomes_no_token_has_the_state_of_the_word_before() -> None:
    reading = read_words(
        words_of(["-", "a", "--", "b", "-"]), swallower().encode, parse_window_policy("full")
    )
    assert reading.word.tolist() == [1, 2, 3, 4]  # nothing precedes the first dash
    assert reading.last.tolist() == [0, 0, 1, 1]
    assert reading.times.tolist() == [1.25, 2.25, 3.25, 4.25]


def test_a_story_without_one_token_is_refused() -> None:
    with pytest.raises(DataError, match="no word"):
        read_words(words_of(["-", "--"]), swallower().encode, WindowPolicy())


def test_offsets_that_run_backwards_are_refused() -> None:
    tokens = Tokens(np.array([1, 2]), np.array([3, 0]), np.array([5, 2]))
    with pytest.raises(DataError, match="offsets"):
        match_words(["ab", "cd"], tokens)


class Greedy:
    """Knows "re", "read" and "reading": a text's tokens are no extension of its prefix's."""

    def encode(self, text: str) -> Tokens:
        found, at = [], 0
        while at < len(text):
            best = next(
                w for w in ("cat read", "cat", "read", " ", text[at]) if text.startswith(w, at)
            )
            found.append((len(best), at, at + len(best)))
            at += len(best)
        array = np.array(found)
        return Tokens(array[:, 0], array[:, 1], array[:, 2])


def test_the_whole_texts_tokens_count_not_a_prefixs() -> None:
    """ "cat" alone is a token; in "cat read" it is part of one: the whole story is tokenised."""
    words = ["cat", "read", "cat"]
    assert match_words(["cat"], Greedy().encode("cat")).last.tolist() == [0]
    assert match_words(words, Greedy().encode(" ".join(words))).last.tolist() == [0, 0, 2]


def test_silences_are_dropped() -> None:
    reading = read_words(
        words_of(["", "a", "", " ", "b", ""]), BuiltInTokenizer(99).encode, WindowPolicy()
    )
    assert reading.word.tolist() == [1, 4]
    assert reading.times.tolist() == [1.25, 4.25]


@pytest.mark.parametrize("read", [read_words, read_words_as_released])
def test_a_word_without_times_is_read_and_has_no_state(read: Callable[..., Reading]) -> None:
    encode, policy = BuiltInTokenizer(999).encode, parse_window_policy("sliding:4:words")
    timed = words_of(["the", "old", "cat", "", "sat", "down"])
    onsets, offsets = timed.onsets.copy(), timed.offsets.copy()
    onsets[[1, 5]] = offsets[[1, 5]] = np.nan
    whole = read(timed, encode, policy)
    part = read(Words(timed.text, onsets, offsets), encode, policy)
    has_state = ~np.isin(whole.word, [1, 5])
    np.testing.assert_array_equal(part.ids, whole.ids)  # the text is the same
    for name in ("times", "word", "start", "first", "last", "added_from"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[has_state], name)


def test_the_released_code_repeats_silences_and_possessives() -> None:
    """Lower-cased; a silence and "'s" have the state before; a first silence has none."""
    items = ["", "The", "cat", "'s", "", "Mat"]
    encode = BuiltInTokenizer(9999).encode
    reading = read_words_as_released(words_of(items), encode, parse_window_policy("full:words"))
    assert reading.word.tolist() == [1, 2, 3, 4, 5]
    tokens = encode(" the cat 's  mat")
    assert reading.ids.tolist() == tokens.ids.tolist()
    assert reading.last.tolist() == [0, 1, 1, 1, 4]


LABELS = ["{SL}", "The", "sp", "cat", "{NS}", "", "{br}", "Sentence_End", "sil", "sat", "{CG}"]


def test_the_released_code_drops_some_labels_and_reads_others_as_words() -> None:
    """Only an empty label is a blank; sp, {NS}, {BR}, {LG}, {LS}, sentence ends are not there."""
    onsets = np.arange(len(LABELS), dtype=np.float64)
    silent = {"{SL}", "sp", "{NS}", "", "{br}", "sil", "{CG}"}
    text = tuple("" if label in silent else label for label in LABELS)
    words = Words(text, onsets, onsets + 0.5, tuple(LABELS))
    encode = BuiltInTokenizer(99999).encode
    reading = read_words_as_released(words, encode, parse_window_policy("full:words"))
    assert reading.ids.tolist() == encode("{sl} the cat  sil sat {cg}").ids.tolist()
    assert [LABELS[i] for i in reading.word] == ["{SL}", "The", "cat", "", "sil", "sat", "{CG}"]
    np.testing.assert_array_equal(reading.times, onsets[reading.word] + 0.25)
    blank = reading.word.tolist().index(5)
    assert reading.last[blank] == reading.last[blank - 1]  # the state of "cat" again
    # The default protocol reads words alone.
    plain = read_words(words, encode, parse_window_policy("full"))
    assert [LABELS[i] for i in plain.word] == ["The", "cat", "Sentence_End", "sat"]


@pytest.mark.parametrize(
    ("items", "notes"),
    [
        (["a"] * 9, []),
        (["a", "'s", "b", "'s"], ['"\'s" is a word of its own 2 times']),
        ([*["a"] * 4, "", "b"], ["1 times a silence comes when the counter"]),
        ([*["a"] * 3, "", "b"], []),
        ([*["a"] * 5, *["", "b", "b"] * 2], ["1 times a silence comes when the counter"]),
    ],
)
def test_what_is_not_as_released_is_said(items: list[str], notes: list[str]) -> None:
    policy = parse_window_policy("sawtooth:4:2:words:code")
    reading = read_words_as_released(words_of(items), BuiltInTokenizer(999).encode, policy)
    assert len(reading.notes) == len(notes)
    assert all(note.startswith(start) for note, start in zip(reading.notes, notes, strict=True))
    assert read_words(words_of(items), BuiltInTokenizer(999).encode, policy).notes == ()


@needs_shared
def test_the_released_code_reads_a_word_before_a_silence_at_the_extra_space() -> None:
    tokenizer = hub("gpt2-tokenizer")
    reading = read_words_as_released(
        words_of(["one", "", "two"]), tokenizer.encode, parse_window_policy("full:words")
    )
    assert [tokenizer._tokenizer.decode([i]) for i in reading.ids] == ["one", " ", " two"]
    assert reading.last.tolist() == [1, 1, 2]


@needs_shared
def test_the_released_codes_contexts_for_3000_words() -> None:
    """In tokens: each context begins with the first token of the word that the rule names."""
    tokenizer = hub("gpt2-tokenizer")
    words = [f"w{i}" if i % 3 else "cat" for i in range(3000)]
    policy = parse_window_policy("sawtooth:512:256:words:code")
    reading = read_words_as_released(words_of(words), tokenizer.encode, policy)
    own = [tokenizer.encode((" " if i else "") + word).ids for i, word in enumerate(words)]
    for i in range(3000):
        first = 0 if i <= 512 else 256 * (i // 256) - (512 if i % 256 == 0 else 256)
        context = reading.ids[reading.start[i] : reading.last[i] + 1]
        np.testing.assert_array_equal(context, np.concatenate(own[first : i + 1]))


@given(
    st.lists(st.sampled_from(["a", "don't", "1,234", "b-c"]), min_size=1, max_size=200),
    st.sampled_from(["sawtooth:16:8", "sawtooth:9:3:words", "full", "sliding:4", "none:words"]),
)
@settings(deadline=None)
def test_passes_read_every_state_once(items: list[str], context: str) -> None:
    policy = parse_window_policy(context)
    reading = read_words(words_of(items), BuiltInTokenizer(999).encode, policy)
    for shared in (True, False):
        rows = []
        for one in reading.passes(shared):
            for row in range(one.rows.start, one.rows.stop):
                assert one.start == reading.start[row]
                assert one.start <= reading.last[row] < one.stop
                rows.append(row)
        assert rows == list(range(len(items)))


@needs_shared
@pytest.mark.parametrize("context", ["sawtooth:512:256", "sawtooth:512:256:words:code"])
def test_no_more_tokens_are_fed_than_twice_the_story_and_a_window(context: str) -> None:
    tokenizer = hub("gpt2-tokenizer")
    rng = np.random.default_rng(0)
    items = [str(w) for w in rng.choice(["the", "rabbit-hole", "Alice's", "1,865"], 5000)]
    policy = parse_window_policy(context)
    reading = read_words(words_of(items), tokenizer.encode, policy)
    passes = list(reading.passes())
    assert sum(map(len, passes)) <= 2 * len(reading.ids) + max(map(len, passes))


def test_a_damaged_tokenizer_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(DataError, match=r"^tokenizer mine: .* cannot be used .*$"):
        HubTokenizer("mine", tmp_path).encode("a")
