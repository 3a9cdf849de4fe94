"""Ways in which files get damaged, for property-based tests, and what must hold of the reader."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, settings, strategies as st

from voxelzoo.api import ZooError

THOROUGH = bool(os.environ.get("ZOO_THOROUGH"))


def examples(n: int) -> settings:
    """``n`` examples, five times as many with ``ZOO_THOROUGH=1``; the same ones every time."""
    return settings(
        max_examples=n * (5 if THOROUGH else 1),
        deadline=None,
        derandomize=not THOROUGH,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


NASTY = (
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "-1",
    "0",
    "1e-320",
    "99999999999999999999",
    "1,5",
    "0x10",
    "1_000",
    "١٢",
    "true",
    "null",
    "~",
    '"',
    '""',
    "'",
    "\0",
    "\t",
    "\r",
    "\x85",
    "\u2028",
    "é",
    "\ufeff",
    "[",
    "{",
    "&a",
    "*a",
    "!!python/object/apply:os.system [x]",
    "<<: *x",
    "../../etc",
    "/annex/objects/MD5E-s1--0",
    "version https://git-lfs.github.com/spec/v1",
    "a" * 5000,
)
"""What a field may hold instead of what belongs there."""


@st.composite
def damaged_text(draw: st.DrawFn, whole: str) -> bytes:
    """``whole`` after one to four accidents with lines, fields, characters or encodings."""
    text = whole
    for _ in range(draw(st.integers(1, 4))):
        lines = text.split("\n")
        i = draw(st.integers(0, len(lines) - 1))
        j = draw(st.integers(0, len(lines) - 1))
        accident = draw(
            st.sampled_from(("drop", "double", "swap", "cut", "field", "character", "insert"))
        )
        if accident == "drop":
            del lines[i]
        elif accident == "double":
            lines.insert(j, lines[i])
        elif accident == "swap":
            lines[i], lines[j] = lines[j], lines[i]
        elif accident == "cut":
            lines = [*lines[:i], lines[i][: draw(st.integers(0, len(lines[i])))]]
        elif accident == "field":
            fields = lines[i].replace(",", " , ").split(" ")
            fields[draw(st.integers(0, len(fields) - 1))] = draw(st.sampled_from(NASTY))
            lines[i] = " ".join(fields).replace(" , ", ",")
        elif accident == "character":
            at = draw(st.integers(0, len(lines[i])))
            lines[i] = lines[i][:at] + draw(st.characters(codec="utf-8")) + lines[i][at + 1 :]
        else:
            lines.insert(i, draw(st.sampled_from(NASTY)))
        text = "\n".join(lines)
    encoding = draw(st.sampled_from(("utf-8",) * 6 + ("utf-16", "latin-1", "utf-8-sig")))
    raw = text.encode(encoding, errors="replace")
    return draw(damaged_bytes(raw)) if draw(st.integers(0, 4)) == 0 else raw


@st.composite
def damaged_bytes(draw: st.DrawFn, whole: bytes) -> bytes:
    """``whole`` cut short, overwritten, emptied or replaced by a pointer to it."""
    at = draw(st.integers(0, len(whole)))
    accident = draw(st.sampled_from(("cut", "overwrite", "insert", "empty", "annex", "lfs")))
    patch = draw(st.binary(min_size=1, max_size=8))
    return {
        "cut": whole[:at],
        "overwrite": whole[:at] + patch + whole[at + len(patch) :],
        "insert": whole[:at] + patch + whole[at:],
        "empty": b"",
        "annex": b"/annex/objects/MD5E-s123--abc.npy\n",
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    }[accident]


def reads_or_names(read: Callable[[], object], file: Path) -> object | None:
    """What ``read`` gives; where it refuses, in one line that names the file, ``None``.

    Anything but a :class:`ZooError` is a traceback on somebody's screen, and passes through.
    """
    try:
        return read()
    except ZooError as error:
        line = str(error)
        assert file.name in line, line
        assert "\n" not in line, line
        assert len(line) < 1000, line
        return None
