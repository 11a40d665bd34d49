"""Grade a Harbor task: run its tests where the agent worked, or in a container of their own, and read the reward."""

import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from envs.base import Grade, Task, TestOutcome, TestReport
from envs.errors import SetupFailed, TaskError
from envs.harbor.artifacts import pack, unpack
from envs.harbor.layout import HarborTask, UploadedFile, VerifierMachine
from envs.harbor.network import Reach
from envs.harbor.taskfile import CollectHook, resolved
from sandbox.base import ExecResult, Sandbox, SandboxBackend, SandboxLimits, SandboxSpec
from sandbox.errors import FileAccessError, SandboxError, SandboxFileNotFound
from sandbox.images import as_user
from sandbox.session import ChannelSandbox

TESTS, SOLUTION, LOGS = "/tests", "/solution", "/logs"
MARGIN_S = 1800.0
_REWARD_JSON, _REWARD_TEXT = f"{LOGS}/verifier/reward.json", f"{LOGS}/verifier/reward.txt"
_CTRF = f"{LOGS}/verifier/ctrf.json"
_OUTPUT_CHARS = 8000
_SMALL = 1 << 16
_NOTED = 3
_OUTCOMES: Mapping[str, TestOutcome] = {"passed": "passed", "failed": "failed", "skipped": "skipped"}


class RewardFault(Exception):
    """The verifier wrote no readable reward; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """What grading needs beside the task and the attempt.

    Attributes:
        backend: starts the container of a separate verifier.
        reach: gives containers their network.
        env_values: the user's values for `${NAME}` references in environments.
    """

    backend: SandboxBackend
    reach: Reach
    env_values: Mapping[str, str]


async def grade_state(task: HarborTask, about: Task, sandbox: Sandbox, grounds: Grounds) -> Grade:
    """Run the task's collect hooks and its tests, and read the reward.

    Tests that share the agent's container run beside whatever the attempt left running there. For a separate verifier
    the artifacts are taken out first; then the agent's container is removed, and the verifier's is started.

    Args:
        task: the task directory, for its hidden tests.
        about: the task as agents know it.
        sandbox: the sandbox to grade, as the attempt left it.
        grounds: what grading needs besides.

    Returns:
        A pass if the main reward is at least 1; `invalid` if the verifier or a sandbox failed.
    """
    notes: list[str] = []
    report = None
    try:
        notes += [said for hook in task.file.verifier.collect if (said := await _collect(hook, sandbox))]
        async with _place(task, about, sandbox, grounds, notes) as place:
            await grounds.reach.connect(place, task.file.verifier_network)
            result = await _prepared_tests(task, place, grounds)
            report = _report(result)
            async with as_user(place, "0") as root:
                if result.status == "timeout":
                    raise RewardFault(f"the verifier did not finish within {task.file.verifier.timeout_sec:g} s")
                rewards = await read_rewards(root)
                report = report.model_copy(update={"tests": await _ctrf(root)})
    except RewardFault as fault:
        said = f"{fault}: {_last(report.output if report else '')}"
        return Grade(task_id=about.id, outcome="invalid", reason=_with(notes, said), report=report)
    except (SandboxError, TaskError, SetupFailed, OSError) as error:
        return Grade(task_id=about.id, outcome="invalid", reason=_with(notes, str(error)))
    reward = main_reward(rewards)
    said = _with(notes, ", ".join(f"{name} {value:g}" for name, value in rewards.items()))
    return Grade(
        task_id=about.id, outcome="pass" if reward >= 1 else "fail", reason=said, report=report, rewards=rewards
    )


def _with(notes: Sequence[str], said: str) -> str:
    more = [f"and {len(notes) - _NOTED} more"] if len(notes) > _NOTED else []
    return f"{said} ({'; '.join([*notes[:_NOTED], *more])})" if notes else said


async def _collect(hook: CollectHook, sandbox: Sandbox) -> str:
    """Run a collect hook. A failure does not stop grading, as in Harbor; it is returned to be noted."""
    async with as_user(sandbox, "" if hook.user is None else str(hook.user)) as user:
        done = await user.exec(hook.command, timeout=hook.timeout_sec, merge_stderr=True)
    code = f"exit code {done.exit_code}" if done.status == "exited" else done.status
    return "" if done.ok else f"collect hook {hook.command[:60]!r}: {code}"


@asynccontextmanager
async def _place(
    task: HarborTask, about: Task, sandbox: Sandbox, grounds: Grounds, notes: list[str]
) -> AsyncIterator[Sandbox]:
    """Where the tests run: the agent's sandbox, or a fresh one with the artifacts, closed at the end."""
    if task.verifier is None:
        yield sandbox
        return
    spec = _spec(task, task.verifier, about, sandbox, grounds)
    async with as_user(sandbox, "0") as root:
        packed = [parcel for artifact in task.file.carried() if (parcel := await pack(root, artifact))]
    notes += [f"left out of {parcel.path}: {said}" for parcel in packed for said in parcel.refused]
    # What the attempt left running must not be there while it is judged.
    await sandbox.close()
    fresh = await grounds.backend.start(spec)
    try:
        if not task.verifier.has_tests:
            await put_loose_files(task, fresh)
        async with as_user(fresh, "0") as root:
            await make_log_folders(root)
            for parcel in packed:
                await unpack(root, parcel)
        yield fresh
    finally:
        await fresh.close()


def _spec(task: HarborTask, verifier: VerifierMachine, about: Task, sandbox: Sandbox, grounds: Grounds) -> SandboxSpec:
    given = sandbox.spec if isinstance(sandbox, ChannelSandbox) else None
    asked, limits = verifier.machine, given.limits if given else SandboxLimits()
    wanted = {"cpus": asked.cpus, "memory_mb": asked.memory_mb, "pids": about.machine.pids}
    wanted["max_life_s"] = task.file.verifier.timeout_sec + MARGIN_S
    network = task.file.verifier_network
    return SandboxSpec(
        image=verifier.image,
        workdir=verifier.workdir,
        user="",
        env={**resolved(asked.env, grounds.env_values), **grounds.reach.variables(network)},
        labels=given.labels if given else {"task": about.id},
        limits=limits.model_copy(update={name: value for name, value in wanted.items() if value is not None}),
        network=grounds.reach.network(network),
        profile="machine",
    )


async def _prepared_tests(task: HarborTask, place: Sandbox, grounds: Grounds) -> ExecResult:
    """Put the tests in place, unless the image brings them, and run them."""
    async with as_user(place, "0") as root:
        await make_log_folders(root)
        # Files planted by the attempt must neither run in place of a hidden test nor count as a reward.
        await root.exec(f"rm -rf {_REWARD_JSON} {_REWARD_TEXT} {_CTRF}", timeout=60)
        if task.verifier is not None and task.verifier.has_tests:
            if not (await root.exec(f"chmod +x {TESTS}/test.sh", timeout=60)).ok:
                raise TaskError(f"the verifier's image {task.verifier.image} holds no {TESTS}/test.sh")
        else:
            await upload(root, TESTS, task.tests())
    return await _run_tests(task, place, grounds)


async def make_log_folders(root: Sandbox) -> None:
    """Create the folders that agents, verifiers and artifacts write to, writable for any user."""
    folders = " ".join(f"{LOGS}/{name}" for name in ("agent", "verifier", "artifacts"))
    await root.exec(f"mkdir -p {folders} && chmod 1777 {folders}", timeout=60, cwd="/")


async def put_loose_files(task: HarborTask, sandbox: Sandbox) -> None:
    """Upload what the task's image lacks of `environment/` to the working directory.

    Raises:
        TaskError, SandboxError
    """
    if not (files := task.loose_files()):
        return
    workdir = task.workdir or (await sandbox.exec("pwd", timeout=60)).text().strip()
    async with as_user(sandbox, "0") as root:
        for path, file in files.items():
            await root.write_file(f"{workdir}/{path}", file.data, mode=file.mode)


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


async def _run_tests(task: HarborTask, place: Sandbox, grounds: Grounds) -> ExecResult:
    asked = task.file.verifier
    user = str(asked.user) if asked.user is not None else None if task.file.agent.user is None else ""
    env = {**grounds.reach.variables(task.file.verifier_network), **resolved(asked.env, grounds.env_values)}
    async with as_user(place, user) as tester:
        return await tester.exec(f"{TESTS}/test.sh", timeout=asked.timeout_sec, env=env, merge_stderr=True)


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
