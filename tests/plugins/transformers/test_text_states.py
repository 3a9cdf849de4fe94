"""States of causal language models equal their definition: one fresh context a word."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch

from shared_data import SHARED, needs_shared
from text_models import (
    FAMILIES,
    all_states,
    assert_same_states,
    babble,
    extractor_for,
    naive_states,
    request_for,
    story_of,
    tiny_row,
)
from voxelzoo.api import (
    DataError,
    MissingError,
    ModelEntry,
    PluginError,
    Story,
    UsageError,
    ZooError,
    parse_window_policy,
    read_textgrid,
)

STORIES260K = ModelEntry(
    name="stories260k", plugin="llama", modality="text", repo=str(SHARED / "models/stories260K")
)
ALICE = SHARED / "data/alice/alice_stim_shared/DownTheRabbitHoleFinal_exp120_pad_1.TextGrid"

POLICIES = [
    "sawtooth:12:5",
    "sawtooth:12:6:words",
    "sawtooth:12:6:words:code",
    "sliding:7",
    "sliding:3:words",
    "full",
    "none",
    "none:words",
]


@pytest.mark.parametrize("state", ["last", "mean"])
@pytest.mark.parametrize("context", POLICIES)
@pytest.mark.parametrize("plugin", FAMILIES)
def test_states_equal_one_fresh_context_a_word(plugin: str, context: str, state: str) -> None:
    """The contexts are made here by hand, from the tokens of each word alone."""
    words = babble(60)
    extractor = extractor_for(tiny_row(plugin), context=context, state=state, batch_tokens="40")
    own = [extractor.tokenizer.encode(word).ids.tolist() for word in words]
    tokens = [token for word in own for token in word]
    ends = np.cumsum([len(word) for word in own])
    policy = parse_window_policy(context)
    contexts, n_own = [], []
    for i, end in enumerate(ends, start=1):
        if policy.unit == "words":
            start = int(ends[policy.start(i) - 1]) if policy.start(i) else 0
        else:
            start = policy.start(int(end))
        contexts.append([*extractor.first_tokens(), *tokens[start:end]])
        n_own.append(min(len(own[i - 1]), int(end) - start) if state == "mean" else 1)

    wanted = naive_states(request_for(tiny_row(plugin)), contexts, n_own)
    assert_same_states(all_states(extractor, story_of(words)), wanted)


@needs_shared
@pytest.mark.slow
def test_the_trained_llama_on_all_of_alice() -> None:
    """All 2,127 words, every layer, at the context that its 512 positions allow."""
    story = Story("alice", words=read_textgrid(ALICE))
    extractor = extractor_for(STORIES260K, untrained=False)
    found = all_states(extractor, story)
    assert found.shape == (6, 2127, 64)

    spoken = story.need_words().spoken()
    encoded = extractor.tokenizer._tokenizer(
        " ".join(spoken.text), add_special_tokens=False, return_offsets_mapping=True
    )
    ids, offsets = encoded["input_ids"], np.array(encoded["offset_mapping"])
    contexts, stop = [], -1
    for word in spoken.text:
        stop += len(word) + 1
        end = int(np.flatnonzero(offsets[:, 1] >= stop)[0]) + 1
        # The first token whose characters reach the word's end; bytes of one sign end together.
        while end < len(ids) and offsets[end, 0] < stop:
            end += 1
        start = 0 if end <= 511 else 256 * ((end - 255) // 256)
        contexts.append([1, *ids[start:end]])
    assert_same_states(found, naive_states(request_for(STORIES260K, untrained=False), contexts))


@pytest.mark.parametrize("plugin", FAMILIES)
def test_neither_batch_nor_layers_asked_move_a_value(plugin: str) -> None:
    story = story_of(babble(80))
    row = tiny_row(plugin)
    whole = all_states(extractor_for(row, context="sawtooth:16:8"), story)
    for size in ("1", "33", "100000"):
        some = extractor_for(row, context="sawtooth:16:8", batch_tokens=size)
        assert_same_states(all_states(some, story), whole)
    one = extractor_for(row, context="sawtooth:16:8")
    for layers in ([1], [2, 0], [0]):
        states = np.concatenate([b.states for b in one.extract(story, layers)], axis=1)
        assert_same_states(states, whole[layers])


@pytest.mark.parametrize("plugin", FAMILIES)
def test_later_words_change_nothing(plugin: str) -> None:
    words = babble(50)
    row = tiny_row(plugin)
    said = all_states(extractor_for(row), story_of(words))
    other = all_states(extractor_for(row), story_of([*words[:30], *["never"] * 20]))
    np.testing.assert_allclose(said[:, :30], other[:, :30], rtol=1e-4, atol=1e-6)
    assert not np.allclose(said[1:, 30:], other[1:, 30:], atol=1e-3)


def test_untrained_weights_come_from_the_seed_and_leave_global_randomness_alone() -> None:
    story = story_of("once upon a time")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = all_states(extractor_for(tiny_row("opt")), story)
    torch.testing.assert_close(torch.get_rng_state(), before)
    torch.manual_seed(6)
    again = all_states(extractor_for(tiny_row("opt")), story)
    np.testing.assert_array_equal(first, again)
    request = replace(request_for(tiny_row("opt")), seed=1)
    from voxelzoo_opt.extractor import OPTExtractor

    assert not np.allclose(first[1:], all_states(OPTExtractor(request), story)[1:])


def test_each_family_begins_a_context_in_its_own_way() -> None:
    assert extractor_for(tiny_row("opt")).first_tokens() == (2,)
    assert extractor_for(tiny_row("llama")).first_tokens() == (1,)
    assert extractor_for(tiny_row("llama", bos_token_id=300)).first_tokens() == (300,)
    assert extractor_for(tiny_row("transformers")).first_tokens() == (1,)
    assert extractor_for(tiny_row("transformers", bos_token_id=300)).first_tokens() == (300,)


def test_the_default_context_shrinks_to_the_positions_there_are_and_says_so() -> None:
    said: list[str] = []
    row = tiny_row("llama", max_position_embeddings=64)
    extractor = extractor_for(row, notify=said.append)
    assert extractor.fingerprint()["context"] == "sawtooth:63:31:tokens"
    assert any("sawtooth:63:31" in line and "64 positions" in line for line in said)
    assert all_states(extractor, story_of(babble(200))).shape == (3, 200, 32)


@pytest.mark.parametrize("context", ["sawtooth:64:32", "full", "sliding:64"])
def test_a_context_asked_for_that_does_not_fit_is_refused(context: str) -> None:
    extractor = extractor_for(tiny_row("llama", max_position_embeddings=64), context=context)
    with pytest.raises(UsageError, match="has 63 positions for them; sawtooth:63:31 fits"):
        extractor.times(story_of(babble(200)))


def test_a_protocols_own_context_is_never_shortened() -> None:
    row = tiny_row("llama", max_position_embeddings=64)
    extractor = extractor_for(row, protocol="antonello2023")
    assert extractor.fingerprint()["context"] == "sawtooth:512:256:words:code"
    with pytest.raises(UsageError, match="sawtooth:512:256:words:code needs"):
        extractor.times(story_of(babble(200)))


def test_the_released_protocol_repeats_a_vector_over_silences() -> None:
    extractor = extractor_for(tiny_row("opt"), protocol="antonello2023", released_errors="fix")
    story = story_of(["Once", "", "upon", "'s", "a", ""])
    states = all_states(extractor, story)
    assert states.shape[1] == len(extractor.times(story)) == 6
    for repeat in (1, 3, 5):
        np.testing.assert_array_equal(states[:, repeat], states[:, repeat - 1])
    assert not np.allclose(states[1:, 2], states[1:, 0])


def test_a_story_that_the_released_code_misreads_is_refused_unless_it_may_be_fixed() -> None:
    story = story_of(["Once", "upon", "'s", "a"])
    extractor = extractor_for(tiny_row("opt"), protocol="antonello2023")
    with pytest.raises(DataError, match=r"one word too early.*--model-option released_errors=fix"):
        extractor.times(story)
    assert len(extractor_for(tiny_row("opt")).times(story)) == 4  # the default protocol


def test_the_released_protocol_with_silences_and_possessives() -> None:
    """Word by word, by the rule: a counter that silences advance and never enter a context."""
    rng = np.random.default_rng(3)
    items = [str(w) for w in rng.choice(["the", "cat", "'s", "don't", "", "on"], 120)]
    row = tiny_row("opt")
    extractor = extractor_for(
        row,
        protocol="antonello2023",
        context="sawtooth:12:6:words:code",
        batch_tokens="60",
        released_errors="fix",
    )
    found = all_states(extractor, story_of(items))

    said: list[list[int]] = []
    contexts: list[list[int]] = []
    lookback = 0
    for item in items:
        if item:
            said.append(extractor.tokenizer.encode(item).ids.tolist())
            first = max(0, len(said) - 1 - lookback)
            context = [2, *(token for word in said[first:] for token in word)]
            if lookback >= 12:
                lookback = 6
        lookback += 1
        if item and item != "'s":
            contexts.append(context)
        elif contexts:
            contexts.append(contexts[-1])
    assert_same_states(found, naive_states(request_for(row), contexts))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": "sawtooth:1:2"}, "unknown context"),
        ({"state": "first"}, "state 'first'"),
        ({"batch_tokens": "many"}, "batch_tokens 'many'"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        extractor_for(tiny_row("opt"), **options).fingerprint()


BERT = ModelEntry(
    name="tiny-bert",
    plugin="transformers",
    modality="text",
    causal=False,
    architecture={
        "model_type": "bert",
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "vocab_size": 320,
    },
)


def test_a_network_that_looks_ahead_is_refused_without_leave() -> None:
    with pytest.raises(UsageError, match=r"looks ahead.* look_ahead=yes"):
        all_states(extractor_for(BERT), story_of("once upon a time"))


def test_a_network_that_looks_ahead_only_a_little_is_refused_as_well() -> None:
    """Random weights of an encoder move other words' states by less than a thousandth."""
    figures = {"model_type": "roberta", "hidden_size": 16, "intermediate_size": 24}
    small = {**BERT.architecture, **figures, "num_attention_heads": 2}
    roberta = replace(BERT, architecture={**small, "max_position_embeddings": 66})
    with pytest.raises(UsageError, match="looks ahead"):
        all_states(extractor_for(roberta), story_of("once upon a time"))


@pytest.mark.parametrize(
    "architecture",
    [
        {"model_type": "t5", "d_model": 16, "num_layers": 2, "num_heads": 2, "d_kv": 8, "d_ff": 9},
        {"model_type": "xlnet", "d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 24},
    ],
    ids=lambda figures: figures["model_type"],
)
def test_a_network_that_cannot_read_a_text_by_itself_is_refused(
    architecture: dict[str, object],
) -> None:
    row = replace(BERT, architecture={**architecture, "vocab_size": 320})
    with pytest.raises(PluginError, match=r"^tiny-bert: \w+ cannot read a text by itself"):
        all_states(extractor_for(row, look_ahead="yes"), story_of("once upon a time"))


def test_with_leave_each_word_is_a_pass_that_ends_with_it() -> None:
    words = babble(40)
    extractor = extractor_for(BERT, look_ahead="yes", context="sawtooth:12:6")
    found = all_states(extractor, story_of(words))
    reading = extractor.reading(story_of(words))
    contexts = [
        [1, *reading.ids[start : last + 1].tolist()]
        for start, last in zip(reading.start, reading.last, strict=True)
    ]
    assert_same_states(found, naive_states(request_for(BERT), contexts))
    other = all_states(extractor, story_of([*words[:20], *["never"] * 20]))
    np.testing.assert_allclose(found[:, :20], other[:, :20], rtol=1e-4, atol=1e-6)


def test_sliding_says_what_it_costs() -> None:
    said: list[str] = []
    extractor = extractor_for(tiny_row("opt"), context="sliding:32", notify=said.append)
    extractor.times(story_of(["word"] * 200))
    assert any("reads story 'tale' 27 times over: 169 passes, 5408 tokens" in line for line in said)


def test_where_memory_runs_out_the_batch_is_halved_and_the_states_are_the_same() -> None:
    story = story_of(babble(120))
    whole = all_states(extractor_for(tiny_row("opt"), context="sawtooth:16:8"), story)
    said: list[str] = []
    extractor = extractor_for(tiny_row("opt"), context="sawtooth:16:8", notify=said.append)
    real = extractor.load().model.forward

    def small(input_ids: torch.Tensor, **kwargs: object) -> object:
        if len(input_ids) > 3:
            raise torch.OutOfMemoryError
        return real(input_ids=input_ids, **kwargs)

    extractor.load().model.forward = small
    assert_same_states(all_states(extractor, story), whole)
    assert any("out of memory; continuing with" in line for line in said)

    def never(**kwargs: object) -> object:
        raise torch.OutOfMemoryError

    extractor.load().model.forward = never
    with pytest.raises(ZooError, match="out of memory with one context of"):
        all_states(extractor, story)


@needs_shared
@pytest.mark.parametrize("where", ["cpu", "disk", "auto"])
def test_weights_spread_by_accelerate_give_the_same_states(where: str) -> None:
    story = story_of("once upon a time there was a little girl")
    here = all_states(extractor_for(STORIES260K, untrained=False), story)
    spread = extractor_for(STORIES260K, untrained=False, device_map=where)
    assert_same_states(all_states(spread, story), here)


@needs_shared
def test_quantised_loading_is_refused_where_it_cannot_be_done() -> None:
    story = story_of("once upon a time")
    with pytest.raises(UsageError, match="quantize '3bit'"):
        all_states(extractor_for(STORIES260K, untrained=False, quantize="3bit"), story)
    with pytest.raises(UsageError, match="are for trained weights"):
        all_states(extractor_for(tiny_row("opt"), quantize="8bit"), story)
    if importlib.util.find_spec("bitsandbytes") is None:
        with pytest.raises(MissingError, match="pip install bitsandbytes"):
            all_states(extractor_for(STORIES260K, untrained=False, quantize="8bit"), story)


def test_the_tokenizer_is_reported_and_is_part_of_the_key() -> None:
    said: list[str] = []
    extractor = extractor_for(tiny_row("opt"), notify=said.append)
    extractor.times(story_of("once upon a time"))
    assert extractor.fingerprint()["tokenizer"] == {"built_in": 1, "vocabulary": 320}
    assert [line for line in said if "tokenizer" in line] == [
        "tiny-opt: tokenizer built-in (one token per word, its id a hash)"
    ]


@needs_shared
def test_an_untrained_network_reads_with_the_rows_tokenizer_where_it_is_here() -> None:
    row = replace(
        tiny_row("transformers", vocab_size=50257), tokenizer=str(SHARED / "models/gpt2-tokenizer")
    )
    extractor = extractor_for(row)
    assert "merges.txt" in extractor.fingerprint()["tokenizer"]["files"]
    assert len(extractor.reading(story_of("unbelievable rabbits")).ids) > 2
    small = replace(row, architecture={**row.architecture, "vocab_size": 300})
    absent = replace(row, tokenizer="./no-such-folder")
    with pytest.raises(MissingError, match=r"tokenizer \./no-such-folder is not in"):
        extractor_for(absent).fingerprint()
    with pytest.raises(PluginError, match="50257 tokens but the network has 300"):
        extractor_for(small).fingerprint()
