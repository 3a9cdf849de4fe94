"""Which tokens belong to which word.

A story is tokenised once, as ``" ".join(words)``, and each token says which characters it covers.
A word's tokens are those that cover one of its characters, whatever the tokenizer does with spaces,
apostrophes, digits or bytes. Nothing is guessed from the text of a token.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from voxelzoo.api import (
    DataError,
    ExtractorRequest,
    MissingError,
    PluginError,
    gguf_name,
    is_local,
    local_snapshot,
)
from voxelzoo_transformers.checkpoints import checkpoint_folder, fetch_small_files, file_digests
from voxelzoo_transformers.gguf_files import read_gguf_tokenizer
from voxelzoo_transformers.quiet import first_line, quiet_transformers
from voxelzoo_transformers.text.first_token import SpecialTokens

Ints = NDArray[np.int64]

NO_TOKEN = -1
"""Stands for the last token of a word that becomes no token."""


@dataclass(frozen=True)
class Tokens:
    """Tokens of a text: ``ids`` (token,), and the characters ``starts..ends`` that each covers."""

    ids: Ints
    starts: Ints
    ends: Ints

    def __len__(self) -> int:
        return len(self.ids)


class Tokenizer(Protocol):
    """Turns a text into tokens, each with the characters that it covers."""

    @property
    def name(self) -> str:
        """Where it comes from, for messages."""
        ...

    @property
    def special(self) -> SpecialTokens:
        """Its special tokens."""
        ...

    def encode(self, text: str) -> Tokens:
        """Tokens of ``text``, without special ones."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Whatever determines :meth:`encode`, as JSON values."""
        ...


# ------------------------------------------------------------------------------ words and tokens


@dataclass(frozen=True)
class WordTokens:
    """The tokens of each word."""

    begin: Ints
    """Where a context that starts with the word begins, (word,): the token that covers the space
    before it."""
    first: Ints
    """The token that covers the word's first character, (word,)."""
    last: Ints
    """The token that covers the word's last character, (word,), or :data:`NO_TOKEN`."""


def match_words(words: Sequence[str], tokens: Tokens) -> WordTokens:
    """Finds each word of ``" ".join(words)`` among the tokens of that text.

    A token that extends over a space belongs to both words.

    Parameters
    ----------
    words : sequence of str
        The words.
    tokens : Tokens
        Tokens of ``" ".join(words)``.

    Returns
    -------
    WordTokens
        Indices into ``tokens``.

    Raises
    ------
    DataError
        If the tokens' characters are not in the order of the text.
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
    """A fast Hugging Face tokenizer, from a folder on this machine, loaded when first used.

    Parameters
    ----------
    name : str
        Where it comes from, for messages.
    folder : Path
        Folder with its files.
    vocabulary : int, optional
        Number of tokens that the network has. A larger tokenizer is refused.
    trust_remote_code : bool, default False
        Whether code in the folder may run.
    gguf : str, optional
        Name of the GGUF file in the folder that holds it.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        vocabulary: int | None = None,
        trust_remote_code: bool = False,
        gguf: str | None = None,
    ) -> None:
        self.name = name
        self._folder = folder
        self._vocabulary = vocabulary
        self._trust_remote_code = trust_remote_code
        self._gguf = gguf
        files = _TOKENIZER_FILES if gguf is None else (gguf,)
        self._files = file_digests([folder / file for file in files])

    @cached_property
    def _tokenizer(self) -> Any:
        if self._gguf is None:
            tokenizer = _load(self.name, self._folder, self._trust_remote_code)
        else:
            tokenizer = read_gguf_tokenizer(self.name, self._folder / self._gguf)
        if self._vocabulary is not None and len(tokenizer) > self._vocabulary:
            raise PluginError(
                f"tokenizer {self.name} has {len(tokenizer)} tokens but the network has "
                f"{self._vocabulary}; name the right one as 'tokenizer' in the model's row"
            )
        return tokenizer

    @cached_property
    def special(self) -> SpecialTokens:
        """Its special tokens."""
        tokenizer = self._tokenizer
        plain = tokenizer("a", add_special_tokens=False)["input_ids"]
        before, after = _around(plain, tokenizer("a")["input_ids"])
        added = {str(t): i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
        named = [tokenizer.bos_token, tokenizer.eos_token, *tokenizer.all_special_tokens]
        ids = {
            text: number
            for text in named
            if text and tokenizer.convert_ids_to_tokens(number := _id(tokenizer, text)) == text
        }
        bos, eos = (ids.get(text or "") for text in named[:2])
        return SpecialTokens(before, after, bos, eos, ids | added)

    def encode(self, text: str) -> Tokens:
        """Tokens of ``text``, without special ones."""
        encoded = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        offsets = np.array(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2)
        return Tokens(np.array(encoded["input_ids"], dtype=np.int64), offsets[:, 0], offsets[:, 1])

    def fingerprint(self) -> dict[str, Any]:
        """Digest of each of its files."""
        return {"files": self._files}


def _around(plain: list[int], whole: list[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tokens before and after the ``plain`` ones of a text in the ``whole`` that a model reads."""
    for start in range(len(whole) - len(plain) + 1):
        if plain and whole[start : start + len(plain)] == plain:
            return tuple(whole[:start]), tuple(whole[start + len(plain) :])
    return (), ()


def _id(tokenizer: Any, text: str) -> int:
    """The id of a token; that of the unknown one, or 0, for a text that is none."""
    return int(tokenizer.convert_tokens_to_ids(text) or 0)


class BuiltInTokenizer:
    """A deterministic tokenizer that needs no download, for untrained networks only.

    Each run of letters or digits, and each other sign, is one token; its id is a hash of its
    characters. In a small vocabulary two words may have the same id.

    Parameters
    ----------
    vocabulary : int
        Number of tokens that the network has.
    bos : int, optional
        Its token for the beginning of a text: 1 if none is given, or none of the vocabulary.
    """

    name = "built-in (one token per word, its id a hash)"
    RESERVED = 4
    """Ids kept free for the special tokens of a model."""

    def __init__(self, vocabulary: int, bos: int | None = None) -> None:
        if vocabulary <= self.RESERVED:
            raise PluginError(f"a vocabulary of {vocabulary} tokens is too small")
        self.vocabulary = vocabulary
        self.special = SpecialTokens(bos=1 if bos is None or bos >= vocabulary else bos)

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


def load_tokenizer(
    request: ExtractorRequest, vocabulary: int, bos_token_id: int | None = None
) -> Tokenizer:
    """The tokenizer that the model's row names, otherwise the checkpoint's.

    An untrained model downloads nothing: if its tokenizer is not on this machine, it has a
    :class:`BuiltInTokenizer`.

    Parameters
    ----------
    request : ExtractorRequest
        The model.
    vocabulary : int
        Number of tokens that the network has.
    bos_token_id : int, optional
        As the network's configuration states it, for the :class:`BuiltInTokenizer`.

    Returns
    -------
    Tokenizer
        The tokenizer; one from the hub is loaded when it is first used.

    Raises
    ------
    MissingError
        If its files are missing.
    """
    model = request.model
    source = model.tokenizer or model.repo
    folder = tokenizer_folder(request)
    if folder is None:
        named_folder = model.tokenizer is not None and is_local(model.tokenizer)
        if request.untrained and not named_folder:
            return BuiltInTokenizer(vocabulary, bos_token_id)
        folder = _fetch(request)
    assert source is not None
    trusted = request.trust_remote_code and model.trust_remote_code
    return HubTokenizer(source, folder, vocabulary, trusted, gguf_name(source))


def tokenizer_folder(request: ExtractorRequest) -> Path | None:
    """Folder on this machine with the model's tokenizer; ``None`` if it is not here."""
    model = request.model
    source = model.tokenizer or model.repo
    folder = local_snapshot(source, None if model.tokenizer else model.revision) if source else None
    gguf = gguf_name(source)
    files = _TOKENIZER_FILES if gguf is None else (gguf,)
    return folder if folder and any((folder / file).is_file() for file in files) else None


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
    described = ("tokenizer.json", "tokenizer_config.json", "config.json")
    # GPT-2's original release: a vocabulary and merges, and no file that names the tokenizer.
    bare = (folder / "merges.txt").is_file() and not any((folder / f).is_file() for f in described)
    with quiet_transformers():
        from transformers import AutoTokenizer, GPT2TokenizerFast

        try:
            if bare:
                tokenizer = GPT2TokenizerFast.from_pretrained(folder, local_files_only=True)
            else:
                tokenizer = AutoTokenizer.from_pretrained(
                    folder,
                    use_fast=True,
                    local_files_only=True,
                    trust_remote_code=trust_remote_code,
                )
        except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
            raise DataError(
                f"tokenizer {name}: {folder} cannot be used ({first_line(error)})"
            ) from None
    if not tokenizer.is_fast:
        raise PluginError(
            f"tokenizer {name}: it has only a slow version, which cannot tell which characters a "
            "token covers; a tokenizer.json is needed"
        )
    return tokenizer
