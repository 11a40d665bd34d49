"""`heats select`: the tournament over existing attempts from any tool."""

import dataclasses
import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from agents.llm.ledger import Ledger
from core.sanitize import for_screen, one_line
from core.textfile import decode, json_lines
from envs import RepositoryEnv
from heats.cli.issue import read_issue
from heats.cli.options import RunOptions, TasksFrom, TestOptions, spread_without
from heats.cli.session import (
    EXIT_BY_STATUS,
    Session,
    exit_code,
    left_out_rows,
    print_config,
    print_json,
    run_directory,
)
from heats.cli.source import open_source
from heats.config import HeatsConfig
from heats.errors import ExitCode, InfrastructureFailed, PreflightFailed, UsageError
from heats.export.predictions import export_preds
from heats.importing.read import read_attempts
from heats.importing.select import AttemptsEnv, Contest, make_contests, play_selection
from heats.importing.tasks import at_tasks
from heats.report.judge_bias import judge_line
from heats.report.ranking import Place, ranking, ranking_text
from heats.report.report import write_report
from heats.runner.model_mix import main_model
from heats.runner.run import RunRequest
from heats.signals import run_interruptibly
from heats.store.files import write_bytes
from heats.store.records import TaskResult
from heats.store.store import RunStore
from heats.sweep.summary import left_out_lines
from heats.view.live import open_display
from tournament.position_bias import position_report
from tournament.registry import needs_model

SHOWN_TASKS = 20


class View(StrEnum):
    """What judges see of each attempt."""

    SUMMARY = "summary"
    TRAJECTORY = "trajectory"
    PATCH = "patch"
    EVIDENCE = "summary+evidence"
    CHANGE = "summary+change+evidence"
    PROBE = "probe"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectOptions(TestOptions):
    """Options of `heats select`, besides its input and the shared options."""

    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            "-i",
            help="Use only this task; repeatable. A single task also applies to attempts that name none.",
        ),
    ] = None
    tasks_from: TasksFrom = None


@spread_without("agent", "rollouts", "iterations")
def select(
    *,
    attempts: Annotated[
        list[Path],
        typer.Argument(
            help="Trajectories and logs of many tools, patches, predictions (preds.json, *.jsonl), heats runs, or "
            "directories of these.",
            show_default=False,
        ),
    ],
    issue: Annotated[
        str | None,
        typer.Option(
            "--issue",
            help="Issue: a file, the text itself, -, or .json(l) rows with instance_id and problem_statement.",
        ),
    ] = None,
    view: Annotated[
        View | None,
        typer.Option("--view", help="What judges see; default summary+change+evidence, or patch without a trajectory."),
    ] = None,
    repo: Annotated[
        Path | None,
        typer.Option("--repo", help="Repository in which tests run on every attempt's patch: --test, else its own."),
    ] = None,
    test: Annotated[str | None, typer.Option("--test", help="Test command; its results outrank votes.")] = None,
    setup: Annotated[
        str | None, typer.Option("--setup", help="Set-up command; runs once, and all sandboxes start from its result.")
    ] = None,
    base: Annotated[str, typer.Option("--base", help="Commit, branch or tag that the patches apply to.")] = "HEAD",
    options: SelectOptions,
) -> None:
    """Choose among existing attempts: a tournament without rollouts.

    Attempts are grouped by task, and each task has its own tournament. --select-k sets how many are marked as kept (1).
    Exit codes: 0 selected, and verified if tests were run; 7 the winner passes the tests but is not confirmed; 4 it
    does not pass; 8 chosen at random, because no vote could be read; 3 selected, but some attempts could not be read;
    2 wrong input; 6 a prerequisite is missing, or the tests do not work on the untouched tree.
    """
    if repo is None and test is not None:
        raise UsageError("--test needs --repo: the tests run in the repository with each patch applied")
    reading = read_attempts(attempts)
    named = at_tasks(reading.attempts, options.tasks or (), options.tasks_from, nameless=True)
    if not named:
        raise UsageError(f"--task: no attempt is at {', '.join(options.tasks or ())}")
    texts = _issues(issue)
    contests = make_contests(named, None if issue is None or texts else read_issue(issue), texts)
    left_out = {one.source: one.reason for one in reading.left_out}
    config = _configure(options, contests, view)
    contests = _with_issue(config, contests, left_out)
    if options.print_config:
        print_config(config)
    _check(config, contests)
    env = AttemptsEnv(contests, _repository(repo, test, setup, base, config, contests, options))
    _hand_over(_run(options, config, env, contests, left_out), contests, options, left_out)


def _issues(issue: str | None) -> dict[str, str]:
    """Texts by task id from a file of rows; empty for anything else."""
    if issue is None or not issue.endswith((".json", ".jsonl")) or not Path(issue).is_file():
        return {}
    try:
        data = Path(issue).read_bytes()
        lines = issue.endswith(".jsonl")
        rows = [row for _, row in json_lines(data)] if lines else json.loads(decode(data))
        texts = {
            str(row["instance_id"]): str(row["problem_statement"])
            for row in rows
            if isinstance(row, Mapping) and {"instance_id", "problem_statement"} <= set(row)
        }
        if not texts:
            raise ValueError
        return texts
    except (ValueError, LookupError, TypeError):
        raise UsageError(f"--issue {issue}: expected rows with instance_id and problem_statement") from None
    except OSError as error:
        raise UsageError(f"--issue {issue}: {error.strerror}") from None


def _configure(options: RunOptions, contests: list[Contest], view: View | None) -> HeatsConfig:
    defaults: dict[str, Any] = {"iterations": 1, "select_k": 1, "allow_passing": True}
    defaults["rollouts"] = max(len(contest.attempts) for contest in contests)
    if not any(one.trajectory for contest in contests for one in contest.attempts):
        defaults["tournament.judge.view"] = View.PATCH.value
    if view is not None:
        options = dataclasses.replace(options, config=[*(options.config or ()), f"tournament.judge.view={view.value}"])
    config = options.load(defaults)
    if config.model is None and not needs_model(config.tournament):
        return options.load(defaults | {"model.name": "builtin:repair"})  # opened, but never called
    return config


def _with_issue(config: HeatsConfig, contests: list[Contest], left_out: dict[str, str]) -> list[Contest]:
    """Contests that can be judged. Those whose task text is unknown are left out, unless none would remain."""
    if not needs_model(config.tournament):
        return contests
    kept = [contest for contest in contests if contest.statement.strip()]
    if kept:
        left_out |= {
            one.id: "no issue: give --issue; the attempts do not contain it" for one in contests if one not in kept
        }
    return kept or contests


def _check(config: HeatsConfig, contests: list[Contest]) -> None:
    if config.iterations != 1:
        raise UsageError("iterations must be 1: heats select runs no further heat")
    asked = needs_model(config.tournament)
    for contest in contests:
        if asked and not contest.statement.strip():
            which = f" of {contest.id}" if len(contests) > 1 else ""
            raise UsageError(f"--issue is needed: the input does not say what the attempts{which} were meant to solve")
        bare = next((one for one in contest.attempts if one.trajectory is None), None)
        if asked and config.tournament.judge.view == "trajectory" and bare is not None:
            raise UsageError(f"--view trajectory: {bare.source} has no trajectory")
    main_model(config)


def _repository(
    repo: Path | None,
    test: str | None,
    setup: str | None,
    base: str,
    config: HeatsConfig,
    contests: list[Contest],
    options: TestOptions,
) -> RepositoryEnv | None:
    if repo is None:
        if setup is not None:
            raise UsageError("--setup needs --repo")
        if base != "HEAD":
            raise UsageError("--base needs --repo")
        return None
    if len(contests) > 1:
        raise UsageError(
            f"--repo names one repository, but the attempts are at {len(contests)} tasks: choose one with --task"
        )
    issue = contests[0].statement.strip() or "selection"
    return open_source(repo, issue, options, config, test=test, setup=setup, base=base)


def _run(
    options: RunOptions,
    config: HeatsConfig,
    env: AttemptsEnv,
    contests: list[Contest],
    left_out: Mapping[str, str],
) -> Session:
    directory = run_directory("select", options, config, env)
    ledger = Ledger("run", config.limits.run)
    with open_display(options.progress, ledger=lambda: ledger.spent) as display:
        request = RunRequest(
            command="select",
            directory=directory,
            config=config,
            env=env,
            listeners=(display,),
            ledger=ledger,
            sandboxes=env.repository is not None,
            left_out=left_out,
        )
        results = run_interruptibly(play_selection(request, contests))
    return Session(RunStore(directory), config, tuple(results))


def _hand_over(session: Session, contests: list[Contest], options: RunOptions, left_out: Mapping[str, str]) -> None:
    """Write the winners' patches, predictions, ranking and report, print the result, and exit with its code."""
    store, directory = session.store, session.store.directory
    paths = {"preds": export_preds(store, directory)[0], "report": write_report(store, directory / "report.html")}
    if len(contests) == 1 and (chosen := session.results[0]).selected and chosen.patch_sha256:
        data = store.task(chosen.task).rollout(chosen.selected).patch().data
        paths["patch"] = directory / "patch.diff"
        write_bytes(paths["patch"], data, mode=0o644)
    places = {
        contest.id: ranking(store.task(contest.id), {name: one.source for name, one in contest.named()})
        for contest in contests
    }
    told = [_as_json(session, result, places[result.task]) for result in session.results]
    whole = {**{key: str(path) for key, path in paths.items()}, "tasks": told, "left_out": left_out_rows(left_out)}
    whole["run_dir"] = str(directory)
    write_bytes(directory / "ranking.json", json.dumps(whole, indent=1).encode() + b"\n", mode=0o644)
    if options.json:
        print_json(whole)
    elif len(session.results) > 1 or session.results[0].status != "error":
        _tell(session, places, paths, left_out)
    raise typer.Exit(_exit_code(session.results, left_out))


def _as_json(session: Session, result: TaskResult, places: list[Place]) -> dict[str, Any]:
    bracket = session.store.task(result.task).directory / "heat-0" / "tournament.json"
    return {
        "task": result.task,
        "status": result.status,
        "detail": result.detail,
        "strength": result.evidence.strength if result.evidence else "none",
        "strength_reasons": list(result.evidence.strength_reasons) if result.evidence else [],
        "selected": places[0].source if result.selected and places else None,
        "by_chance": result.by_chance,
        "ranking": [dataclasses.asdict(place) for place in places],
        "bracket": str(bracket) if bracket.exists() else None,
        "judge": _judge(session, result),
        "ledger": result.usage.model_dump(),
    }


def _judge(session: Session, result: TaskResult) -> dict[str, Any] | None:
    """What the votes say about the judge."""
    bracket = session.store.task(result.task).bracket(0)
    if bracket is None:
        return None
    report = position_report(bracket)
    return {**report.model_dump(), "consistency": report.consistency, "p_value": report.p_value}


def _tell(
    session: Session, places: dict[str, list[Place]], paths: dict[str, Path], left_out: Mapping[str, str]
) -> None:
    for result in session.results[:SHOWN_TASKS]:
        found = places[result.task]
        first = f"{one_line(found[0].source, 200)} selected; " if found and result.selected else ""
        bracket = session.store.task(result.task).bracket(0)
        typer.echo(f"{one_line(result.task, 80)}: {first}{for_screen(result.detail)}\n{ranking_text(found)}")
        typer.echo(f"{judge_line(bracket)}\n" if bracket is not None and judge_line(bracket) else "")
    if len(session.results) > SHOWN_TASKS:
        typer.echo(f"and {len(session.results) - SHOWN_TASKS} more tasks, all in ranking.json\n")
    if len(session.results) == 1:
        paths = {"bracket": session.store.task(session.results[0].task).directory / "heat-0/tournament.json", **paths}
    for line in left_out_lines(left_out, "attempt"):
        typer.echo(line)
    for name in ("patch", "bracket", "preds", "report"):
        if name in paths and paths[name].exists():
            typer.echo(f"{name:8} {paths[name]}")


def _exit_code(results: tuple[TaskResult, ...], left_out: Mapping[str, str]) -> int:
    """Without tests, a selection is all that was asked for; with tests, it has to be verified."""
    failed = [result for result in results if result.status in ("error", "budget")]
    if len(results) == 1 and failed and failed[0].status == "error":
        detail = failed[0].detail
        raise PreflightFailed(detail) if failed[0].cause == "task" else InfrastructureFailed(detail)
    if failed:
        return EXIT_BY_STATUS[failed[0].status]
    if any(exit_code(result) == ExitCode.UNHEARD for result in results):
        return ExitCode.UNHEARD
    if any(result.evidence is not None for result in results):
        ends = {EXIT_BY_STATUS[result.status] for result in results}
        for end in (ExitCode.NOT_VERIFIED, ExitCode.PASSES):
            if end in ends:
                return end
    return ExitCode.INFRASTRUCTURE if left_out else ExitCode.DONE
