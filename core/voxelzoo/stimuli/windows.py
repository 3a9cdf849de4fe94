"""Which past a state sees: context windows over words or tokens, causal windows over sound.

Windows are data: plain index ranges, decided before a model runs, testable without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from voxelzoo.errors import UsageError


@dataclass(frozen=True)
class TextWindow:
    """One forward pass: feed items ``start..stop`` and read the states of ``first..stop``.

    Items are tokens or words, as the policy's unit says; ``stop`` is exclusive.
    """

    start: int
    first: int
    stop: int


@dataclass(frozen=True)
class WindowPolicy:
    """How much of the past a word's state may see.

    ``sawtooth``: the context grows to ``size`` items, then restarts with ``restart`` of them
    (Antonello et al. 2023, section 2.2). ``variant="code"`` restarts as the released code does,
    one item later: its contexts hold up to ``size + 1`` items, the current one included.
    ``sliding``: always the last ``size`` items. ``full``: the whole story so far. ``none``: the
    item alone.
    """

    kind: Literal["sawtooth", "sliding", "full", "none"] = "sawtooth"
    size: int = 512
    restart: int = 256
    unit: Literal["tokens", "words"] = "tokens"
    variant: Literal["paper", "code"] = "paper"

    def start(self, i: int) -> int:
        """First item of the context that ends with the ``i``-th item, counted from one."""
        if self.kind == "full":
            return 0
        if self.kind == "none":
            return i - 1
        if self.kind == "sliding":
            return max(0, i - self.size)
        step = self.size - self.restart
        # The paper's H(i) reads the first i items; the code's counter leaves out the current one,
        # and is compared before it is put back, hence one more.
        if self.variant == "code":
            return 0 if i <= self.size + 1 else step * ((i - 2 - self.restart) // step)
        return 0 if i <= self.size else step * ((i - self.restart) // step)

    def windows(self, n: int) -> list[TextWindow]:
        """Windows that read every one of ``n`` items once, in order; shared starts share a pass."""
        found: list[TextWindow] = []
        for i in range(1, n + 1):
            start = self.start(i)
            if found and found[-1].start == start:
                found[-1] = TextWindow(start, found[-1].first, i)
            else:
                found.append(TextWindow(start, i - 1, i))
        return found

    def __str__(self) -> str:
        if self.kind in ("full", "none"):
            return self.kind
        sizes = f"{self.size}:{self.restart}" if self.kind == "sawtooth" else f"{self.size}"
        return f"{self.kind}:{sizes}:{self.unit}" + (":code" if self.variant == "code" else "")


def context_starts(policy: WindowPolicy, counted: Sequence[bool]) -> list[int]:
    """First item of the context of each *counted* item, as an index among the counted ones.

    ``counted`` says of every item whether it can stand in a context; silences cannot. They pass
    unseen, except under ``variant="code"``: there they advance the counter that decides when a
    context restarts, so that each of them moves the start one word back until it does. The released
    code has no rule for a silence on which the counter runs full; here the next word restarts.
    """
    n = sum(counted)
    if policy.kind != "sawtooth" or policy.variant != "code":
        return [policy.start(i) for i in range(1, n + 1)]
    starts: list[int] = []
    lookback = 0
    for is_counted in counted:
        if is_counted:
            starts.append(max(0, len(starts) - lookback))
            if lookback >= policy.size:
                lookback = policy.restart
        lookback += 1
    return starts


def parse_window_policy(text: str) -> WindowPolicy:
    """A policy as typed: ``sawtooth:512:256:words:code``, ``sliding:64:words``, ``full``, ``none``.

    The unit is tokens unless said, the variant the paper's. Raises :class:`UsageError`.
    """
    kind, *rest = text.strip().split(":")
    unit: Literal["tokens", "words"] = "tokens"
    variant: Literal["paper", "code"] = "paper"
    if rest and rest[-1] in ("code", "paper"):
        variant = "code" if rest.pop() == "code" else "paper"
    if rest and rest[-1] in ("tokens", "words"):
        unit = "words" if rest.pop() == "words" else "tokens"
    try:
        sizes = [int(size) for size in rest]
    except ValueError:
        sizes = [-1]
    if kind == "sawtooth" and len(sizes) in (0, 2):
        size, restart = sizes or (512, 256)
        if 0 < restart < size:
            return WindowPolicy("sawtooth", size, restart, unit, variant)
    elif kind == "sliding" and len(sizes) == 1 and sizes[0] > 0:
        return WindowPolicy("sliding", sizes[0], 0, unit)
    elif kind == "full" and not sizes:
        return WindowPolicy("full", 0, 0, unit)
    elif kind == "none" and not sizes:
        return WindowPolicy("none", 0, 0, unit)
    raise UsageError(
        f"unknown context {text!r}; use sawtooth:SIZE:RESTART, sliding:SIZE, full or none, "
        "with :words to count words"
    )


@dataclass(frozen=True)
class AudioWindow:
    """Samples ``start..stop`` (exclusive) of a recording; the state belongs to ``stop``."""

    start: int
    stop: int


def audio_windows(n_samples: int, rate: int, length: float, stride: float) -> list[AudioWindow]:
    """Causal windows over ``n_samples`` at ``rate`` Hz, one every ``stride`` seconds.

    Each ends at a multiple of ``stride`` and holds at most the last ``length`` seconds, so windows
    grow while the story is young; what is left after the last whole stride is dropped (Antonello
    et al. 2023, released code: 16.1 s and 0.1 s). Raises :class:`UsageError`.
    """
    step, size = round(stride * rate), round(length * rate)
    if step < 1 or size < step:
        raise UsageError(
            f"window {length:g} s and stride {stride:g} s: both must be positive, "
            "and the window no shorter than the stride"
        )
    return [AudioWindow(max(0, stop - size), stop) for stop in range(step, n_samples + 1, step)]
