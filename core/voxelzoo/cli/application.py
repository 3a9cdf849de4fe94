"""Every command of ``zoo``, and how a failure of any kind becomes one line and an exit code."""

from __future__ import annotations

import gc
import io
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from functools import wraps
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from voxelzoo.errors import Interrupted, UsageError

COMMANDS = {
    "list": "voxelzoo.cli.models:list_models",
    "show": "voxelzoo.cli.models:show",
    "run": "voxelzoo.cli.run:run",
    "plan": "voxelzoo.cli.run:plan",
    "extract": "voxelzoo.cli.extract:extract",
    "test": "voxelzoo.cli.test:run",
    "check": "voxelzoo.cli.plugins:check",
    "reproduce": "voxelzoo.cli.reproduce:reproduce",
    "explain": "voxelzoo.cli.explain:explain",
    "doctor": "voxelzoo.cli.doctor:doctor",
    "data": "voxelzoo.cli.data:app",
    "results": "voxelzoo.cli.results:app",
    "store": "voxelzoo.cli.store:app",
    "scaling": "voxelzoo.cli.scaling:app",
    "plugins": "voxelzoo.cli.plugins:app",
    "registry": "voxelzoo.cli.registry:app",
}
"""Command -> the function, or the typer app of its own commands. Imported when it is called: a
command pays for its own imports only."""


class _Commands(Mapping[str, Any]):
    """:data:`COMMANDS`, each as typer's command, made when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = COMMANDS[name].partition(":")
        target = getattr(import_module(module), attribute)
        if isinstance(target, typer.Typer):
            group: Any = typer.main.get_group(target)
            group.name = name
            for command in group.commands.values():
                _defer_coercion(command)
            return group
        single = typer.Typer(add_completion=False)
        single.command(name)(target)
        return _defer_coercion(typer.main.get_command(single))

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _DeferredCoercion:
    """Reads a parameter as typer does, but imports pydantic only for what needs reading.

    typer builds a pydantic adapter for every parameter of a command, and importing pydantic takes a
    third of the time of ``zoo list``. An option that is not given, and text, need none.
    """

    def __init__(self, parameter: Any) -> None:
        self._parameter = parameter

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        descriptor = self._parameter.type_descriptor
        if value is None or value == ():
            return () if param.multiple or param.nargs == -1 else None
        if descriptor.annotation is str and type(value) is str:
            return value
        from typer._coercion import build_runtime_param

        return build_runtime_param(descriptor).coerce(value, param=param, ctx=ctx)


def _defer_coercion(command: Any) -> Any:
    """Makes parameters be read by :class:`_DeferredCoercion`, and stdout belong to the command."""
    every, callback = command.get_params, command.callback

    def get_params(ctx: Any) -> list[Any]:
        return _deferred(every(ctx))

    @wraps(callback)
    def call(*arguments: Any, **options: Any) -> Any:
        from voxelzoo.cli.output import host_stdout
        from voxelzoo.host.boundary import as_zoo_error

        with host_stdout():
            try:
                return callback(*arguments, **options)
            except (Exception, Interrupted):
                raise
            except BaseException as error:  # a plugin's, since none of ours raises such
                raise as_zoo_error(error) from error

    command.get_params, command.callback = get_params, call
    return command


def _deferred(parameters: list[Any]) -> list[Any]:
    """The parameters, if this version of typer has what that takes; else they are unchanged."""
    for parameter in parameters:
        if getattr(parameter, "_runtime_param", ...) is None:
            parameter._runtime_param = _DeferredCoercion(parameter)
    return parameters


class _LazyGroup(TyperGroup):
    """The group of all commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": _Commands()})

    def get_params(self, ctx: Any) -> list[Any]:
        """The options of ``zoo`` itself."""
        return _deferred(super().get_params(ctx))


app = typer.Typer(
    cls=_LazyGroup,
    name="zoo",
    help="A model zoo for the brain: which network's hidden states predict which voxel, how well, "
    "and how near to the noise ceiling.",
    epilog="Start with: zoo list · zoo run --plugin word-rate · "
    "zoo run --plugin whisper-tiny --untrained --stride 1",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.callback()(lambda: None)


def run(arguments: list[str]) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : list of str
        What was typed after ``zoo``.

    Returns
    -------
    int
        The exit code.
    """
    # Start-up makes many objects and no garbage; at the default threshold a quarter of the time of
    # `zoo list` is spent looking for some.
    gc.set_threshold(50_000)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8
    try:
        _check(arguments)
        code = app(arguments, prog_name="zoo", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        return _reader_has_gone()
    except Exception as error:
        if os.environ.get("ZOO_TRACEBACK"):
            raise
        try:
            return _fail(error, as_json="--json" in arguments)
        except BrokenPipeError:
            return _reader_has_gone()


def _reader_has_gone() -> int:
    """``zoo list | head``: nothing is left to say, nor to flush."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _check(arguments: list[str]) -> None:
    """What no command could make sense of."""
    for argument in arguments:
        if argument == "" or (argument.startswith("--") and argument.endswith("=")):
            raise UsageError(f"an argument is empty: zoo {shlex.join(arguments)}")
    try:
        os.getcwd()
    except OSError:
        raise UsageError("the current folder no longer exists; change to another") from None


def _fail(error: Exception, as_json: bool) -> int:
    """Print a failure; its exit code."""
    from voxelzoo.cli.output import fail, print_line
    from voxelzoo.host.boundary import as_zoo_error

    if isinstance(error, _ClickError):
        if type(error).__name__ == "NoArgsIsHelpError":
            assert error.ctx is not None
            print_line(error.ctx.get_help())
            return UsageError.exit_code
        command = error.ctx.command_path if getattr(error, "ctx", None) else "zoo"
        message = " ".join(error.format_message().split()).rstrip(".")
        error = UsageError(f"{message}; see {command} --help")
    else:
        error = as_zoo_error(error)
    fail(error, as_json)
    return error.exit_code


_ClickError: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
"""The base of typer's own errors; typer does not export it."""
