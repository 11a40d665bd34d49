"""`heats solve`: one repository and one issue in, one verified patch out."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from core.sanitize import for_screen
from envs.base import TestReport
from heats.cli.issue import read_issue
from heats.cli.options import TestOptions, spread
from heats.cli.session import Session, exit_code, print_config, print_json, run_session, say
from heats.cli.source import open_source
from heats.config import HeatsConfig
from heats.errors import InfrastructureFailed, PreflightFailed
from heats.report.account import account
from heats.report.report import write_report
from heats.runner.model_mix import main_model
from heats.store.files import write_bytes

FILE_NAME = re.compile(r"\S+\.(md|markdown|rst|txt|jsonl?)")
"""Input that is not an issue's text: a mistyped file name must not be solved as one."""


@spread
def solve(
    *,
    repo: Annotated[Path, typer.Option("--repo", help="Git repository; only its committed tree is used.")],
    issue: Annotated[str, typer.Option("--issue", help="Issue: a file, the text itself, or - for stdin.")],
    test: Annotated[
        str | None,
        typer.Option("--test", help="Test command that fails now and should pass. Without it there is no verdict."),
    ] = None,
    setup: Annotated[
        str | None, typer.Option("--setup", help="Set-up command; runs once, and all sandboxes start from its result.")
    ] = None,
    base: Annotated[str, typer.Option("--base", help="Commit, branch or tag to start from.")] = "HEAD",
    allow_passing: Annotated[bool, typer.Option("--allow-passing", help="Continue if the tests already pass.")] = False,
    options: TestOptions,
) -> None:
    """Fix one issue in one repository and return one verified patch; stop as soon as there is one.

    -c policy.name=fixed plays all attempts and heats, as do settings that compare attempts by further tests:
    cross_execution=on, regression=on and execution.test_writers.

    Exit codes: 0 verified; 7 passes the tests but is not confirmed; 4 neither; 8 neither, and chosen at random
    because no vote could be read; 3 infrastructure failed; 5 a limit was reached; 2 wrong input; 6 a prerequisite is
    missing, or the tests do not work on the untouched tree.
    """
    given = {"allow_passing": True} if allow_passing else {}
    config = options.load(given)
    if not _compares_all(config):
        config = options.load({"policy.name": "first-verified", **given})
    if options.print_config:
        print_config(config)
    main_model(config)
    env = open_source(repo, read_issue(issue), options, config, test=test, setup=setup, base=base)
    if env.task.test_command is None and env.task.setup is None:
        say(f"note: no --test, so nothing is verified: `heats check {repo}` finds out how the tests run")
    session = run_session("solve", options, config, env)
    hand_over(session, options)


def _compares_all(config: HeatsConfig) -> bool:
    """Whether attempts are compared by tests other than the user's, so that the first verified one is not enough."""
    return True in (config.cross_execution, config.regression) or config.execution.test_writers > 0


def hand_over(session: Session, options: TestOptions) -> None:
    """Write patch, account and report to the run directory, print the result, and exit with its code."""
    result = session.results[0]
    if result.status == "error":
        if options.json:
            print_json(as_json(session, None))
        raise PreflightFailed(result.detail) if result.cause == "task" else InfrastructureFailed(result.detail)
    directory = session.store.directory
    files = session.store.task(result.task)
    patch_path: Path | None = None
    if result.selected is not None and result.patch_sha256:
        patch_path = directory / "patch.diff"
        write_bytes(patch_path, files.rollout(result.selected).patch().data, mode=0o644)
    text = account(session.store, result.task)
    write_bytes(directory / "account.md", text.encode(), mode=0o644)
    write_report(session.store, directory / "report.html")
    write_bytes(directory / "result.json", result.model_dump_json(indent=1).encode() + b"\n", mode=0o644)
    if options.json:
        print_json(as_json(session, patch_path))
    else:
        typer.echo(f"{result.status}: {for_screen(result.detail)}")
        if patch_path is not None:
            typer.echo(f"patch    {patch_path}")
        typer.echo(f"account  {directory / 'account.md'}")
        typer.echo(f"report   {directory / 'report.html'}")
    raise typer.Exit(exit_code(result))


def as_json(session: Session, patch: Path | None) -> dict[str, Any]:
    """The result as one JSON object; see docs/solve.md for its fields."""
    result = session.results[0]
    evidence = result.evidence
    before = session.store.task(result.task).baseline()
    return {
        "status": result.status,
        "detail": result.detail,
        "patch": str(patch) if patch else None,
        "base_commit": result.base_commit,
        "tests_before": _tests(before),
        "tests_after": _tests(evidence.after if evidence else None),
        "strength": evidence.strength if evidence else "none",
        "strength_reasons": list(evidence.strength_reasons) if evidence else [],
        "fixed": list(evidence.fixed) if evidence else [],
        "broken": list(evidence.broken) if evidence else [],
        "rollouts": [_rollout(session, result.task, rollout) for rollout in result.rollouts],
        "selected": result.selected,
        "by_chance": result.by_chance,
        "ledger": result.usage.model_dump(),
        "run_dir": str(session.store.directory),
    }


def _rollout(session: Session, task: str, rollout: str) -> dict[str, Any]:
    outcome = session.store.task(task).rollout(rollout).outcome()
    if outcome is None:
        return {"id": rollout, "exit": None}
    fields = outcome.model_dump(
        mode="json",
        include={"exit", "detail", "steps", "duration_s", "patch_sha256", "usage", "error", "rejected", "notes"},
    )
    return {"id": rollout, **fields}


def _tests(report: TestReport | None) -> dict[str, Any] | None:
    if report is None:
        return None
    counts = {outcome: len(report.ids(outcome)) for outcome in ("passed", "failed", "error", "skipped")}
    return {"command": report.command, "status": report.status, "exit_code": report.exit_code, **counts}
