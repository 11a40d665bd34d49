"""`heats sweep`: run a configuration on a data set; the same command resumes where it stopped."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer

from envs.base import Task
from heats.cli.options import METHOD, SANDBOX, RunOptions, spread
from heats.cli.session import Session, left_out_rows, play_session, print_config, print_json, say, set_aside
from heats.config import HeatsConfig
from heats.errors import ExitCode, UsageError
from heats.executors import open_executor
from heats.export.predictions import export_preds
from heats.report.report import write_report
from heats.report.table import RunFigures
from heats.runner.lock import hold_to, lock_of, read_lock
from heats.runner.model_mix import main_model
from heats.runner.run import RunRequest
from heats.signals import run_interruptibly
from heats.store.files import read_record, slug
from heats.store.lock import PLACES, Lock, LockedData
from heats.store.records import TaskResult
from heats.sweep.dataset import Dataset, TaskFilter, choose, find_dataset, read_options
from heats.sweep.images import ImageKeeper
from heats.sweep.summary import counts, sweep_text

SHOWN_TASKS = 60
DATA = "Data set"
_SECRETS = {"env_values"}
"""Options whose values stay out of a lock; who repeats the run gives their own."""


@dataclass(frozen=True, kw_only=True)
class SweepOptions(RunOptions):
    """Options of `heats sweep`, besides the data set and the shared options."""

    pattern: Annotated[
        str | None,
        typer.Option(
            "--filter",
            help="Use only tasks whose id starts with a match of this regular expression.",
            rich_help_panel=DATA,
        ),
    ] = None
    part: Annotated[
        str | None,
        typer.Option(
            "--slice", help="Use only this Python slice of the remaining tasks, such as 0:50.", rich_help_panel=DATA
        ),
    ] = None
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="Shuffle the tasks, always in the same order.", rich_help_panel=DATA)
    ] = False
    tasks: Annotated[
        list[str] | None, typer.Option("--task", "-i", help="Use only this task; repeatable.", rich_help_panel=DATA)
    ] = None
    split: Annotated[
        str | None, typer.Option("--split", help="Split of a data set on the Hub.", rich_help_panel=DATA)
    ] = None
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", "-O", help="key=value option of the data set's env; repeatable.", rich_help_panel=DATA
        ),
    ] = None
    pull: Annotated[
        bool, typer.Option("--pull", help="Pull missing images before anything starts.", rich_help_panel=DATA)
    ] = False
    prune_images: Annotated[
        bool,
        typer.Option(
            "--prune-images",
            help="Remove each image that the run pulled, after the last task that uses it.",
            rich_help_panel=DATA,
        ),
    ] = False
    executor: Annotated[
        str,
        typer.Option(
            "--executor",
            help="local, or ray: all machines of the cluster at RAY_ADDRESS, with --workers each.",
            rich_help_panel=SANDBOX,
        ),
    ] = "local"
    within_timeout: Annotated[
        bool,
        typer.Option(
            "--within-timeout",
            help="Fit all rollouts, summaries and votes of a task into its own agent timeout.",
            rich_help_panel=METHOD,
        ),
    ] = False
    keep_state: Annotated[
        bool,
        typer.Option(
            "--keep-state", help="Keep the winner's end state as an image (Harbor tasks).", rich_help_panel=SANDBOX
        ),
    ] = False

    from_lock: Annotated[
        Path | None,
        typer.Option(
            "--from-lock",
            help="Repeat the run that wrote this lock.json (or run directory): its data set, tasks and settings. Other "
            "work is refused; other versions, servers and images are named.",
            rich_help_panel=DATA,
        ),
    ] = None

    def configuration(self, dataset: str, lock: Lock | None = None) -> HeatsConfig:
        """The configuration for a data set, or for the run of a lock.

        Raises:
            UsageError: an unknown key, value, file or preset.
        """
        demo = dataset == "demo" and lock is None
        defaults: dict[str, Any] = {"model.name": "builtin:repair"} if demo else {}
        defaults |= {"within_timeout": True} if self.within_timeout else {}
        defaults |= {"keep_state": "winner"} if self.keep_state else {}
        return self.load(defaults, base=lock.config if lock is not None else None)

    def choice(self, lock: Lock | None) -> TaskFilter:
        """Which tasks to use: those of the lock, or what the options select."""
        only = self.tasks or (tuple(lock.tasks) if lock is not None else ())
        return TaskFilter(only=only, pattern=self.pattern, part=self.part, shuffle=self.shuffle)


@spread
def sweep(
    *,
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="demo; SWE-bench rows (a name such as verified, a Hub name, .json, .jsonl, .parquet or a directory); "
            "a directory of Harbor tasks; or module:Class. With --from-lock: where that data set is now.",
            show_default=False,
        ),
    ] = None,
    options: SweepOptions,
) -> None:
    """Run the method on every task of a data set: predictions, grades, figures and a report.

    Exit codes: 0 done, whatever the scores; 3 infrastructure failed for some tasks, or some could not be used; 5 a
    limit was reached; 8 some results were chosen at random, because no vote could be read; 2 wrong input; 6 a
    prerequisite is missing. The same command retries what failed and repeats nothing.
    """
    if dataset is None and options.from_lock is None:
        raise UsageError("name a data set, such as verified or rows.jsonl, or a run to repeat with --from-lock")
    lock = read_lock(options.from_lock) if options.from_lock is not None else None
    config = options.configuration(dataset or "", lock)
    if options.print_config:
        print_config(config)
    main_model(config)
    found = _dataset(dataset, options, config, lock)
    directory = sweep_directory(found, options, config)
    begun = None if options.redo else read_record(directory / "lock.json", Lock)
    pinned = found.at(_revision(found, lock) or _revision(found, begun))
    env = pinned.open()
    chosen = run_interruptibly(choose(env, options.choice(lock), grading=config.grade))
    _check_flags(config, chosen.tasks)
    data = LockedData(name=found.name, env=found.env, options=shareable(found.options))
    work = lock_of(data, config.identity(), env, chosen.tasks)
    if lock is not None:
        hold_to(lock, work)
    if options.redo:
        set_aside(directory)
    request = RunRequest(
        command="sweep",
        directory=directory,
        config=config,
        env=env,
        tasks=chosen.tasks,
        left_out=chosen.left_out,
        extend=True,
        images=ImageKeeper(pull=options.pull, prune=options.prune_images, say=say),
        work=work,
        repeats=lock,
    )
    everywhere = pinned.at(work.data.revision if work.data is not None else "")
    executor = open_executor(options.executor, everywhere, pull=options.pull, prune=options.prune_images)
    hand_over(play_session(request, options, executor.play), options, chosen.left_out)


def _dataset(name: str | None, options: SweepOptions, config: HeatsConfig, lock: Lock | None) -> Dataset:
    """The data set that was named, or the lock's; its options, where none are given, are the lock's.

    Raises:
        UsageError: there is no such file or directory, or no data set was named.
    """
    given = {**({"split": options.split} if options.split else {}), **read_options(options.option or ())}
    held = lock.data if lock is not None else None
    if held is None and lock is not None:
        raise UsageError("--from-lock: this lock names no data set")
    if held is not None and options.executor != "local":
        raise UsageError("--from-lock works with --executor local only")
    if name is None and held is not None:
        return Dataset(name=held.name, env=held.env, options={**held.options, **given})
    kept = {key: value for key, value in (held.options if held is not None else {}).items() if key not in PLACES}
    return find_dataset(name or "", {**kept, **given}, image=config.sandbox.image)


def _revision(found: Dataset, lock: Lock | None) -> str:
    """The revision of the data set in a lock; empty if the lock's data set is another one."""
    held = lock.data if lock is not None else None
    return held.revision if held is not None and held.options.get("source") == found.options.get("source") else ""


def shareable(options: Mapping[str, Any]) -> dict[str, Any]:
    """A data set's options without values that may be secret."""
    return {key: value for key, value in options.items() if key not in _SECRETS}


def _check_flags(config: HeatsConfig, tasks: Sequence[Task]) -> None:
    """Refuse flags that would have no effect on any of the tasks.

    Raises:
        UsageError
    """
    if config.within_timeout and all(task.agent_timeout_s is None for task in tasks):
        raise UsageError("--within-timeout: no task has an agent timeout (Harbor tasks do)")
    if config.keep_state != "none" and all(task.submission != "state" for task in tasks):
        raise UsageError("--keep-state: no task is graded by its end state (Harbor tasks are)")


def sweep_directory(found: Dataset, options: RunOptions, config: HeatsConfig) -> Path:
    """`--out`, or a directory named after data set and configuration, regardless of the selected tasks.

    Args:
        found: the data set.
        options: shared options, for the directory.
        config: the resolved configuration.
    """
    if options.out is not None:
        return options.out
    identity = json.dumps([found.env, dict(found.options), config.identity()], sort_keys=True, default=str)
    return Path("runs") / f"sweep-{slug(found.name)}-{sha256(identity.encode()).hexdigest()[:8]}"


def hand_over(session: Session, options: RunOptions, left_out: Mapping[str, str]) -> None:
    """Write predictions and report, print the figures, and exit with the run's code.

    Args:
        session: the finished run.
        options: shared options, for the output format.
        left_out: tasks that could not be used, with the reasons.
    """
    store, directory = session.store, session.store.directory
    figures = RunFigures.of(store)
    predictions = export_preds(store, directory)
    report = write_report(store, directory / "report.html")
    code = exit_code(session.results, figures, left_out)
    if options.json:
        print_json({**as_json(session, figures, predictions, report), "left_out": left_out_rows(left_out)})
    else:
        typer.echo(sweep_text(figures, session.results, SHOWN_TASKS, left_out))
        typer.echo(f"preds    {predictions[0]}")
        typer.echo(f"report   {report}")
    raise typer.Exit(code)


def as_json(session: Session, figures: RunFigures, predictions: Sequence[Path], report: Path) -> dict[str, Any]:
    """The figures, how each task ended, and where all files are.

    Args:
        session: the finished run.
        figures: its figures.
        predictions: paths of the predictions.
        report: path of the report.
    """
    return {
        **figures.as_dict(),
        "counts": counts(session.results),
        "results": [result.model_dump(mode="json", include=_TOLD) for result in session.results],
        "run_dir": str(session.store.directory),
        "predictions": [str(path) for path in predictions],
        "report": str(report),
    }


_TOLD = {"task", "status", "cause", "detail", "selected", "patch_sha256", "by_chance"}


def exit_code(results: Sequence[TaskResult], figures: RunFigures, left_out: Mapping[str, str]) -> ExitCode:
    """The exit code that tells a script what to do: nothing, rerun, raise a limit, or look at what was left out.

    Args:
        results: results of the tasks.
        figures: the run's figures.
        left_out: tasks that could not be used, with the reasons.
    """
    causes = {result.cause for result in results if result.status == "error"}
    if "internal" in causes:
        return ExitCode.INTERNAL
    if causes or figures.invalid_grades:
        return ExitCode.INFRASTRUCTURE
    if any(result.status == "budget" for result in results):
        return ExitCode.BUDGET
    if left_out:
        return ExitCode.INFRASTRUCTURE
    return ExitCode.UNHEARD if any(result.by_chance for result in results) else ExitCode.DONE
