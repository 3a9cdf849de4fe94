"""Every command that the README, the pages and the help show is one that exists."""

from __future__ import annotations

import shlex

import pytest

from command_reference import Command, command_sections, commands, exit_codes
from pages import Shown, shown_commands
from voxelzoo import errors

BY_WORDS = {command.words: command for command in commands()}
SHOWN = list(shown_commands())
EXAMPLES = [
    (command.name, shlex.split(line.partition("&&")[0].partition(" > ")[0])[1:])
    for command in commands()
    for line in command.examples
]


def parse(words: list[str]) -> str:
    """Parses a command line by the real options; the message of what is wrong, or nothing."""
    depth = next((n for n in (1, 2) if tuple(words[:n]) in BY_WORDS), 0)
    if not depth:
        return f"no command zoo {' '.join(words[:2])}"
    command = BY_WORDS[tuple(words[:depth])].command
    try:
        command.make_context(" ".join(words[:depth]), words[depth:])
    except SystemExit:  # --help
        return ""
    except Exception as error:  # typer's own copy of click has no public name for it
        return getattr(error, "message", "") or str(error) or type(error).__name__
    return ""


@pytest.mark.parametrize("shown", SHOWN, ids=[shown.where for shown in SHOWN])
def test_a_command_on_a_page_is_understood(shown: Shown) -> None:
    wrong = parse(shown.words)
    if shown.whole or not wrong.startswith("Missing"):
        assert not wrong, f"{shown.where}: zoo {shlex.join(shown.words)}"


@pytest.mark.parametrize(("name", "words"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_an_example_in_the_help_is_understood(name: str, words: list[str]) -> None:
    assert not parse(words), f"{name}: zoo {shlex.join(words)}"


def test_a_command_that_is_wrong_is_not_understood() -> None:
    assert "no-such-option" in parse(["run", "--plugin", "x", "--no-such-option"])
    assert "no command" in parse(["nothing"])
    assert parse(["run", "--untrained"])  # --plugin is missing


@pytest.mark.parametrize("command", commands(), ids=[command.name for command in commands()])
def test_a_command_says_what_it_does_and_shows_an_example(command: Command) -> None:
    assert command.help
    assert "Example" not in command.help
    undocumented = [each.name for each in command.parameters if not each.help]
    assert not undocumented
    assert command.examples


def test_the_reference_has_every_command_and_option() -> None:
    sections = {}
    for section in command_sections().removeprefix("## ").split("\n## "):
        name, _, sections[name] = section.partition("\n")
    assert list(sections) == [command.name for command in commands()]
    for command in commands():
        for parameter in command.parameters:
            if parameter.param_type_name == "option":
                assert all(f"`{name}`" in sections[command.name] for name in parameter.opts)


def test_the_table_of_exit_codes_is_that_of_the_errors() -> None:
    page = exit_codes()
    for kind in (errors.UsageError, errors.NotFoundError, errors.DataError, errors.MissingError):
        assert f"| {kind.exit_code} |" in page
        assert kind.__name__ in page
    assert "| 130 |" in page
