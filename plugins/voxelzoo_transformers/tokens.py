"""From words to tokens, exactly.

A story is tokenised once, as ``" ".join(words)``, and each token says which characters it covers.
So a word's tokens are those that cover one of its characters, whatever the tokenizer does with
spaces, apostrophes, digits or bytes: nothing is guessed from how a token looks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    DataError,
    ExtractorRequest,
    MissingError,
    PluginError,
    is_local,
    local_snapshot,
)
from voxelzoo_transformers.loading import (
    checkpoint_folder,
    fetch_small_files,
    file_digests,
)

Ints = NDArray[np.int64]

NO_TOKEN = -1
"""Stands for the last token of a word that became none."""


@dataclass(frozen=True)
class Tokens:
    """Tokens of a text: ``ids`` (token,), and the characters ``starts..ends`` that each covers."""

    ids: Ints
    starts: Ints
    ends: Ints

    def __len__(self) -> int:
        return len(self.ids)


class Tokenizer(Protocol):
    """Turns a text into tokens that know their characters."""

    name: str
    """For people: where it comes from."""
    first_tokens: tuple[int, ...]
    """What it puts before a text of its own accord, such as ``<s>``."""
    vocabulary: int
    """Every id is below this."""

    def encode(self, text: str) -> Tokens:
        """Tokens of ``text``, special ones left out."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """What determines :meth:`encode`, as JSON values."""
        ...


# ------------------------------------------------------------------------------ words and tokens


@dataclass(frozen=True)
class WordTokens:
    """Where each word lies among the tokens; all (word,).

    ``first`` and ``last`` are the tokens that cover the word's first and last characters; ``last``
    is :data:`NO_TOKEN` for a word that became no token. ``begin`` is where a context that starts
    with the word begins: at the token that covers the space before it.
    """

    begin: Ints
    first: Ints
    last: Ints


def match_words(words: Sequence[str], tokens: Tokens) -> WordTokens:
    """Finds each word of ``" ".join(words)`` among the tokens of that text.

    A token that reaches over a space belongs to both words. Raises :class:`DataError` for a
    tokenizer whose tokens do not follow the text.
    """
    if np.any(np.diff(tokens.starts) < 0) or np.any(np.diff(tokens.ends) < 0):
        raise DataError("the tokenizer's offsets do not follow the text, so words cannot be found")
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    stop = np.cumsum(lengths + 1) - 1
    start = stop - lengths
    first = np.searchsorted(tokens.ends, start, side="right")
    last = np.searchsorted(tokens.starts, stop, side="left") - 1
    begin = np.searchsorted(tokens.ends, start - 1, side="right")
    none = (last < first) | (lengths == 0)
    return WordTokens(begin, first, np.where(none, NO_TOKEN, last))


# ------------------------------------------------------------------------------ tokenizers


class HubTokenizer:
    """A fast Hugging Face tokenizer, from a folder on this machine."""

    def __init__(self, name: str, folder: Path, trust_remote_code: bool = False) -> None:
        self.name = name
        self._files = file_digests([folder / file for file in _TOKENIZER_FILES])
        self._tokenizer = _load(name, folder, trust_remote_code)
        self.vocabulary = len(self._tokenizer)
        with_special = self._tokenizer("a")["input_ids"]
        plain = self._tokenizer("a", add_special_tokens=False)["input_ids"]
        n_before = max(with_special.index(plain[0]), 0) if plain and plain[0] in with_special else 0
        self.first_tokens = tuple(with_special[:n_before])

    def encode(self, text: str) -> Tokens:
        """Tokens of ``text``, special ones left out."""
        found = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        offsets = np.array(found["offset_mapping"], dtype=np.int64).reshape(-1, 2)
        return Tokens(np.array(found["input_ids"], dtype=np.int64), offsets[:, 0], offsets[:, 1])

    def fingerprint(self) -> dict[str, Any]:
        """Digest of each of its files."""
        return {"files": self._files}


class BuiltInTokenizer:
    """A deterministic stand-in that needs no download, for untrained networks only.

    Each run of letters or digits, and each other sign, is one token; its id is a hash of its
    characters. Two words may share an id where the vocabulary is small.
    """

    name = "built-in (one token a word, its id a hash)"
    first_tokens: tuple[int, ...] = ()
    RESERVED = 4
    """Ids kept free for the special tokens of a model."""

    def __init__(self, vocabulary: int) -> None:
        if vocabulary <= self.RESERVED:
            raise PluginError(f"a vocabulary of {vocabulary} tokens is too small")
        self.vocabulary = vocabulary

    def encode(self, text: str) -> Tokens:
        """Tokens of ``text``."""
        pieces = list(re.finditer(r"\w+|[^\w\s]", text))
        return Tokens(
            np.array([self._id(piece.group()) for piece in pieces], dtype=np.int64),
            np.array([piece.start() for piece in pieces], dtype=np.int64),
            np.array([piece.end() for piece in pieces], dtype=np.int64),
        )

    def _id(self, piece: str) -> int:
        digest = hashlib.blake2b(piece.encode(), digest_size=8).digest()
        return self.RESERVED + int.from_bytes(digest, "little") % (self.vocabulary - self.RESERVED)

    def fingerprint(self) -> dict[str, Any]:
        """Its rule and the size of its vocabulary."""
        return {"built_in": 1, "vocabulary": self.vocabulary}


_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)


def load_tokenizer(request: ExtractorRequest, vocabulary: int) -> Tokenizer:
    """The model's tokenizer: the row's, else the checkpoint's.

    An untrained model downloads nothing, and falls back on :class:`BuiltInTokenizer`.
    """
    model = request.model
    source = model.tokenizer or model.repo
    folder = local_snapshot(source, None if model.tokenizer else model.revision) if source else None
    if folder is None or not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        named_folder = model.tokenizer is not None and is_local(model.tokenizer)
        if request.untrained and not named_folder:
            return BuiltInTokenizer(vocabulary)
        folder = _fetch(request)
    assert source is not None
    trusted = request.trust_remote_code and model.trust_remote_code
    tokenizer = HubTokenizer(source, folder, trusted)
    if tokenizer.vocabulary > vocabulary:
        raise PluginError(
            f"{model.name}: tokenizer {source} has {tokenizer.vocabulary} tokens but the network "
            f"knows {vocabulary}; name the right one as 'tokenizer' in the row"
        )
    return tokenizer


def _fetch(request: ExtractorRequest) -> Path:
    model = request.model
    folder = (
        fetch_small_files(request, model.tokenizer)
        if model.tokenizer
        else checkpoint_folder(request)
    )
    if not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        raise MissingError(
            f"{model.name}: no tokenizer in {folder}; name one as 'tokenizer' in the row"
        )
    return folder


def _load(name: str, folder: Path, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer, GPT2TokenizerFast

    described = ("tokenizer.json", "tokenizer_config.json", "config.json")
    # GPT-2's original release: a vocabulary and merges, and nothing that says whose they are.
    bare = (folder / "merges.txt").is_file() and not any((folder / f).is_file() for f in described)
    try:
        if bare:
            tokenizer = GPT2TokenizerFast.from_pretrained(folder, local_files_only=True)
        else:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, use_fast=True, local_files_only=True, trust_remote_code=trust_remote_code
            )
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"tokenizer {name}: {folder} cannot be used ({reason})") from None
    if not tokenizer.is_fast:
        raise PluginError(
            f"tokenizer {name}: only a slow one was found, which cannot say which characters a "
            "token covers; a tokenizer.json is needed"
        )
    return tokenizer
