"""Turn every exception into one line and an exit code; the only place that maps foreign errors to either."""

import errno
import os
import sqlite3
import sysconfig
import traceback
from pathlib import Path
from tempfile import NamedTemporaryFile

from agents.errors import AgentsError, AgentUnusable, LimitExceeded, ModelConfigError, ModelError
from core.aio import first_error
from core.errors import ExpectedError, ExtraMissing
from envs.errors import BaselineUnusable, EnvsError, GitMissing, SetupFailed
from heats.errors import ExitCode, HeatsError
from heats.signals import Interrupted
from sandbox.errors import BackendUnavailable, ImageMissing, SandboxError
from tournament.errors import TournamentError

_ROOT = Path(__file__).resolve().parents[2]
_ROOMS = ("agents", "configs", "core", "envs", "heats", "sandbox", "summarizer", "tournament")
_LIBRARIES = (sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["scripts"])
DISK_FULL = "the disk is full; free some space and run the same command to continue"


def explain(error: BaseException) -> tuple[int, str]:
    """The exit code of an exception, and one line for the user.

    An unexpected error leaves its traceback in a file, which the line names.
    """
    error = first_error(error)
    match error:
        case HeatsError():
            return error.exit_code, str(error)
        case Interrupted():
            return error.exit_code, f"stopped by {error}; run the same command to resume"
        case KeyboardInterrupt():
            return ExitCode.SIGINT, "stopped by SIGINT"
        case LimitExceeded():
            return ExitCode.BUDGET, f"{error}; raise it and run the same command to continue"
        case (
            BackendUnavailable()
            | ImageMissing()
            | SetupFailed()
            | BaselineUnusable()
            | GitMissing()
            | AgentUnusable()
            | ExtraMissing()
        ):
            return ExitCode.PREFLIGHT, str(error)
        case ModelConfigError() | EnvsError():
            return ExitCode.USAGE, str(error)
        case ModelError():
            return ExitCode.PREFLIGHT, str(error)
        case SandboxError() | TournamentError() | AgentsError():
            return ExitCode.INFRASTRUCTURE, f"{error}; run the same command to try again"
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return ExitCode.INFRASTRUCTURE, DISK_FULL
        case sqlite3.OperationalError() if "full" in str(error):
            return ExitCode.INFRASTRUCTURE, DISK_FULL
        case ExpectedError():
            return ExitCode.USAGE, str(error)
        case OSError() if error.filename is not None:
            return ExitCode.USAGE, f"{error.filename}: {error.strerror}"
    said = f"{type(error).__name__}: {error}"
    if place := _own_code(error):
        return ExitCode.INTERNAL, f"your own code failed at {place}: {said} (traceback{_kept(error)})"
    return ExitCode.INTERNAL, f"internal error: {said} (please report it{_kept(error)})"


def _own_code(error: BaseException) -> str:
    """The last place in the user's own part that an error passed through; empty if it passed through none."""
    ours = [*(str(_ROOT / room) + os.sep for room in _ROOMS), *map(os.path.realpath, _LIBRARIES)]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = os.path.realpath(frame.filename)
        if os.path.isfile(path) and "site-packages" not in path and not path.startswith(tuple(ours)):
            return f"{frame.filename}:{frame.lineno}"
    return ""


def _kept(error: BaseException) -> str:
    """Path of the saved traceback, if it could be saved. A fixed name could be another user's file, or a link."""
    try:
        with NamedTemporaryFile("w", prefix="heats-crash-", suffix=".txt", delete=False, encoding="utf-8") as file:
            file.writelines(traceback.format_exception(error))
    except OSError:
        return ""
    return f" with {file.name}"
