"""Running a test command in a sandbox and reading what came out.

pytest reports through a JUnit file asked for by PYTEST_ADDOPTS, so that the user's own command is run as it stands;
unittest (and runners that print like it, such as Django's) is read from its text; everything else by its exit code.
"""

import re
import shlex
from collections.abc import Iterable, Mapping

from junitparser import Error, Failure, JUnitXml, JUnitXmlError, Skipped, TestCase, TestSuite

from envs.base import Task, TestOutcome, TestReport
from envs.gitscripts import scratch_path
from sandbox.base import ExecResult, Sandbox
from sandbox.errors import FileAccessError

OUTPUT_TAIL = 8000
"""Characters of output kept in a report."""

_WORST: tuple[TestOutcome, ...] = ("passed", "skipped", "failed", "error")
_UNITTEST_START = re.compile(r"^(?P<name>\w+) \((?P<where>\w+(?:\.\w+)+)\)")
_UNITTEST_END = re.compile(r"(?:^|\.\.\. )(?P<end>skipped .*|expected failure|unexpected success)$")
_UNITTEST_HEADING = re.compile(r"^(?P<kind>FAIL|ERROR): (?P<name>\w+) \((?P<where>[\w.]+)\)")
_UNITTEST_RAN = re.compile(r"^Ran (\d+) tests? in [\d.]+s$", re.MULTILINE)
_UNITTEST_COMMAND = re.compile(r"(-m\s+unittest)(\s+discover)?(?=\s|$)")


async def run_tests(
    sandbox: Sandbox, task: Task, command: str | None = None, *, addopts: Iterable[str] = ()
) -> TestReport:
    """Run a task's test command, or another one in its place.

    Args:
        command: instead of the task's own.
        addopts: further options for pytest, where the command runs pytest.

    Raises:
        SandboxError
    """
    command = command or task.test_command or ""
    junit = scratch_path(".xml")
    options = [task.env.get("PYTEST_ADDOPTS", ""), *addopts, f"--junitxml={junit}", "-o", "junit_family=xunit1"]
    env = {"PYTEST_ADDOPTS": " ".join(option for option in options if option)}
    result = await sandbox.exec(
        verbose(command), timeout=task.test_timeout_s, cwd=task.workdir, env=env, merge_stderr=True, trusted_exit=True
    )
    await sandbox.kill_all()
    tests: Mapping[str, TestOutcome] = {}
    if result.status == "exited":
        try:
            tests = parse_junit(await sandbox.read_file(junit, max_bytes=32 << 20))
        except FileAccessError:
            tests = {} if result.stdout_total > len(result.stdout) else parse_unittest(result.text())
        await sandbox.exec(f"rm -f {junit}", timeout=60)
    return _report(command, result, tests)


def _report(command: str, result: ExecResult, tests: Mapping[str, TestOutcome]) -> TestReport:
    output = result.text()
    status: str = result.status
    if result.status == "exited":
        status = "passed" if result.exit_code == 0 else "missing" if is_missing(command, result) else "failed"
    return TestReport.model_validate(
        {
            "command": command,
            "status": status,
            "exit_code": result.exit_code,
            "tests": tests,
            "output": output[-OUTPUT_TAIL:],
            "duration_s": round(result.duration_s, 3),
            "trusted": result.trusted,
        }
    )


def verbose(command: str) -> str:
    """The command, with `-v` where it runs unittest: without it unittest does not say which tests passed."""
    if re.search(r"\s(-q|--quiet|-v|--verbose)(\s|$)", command):
        return command
    return _UNITTEST_COMMAND.sub(r"\1\2 -v", command, count=1)


def is_missing(command: str, result: ExecResult) -> bool:
    """True when the shell, or Python for `-m`, did not find what the command is about to run."""
    text = result.text()
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
    """The program that a shell command starts with, after variable assignments; empty where it cannot be told."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        return ""
    return next((word for word in words if not re.match(r"^[A-Za-z_]\w*=", word)), "")


def parse_junit(data: bytes) -> dict[str, TestOutcome]:
    """Outcomes by pytest's node id (`tests/test_a.py::TestX::test_y[1]`); empty for what is no JUnit file.

    The file is written by code under test: document types, which could blow it up, are refused.
    """
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        return {}
    try:
        suites = JUnitXml.fromstring(data)
        cases = [case for suite in suites for case in (suite if isinstance(suite, TestSuite) else [suite])]
    except (JUnitXmlError, SyntaxError, ValueError, TypeError, AttributeError):
        return {}
    tests: dict[str, TestOutcome] = {}
    for case in cases:
        name, outcome = _node_id(case), _outcome(case)
        tests[name] = max(outcome, tests.get(name, "passed"), key=_WORST.index)
    return tests


def _outcome(case: TestCase) -> TestOutcome:
    kinds = [type(result) for result in case.result]
    if Error in kinds:
        return "error"
    if Failure in kinds:
        return "failed"
    return "skipped" if Skipped in kinds else "passed"


def _node_id(case: TestCase) -> str:
    file = case._elem.get("file") or ""
    classname, name = case.classname or "", case.name or ""
    module = re.sub(r"\.py$", "", file).replace("/", ".")
    if not file:
        return f"{classname}::{name}" if classname else name
    if not classname:
        return name  # a file that could not be collected: its name is the module's
    chain = classname.removeprefix(module).strip(".") if classname.startswith(module) else ""
    return "::".join(part for part in (file, chain.replace(".", "::"), name) if part)


def parse_unittest(text: str) -> dict[str, TestOutcome]:
    """Outcomes by dotted id (`tests.test_a.TestA.test_x`) from unittest's text; empty for any other text.

    A test that was started, and is not named as failed or skipped once the run was counted, passed: what tests print
    may stand between a test's name and its `ok`. Without `-v` only failures are named, and only those are returned.
    """
    if not _UNITTEST_RAN.search(text):
        return {}
    tests: dict[str, TestOutcome] = {}
    current = ""
    for line in text.splitlines():
        if started := _UNITTEST_START.match(line):
            current = _dotted(started["name"], started["where"])
            tests.setdefault(current, "passed")
        if current and (ended := _UNITTEST_END.search(line)):
            tests[current] = "failed" if ended["end"].startswith("unexpected") else "skipped"
        elif heading := _UNITTEST_HEADING.match(line):
            current = ""
            tests[_dotted(heading["name"], heading["where"])] = "failed" if heading["kind"] == "FAIL" else "error"
    return tests


def _dotted(name: str, where: str) -> str:
    """Python 3.11 and later write the test's name in the brackets too."""
    return where if where.endswith("." + name) else f"{where}.{name}"
