"""The reference of the command line, written from the commands themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from voxelzoo import errors
from voxelzoo.cli.application import app


@dataclass(frozen=True)
class Command:
    """One command: its words after ``zoo``, and the object that typer makes of its function."""

    words: tuple[str, ...]
    command: Any

    @property
    def name(self) -> str:
        """As it is typed: ``zoo data check``."""
        return " ".join(("zoo", *self.words))

    @property
    def help(self) -> str:
        """Its help without the examples, in paragraphs."""
        return _split_help(self.command.help or "")[0]

    @property
    def examples(self) -> list[str]:
        """The command lines of its help, one each."""
        return _split_help(self.command.help or "")[1]

    @property
    def parameters(self) -> list[Any]:
        """Arguments and options, without the hidden ones."""
        return [each for each in self.command.params if not getattr(each, "hidden", False)]


def commands() -> list[Command]:
    """Every command, in the order of ``zoo --help``."""
    return list(_leaves(typer.main.get_command(app), ()))


def _leaves(command: Any, words: tuple[str, ...]) -> Iterator[Command]:
    if not hasattr(command, "commands"):
        yield Command(words, command)
        return
    for name, inner in command.commands.items():
        yield from _leaves(inner, (*words, name))


def _split_help(text: str) -> tuple[str, list[str]]:
    """Description and examples: the lines from ``Example:`` on that begin with ``zoo``."""
    description, _, shown = re.sub(r"^\\?\x08$", "", text, flags=re.M).partition("Example")
    lines = re.split(r"\n|·", re.sub(r"^s?:", "", shown))
    examples = [line.strip() for line in lines if line.strip().startswith("zoo ")]
    paragraphs = re.split(r"\n\s*\n", description.strip())
    return "\n\n".join(" ".join(each.split()) for each in paragraphs), examples


def command_sections() -> str:
    """Markdown: a section for each command with its help, examples, arguments and options."""
    return "\n".join(_section(command) for command in commands())


def _section(command: Command) -> str:
    lines = [f"## {command.name}", "", _escaped(command.help), ""]
    if command.examples:
        lines += ["```console", *(f"$ {example}" for example in command.examples), "```", ""]
    arguments = [each for each in command.parameters if each.param_type_name == "argument"]
    options = [each for each in command.parameters if each.param_type_name == "option"]
    lines += _table(("argument", "meaning"), map(_argument_row, arguments))
    lines += _table(("option", "default", "meaning"), map(_option_row, options))
    return "\n".join(lines)


def _argument_row(parameter: Any) -> list[str]:
    name = parameter.metavar or parameter.name.upper()
    optional = "" if parameter.required else "Optional. "
    return [f"`{name}`", optional + _escaped(parameter.help or "")]


def _option_row(parameter: Any) -> list[str]:
    value = "" if parameter.is_flag else f" {parameter.metavar or parameter.name.upper()}"
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    environment = f" Environment: `{parameter.envvar}`." if parameter.envvar else ""
    return [
        names + (f" `{value.strip()}`" if value else ""),
        "required" if parameter.required else _default(parameter),
        _escaped(parameter.help or "") + environment,
    ]


def _default(parameter: Any) -> str:
    """The default as it would be typed; empty where it is off, or where the help says it."""
    if parameter.is_flag or parameter.default in (None, (), []):
        return ""
    return f"`{parameter.default}`"


def _table(header: Sequence[str], rows: Iterator[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    if not lines:
        return []
    titles = "| " + " | ".join(header) + " |"
    return [titles, "|" + "---|" * len(header), *lines, ""]


def _escaped(text: str) -> str:
    """Text whose stars and angle brackets are no Markdown."""
    return re.sub(r"([*<>_])", r"\\\1", " ".join(text.split()) if "\n\n" not in text else text)


def exit_codes() -> str:
    """Markdown: a table of exit codes, from the errors that carry them."""
    rows = [["0", "Success."], ["1", "Some models of a run failed; the others are reported."]]
    kinds = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.ZooError) and kind is not errors.ZooError
    ]
    for kind in sorted(kinds, key=lambda kind: kind.exit_code):
        meaning = re.sub(r"\s*\(exit code \d+\)", "", inspect.getdoc(kind) or "")
        rows.append([str(kind.exit_code), f"{_escaped(meaning)} (`{kind.__name__}`)"])
    rows.append(["130", "Interrupted by Control-C. Finished work is kept."])
    return "\n".join(_table(("exit code", "meaning"), iter(rows)))
