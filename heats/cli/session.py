"""What every command that runs the method does around it: directory, display, run, result on stdout."""

import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import typer

from agents.llm.ledger import Ledger
from core.sanitize import for_screen
from envs.base import Env
from heats.cli.options import RunOptions
from heats.config import HeatsConfig, dump_config
from heats.errors import ExitCode, UsageError
from heats.runner.run import RunRequest, make_manifest, play
from heats.signals import run_interruptibly
from heats.store.faults import find_faults
from heats.store.records import TaskResult
from heats.store.store import RunStore
from heats.view.live import SilenceBreaker, open_display

EXIT_BY_STATUS: Mapping[str, ExitCode] = {
    "verified": ExitCode.DONE,
    "passes": ExitCode.PASSES,
    "unverified": ExitCode.NOT_VERIFIED,
    "no_patch": ExitCode.NOT_VERIFIED,
    "error": ExitCode.INFRASTRUCTURE,
    "budget": ExitCode.BUDGET,
}


def exit_code(result: TaskResult) -> ExitCode:
    """The exit code of one task's result: a choice by lot is told, unless the patch it fell on passes."""
    if result.by_lot and result.status in ("unverified", "no_patch"):
        return ExitCode.UNHEARD
    return EXIT_BY_STATUS.get(result.status, ExitCode.INTERNAL)


Executor = Callable[[RunRequest], Coroutine[Any, Any, list[TaskResult]]]
"""Plays a request's tasks: `heats.runner.run.play` on this machine, or one that has others do it."""


@dataclass(frozen=True, slots=True)
class Session:
    """A finished invocation: where it lies and how its tasks ended."""

    store: RunStore
    config: HeatsConfig
    results: tuple[TaskResult, ...]


def run_session(command: str, options: RunOptions, config: HeatsConfig, env: Env) -> Session:
    """Run the method on an env, showing progress on stderr."""
    directory = run_directory(command, options, config, env)
    return play_session(RunRequest(command=command, directory=directory, config=config, env=env), options)


def play_session(request: RunRequest, options: RunOptions, executor: Executor = play) -> Session:
    """Run a request, showing progress on stderr."""
    ledger = Ledger("run", request.config.limits.run)
    with open_display(options.progress, ledger=lambda: ledger.spent) as display:
        told = replace(request, listeners=(display,), ledger=ledger)
        results = run_interruptibly(executor(told))
    return Session(RunStore(request.directory), request.config, tuple(results))


def run_directory(command: str, options: RunOptions, config: HeatsConfig, env: Env) -> Path:
    """`--out`, or `runs/<command>-<digest of its identity>`, so that the same command finds its run again."""
    if options.out is None:
        request = RunRequest(command=command, directory=Path("runs"), config=config, env=env)
        identity = json.dumps(make_manifest(request).identity, sort_keys=True)
        directory = Path("runs") / f"{command}-{sha256(identity.encode()).hexdigest()[:8]}"
    else:
        directory = options.out
    if options.redo:
        set_aside(directory)
    return directory


def set_aside(directory: Path) -> None:
    """Rename an old run to `<name>.old-1` ...; nothing is deleted.

    Raises:
        UsageError: the directory is no run, or a process works in it.
    """
    if not directory.exists() or not any(directory.iterdir()):
        return
    if not (directory / "run.lock").exists():
        raise UsageError(f"--redo: {directory} holds no run of heats")
    directory = directory.resolve()
    if Path.cwd().is_relative_to(directory):
        raise UsageError(f"--redo: leave {directory} first; this command would go on in the old run")
    RunStore.hold(directory).close()
    number = 1
    while (old := directory.with_name(f"{directory.name}.old-{number}")).exists():
        number += 1
    os.rename(directory, old)


def print_config(config: HeatsConfig) -> None:
    """Print the resolved configuration and end the command."""
    typer.echo(dump_config(config), nl=False)
    raise typer.Exit(ExitCode.DONE)


def left_out_rows(left_out: Mapping[str, str]) -> list[dict[str, str]]:
    """What could not be used, for `--json`: a name and a reason each."""
    return [{"name": name, "reason": why} for name, why in left_out.items()]


def note_faults(run: Path) -> None:
    """Say on stderr what of a run directory cannot be read, or changed after it was decided on."""
    faults = find_faults(run)
    for fault in faults[:5]:
        say(f"note: {fault}")
    if len(faults) > 5:
        say(f"note: {len(faults) - 5} more files of {run} are cut, do not fit or were changed")


def say(text: str) -> None:
    """A line for a person, to stderr."""
    typer.echo(for_screen(text), err=True)


@contextmanager
def telling(standing: Callable[[], str]) -> Iterator[Callable[[str], None]]:
    """Say lines to a person, and where the work stands when there was none for a while.

    Args:
        standing: what to say then.

    Yields:
        What says a line.
    """
    with SilenceBreaker(lambda: say(standing())) as silence:

        def tell(text: str) -> None:
            silence.said()
            say(text)

        yield tell


def print_json(data: Mapping[str, Any]) -> None:
    """One JSON object to stdout."""
    json.dump(data, sys.stdout, indent=1, ensure_ascii=True)
    sys.stdout.write("\n")
