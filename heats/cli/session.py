"""What every command that runs the method has in common: run directory, display, run, result on stdout."""

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
    """The exit code for one task's result; a random choice has its own code unless the chosen patch passes."""
    if result.by_chance and result.status in ("unverified", "no_patch"):
        return ExitCode.UNHEARD
    return EXIT_BY_STATUS.get(result.status, ExitCode.INTERNAL)


Executor = Callable[[RunRequest], Coroutine[Any, Any, list[TaskResult]]]
"""Plays a request's tasks: `heats.runner.run.play` on this machine, or an executor that delegates to others."""


@dataclass(frozen=True, slots=True)
class Session:
    """A finished invocation: its run directory and its tasks' results."""

    store: RunStore
    config: HeatsConfig
    results: tuple[TaskResult, ...]


def run_session(command: str, options: RunOptions, config: HeatsConfig, env: Env) -> Session:
    """Run the method on an env, with progress on stderr.

    Args:
        command: the command's name, for the manifest and the directory.
        options: shared options: display, directory and redo.
        config: the resolved configuration.
        env: source of the tasks.
    """
    directory = run_directory(command, options, config, env)
    return play_session(RunRequest(command=command, directory=directory, config=config, env=env), options)


def play_session(request: RunRequest, options: RunOptions, executor: Executor = play) -> Session:
    """Play a request, with progress on stderr.

    Args:
        request: the run to play.
        options: shared options, for the display.
        executor: plays the tasks.
    """
    ledger = Ledger("run", request.config.limits.run)
    with open_display(options.progress, ledger=lambda: ledger.spent) as display:
        told = replace(request, listeners=(display,), ledger=ledger)
        results = run_interruptibly(executor(told))
    return Session(RunStore(request.directory), request.config, tuple(results))


def run_directory(command: str, options: RunOptions, config: HeatsConfig, env: Env) -> Path:
    """`--out`, or `runs/<command>-<digest of the run's identity>`, so that the same command finds its run again.

    Args:
        command: the command's name.
        options: shared options: directory and redo.
        config: the resolved configuration.
        env: source of the tasks.
    """
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
        UsageError: the directory is not a run, or a process is using it.
    """
    if not directory.exists() or not any(directory.iterdir()):
        return
    if not (directory / "run.lock").exists():
        raise UsageError(f"--redo: {directory} is not a heats run directory")
    directory = directory.resolve()
    if Path.cwd().is_relative_to(directory):
        raise UsageError(f"--redo: the current directory is inside {directory}; change to another directory first")
    RunStore.hold(directory).close()
    number = 1
    while (old := directory.with_name(f"{directory.name}.old-{number}")).exists():
        number += 1
    os.rename(directory, old)


def print_config(config: HeatsConfig) -> None:
    """Print the resolved configuration and exit."""
    typer.echo(dump_config(config), nl=False)
    raise typer.Exit(ExitCode.DONE)


def left_out_rows(left_out: Mapping[str, str]) -> list[dict[str, str]]:
    """Name and reason of everything that could not be used, for `--json`."""
    return [{"name": name, "reason": why} for name, why in left_out.items()]


def note_faults(run: Path) -> None:
    """Warn on stderr about unreadable parts of a run directory, or parts modified after a decision relied on them."""
    faults = find_faults(run)
    for fault in faults[:5]:
        say(f"note: {fault}")
    if len(faults) > 5:
        say(f"note: {len(faults) - 5} more files of {run} are truncated, invalid or changed")


def say(text: str) -> None:
    """Print a line to stderr."""
    typer.echo(for_screen(text), err=True)


@contextmanager
def telling(standing: Callable[[], str]) -> Iterator[Callable[[str], None]]:
    """Print lines for the user, and a progress line after a period of silence.

    Args:
        standing: returns the progress line.

    Yields:
        A function that prints a line.
    """
    with SilenceBreaker(lambda: say(standing())) as silence:

        def tell(text: str) -> None:
            silence.said()
            say(text)

        yield tell


def print_json(data: Mapping[str, Any]) -> None:
    """Print one JSON object to stdout."""
    json.dump(data, sys.stdout, indent=1, ensure_ascii=True)
    sys.stdout.write("\n")
