"""Run a test command in a sandbox and read its results, test by test if possible.

Python's runners, `node --test` and mocha report through heats' own recorder, regardless of the command's options and of
what tests print. For other runners, results come from the report files they write or from their output; failing that,
from the exit code.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from envs.base import Task, TestOutcome, TestReport
from envs.conventions import is_javascript
from envs.recording import Recording, put_recorder, read_recording, test_files
from envs.reports import find_report, reporting
from sandbox.base import ExecResult, Sandbox

OUTPUT_TAIL = 8000
"""Number of trailing characters of output kept in a report."""
_PASSES = re.compile(r"^=+ PASSES =+\n(?:(?!=+ [^\n]* =+$)[^\n]*\n)*", re.MULTILINE)
_PASSED = re.compile(r"^PASSED \S[^\n]*\n", re.MULTILINE)


async def run_tests(sandbox: Sandbox, task: Task, command: str | None = None) -> TestReport:
    """Run a task's test command, or another command in its place.

    Args:
        sandbox: sandbox with the tree to test.
        task: the task, for its test command, folder and time limit.
        command: command to run instead of the task's.

    Raises:
        SandboxError
    """
    command = command or task.test_command or ""
    recorder = await put_recorder(sandbox, task.workdir, task.folder)
    asked = reporting(command, recorder.folder)
    result = await sandbox.exec(recorder.wrap(asked), timeout=task.test_timeout_s, cwd=task.runs_in, trusted_exit=True)
    await sandbox.kill_all()
    whole = result.stdout_total <= len(result.stdout)
    recording = await read_recording(result.stdout, recorder, whole=whole)
    report = _report(command, result, recording)
    if (recording.asked or not (report.tests or recording.started)) and result.status == "exited":
        found = await find_report(sandbox, task.workdir, recorder.folder, _output(result))
        report = report.model_copy(update=_together(report.tests, found))
    if any(is_javascript(path) for path in report.files):
        built = await _written(sandbox, task.workdir, report.files, f"{recorder.folder}/sitecustomize.py")
        places = {test: place for test, place in report.places.items() if place.file not in built}
        report = report.model_copy(update={"files": tuple(sorted({*report.files} - built)), "places": places})
    return report


async def _written(sandbox: Sandbox, workdir: str, paths: Sequence[str], before: str) -> set[str]:
    """Files that the test command wrote itself, such as tests compiled from TypeScript: nobody can plant tests there.

    Args:
        sandbox: the sandbox.
        workdir: directory of the tree.
        paths: files with tests, relative to `workdir`.
        before: a file that was written right before the command ran.
    """
    listed = b"".join(b"./" + path.encode("utf-8", "surrogateescape") + b"\0" for path in paths)
    script = f"xargs -0 -r sh -c 'find \"$@\" -prune -newer {before} -print0' x"
    found = await sandbox.exec(script, timeout=60, cwd=workdir, stdin=listed)
    names = found.stdout.decode("utf-8", "surrogateescape").split("\0")
    return {name.removeprefix("./") for name in names if name}


def _together(recorded: Mapping[str, TestOutcome], found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fields of a report on runners of which only some were recorded; such results are worth what the others' are."""
    if not recorded:
        return found
    return {"tests": {**found.get("tests", {}), **recorded}, "source": found.get("source", "file")}


def _report(command: str, result: ExecResult, recording: Recording) -> TestReport:
    status: str = result.status
    if result.status == "exited":
        status = "passed" if result.exit_code == 0 else "missing" if is_missing(command, result) else "failed"
    # Lines without a runner that started are forged: whoever wrote them ended the process before it did.
    tests = recording.tests if recording.whole and recording.started else {}
    shown = {test for test, outcome in tests.items() if outcome != "passed"}
    return TestReport.model_validate(
        {
            "command": command,
            "status": status,
            "exit_code": result.exit_code,
            "tests": tests,
            "output": tail_of(_output(result)),
            "duration_s": round(result.duration_s, 3),
            "source": "recorder" if recording.started and recording.whole else "",
            "runner": recording.runner,
            "ended": recording.ended,
            "collection_errors": recording.errors,
            "places": {test: place for test, place in recording.places.items() if test in shown},
            "files": test_files(tests, recording.places),
            "trusted": result.trusted,
        }
    )


def tail_of(output: str) -> str:
    """The last `OUTPUT_TAIL` characters of a run's output.

    What `pytest -rA` prints of tests that pass goes first if there is more, since it comes after the failures and would
    push them out.
    """
    if len(output) <= OUTPUT_TAIL:
        return output
    return _PASSED.sub("", _PASSES.sub("", output))[-OUTPUT_TAIL:]


def _output(result: ExecResult) -> str:
    return result.stderr.decode("utf-8", "replace")


def is_missing(command: str, result: ExecResult) -> bool:
    """True if the shell, or Python for `-m`, did not find what the command starts."""
    text = _output(result)
    if result.exit_code in (126, 127):
        word = first_word(command)
        found = re.search(
            rf"(^|[\s:]){re.escape(word)}: (command not found|not found|No such file or directory|Permission denied)",
            text,
        )
        return bool(word) and found is not None
    module = re.search(r"(?:^|\s)-m\s+([\w.]+)", command)
    return module is not None and bool(
        re.search(rf"python[\d.]*: No module named '?{re.escape(module[1])}'?$", text, re.MULTILINE)
    )


def first_word(command: str) -> str:
    """The program that a shell command starts, after variable assignments; empty if it cannot be determined."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        return ""
    return next((word for word in words if not re.match(r"^[A-Za-z_]\w*=", word)), "")
