"""The README and the pages of the documentation, and the examples they show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
"""Every page that a person reads."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    path: Path
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        """For names of tests and messages: ``docs/scaling.md:12``."""
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks(path: Path) -> Iterator[Block]:
    """Every fenced block of a page, in order."""
    text = path.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, flags=re.M | re.S):
        yield Block(path, text[: found.start()].count("\n") + 1, found[1], found[2])


def block(page: str, beginning: str) -> str:
    """The one block of a page that begins so."""
    (only,) = (b.text for b in blocks(ROOT / page) if b.text.startswith(beginning))
    return only


@dataclass(frozen=True)
class Shown:
    """A ``zoo`` command that a page shows."""

    where: str
    words: list[str]
    """What follows ``zoo``; words in capitals, which a reader fills in, are ``1``."""
    whole: bool
    """In a block, to be copied; in a sentence, arguments may be missing."""


def shown_commands() -> Iterator[Shown]:
    """Every ``zoo`` command of every page but the changelog, which speaks of older versions."""
    for path in PAGES:
        if path.name == "CHANGELOG.md":
            continue
        name = str(path.relative_to(ROOT))
        for each in blocks(path):
            for i, line in enumerate(each.text.splitlines(), start=1):
                if each.language == "console" and line.startswith("$ "):
                    yield from _commands(f"{name}:{each.line + i}", line[2:], whole=True)
        prose = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
        for quoted in re.findall(r"`(zoo\s[^`]+)`", prose):
            if re.search(r" -|\.yaml", quoted):  # not a mere name, such as `zoo data check`
                yield from _commands(name, quoted, whole=False)


def _commands(where: str, line: str, whole: bool) -> Iterator[Shown]:
    for command in line.split("&&"):
        words = shlex.split(command.partition(" > ")[0], comments=True)
        if words and words[0] == "zoo":
            filled = [re.sub(r"\b[A-Z]{2,}\b", "1", word) for word in words[1:]]
            yield Shown(where, filled, whole)
