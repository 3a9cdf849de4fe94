"""How commands speak: tables for people, TSV for pipes, one JSON document for machines."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from voxelzoo.api import ZooError

SCHEMA_VERSION = 1


Row = Mapping[str, Any]


def print_json(**content: Any) -> None:
    """The one document of a ``--json`` call."""
    document = {"schema_version": SCHEMA_VERSION, **content}
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def fail(error: ZooError, as_json: bool) -> None:
    """An expected failure: one line, or one document."""
    if as_json:
        print_json(
            error={
                "type": type(error).__name__,
                "message": str(error),
                "exit_code": error.exit_code,
            }
        )
    print(f"zoo: {error}", file=sys.stderr)


def print_table(rows: Sequence[Row], columns: Sequence[str], title: str | None = None) -> None:
    """Rows as a table on a terminal; as full-width TSV with a header when piped."""
    if not sys.stdout.isatty():
        print("\t".join(columns))
        for row in rows:
            print("\t".join(_tsv(row[column]) for column in columns))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        title=title,
        title_justify="left",
        title_style="",
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        numeric = all(isinstance(row[column], int | float | None) for row in rows)
        table.add_column(
            column.replace("_", " "),
            justify="right" if numeric else "left",
            no_wrap=numeric or column in ("model", "name", "subject", "key"),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(_human(row[column]) for column in columns))
    Console().print(table)


def _tsv(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(str(value).split())


def _human(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


class TerminalProgress:
    """Progress on stderr: bars on a terminal, heartbeat lines elsewhere."""

    HEARTBEAT = 10.0

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live = (
            sys.stderr.isatty() and not quiet and not os.environ.get("CI") and not _no_progress()
        )
        self._bars: Any = None
        if self._live:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )

    def __enter__(self) -> TerminalProgress:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.stop()

    def say(self, line: str) -> None:
        """One line on stderr."""
        if self._quiet:
            return
        if self._bars:
            self._bars.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)

    @contextmanager
    def task(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar, or a line at the start, every ten seconds, and at the end."""
        if self._bars:
            bar = self._bars.add_task(what, total=total)
            yield lambda steps: self._bars.advance(bar, steps)
            self._bars.remove_task(bar)
            return
        begun = last = time.monotonic()
        done = 0

        def advance(steps: int) -> None:
            nonlocal done, last
            done += steps
            now = time.monotonic()
            if now - last > self.HEARTBEAT and done < total:
                last = now
                left = (now - begun) / done * (total - done)
                self.say(f"{what}: {done}/{total}, about {left:.0f} s left")

        yield advance
        self.say(f"{what}: done in {time.monotonic() - begun:.1f} s")


def _no_progress() -> bool:
    return bool(os.environ.get("ZOO_NO_PROGRESS"))
