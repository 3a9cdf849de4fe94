"""Control-C, SIGTERM and SIGHUP: one line, what was finished is kept, and the signal's exit code.

Imports as little as possible, since it is in place before everything else is imported.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from voxelzoo.errors import Interrupted

_LINES = {
    signal.SIGINT: "interrupted",
    **({} if sys.platform == "win32" else {signal.SIGHUP: "the terminal was closed"}),
    signal.SIGTERM: "terminated",
}


class Signals:
    """Makes signals raise :class:`Interrupted`; those that are ignored stay so.

    Attributes
    ----------
    received : int or None
        The first signal that came.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def handle(self) -> None:
        """From now on, raise."""
        for number in _LINES:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                signal.signal(number, self._handle)

    def finish(self) -> None:
        """From now on nothing is worked on: Control-C is ignored while the process ends."""
        if signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def line(self) -> str:
        """What the user is told about the signal that came."""
        what = _LINES.get(signal.Signals(self.received or signal.SIGINT), "interrupted")
        return f"zoo: {what}; what was finished is kept"

    @property
    def exit_code(self) -> int:
        """The shell's exit code for the signal that came."""
        return 128 + (self.received or signal.SIGINT)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:  # what was being done does not end
            os.write(2, f"{self.line()}\n".encode())
            os._exit(self.exit_code)
        self.received = number
        raise Interrupted
