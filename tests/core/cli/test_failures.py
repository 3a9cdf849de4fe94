"""Whatever goes wrong is one line and an exit code; whatever comes from elsewhere is text."""

from __future__ import annotations

import csv
import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_folder import write_study
from voxelzoo.cli import output
from voxelzoo.text import plain, spreadsheet_text
from zoo_cli import Zoo

ZOO = [sys.executable, "-c", "from voxelzoo.cli import main; main()"]
CLI = Path(output.__file__).parent


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("foo",), "zoo: No such command 'foo'; see zoo --help"),
        (("run", "--bogus"), "zoo: No such option: --bogus; see zoo run --help"),
        (("results", "show"), "zoo: Missing argument 'key'; see zoo results show --help"),
        (("run", "--store", ""), "zoo: an argument is empty: zoo run --store ''"),
        (("run", "--store="), "zoo: an argument is empty: zoo run --store="),
    ],
)
def test_usage_errors_are_one_line(zoo: Zoo, arguments: tuple[str, ...], line: str) -> None:
    ended = zoo(*arguments)
    assert (ended.code, ended.err) == (2, f"{line}\n")
    message = zoo(*arguments, "--json").json["error"]["message"]
    assert message.startswith(line.removeprefix("zoo: "))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device", "/x"), "zoo: /x: No space left on device"),
        (MemoryError(), "zoo: out of memory; "),
        (ZeroDivisionError("x\ny"), "zoo: internal error: ZeroDivisionError: x y; please report"),
        (RecursionError(), "zoo: internal error: RecursionError; please report"),
    ],
)
def test_unexpected_errors_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    from voxelzoo.cli.application import run

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("voxelzoo.cli.models.open_zoo", fail)
    assert run(["list"]) == 1
    err = capfd.readouterr().err
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    script = "import os; os.mkdir('a'); os.chdir('a'); os.rmdir('../a')\n" + ZOO[2]
    ended = subprocess.run(
        [sys.executable, "-c", script, "list"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "current folder no longer exists" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_start_up_is_one_line(number: int) -> None:
    """Sent while ``zoo`` imports, from its first import on."""
    script = (
        "import sys, threading, os, time\n"
        "class Sender:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer':\n"
        f"            os.kill(os.getpid(), {int(number)}); time.sleep(5)\n"
        "sys.meta_path.insert(0, Sender())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script + ZOO[2], "list"],
        capture_output=True,
        text=True,
        # Whatever started the tests may have had it ignored.
        preexec_fn=lambda: signal.signal(
            number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        ),
    )
    assert ended.returncode == 128 + number
    assert re.fullmatch("zoo: .*; what was finished is kept\n", ended.stderr)


def test_a_second_signal_ends_what_does_not_end() -> None:
    script = (
        "import os, signal, time\n"
        "from voxelzoo.signals import Signals\n"
        "signals = Signals()\nsignals.handle()\n"
        "try:\n    os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)\n"
        "except BaseException:\n    print('cleaning', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "cleaning\n"
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - begun < 30
    assert process.returncode == 143
    assert err == "zoo: terminated; what was finished is kept\n"


# ------------------------------------------------------------------------------ text from outside

LABELS = [
    "[left]", "[/AC]", "[b]x", "=cmd|' /C calc'!A0", "@SUM(1)", "\x1b[31mRED\x1b[0m",
    "\x1b]0;pwned\x07title", "\x9b2J", "a\u202eb", "-0.5", "naïve \u200dok",
]  # fmt: skip


def on_a_terminal(*arguments: object) -> tuple[int, bytes]:
    """What a call shows on a terminal."""
    main, side = pty.openpty()
    environment = {**os.environ, "COLUMNS": "400", "TERM": "xterm"}
    process = subprocess.Popen(
        [*ZOO, *map(str, arguments)], stdout=side, stderr=side, stdin=side, env=environment
    )
    os.close(side)
    shown = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(main)
    return process.wait(), shown


@pytest.fixture
def labelled(zoo: Zoo, tmp_path: Path) -> tuple[Path, str]:
    """A store with a result whose labels are :data:`LABELS`, and the result's key."""
    study = write_study(tmp_path / "study", n_trs=40, n_voxels=len(LABELS))
    with (study / "responses" / "ann" / "voxels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["label"], *([label] for label in LABELS)])
    ended = zoo(
        "run", "-p", "word-rate", "--dataset", study, "--store", tmp_path / "store", "--json", "-q",
        "--delays", "1", "--keep", "predictions",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    return tmp_path / "store", ended.json["results"][0]["key"]


STYLE = re.compile(rb"\x1b\[[\d;]*m|\x1b\[\?25[lh]|\x1b\[\d?[AK]|\r")
"""What rich writes itself: styles, the cursor, and lines."""


def test_labels_are_shown_as_they_are_and_not_obeyed(labelled: tuple[Path, str]) -> None:
    store, key = labelled
    code, shown = on_a_terminal("results", "show", key, "--store", store)
    assert code == 0
    text = STYLE.sub(b"", shown).decode()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
    for label in LABELS:
        assert plain(label) in text, label
    assert b"\x1b[31m" not in shown


@pytest.mark.slow
@pytest.mark.parametrize("command", ["test", "run"])
def test_other_tables_show_labels_too(labelled: tuple[Path, str], command: str) -> None:
    store, key = labelled
    study = store.parent / "study"
    arguments = ("test", key) if command == "test" else ("run", "-p", "word-rate", "--delays", "1")
    more = () if command == "test" else ("--dataset", study)
    code, shown = on_a_terminal(*arguments, *more, "--store", store)
    assert code == 0, shown
    assert b"[/AC]" in shown
    assert b"\x1b[31m" not in shown


def test_pipes_get_text_without_control_characters(zoo: Zoo, labelled: tuple[Path, str]) -> None:
    store, key = labelled
    for more in ((), ("--json",)):
        out = zoo("results", "show", key, "--store", store, *more).out
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", out)
    shown = zoo("results", "show", key, "--store", store, "--json").json
    assert set(shown["result"]["by_label"]) == set(LABELS)


def test_exported_tables_hold_no_formula(zoo: Zoo, labelled: tuple[Path, str]) -> None:
    store, _ = labelled
    out = store.parent / "voxels.csv"
    assert zoo("results", "export", out, "--store", store).code == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    labels = [row["label"] for row in rows]
    assert labels[3:5] == ["'=cmd|' /C calc'!A0", "'@SUM(1)"]
    assert labels[-2:] == LABELS[-2:]
    assert not any(label[0] in "=+@\t\r" for label in labels)


@pytest.mark.parametrize("text", ["=1", "+1+1", "-1+1", "@x", " =1", "-x"])
def test_formulas_become_text(text: str) -> None:
    assert spreadsheet_text(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "V1", "-1", "+2.5e3", "a=b", "left -> right"])
def test_other_text_stays(text: str) -> None:
    assert spreadsheet_text(text) == text
    assert plain(text) == text


def test_commands_print_through_one_function() -> None:
    """Which is where control characters are taken out."""
    for path in CLI.glob("*.py"):
        if path.name not in ("output.py", "__init__.py"):
            assert not re.search(r"(?<![\w.])print\(|typer\.echo|Console\(", path.read_text()), path
