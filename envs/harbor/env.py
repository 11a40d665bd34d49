"""Harbor tasks as an env: the submission is the state of the machine, graded in place.

An agent's sandbox starts from the task's image. After the attempt, the changes are described for judges. Only then do
the hidden tests enter the same container, where the attempt's processes still run.
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from core.record import Record
from envs.base import EndState, Grade, Machine, Patch, Task
from envs.errors import SetupFailed, TaskError
from envs.harbor.endstate import describe, left_running, texts_before
from envs.harbor.layout import HarborTask, read_task, task_directories
from envs.harbor.taskfile import Healthcheck, resolved
from envs.harbor.verifier import LOGS, SOLUTION, grade_state, make_log_folders, upload
from sandbox.base import ExecResult, Network, Sandbox, SandboxBackend
from sandbox.errors import BackendUnavailable, SandboxError
from sandbox.images import Images, as_user, directory_digest

_MARGIN_S = 1800.0


class HarborOptions(Record):
    """Options of the env `harbor`.

    Attributes:
        path: a task directory, or a directory of task directories.
        only: ids of the tasks to use (their directory names); empty for all.
        network: `none` regardless of the task, or `task` for what the task asks for, which may be the whole internet.
        env_values: values for `${NAME}` references in task environments; the user's own environment is never read.
        force_build: build `environment/Dockerfile` even if the task names an image.
        pull: pull named images that are missing.
        timeout_factor: multiplies the agents' time limit; the official setting is 1.
        pids: maximum number of processes in one sandbox.
    """

    path: Path
    only: tuple[str, ...] = ()
    network: Literal["none", "task"] = "none"
    env_values: Mapping[str, str] = {}
    force_build: bool = False
    pull: bool = False
    timeout_factor: float = Field(1.0, gt=0)
    pids: int = Field(4096, gt=0)


class HarborEnv:
    """The tasks of a directory, without those that are unusable here; see `HarborOptions` for the arguments.

    Raises:
        TaskError: no tasks, an unknown id in `only`, or no task that can be used here.
    """

    name = "harbor"

    def __init__(self, **options: object) -> None:
        self.options = HarborOptions.model_validate(options)
        directories = task_directories(self.options.path.expanduser())
        known = {path.resolve().name: path for path in directories}
        unknown = [task for task in self.options.only if task not in known]
        if unknown:
            raise TaskError(f"no task {', '.join(unknown)} in {self.options.path}")
        self._order = tuple(self.options.only or known)
        self._left_out: dict[str, str] = {}
        self._found: dict[str, HarborTask] = {}
        self._tasks: dict[str, Task] = {}
        for name in self._order:
            self._read(name, known[name])
        if not self._tasks:
            first = next(iter(self._left_out.items()))
            more = f" (and {len(self._order) - 1} more)" if len(self._order) > 1 else ""
            raise TaskError(f"none of the tasks can be used: {first[0]}: {first[1]}{more}")
        self._before: dict[str, dict[str, str]] = {}

    def _read(self, name: str, directory: Path) -> None:
        try:
            found = read_task(directory, force_build=self.options.force_build)
            self._tasks[found.id] = self._task(found)
            self._found[name] = found
        except TaskError as error:
            self._left_out[name] = str(error).removeprefix(f"{name}: ")

    def listing(self) -> Sequence[str]:
        """Ids of all task directories, sorted by name."""
        return self._order

    def content_digest(self, task: Task) -> str:
        """Digest of the task's directory, its verifier included."""
        return directory_digest(self._found[task.id].directory)[:16]

    async def unusable(self, *, grading: bool) -> Mapping[str, str]:
        """Tasks that need something heats cannot do, or whose files or values are missing."""
        found = dict(self._left_out)
        if grading:
            for name, task in self._found.items():
                try:
                    resolved(task.file.verifier.env, self.options.env_values)
                    task.tests()
                except (TaskError, OSError) as error:
                    found[name] = str(error)
        return found

    def _task(self, task: HarborTask) -> Task:
        asked, file = task.file.environment, task.file
        network: Network = "bridge" if self.options.network == "task" and file.network_mode == "public" else "none"
        agent_s = file.agent.timeout_sec * self.options.timeout_factor if file.agent.timeout_sec else None
        machine = Machine(
            profile="machine",
            user=str(file.agent.user) if file.agent.user is not None else "",
            cpus=asked.cpus,
            memory_mb=asked.memory_mb,
            pids=self.options.pids,
            life_s=(agent_s or 0) + file.verifier.timeout_sec + _MARGIN_S,
        )
        return Task(
            id=task.id,
            statement=task.instruction,
            image=task.image,
            workdir=task.workdir,
            env=resolved(asked.env, self.options.env_values),
            network=network,
            submission="state",
            machine=machine,
            agent_timeout_s=agent_s,
        )

    def tasks(self) -> Sequence[Task]:
        """The tasks, sorted by directory name."""
        return tuple(self._tasks.values())

    def directory(self, task_id: str) -> HarborTask:
        """Everything about a task, hidden parts included: for graders and display, never for selection."""
        return self._found[task_id]

    async def make_images(self, images: Collection[str], backend: SandboxBackend) -> Mapping[str, str]:
        """Build or pull missing images, one after another; see `MakesImages.make_images`.

        Raises:
            BackendUnavailable: the sandboxes are not Docker containers, or the daemon does not answer.
            SandboxError: no image could be made.
        """
        store, failed = Images.of(backend), dict[str, SandboxError]()
        for image in dict.fromkeys(images):
            task = next((task for task in self._found.values() if task.image == image), None)
            if task is None or await store.has(image):
                continue
            timeout_s = task.file.environment.build_timeout_sec
            try:
                if task.built:
                    await store.build(task.context, image, timeout_s=timeout_s, labels={"task": task.id})
                elif self.options.pull:
                    await store.pull(image, timeout_s=timeout_s)
            except BackendUnavailable:
                raise
            except SandboxError as error:
                failed[image] = error
        if failed and set(failed) == set(images):
            raise next(iter(failed.values()))
        return {image: str(error) for image, error in failed.items()}

    async def prepare(self, task: Task, sandbox: Sandbox) -> None:
        """Create the log folders, wait for the health check, and record the text files that exist.

        Raises:
            SetupFailed, SandboxError
        """
        async with as_user(sandbox, "0") as root:
            await make_log_folders(root)
        check = self._found[task.id].file.environment.healthcheck
        if check is not None:
            await wait_healthy(check, sandbox)
        if task.id not in self._before:
            self._before[task.id] = await texts_before(sandbox)

    async def collect(self, task: Task, sandbox: Sandbox) -> Patch:
        """Describe the end state. Nothing is killed: running processes are part of the submission.

        Raises:
            SandboxError
        """
        return EndState(await describe(sandbox, self._before.get(task.id, {})))

    async def grade_state(self, task: Task, sandbox: Sandbox) -> Grade:
        """Run the hidden tests where the attempt worked; see `GradesStates.grade_state`."""
        return await grade_state(self._found[task.id], task, sandbox, self.options.env_values)

    async def grade(self, task: Task, patch: Patch, backend: SandboxBackend) -> Grade | None:
        """Return an invalid grade: a state that was not kept can no longer be graded.

        Args:
            task: one of this env's tasks.
            patch: the description of the state.
            backend: unused.
        """
        reason = "its sandbox is gone and its state was not kept, so it cannot be graded (see --keep-state)"
        return Grade(task_id=task.id, outcome="invalid", reason=reason)

    async def grade_kept(self, task: Task, description: Patch, sandbox: Sandbox) -> Grade:
        """Run the hidden tests on the files that an attempt left; its processes are gone.

        A state that consists of files only is graded as usual. A state whose processes are missing can pass but not
        fail.

        Args:
            task: one of this env's tasks.
            description: what `collect` returned for the state.
            sandbox: sandbox started from the image of the state.
        """
        grade = await self.grade_state(task, sandbox)
        reason = f"from the kept files: {grade.reason}"
        if grade.outcome == "fail" and left_running(description.data):
            reason = f"it fails without its running processes ({grade.reason}), which says nothing about it"
            return grade.model_copy(update={"outcome": "invalid", "reason": reason})
        return grade.model_copy(update={"reason": reason})

    async def solve(self, task_id: str, sandbox: Sandbox) -> ExecResult:
        """Play the reference solution in a prepared sandbox, within the agent's time limit.

        Raises:
            TaskError: the task has no solution/solve.sh.
            SandboxError
        """
        task = self._found[task_id]
        files = task.solution()
        if "solve.sh" not in files:
            raise TaskError(f"{task_id}: no solution/solve.sh")
        async with as_user(sandbox, "0") as root:
            await upload(root, SOLUTION, files)
        env = {"DEBIAN_FRONTEND": "noninteractive", **resolved(task.file.solution.env, self.options.env_values)}
        limit_s = self._tasks[task_id].agent_timeout_s or 3600.0
        return await sandbox.exec(
            f"{SOLUTION}/solve.sh >{LOGS}/agent/oracle.txt 2>&1", timeout=limit_s, env=env, merge_stderr=True
        )


async def wait_healthy(check: Healthcheck, sandbox: Sandbox) -> None:
    """Run a health check until it passes; failures in the start period do not count.

    Raises:
        SetupFailed: too many failures in a row.
        SandboxError
    """
    began, failures = time.monotonic(), 0
    while failures < check.retries:
        result = await sandbox.exec(check.command, timeout=check.timeout_sec, merge_stderr=True)
        if result.ok:
            return
        starting = time.monotonic() - began < check.start_period_sec
        failures += not starting
        if failures < check.retries:
            await asyncio.sleep(check.start_interval_sec if starting else check.interval_sec)
    raise SetupFailed(
        f"the task's health check fails: {check.command} ({result.text().strip()[-200:] or result.status})"
    )
