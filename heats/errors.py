"""Errors that users can encounter, and the exit code of each.

* HeatsError              exit code
  + UsageError            2    a bad flag, key, file or directory
  + PreflightFailed       6    no sandbox, image, endpoint, test command or disk space
  + RunInUse              2    another process is using the run directory
  + InfrastructureFailed  3    sandboxes kept failing
  + PatchRefused          4    a patch is not proposed: it is unproven, or changes what it must not
  + RemoteFailed          3    a remote repository or its API refused, or did not answer

Every message is one line that says what to do. Exit codes without an exception: 0 done, 1 internal error, 4 no verified
patch, 5 a limit was reached first, 7 a patch that passes the tests without being verified, 8 the result was chosen at
random because no vote on it could be read, 130 and 143 after a signal.
"""

from enum import IntEnum

from core.errors import ExpectedError


class ExitCode(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    INFRASTRUCTURE = 3
    NOT_VERIFIED = 4
    BUDGET = 5
    PREFLIGHT = 6
    PASSES = 7
    UNHEARD = 8
    SIGINT = 130
    SIGTERM = 143


class HeatsError(ExpectedError):
    """Base of errors that are reported to the user in one line."""

    exit_code = ExitCode.INTERNAL


class UsageError(HeatsError):
    """The command line, the configuration or an input cannot be used as given."""

    exit_code = ExitCode.USAGE


class PreflightFailed(HeatsError):
    """Something the run needs is missing; nothing was spent."""

    exit_code = ExitCode.PREFLIGHT


class RunInUse(UsageError):
    """Another process holds the run directory."""


class InfrastructureFailed(HeatsError):
    """Sandboxes kept failing; finished work is kept, and the same command tries again."""

    exit_code = ExitCode.INFRASTRUCTURE


class PatchRefused(HeatsError):
    """The patch must not be proposed as it is; the message says why and what would allow it."""

    exit_code = ExitCode.NOT_VERIFIED


class RemoteFailed(HeatsError):
    """A remote or its API refused or did not answer; finished work is kept, and the same command resumes."""

    exit_code = ExitCode.INFRASTRUCTURE
