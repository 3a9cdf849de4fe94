"""Which special token begins every context: one rule, whatever way a model comes in.

Decoders give the first token of a context a state many times larger than any other. If that token
is a word, the word dominates the middle layers of its story. So every context begins with one
special token where the model has one. It is the first of these that exists:

1. what the tokenizer itself puts before a text (OPT, LLaMA, Gemma, Mistral, BERT);
2. the token of the family, where the rest of this list would find another one (:data:`FAMILIES`);
3. the tokenizer's BOS token (GPT-2, Pythia, SmolLM2);
4. the ``bos_token_id`` of the configuration, if the tokenizer has it as a special token;
5. the token that ends a text: ``<|endoftext|>`` if there is one, else the tokenizer's EOS token.
   Texts are joined for training, so the end of one precedes the next.

An encoder is given what its tokenizer puts around a text, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from voxelzoo.api import UsageError

SEPARATOR = "<|endoftext|>"
"""The token between the texts of GPT-2's training, and of most models with a tokenizer like it."""


@dataclass(frozen=True)
class SpecialTokens:
    """The special tokens of a tokenizer."""

    before: tuple[int, ...] = ()
    """Those that it puts before every text, such as ``<s>``."""
    after: tuple[int, ...] = ()
    """Those that it puts after every text, such as BERT's ``[SEP]``."""
    bos: int | None = None
    """Its token for the beginning of a text."""
    eos: int | None = None
    """Its token for the end of a text."""
    ids: Mapping[str, int] = field(default_factory=dict)
    """All special tokens by their text."""

    def text(self, token: int) -> str:
        """A token as people read it; ``token 7`` for one that is not special."""
        texts = (text for text, number in self.ids.items() if number == token)
        return next(texts, f"token {token}")


@dataclass(frozen=True)
class ContextFrame:
    """The special tokens around every context, and whether its first token gives a state."""

    before: tuple[int, ...] = ()
    """Special tokens before every context."""
    after: tuple[int, ...] = ()
    """Special tokens after every context, of a network that looks both ways."""
    skip_first: bool = False
    """The first token that follows ``before`` gives no state."""

    @property
    def n_tokens(self) -> int:
        """Number of special tokens of a context."""
        return len(self.before) + len(self.after)

    def fingerprint(self) -> dict[str, Any]:
        """Whatever determines it, as JSON values."""
        return {
            "first_tokens": list(self.before),
            **({"last_tokens": list(self.after)} if self.after else {}),
            **({"first_state": "skip"} if self.skip_first else {}),
        }

    def describe(self, special: SpecialTokens) -> str:
        """The tokens before a context, as people read them."""
        skipped = "skipped" if self.skip_first else "not skipped"
        if not self.before:
            return f"none (the first state of each context is {skipped})"
        texts = " ".join(special.text(token) for token in self.before)
        return texts + (f" (the next state is {skipped})" if self.skip_first else "")


@dataclass(frozen=True)
class FamilyRule:
    """The first token of a family of models."""

    text: str
    """The token, as people read it."""
    id: int | None = None
    """Its number, where every tokenizer of the family has the same."""


FAMILIES: Mapping[str, FamilyRule] = {
    # Every text of OPT's training began with </s>, the token that BART calls the end of a text.
    "opt": FamilyRule("</s>", 2),
    # BLOOM has <s>, but its training only put </s> between texts: <s> was never trained.
    "bloom": FamilyRule("</s>", 2),
    # Qwen has no BOS token; <|endoftext|> stands before and after each text of its training. The
    # tokenizers of its chat models call <|im_end|>, the end of a turn, the end of a text.
    "qwen2": FamilyRule(SEPARATOR),
    "qwen2_moe": FamilyRule(SEPARATOR),
    "qwen3": FamilyRule(SEPARATOR),
    "qwen3_moe": FamilyRule(SEPARATOR),
}
"""By ``model_type``: families whose first token is not their tokenizer's BOS token."""

EXPECTED: Mapping[str, str] = {
    "gpt2": SEPARATOR,
    "gpt_neo": SEPARATOR,
    "gpt_neox": SEPARATOR,
    "gptj": SEPARATOR,
    "olmo2": SEPARATOR,
    "gemma": "<bos>",
    "gemma2": "<bos>",
    "gemma3_text": "<bos>",
    "mistral": "<s>",
    "mixtral": "<s>",
}
"""By ``model_type``: what the rule finds in the published tokenizers of other families."""


def default_first_tokens(
    special: SpecialTokens, model_type: str, bos_token_id: int | None, encoder: bool = False
) -> tuple[int, ...]:
    """The tokens that precede every context unless the user chooses.

    Parameters
    ----------
    special : SpecialTokens
        Of the tokenizer.
    model_type : str
        The network's type, such as ``gpt2``.
    bos_token_id : int or None
        As the network's configuration states it.
    encoder : bool, default False
        Whether the network looks both ways: only what the tokenizer itself adds is used, if it
        adds anything.

    Returns
    -------
    tuple of int
        One token; several if the tokenizer puts several different ones before a text; none if the
        model has none.
    """
    if special.before:
        return tuple(dict.fromkeys(special.before))  # one <s>, where a tokenizer adds it twice
    if encoder and special.after:
        return ()
    family = FAMILIES.get(model_type)
    of_family = special.ids.get(family.text, family.id) if family else None
    stated = bos_token_id if bos_token_id in special.ids.values() else None
    candidates = (of_family, special.bos, stated, special.ids.get(SEPARATOR), special.eos)
    return next(((token,) for token in candidates if token is not None), ())


def chosen_first_tokens(
    model: str, choice: str, special: SpecialTokens, vocabulary: int
) -> tuple[int, ...]:
    """The tokens that the user chose with the option ``first_token``.

    Parameters
    ----------
    model : str
        The model's name, for messages.
    choice : str
        ``none``, ``bos``, ``eos``, the text of a special token, or a token's number.
    special : SpecialTokens
        Of the tokenizer.
    vocabulary : int
        Number of tokens that the network has.

    Returns
    -------
    tuple of int
        One token, or none.

    Raises
    ------
    UsageError
        If there is no such token.
    """
    if choice == "none":
        return ()
    token = special.ids.get(choice)
    if token is None and choice in ("bos", "eos"):
        token = special.bos if choice == "bos" else special.eos
    if token is None and choice.isdecimal():
        token = int(choice)
    if token is None or token >= vocabulary:
        texts = ["default", "none", *list(special.ids)[:6]]
        raise UsageError(
            f"{model}: it has no first token {choice!r}; use one of {', '.join(texts)}, or the "
            f"number of a token below {vocabulary}"
        )
    return (token,)


def expected_first_token(architecture: Mapping[str, Any]) -> str:
    """What the rule will find in a tokenizer that is not on this machine, in words."""
    model_type, bos = architecture.get("model_type", ""), architecture.get("bos_token_id")
    if model_type in FAMILIES:
        return FAMILIES[model_type].text
    if model_type in EXPECTED:
        return EXPECTED[model_type]
    if bos is not None:
        return f"token {bos} (BOS)"
    return "the first special token of its tokenizer, which is not on this machine"
