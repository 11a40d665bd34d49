"""Rows whose results are read by a program of their data set's own: SWE-bench Pro and SWE-bench-Live's other languages.

The program is code that the data set brings along. It never runs on the host: it gets a run's output in a fresh sandbox
of the task's image, which code under test has not touched.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.textfile import read_text
from envs.base import TestOutcome
from envs.errors import SetupFailed, TaskError
from envs.gitscripts import describe, scratch_path
from sandbox.base import Sandbox
from sandbox.errors import FileAccessError

_RESULT_BYTES = 16 << 20
_PROGRAM_S = 300.0
_NO_PYTHON = 97
_WRAPPER = """

if __name__ == "__main__":
    import json as _json, sys as _sys
    with open(_sys.argv[1], encoding="utf-8", errors="replace") as _file:
        _found = parser(_file.read())
    with open(_sys.argv[3], "w", encoding="utf-8") as _file:
        _json.dump(_found, _file)
"""
_ENDS: Mapping[str, TestOutcome] = {
    **dict.fromkeys(("pass", "passed", "xfail"), "passed"),
    **dict.fromkeys(("fail", "failed", "xpass"), "failed"),
    **dict.fromkeys(("skip", "skipped", "pending"), "skipped"),
    "error": "error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A data set's own way to run tests and to read their output.

    Attributes:
        source: Python; called with the files of the run's output, of its errors, and for the result.
        run: shell script that runs the tests, to be put into the sandbox; empty if the row has commands instead.
        arguments: the script's arguments.
    """

    source: str
    run: str = ""
    arguments: tuple[str, ...] = ()

    def command(self, script: str, errors: str) -> str:
        """The command that runs the tests, with errors in a file of their own as the program expects them."""
        return f"bash {shlex.join([script, *self.arguments])} 2>{shlex.quote(errors)}"


def program_of(log_parser: str) -> Program | None:
    """The program that a row holds in place of a parser's name; None if it does not."""
    return Program(source=log_parser.rstrip() + _WRAPPER) if "def parser(" in log_parser else None


def read_scripts(folder: Path, instance: str, files: Sequence[str]) -> Program:
    """The scripts that SWE-bench Pro keeps for each instance, in `run_scripts` of its repository.

    Args:
        folder: that folder, or the repository.
        instance: id of the instance.
        files: test files to run; all if there are none.

    Raises:
        TaskError: there are none for this instance.
    """
    places = [folder / "run_scripts" / instance, folder / instance]
    found = next((one for one in places if (one / "run_script.sh").is_file()), None)
    if found is None or not (found / "parser.py").is_file():
        raise TaskError(f"{instance}: {folder} has no run_script.sh and parser.py for it")
    try:
        return Program(
            source=read_text(found / "parser.py"),
            run=read_text(found / "run_script.sh"),
            arguments=(",".join(files),) if files else (),
        )
    except (OSError, ValueError) as error:
        raise TaskError(f"{instance}: its scripts in {folder} cannot be read: {error}") from None


async def read_by_program(sandbox: Sandbox, program: Program, output: str, errors: str) -> dict[str, TestOutcome]:
    """Let a program read a run's output.

    Args:
        sandbox: fresh sandbox of the task's image.
        program: the data set's program.
        output: what the tests printed.
        errors: what they printed as errors.

    Returns:
        Outcomes by test; empty if the program could not read the output.

    Raises:
        SetupFailed: the image has no Python to run the program.
        SandboxError
    """
    names = {name: scratch_path(f".{name}") for name in ("py", "out", "err", "json")}
    for name, text in (("py", program.source), ("out", output), ("err", errors)):
        await sandbox.write_file(names[name], text.encode("utf-8", "surrogatepass"))
    words = shlex.join([names[name] for name in ("py", "out", "err", "json")])
    command = (
        f'PYTHON=$(command -v python3 || command -v python) || exit {_NO_PYTHON}; cd /tmp && exec "$PYTHON" {words}'
    )
    result = await sandbox.exec(f"sh -c {shlex.quote(command)}", timeout=_PROGRAM_S, merge_stderr=True)
    if result.exit_code == _NO_PYTHON:
        raise SetupFailed(f"the image has no Python to run the data set's parser: {describe(result)}")
    try:
        return outcomes(await sandbox.read_file(names["json"], max_bytes=_RESULT_BYTES))
    except FileAccessError:
        return {}


def outcomes(data: bytes) -> dict[str, TestOutcome]:
    """What a program wrote: outcomes by test, or a list of tests with names and statuses."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    listed = found.get("tests") if isinstance(found, dict) else None
    if isinstance(listed, list):
        pairs = [(one.get("name"), one.get("status")) for one in listed if isinstance(one, dict)]
    else:
        pairs = list(found.items()) if isinstance(found, dict) else []
    return {str(name): _ENDS[end] for name, status in pairs if (end := str(status).lower()) in _ENDS}
