"""What commands print: tables for people, TSV for pipes, one JSON document for machines."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from voxelzoo.errors import UsageError, ZooError
from voxelzoo.text import human_seconds, plain

SCHEMA_VERSION = 1


Row = Mapping[str, Any]


_stdout: TextIO | None = None
"""Where data go while a command runs; None for ``sys.stdout``."""


def stdout() -> TextIO:
    """Where data go."""
    return _stdout or sys.stdout


def is_terminal() -> bool:
    """Whether data are read by a person."""
    return stdout().isatty()


@contextmanager
def host_stdout() -> Iterator[None]:
    """A context in which only this module writes to stdout.

    What plugins print, to ``sys.stdout`` or to file descriptor 1, goes to stderr.
    """
    global _stdout
    before = sys.stdout
    before.flush()
    try:
        kept = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # one of them is closed
        yield
        return
    own = before.fileno() == 1 if isinstance(before, io.TextIOWrapper) else False
    _stdout = (
        os.fdopen(kept, "w", encoding=before.encoding, errors="backslashreplace", closefd=False)
        if own
        else before
    )
    stream, sys.stdout = _stdout, sys.stderr
    try:
        yield
        stream.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), kept)  # what is left is flushed there
        raise
    finally:
        with suppress(OSError, ValueError):
            stream.flush()
        sys.stdout, _stdout = before, None
        os.dup2(kept, 1)
        os.close(kept)


def print_json(**content: Any) -> None:
    """Print the one document of a ``--json`` call.

    Parameters
    ----------
    **content
        Its fields, as JSON values; ``schema_version`` is added.
    """
    document = {"schema_version": SCHEMA_VERSION, **content}
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    print(_NOT_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text), file=stdout())


_NOT_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that JSON allows as they are, and a terminal obeys or cannot show."""


def print_line(text: object = "", error: bool = False) -> None:
    """Print text of which nothing is obeyed by a terminal.

    Parameters
    ----------
    text : object
        The text, of one line or several.
    error : bool, default False
        Whether it goes to stderr.
    """
    print(plain(text), file=sys.stderr if error else stdout(), flush=error)


def fail(error: ZooError, as_json: bool) -> None:
    """Print an expected failure: one line on stderr, with ``--json`` a document as well.

    Parameters
    ----------
    error : ZooError
        The failure.
    as_json : bool
        Whether a document is printed on stdout.
    """
    if as_json:
        print_json(
            error={
                "type": type(error).__name__,
                "message": str(error),
                "exit_code": error.exit_code,
            }
        )
    print_line(f"zoo: {error}", error=True)


def print_table(rows: Sequence[Row], columns: Sequence[str], title: str | None = None) -> None:
    """Print rows as a table on a terminal; when piped, as TSV with a header and whole values.

    Parameters
    ----------
    rows : sequence of mapping
        Values by column.
    columns : sequence of str
        Columns, in order.
    title : str, optional
        Printed above the table on a terminal.
    """
    if not is_terminal():
        print("\t".join(map(_tsv, columns)), file=stdout())
        for row in rows:
            print("\t".join(_tsv(row[column]) for column in columns), file=stdout())
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        title=None if title is None else Text(plain(title)),
        title_justify="left",
        title_style="",
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        numeric = all(isinstance(row[column], int | float | None) for row in rows)
        table.add_column(
            Text(plain(column.replace("_", " "))),
            justify="right" if numeric else "left",
            no_wrap=numeric or column in ("model", "name", "subject", "key"),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(plain(_human(row[column]))) for column in columns))
    Console(file=stdout()).print(table)


def print_one_table(tables: Mapping[str, Sequence[Row]], name: str | None) -> bool:
    """Print one table of a report that has several, if one was chosen or the output is piped.

    Parameters
    ----------
    tables : mapping of str to sequence of mapping
        Rows by the name of the table; the first one is printed if none was chosen.
    name : str or None
        The chosen table.

    Returns
    -------
    bool
        Whether it was printed; False on a terminal, where all are shown.

    Raises
    ------
    UsageError
        If there is no table of that name.
    """
    if name is None and is_terminal():
        return False
    filled = {each: rows for each, rows in tables.items() if rows}
    if name is not None and name not in filled:
        raise UsageError(f"no table {name!r}; there are {', '.join(filled)}")
    first = next(iter(filled))
    rows = filled[name or first]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    print_table([dict.fromkeys(columns) | dict(row) for row in rows], columns)
    if name is None and len(filled) > 1:
        others = ", ".join(each for each in filled if each != first)
        print_line(f"zoo: this is the table {first}; for others: --table {others}", error=True)
    return True


def _tsv(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plain(" ".join(str(value).split()))


def _human(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


class TerminalProgress:
    """Progress on stderr: bars on a terminal, a line now and then elsewhere.

    Parameters
    ----------
    quiet : bool
        Print nothing.
    """

    HEARTBEAT = 10.0
    """Seconds between lines."""

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
                TextColumn("{task.description}", markup=False),
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
        """Print one line."""
        if self._quiet:
            return
        if self._bars:
            self._bars.console.print(plain(line), highlight=False, markup=False)
        else:
            print_line(line, error=True)

    @contextmanager
    def task(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar; without a terminal, a line every ten seconds and one at the end."""
        if self._bars:
            bar = self._bars.add_task(plain(what), total=total)
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
                self.say(f"{what}: {done}/{total}, about {human_seconds(left)} left")

        yield advance
        self.say(f"{what}: done in {human_seconds(time.monotonic() - begun)}")


def _no_progress() -> bool:
    return bool(os.environ.get("ZOO_NO_PROGRESS"))
