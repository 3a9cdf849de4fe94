"""The command line: ``zoo``. Data on stdout, everything else on stderr.

Exit codes: 0 done; 1 a run failed; 2 usage; 3 a name is unknown or ambiguous; 4 a plugin or
registry is invalid; 5 a dependency or weights are missing; 6 bad data; 130 interrupted.
"""

from __future__ import annotations

import gc
import os
import sys

# Start-up makes many objects and no garbage; at the default threshold a quarter of the time of
# `zoo list` goes into looking for some.
gc.set_threshold(50_000)

import typer  # noqa: E402

from voxelzoo.api import ZooError  # noqa: E402
from voxelzoo.cli import (  # noqa: E402
    data,
    doctor,
    explain,
    extract,
    models,
    output,
    plugins,
    registry,
    reproduce,
    results,
    run,
    scaling,
    test,
)

INTERRUPTED = 130
"""Exit code that typer gives for Control-C."""

app = typer.Typer(
    name="zoo",
    help="A model zoo for the brain: which network's hidden states predict which voxel, how well, "
    "and how near to the noise ceiling.",
    epilog="Start with: zoo list · zoo run --plugin word-rate · "
    "zoo run --plugin whisper-tiny --untrained --stride 1",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
app.command("list")(models.list_models)
app.command("show")(models.show)
app.command("run")(run.run)
app.command("plan")(run.plan)
app.command("extract")(extract.extract)
app.command("test")(test.run)
app.command("check")(plugins.check)
app.command("reproduce")(reproduce.reproduce)
app.command("explain")(explain.explain)
app.command("doctor")(doctor.doctor)
app.add_typer(data.app, name="data")
app.add_typer(results.app, name="results")
app.add_typer(scaling.app, name="scaling")
app.add_typer(plugins.app, name="plugins")
app.add_typer(registry.app, name="registry")


def main() -> None:
    """Entry point: expected failures become one line and an exit code, never a traceback."""
    try:
        app()
    except ZooError as error:
        output.fail(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print("zoo: interrupted; what was finished is kept", file=sys.stderr)
        raise
    except BrokenPipeError:
        # The reader has gone (`zoo list | head`): nothing is left to say, nor to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
