"""How to run an instance's tests: by the row's evaluation script, or by its test command."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.diff import DiffSyntaxError, parse_diff, touched
from envs.base import TestOutcome
from envs.errors import TaskError
from envs.gitscripts import scratch_path
from envs.swebench import languages, logs, printed
from envs.swebench.foreign import Program
from envs.swebench.logs import (
    BY_REPOSITORY,
    Parser,
    parse_django,
    parse_matplotlib,
    parse_pytest,
    parse_pytest_options,
    parse_sympy,
)
from envs.swebench.rows import Instance
from envs.swebench.shapes import with_files

PARSERS: Mapping[str, Parser] = {**logs.PARSERS, **languages.PARSERS, **printed.PARSERS}
"""All parsers, by the names that rows use."""

START = ">>>>> Start Test Output"
END = ">>>>> End Test Output"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and how to parse the output.

    Attributes:
        before: script lines that run first: put the test files in place, install, and activate. Empty for rows with a
            test command, whose test files the grader puts in place itself.
        commands: the test commands.
        parser: reads the output, unless `program` does.
        restore: test files of the base to restore before the test patch is applied.
        added: test files that the test patch adds.
        build: commands that run right before the tests, with the test files in place.
        program: the data set's own program that reads the output.
        run_script, errors: paths in the sandbox of the program's script and of what the tests print as errors.
    """

    before: tuple[str, ...]
    commands: tuple[str, ...]
    parser: Parser
    restore: tuple[str, ...]
    added: tuple[str, ...]
    build: tuple[str, ...] = ()
    program: Program | None = None
    run_script: str = ""
    errors: str = ""

    @property
    def test_files(self) -> tuple[str, ...]:
        """Python test files, in which sentinels are planted."""
        names = [path for path in (*self.restore, *self.added) if path.endswith(".py")]
        return tuple(path for path in names if path.rpartition("/")[2] not in ("conftest.py", "__init__.py"))

    def script(self, workdir: str, planted: Mapping[str, str], nonce: str) -> str:
        """The complete bash script; it ends with the exit code of the last test command.

        Args:
            workdir: directory of the tree.
            planted: files to copy into the tree before the tests start: path in the tree to path of the source.
            nonce: makes the marks unguessable, so that output of patched code ahead of them is ignored.
        """
        copies = [f"cp {shlex.quote(source)} {shlex.quote(f'{workdir}/{path}')}" for path, source in planted.items()]
        return "\n".join(
            [
                f"cd {shlex.quote(workdir)}",
                *self.before,
                *copies,
                *self.build,
                f"echo '{START} {nonce}'",
                *self.commands,
                "HEATS_CODE=$?",
                f"echo '{END} {nonce}'",
                *([f"cat {self.errors}"] if self.errors else []),
                "exit $HEATS_CODE",
                "",
            ]
        )

    def read(self, text: str, nonce: str) -> dict[str, TestOutcome]:
        """Outcomes from the script's output between the marks; empty if the first mark is missing."""
        return self.parser(self.parts(text, nonce)[0])

    def parts(self, text: str, nonce: str) -> tuple[str, str]:
        """The tests' output, and what they printed as errors if that is kept apart; empty without the first mark."""
        _, _, tests = text.partition(f"{START} {nonce}")
        output, _, errors = tests.rpartition(f"{END} {nonce}") if f"{END} {nonce}" in tests else (tests, "", "")
        return output.removeprefix("\n"), errors.removeprefix("\n")


def make_plan(instance: Instance) -> Plan:
    """Determine how a row's tests are run.

    Raises:
        TaskError: the row has no way that can be parsed here, or names no tests.
    """
    if not (instance.fail_to_pass or instance.pass_to_pass):
        raise TaskError(f"{instance.id}: the row names no tests (FAIL_TO_PASS, PASS_TO_PASS), so it cannot be graded")
    if instance.program is not None and (instance.program.run or instance.test_command):
        return _plan_of_program(instance, instance.program)
    if not (instance.eval_script or instance.test_command):
        why = instance.harness or "the row has neither eval_script nor test_cmd: use --grader official"
        raise TaskError(f"{instance.id}: {why}")
    parser = find_parser(instance)
    restore, added = changed_files(instance)
    if instance.eval_script:
        before, commands = split_script(instance)
    else:
        before, commands = (), (test_command(instance),)
    return Plan(before, commands, parser, restore, added, build=instance.build)


def _plan_of_program(instance: Instance, program: Program) -> Plan:
    """Run tests as a data set's own program wants it."""
    restore, added = changed_files(instance)
    script = errors = ""
    commands: tuple[str, ...] = (instance.test_command,)
    if program.run:
        script, errors = scratch_path(".run.sh"), scratch_path(".errors")
        commands = (program.command(script, errors),)
    return Plan((), commands, lambda text: {}, restore, added, instance.build, program, script, errors)


def test_command(instance: Instance) -> str:
    """The test command of a row that names one, with the test files appended if the data set asks for it.

    Raises:
        TaskError: the test patch cannot be read.
    """
    restore, added = changed_files(instance)
    command = instance.test_command
    return with_files(command, (*restore, *added)) if instance.with_files else command


def find_parser(instance: Instance) -> Parser:
    """The parser for the tests' output: the row's own, else its repository's, else its command's.

    Raises:
        TaskError: there is no such parser here, or it can report none of the tests that the row names.
    """
    name = instance.log_parser or BY_REPOSITORY.get(instance.repo) or _parser_of(instance)
    if instance.eval_type != "pass_and_fail" or name not in PARSERS:
        what = f"log parser {name}" if name not in PARSERS else f"evaluation type {instance.eval_type}"
        raise TaskError(f"{instance.id}: {what} is not supported: use --grader official")
    parser = PARSERS[name]
    tests = (*instance.fail_to_pass, *instance.pass_to_pass)
    if parser in _FORMS and not any(_FORMS[parser](test) for test in tests):
        raise TaskError(
            f"{instance.id}: the log parser {name} cannot report a test named {tests[0][:80]!r}: set the row's "
            "log_parser, or correct FAIL_TO_PASS and PASS_TO_PASS"
        )
    return parser


def _parser_of(instance: Instance) -> str:
    """The parser suggested by the test command, for rows of unknown repositories that name no parser."""
    text = instance.eval_script or instance.test_command
    return "django" if "unittest" in text and "pytest" not in text else "pytest"


def _has_space(test: str) -> bool:
    return " " in test


def _has_no_space(test: str) -> bool:
    return " " not in test


_FORMS: Mapping[Parser, Callable[[str], bool]] = {
    **dict.fromkeys((parse_pytest, parse_pytest_options, parse_matplotlib), _has_no_space),  # they cut ids at a space
    parse_django: _has_space,  # `test_a (module.Class)`, or the first line of a docstring
    parse_sympy: lambda test: re.fullmatch(r"test_\w+", test) is not None,
}
"""What the ids that a parser reports look like; parsers without an entry report any id."""


def split_script(instance: Instance) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lines before the tests, and the test commands; what follows merely restores the test files."""
    lines = [line for line in instance.eval_script.split("\n") if line != "#!/bin/bash"]
    start = next((number for number, line in enumerate(lines) if START in line), None)
    end = next((number for number, line in enumerate(lines) if END in line), None)
    if start is None or end is None or end < start:
        raise TaskError(f"{instance.id}: the evaluation script does not say where its tests start and end")
    return tuple(lines[:start]), tuple(lines[start + 1 : end])


def changed_files(instance: Instance) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Test files in the test patch: existing ones and new ones; files from the row's own list count as existing.

    Raises:
        TaskError: the test patch cannot be read.
    """
    try:
        files = parse_diff(instance.test_patch.encode()) if instance.test_patch else []
    except DiffSyntaxError as error:
        raise TaskError(f"{instance.id}: the row's test patch cannot be read: {error}") from None
    added = touched([file for file in files if file.old_path is None])
    renamed = {file.new_path.decode() for file in files if file.change in ("rename", "copy") and file.new_path}
    added |= renamed | set(instance.assets)
    restore = (touched(files) | set(instance.test_files)) - added
    return tuple(sorted(restore)), tuple(sorted(added))


def make_eval_script(instance: Instance, workdir: str) -> str:
    """An evaluation script in the style of 5.x rows, for a row that has only a test command.

    Raises:
        TaskError: the row's test patch cannot be read.
    """
    restore, added = changed_files(instance)
    back = _checkout(instance.base_commit, restore)
    lines = [
        "#!/bin/bash",
        "set -uxo pipefail",
        "set +u",
        "[ ! -f /opt/miniconda3/bin/activate ] || { source /opt/miniconda3/bin/activate; conda activate testbed; }",
        "set -u",
        f"cd {shlex.quote(workdir)}",
        f"git config --global --add safe.directory {shlex.quote(workdir)}",
        *back,
        *(f"rm -f {shlex.quote(path)}" for path in added),
        "git apply -v - <<'EOF_HEATS_TEST_PATCH'",
        instance.test_patch.rstrip("\n"),
        "EOF_HEATS_TEST_PATCH",
        f": '{START}'",
        test_command(instance),
        f": '{END}'",
        *back,
    ]
    return "\n".join([*lines, ""])


def _checkout(commit: str, paths: Sequence[str]) -> list[str]:
    return [f"git checkout {commit} {' '.join(map(shlex.quote, paths))}"] if paths else []
