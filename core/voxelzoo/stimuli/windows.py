"""What precedes a state: context windows over words or tokens, causal windows over sound.

Windows are index ranges, made before a model runs and without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from voxelzoo.errors import UsageError


@dataclass(frozen=True)
class TextWindow:
    """One forward pass over items, which are tokens or words as the policy's unit says."""

    start: int
    """First item that is fed."""
    first: int
    """First item whose state is read; those up to ``stop`` follow."""
    stop: int
    """End of the items that are fed and read, exclusive."""


@dataclass(frozen=True)
class WindowPolicy:
    """Which preceding items the state of a word depends on.

    Parameters
    ----------
    kind : {"sawtooth", "sliding", "full", "none"}, default "sawtooth"
        ``sawtooth``: the context of item ``i`` (from 1) holds all items up to ``size`` of them;
        later ones start after ``step * ((i - restart) // step)`` items, with
        ``step = size - restart`` (Antonello et al. 2023, section 2.2). ``sliding``: the last
        ``size`` items. ``full``: the whole story so far. ``none``: the item alone.
    size : int, default 512
        Items of the longest context, the current one included.
    restart : int, default 256
        Items that stay when a sawtooth restarts.
    unit : {"tokens", "words"}, default "tokens"
        What an item is.
    variant : {"paper", "code"}, default "paper"
        ``code`` restarts a sawtooth as the released code does, one item later: its contexts hold up
        to ``size + 1`` items.
    """

    kind: Literal["sawtooth", "sliding", "full", "none"] = "sawtooth"
    size: int = 512
    restart: int = 256
    unit: Literal["tokens", "words"] = "tokens"
    variant: Literal["paper", "code"] = "paper"

    def start(self, i: int) -> int:
        """First item of a context.

        Parameters
        ----------
        i : int
            Last item of the context, counted from 1.

        Returns
        -------
        int
            Counted from 0.
        """
        if self.kind == "full":
            return 0
        if self.kind == "none":
            return i - 1
        if self.kind == "sliding":
            return max(0, i - self.size)
        step = self.size - self.restart
        # The paper's H(i) counts the current item. The code's counter does not, and is compared
        # before it is reset, hence one more.
        if self.variant == "code":
            return 0 if i <= self.size + 1 else step * ((i - 2 - self.restart) // step)
        return 0 if i <= self.size else step * ((i - self.restart) // step)

    def windows(self, n: int) -> list[TextWindow]:
        """Windows from which every item is read once, in order.

        Parameters
        ----------
        n : int
            Number of items.

        Returns
        -------
        list of TextWindow
            Items whose contexts start at the same item share a window.
        """
        windows: list[TextWindow] = []
        for i in range(1, n + 1):
            start = self.start(i)
            if windows and windows[-1].start == start:
                windows[-1] = TextWindow(start, windows[-1].first, i)
            else:
                windows.append(TextWindow(start, i - 1, i))
        return windows

    def __str__(self) -> str:
        if self.kind in ("full", "none"):
            return self.kind
        sizes = f"{self.size}:{self.restart}" if self.kind == "sawtooth" else f"{self.size}"
        return f"{self.kind}:{sizes}:{self.unit}" + (":code" if self.variant == "code" else "")


def context_starts(policy: WindowPolicy, counted: Sequence[bool]) -> list[int]:
    """First item of the context of each word, if some items are silences.

    Silences are never in a context. They have no effect, except with ``variant="code"``: there they
    advance the counter that decides when a context restarts, so that each silence moves the start
    one word back until then. The released code has no rule for a silence at which the counter is
    full; here the next word restarts.

    Parameters
    ----------
    policy : WindowPolicy
        The policy, in words.
    counted : sequence of bool
        Whether each item is a word.

    Returns
    -------
    list of int
        For each word, an index among the words.
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
    """A window policy as typed.

    Parameters
    ----------
    text : str
        Such as ``sawtooth:512:256:words:code``, ``sliding:64:words``, ``full`` or ``none``. The
        unit is tokens and the variant the paper's, unless given.

    Returns
    -------
    WindowPolicy
        The policy.

    Raises
    ------
    UsageError
        If the text is not a policy.

    Examples
    --------
    >>> str(parse_window_policy("sliding:64:words"))
    'sliding:64:words'
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
    """A window of sound."""

    start: int
    """First sample."""
    stop: int
    """End, exclusive: the time of the window's state."""


def audio_windows(n_samples: int, rate: int, length: float, stride: float) -> list[AudioWindow]:
    """Causal windows over a recording (Antonello et al. 2023, released code: 16.1 s and 0.1 s).

    Each window ends at a multiple of ``stride`` and holds at most the last ``length`` seconds, so
    the first windows are shorter. Sound after the last whole stride is in no window.

    Parameters
    ----------
    n_samples : int
        Length of the recording.
    rate : int
        Samples per second.
    length, stride : float
        In seconds.

    Returns
    -------
    list of AudioWindow
        In order.

    Raises
    ------
    UsageError
        If ``stride`` is shorter than a sample, or ``length`` is shorter than ``stride``.
    """
    step, size = round(stride * rate), round(length * rate)
    if step < 1 or size < step:
        raise UsageError(
            f"window {length:g} s and stride {stride:g} s: both must be positive, "
            "and the window no shorter than the stride"
        )
    return [AudioWindow(max(0, stop - size), stop) for stop in range(step, n_samples + 1, step)]
