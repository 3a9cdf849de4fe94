from __future__ import annotations

import json

import pytest

from voxelzoo.api import DataError
from voxelzoo.cli import output


def test_piped_rows_are_tsv_with_whole_values(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "a", "r": 0.123456789, "ok": True, "why": None, "more": "two\n\tlines"}]
    output.print_table(rows, ("name", "r", "ok", "why", "more"), title="not printed")
    header, line = capsys.readouterr().out.splitlines()
    assert header.split("\t") == ["name", "r", "ok", "why", "more"]
    assert line.split("\t") == ["a", "0.123456789", "yes", "", "two lines"]


def test_a_failure_is_a_line_and_with_json_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    output.fail(DataError("no words"), as_json=True)
    out, err = capsys.readouterr()
    assert err == "zoo: no words\n"
    assert json.loads(out) == {
        "schema_version": 1,
        "error": {"type": "DataError", "message": "no words", "exit_code": 6},
    }
    output.fail(DataError("no words"), as_json=False)
    assert capsys.readouterr().out == ""


def test_numbers_that_json_has_not_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        output.print_json(r=float("nan"))


def test_progress_without_a_terminal_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(output.time, "monotonic", lambda: now)
    with output.TerminalProgress() as progress, progress.task("fit", 10) as advance:
        now = 5.0
        advance(1)  # too soon for a line
        now = 30.0
        advance(4)
        now = 300.0
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["fit: 5/10, about 30 s left", "fit: done in 5 min"]


def test_quiet_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with output.TerminalProgress(quiet=True) as progress, progress.task("fit", 1) as advance:
        advance(1)
        progress.say("a line")
    assert capsys.readouterr().err == ""
