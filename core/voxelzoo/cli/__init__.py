"""The command line: ``zoo``. Data on stdout, everything else on stderr.

Exit codes: 0 done; 1 a run failed; 2 usage; 3 a name is unknown or ambiguous; 4 a plugin or
registry is invalid; 5 a dependency or weights are missing; 6 bad data; 130 interrupted.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from voxelzoo.errors import ZooError

INTERRUPTED = 130
"""Exit code that typer gives for Control-C."""

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
    """Makes the parameters of a command be read by :class:`_DeferredCoercion`."""
    every = command.get_params

    def get_params(ctx: Any) -> list[Any]:
        return _deferred(every(ctx))

    command.get_params = get_params
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


def main() -> None:
    """Entry point: expected failures become one line and an exit code, never a traceback."""
    # Start-up makes many objects and no garbage; at the default threshold a quarter of the time of
    # `zoo list` is spent looking for some.
    gc.set_threshold(50_000)
    try:
        app()
    except ZooError as error:
        from voxelzoo.cli.output import fail

        fail(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print("zoo: interrupted; what was finished is kept", file=sys.stderr)
        raise
    except BrokenPipeError:
        # The reader has gone (`zoo list | head`): nothing is left to say, nor to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
