"""Grade a Harbor task: its tests enter the sandbox after the agent's phase, run there, and write a reward."""

import json
import math
from collections.abc import Mapping
from typing import Any

from envs.base import Grade, Task, TestOutcome, TestReport
from envs.errors import TaskError
from envs.harbor.layout import HarborTask, UploadedFile
from envs.harbor.taskfile import resolved
from sandbox.base import ExecResult, Sandbox
from sandbox.errors import FileAccessError, SandboxError, SandboxFileNotFound
from sandbox.images import as_user

TESTS, SOLUTION, LOGS = "/tests", "/solution", "/logs"
_REWARD_JSON, _REWARD_TEXT = f"{LOGS}/verifier/reward.json", f"{LOGS}/verifier/reward.txt"
_CTRF = f"{LOGS}/verifier/ctrf.json"
_OUTPUT_CHARS = 8000
_SMALL = 1 << 16
_OUTCOMES: Mapping[str, TestOutcome] = {"passed": "passed", "failed": "failed", "skipped": "skipped"}


class RewardFault(Exception):
    """The verifier wrote no readable reward; the message says what is wrong."""


async def grade_state(task: HarborTask, about: Task, sandbox: Sandbox, env_values: Mapping[str, str]) -> Grade:
    """Upload the tests, run `test.sh` in the working directory, and read the reward it wrote.

    Nothing is killed first: services that the attempt started keep running. Existing reward files are removed.

    Args:
        task: the task directory, for its hidden tests.
        about: the task as agents know it.
        sandbox: the sandbox to grade, as the attempt left it.
        env_values: the user's values for `${NAME}` references in the verifier's environment.

    Returns:
        A pass if the main reward is at least 1; `invalid` if the verifier or the sandbox failed.
    """
    try:
        async with as_user(sandbox, "0") as root:
            await make_log_folders(root)
            # Files planted by the attempt must neither run in place of a hidden test nor count as a reward.
            await root.exec(f"rm -rf {_REWARD_JSON} {_REWARD_TEXT} {_CTRF}", timeout=60)
            await upload(root, TESTS, task.tests())
        result = await _run_tests(task, sandbox, env_values)
        report = _report(result)
        async with as_user(sandbox, "0") as root:
            if result.status == "timeout":
                raise RewardFault(f"the verifier did not finish within {task.file.verifier.timeout_sec:g} s")
            rewards = await read_rewards(root)
            report = report.model_copy(update={"tests": await _ctrf(root)})
    except RewardFault as fault:
        return Grade(task_id=about.id, outcome="invalid", reason=f"{fault}: {_last(report.output)}", report=report)
    except (SandboxError, TaskError, OSError) as error:
        return Grade(task_id=about.id, outcome="invalid", reason=str(error))
    reward = main_reward(rewards)
    said = ", ".join(f"{name} {value:g}" for name, value in rewards.items())
    return Grade(
        task_id=about.id, outcome="pass" if reward >= 1 else "fail", reason=said, report=report, rewards=rewards
    )


async def make_log_folders(root: Sandbox) -> None:
    """Create the folders that agents, verifiers and artifacts write to, writable for any user."""
    folders = " ".join(f"{LOGS}/{name}" for name in ("agent", "verifier", "artifacts"))
    await root.exec(f"mkdir -p {folders} && chmod 1777 {folders}", timeout=60, cwd="/")


async def upload(root: Sandbox, target: str, files: Mapping[str, UploadedFile]) -> None:
    """Replace the contents of a folder by the given files.

    Args:
        root: the sandbox, as root.
        target: absolute path of the folder; its contents are removed first.
        files: files by path relative to the folder.

    Raises:
        SandboxError
    """
    await root.exec(f"rm -rf {target} && mkdir -p {target}", timeout=60, cwd="/")
    for path, file in files.items():
        await root.write_file(f"{target}/{path}", file.data, mode=file.mode)


async def _run_tests(task: HarborTask, sandbox: Sandbox, env_values: Mapping[str, str]) -> ExecResult:
    asked = task.file.verifier
    user = str(asked.user) if asked.user is not None else None if task.file.agent.user is None else ""
    async with as_user(sandbox, user) as tester:
        return await tester.exec(
            f"{TESTS}/test.sh", timeout=asked.timeout_sec, env=resolved(asked.env, env_values), merge_stderr=True
        )


async def read_rewards(root: Sandbox) -> dict[str, float]:
    """The verifier's rewards: `reward.json` (numbers by name), else `reward.txt` (one number, named `reward`).

    Raises:
        RewardFault: neither exists, or its contents are invalid.
        SandboxError
    """
    try:
        data = await root.read_file(_REWARD_JSON, max_bytes=_SMALL)
    except SandboxFileNotFound:
        data = b""
    except FileAccessError as error:
        raise RewardFault(str(error)) from None
    if data:
        return _json_rewards(data)
    try:
        text = (await root.read_file(_REWARD_TEXT, max_bytes=_SMALL)).decode("utf-8", "replace")
    except SandboxFileNotFound:
        raise RewardFault("the verifier left no reward") from None
    except FileAccessError as error:
        raise RewardFault(str(error)) from None
    try:
        return {"reward": _finite(float(text))}
    except ValueError:
        raise RewardFault(f"reward.txt does not contain a number: {text[:40]!r}") from None


def _json_rewards(data: bytes) -> dict[str, float]:
    try:
        found = json.loads(data)
        if not isinstance(found, dict) or not found:
            raise ValueError("not an object with numbers in it")
        return {str(name): _finite(value) for name, value in found.items()}
    except (ValueError, RecursionError) as error:
        raise RewardFault(f"reward.json: {error}") from None


def _finite(value: Any) -> float:
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return float(value)
    raise ValueError(f"{value!r} is not a finite number")


def main_reward(rewards: Mapping[str, float]) -> float:
    """The number that decides: `reward` if present, else the lowest."""
    return rewards["reward"] if "reward" in rewards else min(rewards.values())


def _report(result: ExecResult) -> TestReport:
    text = result.text()
    status = "passed" if result.ok else "failed" if result.status == "exited" else result.status
    return TestReport(
        command="test.sh",
        status=status,
        exit_code=result.exit_code,
        output=text[-_OUTPUT_CHARS:],
        duration_s=result.duration_s,
    )


async def _ctrf(root: Sandbox) -> dict[str, TestOutcome]:
    """Outcomes by test from the verifier's CTRF report, if it wrote a readable one; for display only."""
    try:
        document = json.loads(await root.read_file(_CTRF, max_bytes=8 << 20))
        tests = document["results"]["tests"]
        return {str(test["name"]): _OUTCOMES.get(str(test["status"]), "error") for test in tests}
    except (FileAccessError, ValueError, RecursionError, KeyError, TypeError):
        return {}


def _last(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it printed nothing"
