"""Expected failures, each with the exit code that the command line gives it."""

from __future__ import annotations


class ZooError(Exception):
    """An expected failure: one line that says what is wrong, where, and how to fix it.

    The command line prints it without a traceback and exits with :attr:`exit_code`.
    """

    exit_code = 1


class Interrupted(KeyboardInterrupt):
    """The user, or the system, asked this process to end; unlike an interrupt that code raised."""


class UsageError(ZooError):
    """An option or argument has a value that makes no sense (exit code 2)."""

    exit_code = 2


class NotFoundError(ZooError):
    """A name is unknown or ambiguous (exit code 3)."""

    exit_code = 3


class PluginError(ZooError):
    """A plugin or a registry is invalid (exit code 4)."""

    exit_code = 4


class MissingError(ZooError):
    """A dependency or a model's weights are not on this machine (exit code 5)."""

    exit_code = 5


class DataError(ZooError):
    """A dataset or stimulus is damaged, or would make a wrong fit (exit code 6)."""

    exit_code = 6
