"""How an instance's tests are run: from the row's evaluation script, or from its test command."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.diff import DiffSyntaxError, parse_diff, touched
from envs.base import TestOutcome
from envs.errors import TaskError
from envs.swebench.logs import BY_REPOSITORY, PARSERS, Parser
from envs.swebench.rows import Instance

START = ">>>>> Start Test Output"
END = ">>>>> End Test Output"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run and how to read it.

    Attributes:
        before: lines that come first: they put the test files in place, install, and activate. Empty for rows with a
            test command, whose test files the grader puts in place itself.
        commands: the tests.
        restore: test files of the base that are put back before the test patch, `added` those that it makes.
    """

    before: tuple[str, ...]
    commands: tuple[str, ...]
    parser: Parser
    restore: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def test_files(self) -> tuple[str, ...]:
        """Python files with tests, where sentinels go."""
        names = [path for path in (*self.restore, *self.added) if path.endswith(".py")]
        return tuple(path for path in names if path.rpartition("/")[2] not in ("conftest.py", "__init__.py"))

    def script(self, workdir: str, planted: Mapping[str, str], nonce: str) -> str:
        """The whole of it for bash; ends with the exit code of the last test command.

        Args:
            planted: files to be copied into the tree before the tests start: path in the tree to where it lies.
            nonce: makes the marks unguessable, so that what the patched code prints before them is not read.
        """
        copies = [f"cp {shlex.quote(source)} {shlex.quote(f'{workdir}/{path}')}" for path, source in planted.items()]
        return "\n".join(
            [
                f"cd {shlex.quote(workdir)}",
                *self.before,
                *copies,
                f"echo '{START} {nonce}'",
                *self.commands,
                "HEATS_CODE=$?",
                f"echo '{END} {nonce}'",
                "exit $HEATS_CODE",
                "",
            ]
        )

    def read(self, text: str, nonce: str) -> dict[str, TestOutcome]:
        """Outcomes from what the script printed, between the marks; empty where the first one is missing."""
        _, _, tests = text.partition(f"{START} {nonce}")
        return self.parser(tests.rsplit(f"{END} {nonce}", 1)[0])


def make_plan(instance: Instance) -> Plan:
    """Read a row's way of running its tests.

    Raises:
        TaskError: the row has none that can be read here, or names no tests.
    """
    if not (instance.fail_to_pass or instance.pass_to_pass):
        raise TaskError(f"{instance.id}: the row names no tests (FAIL_TO_PASS, PASS_TO_PASS): nothing to grade by")
    name = instance.log_parser or BY_REPOSITORY.get(instance.repo, "pytest")
    if instance.eval_type != "pass_and_fail" or name not in PARSERS:
        what = f"log parser {name}" if name not in PARSERS else f"evaluation type {instance.eval_type}"
        raise TaskError(f"{instance.id}: {what} is not known here: use --grader official")
    if instance.eval_script:
        before, commands = split_script(instance)
    elif instance.test_command:
        before, commands = (), (instance.test_command,)
    else:
        raise TaskError(f"{instance.id}: the row has neither eval_script nor test_cmd: use --grader official")
    restore, added = changed_files(instance)
    return Plan(before, commands, PARSERS[name], restore, added)


def split_script(instance: Instance) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Lines before the tests and the tests themselves; what follows only puts the test files back."""
    lines = [line for line in instance.eval_script.split("\n") if line != "#!/bin/bash"]
    start = next((number for number, line in enumerate(lines) if START in line), None)
    end = next((number for number, line in enumerate(lines) if END in line), None)
    if start is None or end is None or end < start:
        raise TaskError(f"{instance.id}: the evaluation script does not say where its tests start and end")
    return tuple(lines[:start]), tuple(lines[start + 1 : end])


def changed_files(instance: Instance) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Test files by the test patch: those that the base has, and new ones; the row's own list counts as of the base.

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


def make_eval_script(instance: Instance, plan: Plan, workdir: str) -> str:
    """An evaluation script, as 5.x rows have one, for a row that has a test command only."""
    back = _checkout(instance.base_commit, plan.restore)
    lines = [
        "#!/bin/bash",
        "set -uxo pipefail",
        "set +u",
        "[ ! -f /opt/miniconda3/bin/activate ] || { source /opt/miniconda3/bin/activate; conda activate testbed; }",
        "set -u",
        f"cd {shlex.quote(workdir)}",
        f"git config --global --add safe.directory {shlex.quote(workdir)}",
        *back,
        *(f"rm -f {shlex.quote(path)}" for path in plan.added),
        "git apply -v - <<'EOF_HEATS_TEST_PATCH'",
        instance.test_patch.rstrip("\n"),
        "EOF_HEATS_TEST_PATCH",
        f": '{START}'",
        *plan.commands,
        f": '{END}'",
        *back,
    ]
    return "\n".join([*lines, ""])


def _checkout(commit: str, paths: Sequence[str]) -> list[str]:
    return [f"git checkout {commit} {' '.join(map(shlex.quote, paths))}"] if paths else []
