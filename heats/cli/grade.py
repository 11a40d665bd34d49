"""`heats grade`: grade predictions and runs with a data set's hidden tests."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from core.sanitize import one_line
from envs.base import Env, Grade
from heats.cli.options import TasksFrom, spread
from heats.cli.session import left_out_rows, print_json, telling
from heats.config import HeatsConfig, load_config
from heats.errors import ExitCode, UsageError
from heats.formatting import aligned, columns, several
from heats.importing.attempts import LeftOut
from heats.importing.read import read_attempts
from heats.importing.regrade import report_of, submissions
from heats.importing.tasks import at_tasks
from heats.runner.grading import Graded, Grader, Submission
from heats.signals import run_interruptibly
from heats.store.files import write_bytes
from heats.store.store import GradeStore, RunStore
from heats.sweep.dataset import TaskFilter, choose, find_dataset, read_options
from heats.sweep.summary import left_out_lines
from sandbox import open_backend

_TEST_ID = re.compile(r"::|\btest\w*\b|\(\w+(\.\w+)+\)", re.IGNORECASE)
_NAMING = ("do not pass", "not resolved", "other results")
"""Endings of reasons after which graders name tests."""
WORDS = {"pass": "resolved", "fail": "not resolved", "invalid": "not graded"}


class GraderName(StrEnum):
    """Graders of SWE-bench instances."""

    OWN = "own"
    OFFICIAL = "official"


@dataclass(frozen=True, kw_only=True)
class GradeOptions:
    """How `heats grade` grades, and where it writes."""

    grader: Annotated[
        GraderName | None, typer.Option("--grader", help="SWE-bench grader: own (default) or official.")
    ] = None
    swebench_python: Annotated[
        Path | None, typer.Option("--swebench-python", help="Python interpreter that has the swebench package.")
    ] = None
    image_template: Annotated[
        str | None,
        typer.Option(
            "--image-template", help="Image name of an instance, with {instance_id}, {repo} and {version} filled in."
        ),
    ] = None
    tasks_from: TasksFrom = None
    sandbox: Annotated[str | None, typer.Option("--sandbox", help="auto, docker or bubblewrap.")] = None
    workers: Annotated[int | None, typer.Option("--workers", "-w", min=1, help="Patches to grade in parallel.")] = None
    config: Annotated[
        list[str] | None, typer.Option("--config", "-c", help="YAML file, preset or key=value; repeatable.")
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Directory for grades; default grades/ in a run, PREDS.grades for predictions."
        ),
    ] = None
    redo: Annotated[bool, typer.Option("--redo", help="Grade again what already has a grade.")] = False
    show_tests: Annotated[bool, typer.Option("--show-tests", help="Print the names of hidden tests.")] = False
    json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False

    def for_env(self) -> dict[str, Any]:
        """The options that are passed to the env."""
        named = {
            "image_template": self.image_template,
            "grader": self.grader.value if self.grader else None,
            "swebench_python": str(self.swebench_python.absolute()) if self.swebench_python else None,
        }
        return {name: value for name, value in named.items() if value is not None}


@spread
def grade(
    *,
    attempts: Annotated[
        list[Path],
        typer.Argument(
            help="Predictions (preds.json, *.jsonl), heats runs, trajectories, logs, or directories of these.",
            show_default=False,
        ),
    ],
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", "-d", help="Data set, as for heats sweep; not needed for a run over the built-in tasks."
        ),
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Split of the data set, if it has several.")] = None,
    pattern: Annotated[
        str | None,
        typer.Option("--filter", help="Use only tasks whose id starts with a match of this regular expression."),
    ] = None,
    part: Annotated[
        str | None, typer.Option("--slice", help="Use only this Python slice of the remaining tasks, such as 0:50.")
    ] = None,
    tasks: Annotated[list[str] | None, typer.Option("--task", "-i", help="Use only this task; repeatable.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-O", help="key=value option of the data set's env; repeatable.")
    ] = None,
    options: GradeOptions,
) -> None:
    """Grade patches by the hidden tests of a data set. The same command resumes an interrupted run.

    Exit codes: 0 everything graded, whatever the grades; 3 infrastructure failed for some, or some could not be read
    or graded; 2 wrong input; 6 a prerequisite is missing.
    """
    for_env = {**({"split": split} if split else {}), **options.for_env(), **read_options(option or ())}
    settings = load_config(options.config or (), {"sandbox.backend": options.sandbox, "workers": options.workers})
    env = find_dataset(dataset or _dataset_of(attempts), for_env, image=settings.sandbox.image).open()
    choice = TaskFilter(only=tasks or (), pattern=pattern, part=part)
    chosen = run_interruptibly(choose(env, choice, grading=True))
    reading = read_attempts(attempts)
    named = at_tasks(reading.attempts, tasks or (), options.tasks_from)
    wanted, left_out = submissions(named, chosen.tasks, chosen.every, chosen.left_out)
    left_out = [*reading.left_out, *left_out]
    if not wanted:
        why = f" ({left_out[0].source}: {left_out[0].reason})" if left_out else ""
        raise UsageError(f"nothing to grade: no attempt belongs to a chosen task{why}")
    place = options.out or _place(attempts, str(for_env.get("grader", "own")))
    settings = settings.model_copy(update={"sandbox": settings.sandbox.hiding(place)})
    graded = run_interruptibly(_grade(env, settings, wanted, GradeStore(place), options.redo))
    ids = [task.id for task in chosen.tasks] + list(chosen.left_out)
    _hand_over(graded, report_of(graded, ids, left_out), left_out, place, options)


def _dataset_of(attempts: Sequence[Path]) -> str:
    envs = {RunStore(path).manifest.identity.get("env") for path in attempts if (path / "run.json").is_file()}
    if envs != {"demo"}:
        raise UsageError("--dataset is needed: the attempts do not say which data set they belong to")
    return "demo"


def _place(attempts: Sequence[Path], grader: str) -> Path:
    first = attempts[0] if attempts[0].name not in ("", "..") else attempts[0].resolve()
    if (first / "run.json").is_file():
        if len(attempts) > 1:
            raise UsageError("--out is needed: the attempts come from several places")
        return first / "grades"
    return first.with_name(f"{first.stem}.grades") / grader


async def _grade(
    env: Env, settings: HeatsConfig, wanted: Sequence[Submission], grades: GradeStore, redo: bool
) -> list[Graded]:
    backend = await open_backend(settings.sandbox)
    try:
        await backend.preflight(sorted({one.task.image for one in wanted if one.patch}))
        await backend.reap()
        workers = asyncio.Semaphore(settings.at_once)
        grader = Grader(
            env=env,
            backend=backend,
            grades=grades,
            slot=lambda: workers,
            retries=settings.retries.grading,
            redo=redo,
            limits=settings.sandbox.limits,
        )
        done: list[Graded] = []
        with telling(lambda: f"still grading: {len(done)} of {several(len(wanted), 'attempt')} done") as tell:

            def told(graded: Graded) -> None:
                done.append(graded)
                tell(_line(graded))

            return await grader.grade(wanted, told)
    finally:
        await backend.close()


def _line(graded: Graded) -> str:
    grade = graded.grade
    outcome = WORDS[grade.outcome] if grade else "nothing to grade by"
    if graded.gone:
        outcome += ", as before" if grade and grade.outcome != "invalid" else ""
        outcome += ": its end state was not kept, so it cannot be graded again (heats sweep --keep-state)"
    return f"{graded.submission.task.id}  {graded.submission.name}  {outcome}"


def _hand_over(
    graded: Sequence[Graded], report: dict[str, Any], left_out: Sequence[LeftOut], place: Path, options: GradeOptions
) -> None:
    write_bytes(place / "report.json", json.dumps(report, indent=1).encode() + b"\n", mode=0o644)
    reasons = {one.source: one.reason for one in left_out}
    if options.json:
        grades = [_row(one, options.show_tests) for one in graded]
        print_json({**report, "grades": grades, "left_out": left_out_rows(reasons), "grades_dir": str(place)})
    else:
        typer.echo(_table(graded, options.show_tests))
        submitted, resolved = report["submitted_instances"], report["resolved_instances"]
        typer.echo(f"\nresolved {resolved} of {submitted} submitted, of {several(report['total_instances'], 'task')}")
        for line in left_out_lines(reasons, "attempt"):
            typer.echo(line)
        typer.echo(f"grades   {place}")
    failed = any(one.grade is None or one.grade.outcome == "invalid" for one in graded)
    raise typer.Exit(ExitCode.INFRASTRUCTURE if failed or left_out else ExitCode.DONE)


def _row(one: Graded, show_tests: bool) -> dict[str, Any]:
    grade = one.grade
    tests = dict(grade.report.tests) if grade and grade.report else {}
    return {
        "task": one.submission.task.id,
        "name": one.submission.name,
        "source": one.submission.source,
        "patch_sha256": one.submission.patch.sha256,
        "outcome": grade.outcome if grade else None,
        "reason": _reason(grade, show_tests) if grade else "the env has nothing to grade by",
        "outcomes": dict(Counter(tests.values())),
        **({"tests": tests} if show_tests else {}),
    }


def _reason(grade: Grade, show_tests: bool) -> str:
    """The reason for a grade, without the names of hidden tests: seeing them spoils a benchmark for a developer."""
    said, colon, names = grade.reason.partition(": ")
    hidden = set(grade.report.tests) if grade.report else set()
    named = bool(hidden & set(names.split(", "))) or _TEST_ID.search(names) is not None or said.endswith(_NAMING)
    return said if colon and named and not show_tests else grade.reason


def _table(graded: Sequence[Graded], show_tests: bool) -> str:
    rows = [("task", "attempt", "grade", "tests", "why")]
    for one in graded:
        grade = one.grade
        tests = grade.report.tests if grade and grade.report else {}
        passed = sum(outcome == "passed" for outcome in tests.values())
        rows.append(
            (
                one_line(one.submission.task.id, 48),
                one_line(one.submission.name, 48),
                WORDS[grade.outcome] if grade else "not graded",
                f"{passed}/{len(tests)}" if tests else "-",
                one_line(_reason(grade, show_tests) if grade else "nothing to grade by", 100),
            )
        )
    return "\n".join(aligned(rows, columns(), cut=(4, 1, 0), middle=(0, 1)))
