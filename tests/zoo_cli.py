"""Runs the command line in this process, as a user would type it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from voxelzoo.cli import main


@dataclass(frozen=True)
class Ended:
    """What a call of ``zoo`` left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its stdout, as the one JSON document it must be."""
        assert "\x1b" not in self.out
        return json.loads(self.out)


Zoo = Callable[..., Ended]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def runner(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Zoo:
    """``zoo("list", "--json")``."""

    def zoo(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["zoo", *map(str, arguments)])
        capfd.readouterr()
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        out, err = capfd.readouterr()
        assert "Traceback" not in err, err
        assert "internal error" not in err, err
        return Ended(code, out, err)

    return zoo
