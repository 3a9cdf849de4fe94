"""The options of a text model, read and checked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from voxelzoo.api import ExtractorRequest, UsageError

STATES = ("last", "mean")
"""A word's state is that of its last token, or the mean over its tokens."""

FIRST_STATES = ("default", "skip", "keep")
"""Whether the first token of a context may give a word's state."""

RELEASED_ERRORS = ("refuse", "fix")
"""What to do with a story that the released code misreads, or stops at."""

OUTPUTS = {"states": (), "surprisal": (0,), "entropy": (1,), "predictions": (0, 1)}
"""What is extracted: states, or these columns of the predictions as the only layer, 0."""


@dataclass(frozen=True)
class TextOptions:
    """How a text model reads a story, as ``CausalLMExtractor`` documents it."""

    state: str
    output: str
    look_ahead: bool
    first_token: str
    first_state: str
    released_errors: str
    batch_tokens: int
    context: str | None

    @classmethod
    def read(cls, request: ExtractorRequest, default_output: str) -> TextOptions:
        """The options of a request; :class:`UsageError` for an invalid value."""
        options = request.options
        return cls(
            state=_one_of("state", options.get("state", "last"), STATES),
            output=_one_of("output", options.get("output", default_output), OUTPUTS),
            look_ahead=_one_of("look_ahead", options.get("look_ahead", "no"), ("no", "yes"))
            == "yes",
            first_token=options.get("first_token", "default"),
            first_state=_one_of("first_state", options.get("first_state", "default"), FIRST_STATES),
            released_errors=_one_of(
                "released_errors", options.get("released_errors", "refuse"), RELEASED_ERRORS
            ),
            batch_tokens=_positive("batch_tokens", options.get("batch_tokens", "2048")),
            context=options.get("context"),
        )

    @property
    def gives_states(self) -> bool:
        """Whether states are extracted, not predictions."""
        return self.output == "states"

    @property
    def columns(self) -> tuple[int, ...]:
        """The columns of the predictions that are extracted."""
        return OUTPUTS[self.output]


def _one_of(name: str, value: str, choices: Collection[str]) -> str:
    if value not in choices:
        raise UsageError(f"{name} {value!r}: use one of {', '.join(choices)}")
    return value


def _positive(name: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise UsageError(f"{name} {text!r}: use a whole number, 1 or more")
    return value
