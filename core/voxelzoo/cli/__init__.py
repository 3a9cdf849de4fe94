"""The command line: ``zoo``. Data on stdout, everything else on stderr.

Exit codes: 0 done; 1 a run failed; 2 usage; 3 a name is unknown or ambiguous; 4 a plugin or
registry is invalid; 5 a dependency or weights are missing; 6 bad data; 128 + n ended by signal n,
so 130 by Control-C.
"""

import sys

from voxelzoo.signals import Signals


def main() -> None:
    """Entry point: every failure becomes one line and an exit code, never a traceback.

    Signals are handled before anything large is imported.
    """
    signals = Signals()
    try:
        signals.handle()
        from voxelzoo.cli.application import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = signals.exit_code
    signals.finish()
    if signals.received is not None:
        print(signals.line(), file=sys.stderr)
        code = signals.exit_code
    sys.exit(code)
