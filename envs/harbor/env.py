"""Harbor tasks as an env: the submission is the state of the machine, or a patch if the user asks for one.

An agent's sandbox starts from the task's image. After the attempt, the changes are described for judges. Only then do
the hidden tests enter the same container, where the attempt's processes still run, or a separate one.
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
from envs.harbor.network import Reach
from envs.harbor.patches import BASE, ShippedTrees, put_patch
from envs.harbor.registry import directory_of, find_tasks
from envs.harbor.taskfile import Healthcheck, resolved
from envs.harbor.verifier import (
    LOGS,
    MARGIN_S,
    SOLUTION,
    Grounds,
    grade_state,
    make_log_folders,
    put_loose_files,
    upload,
)
from envs.machine import spec_for
from sandbox.base import ExecResult, Sandbox, SandboxBackend
from sandbox.config import cache_directory
from sandbox.errors import BackendUnavailable, ImageMissing, SandboxError
from sandbox.images import Images, as_user, directory_digest


class HarborOptions(Record):
    """Options of the env `harbor`.

    Attributes:
        path: a task directory, or a directory of task directories.
        dataset: a data set of the registry, as `name@version`, in place of a path.
        registry: file that lists data sets, in the form of Harbor's registry.json.
        only: ids of the tasks to use (their directory names); empty for all.
        submission: what an attempt submits: the `state` of its machine, as in Harbor, or a `patch` of the git
            repository in its working directory, which is graded on a fresh machine.
        test_command: command for tests that agents may see, used as evidence on patches.
        network: `none` regardless of the task, or `task` for what the task asks for, which may be the whole internet.
        host_addresses: addresses of hosts that tasks allow by name, in place of a look-up; these may be private.
        env_values: values for `${NAME}` references in task environments; the user's own environment is never read.
        force_build: build a Dockerfile even if the task names an image.
        pull: pull named images that are missing.
        timeout_factor: multiplies the agents' time limit; the official setting is 1.
        pids: maximum number of processes in one sandbox.
    """

    path: Path | None = None
    dataset: str = ""
    registry: Path | None = None
    only: tuple[str, ...] = ()
    submission: Literal["state", "patch"] = "state"
    test_command: str | None = None
    network: Literal["none", "task"] = "none"
    host_addresses: Mapping[str, str] = {}
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
        if self.options.test_command and self.options.submission != "patch":
            raise TaskError("test_command needs submission=patch: on a machine's state there is no evidence")
        known = _directories(self.options)
        self._order = tuple(self.options.only or known)
        self._reach = Reach(on=self.options.network == "task", addresses=self.options.host_addresses)
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
        self._trees = ShippedTrees()
        self._ungradable: dict[str, str] = {}

    def _read(self, name: str, directory: Path) -> None:
        try:
            found = read_task(directory, force_build=self.options.force_build, network=self._reach.on)
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
        asked, file, wants_patch = task.file.environment, task.file, self.options.submission == "patch"
        if wants_patch and not task.workdir:
            raise TaskError("submission=patch needs environment.workdir in task.toml or a WORKDIR in the Dockerfile")
        agent_s = file.agent.timeout_sec * self.options.timeout_factor if file.agent.timeout_sec else None
        machine = Machine(
            profile="machine",
            user=str(file.agent.user) if file.agent.user is not None else "",
            cpus=asked.cpus,
            memory_mb=asked.memory_mb,
            pids=self.options.pids,
            life_s=(agent_s or 0) + file.verifier.timeout_sec + MARGIN_S,
        )
        proxy = self._reach.variables(file.agent_network)
        return Task(
            id=task.id,
            statement=task.instruction,
            image=task.image,
            workdir=task.workdir,
            base_commit=BASE if wants_patch else "",
            test_command=self.options.test_command,
            env={**resolved(asked.env, self.options.env_values), **proxy},
            network=self._reach.network(file.agent_network),
            submission=self.options.submission,
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
        tasks = [task for task in self._found.values() if task.image in images]
        for task in tasks:
            own = task.verifier if task.verifier is not None and task.verifier.image != task.image else None
            try:
                if task.image not in failed:
                    await self._make(store, task, task.image, task.context if task.built else None)
            except BackendUnavailable:
                raise
            except SandboxError as error:
                failed[task.image] = error
            try:
                if own is not None and task.image not in failed:
                    await self._make(store, task, own.image, own.context)
            except SandboxError as error:
                self._ungradable[task.id] = f"the verifier's image cannot be made: {error}"
        for image in images:
            reasons = [self._ungradable.get(task.id) for task in tasks if task.image == image]
            # Tasks with the same image and another verifier are played; those without one get invalid grades.
            if reasons and reasons[0] and None not in reasons:
                failed.setdefault(image, SandboxError(reasons[0]))
        if failed and set(failed) == set(images):
            raise next(iter(failed.values()))
        return {image: str(error) for image, error in failed.items()}

    async def _make(self, store: Images, task: HarborTask, image: str, context: Path | None) -> None:
        """Build or pull one image unless it exists.

        Raises:
            SandboxError
        """
        if await store.has(image):
            return
        timeout_s = task.file.environment.build_timeout_sec
        if context is not None:
            await store.build(context, image, timeout_s=timeout_s, labels={"task": task.id})
        elif self.options.pull:
            await store.pull(image, timeout_s=timeout_s)
        elif task.verifier is not None and image == task.verifier.image:
            raise ImageMissing((image,), "build or pull it first, or give -O pull=true")

    async def prepare(self, task: Task, sandbox: Sandbox) -> None:
        """Create the log folders, open the network, wait for the health check, and record what exists.

        Raises:
            SetupFailed, SandboxError
        """
        async with as_user(sandbox, "0") as root:
            await make_log_folders(root)
        await put_loose_files(self._found[task.id], sandbox)
        file = self._found[task.id].file
        await self._reach.connect(sandbox, file.agent_network)
        if file.environment.healthcheck is not None:
            await wait_healthy(file.environment.healthcheck, sandbox)
        if task.submission == "patch":
            await self._trees.record(task, sandbox)
        elif task.id not in self._before:
            self._before[task.id] = await texts_before(sandbox)

    async def collect(self, task: Task, sandbox: Sandbox) -> Patch:
        """Describe the end state, whose running processes are part of the submission; or make the patch.

        Raises:
            PatchRejected, SandboxError
        """
        if task.submission == "patch":
            return await self._trees.patch(task, sandbox)
        return EndState(await describe(sandbox, self._before.get(task.id, {})))

    async def grade_state(self, task: Task, sandbox: Sandbox, backend: SandboxBackend) -> Grade:
        """Run the hidden tests where the attempt worked, or in the verifier's own container.

        Args:
            task: one of this env's tasks.
            sandbox: the sandbox as the attempt left it. It is closed if the verifier has a container of its own.
            backend: starts that container.
        """
        if why := self._ungradable.get(task.id):
            return Grade(task_id=task.id, outcome="invalid", reason=why)
        grounds = Grounds(backend, self._reach, self.options.env_values)
        return await grade_state(self._found[task.id], task, sandbox, grounds)

    async def grade(self, task: Task, patch: Patch, backend: SandboxBackend) -> Grade | None:
        """Grade a patch on a fresh machine; a state that was not kept can no longer be graded.

        Args:
            task: one of this env's tasks.
            patch: the patch, or the description of the state.
            backend: starts the sandbox in which a patch is graded.
        """
        if task.submission == "state" or isinstance(patch, EndState):
            reason = "its sandbox is gone and its state was not kept, so it cannot be graded (see --keep-state)"
            return Grade(task_id=task.id, outcome="invalid", reason=reason)
        try:
            sandbox = await backend.start(spec_for(task, {"rollout": "grade"}))
        except SandboxError as error:
            return Grade(task_id=task.id, outcome="invalid", reason=str(error))
        try:
            await self.prepare(task, sandbox)
            return await put_patch(task, patch, sandbox) or await self.grade_state(task, sandbox, backend)
        except (SandboxError, TaskError) as error:
            return Grade(task_id=task.id, outcome="invalid", reason=str(error))
        finally:
            await sandbox.close()

    async def grade_kept(self, task: Task, description: Patch, sandbox: Sandbox, backend: SandboxBackend) -> Grade:
        """Run the hidden tests on the files that an attempt left; its processes are gone.

        A state that consists of files only is graded as usual. A state whose processes are missing can pass but not
        fail.

        Args:
            task: one of this env's tasks.
            description: what `collect` returned for the state.
            sandbox: sandbox started from the image of the state.
            backend: see `grade_state`.
        """
        grade = await self.grade_state(task, sandbox, backend)
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


def _directories(options: HarborOptions) -> dict[str, Path]:
    """The task directories by id, without fetching any that is not wanted.

    Raises:
        TaskError: no tasks, or an unknown id in `only`.
    """
    if (options.path is None) == (not options.dataset):
        raise TaskError("the env harbor needs a path, or a dataset and a registry")
    if options.path is not None:
        found = {path.resolve().name: path for path in task_directories(options.path.expanduser())}
        _check_known(options, found)
        return found
    if options.registry is None:
        raise TaskError(f"{options.dataset}: give the file that lists it with -O registry=registry.json")
    registry = options.registry.expanduser()
    listed = {task.id: task for task in find_tasks(registry, options.dataset)}
    _check_known(options, listed)
    wanted = options.only or listed
    return {name: directory_of(listed[name], registry, cache_directory()) for name in wanted}


def _check_known(options: HarborOptions, known: Collection[str]) -> None:
    unknown = [task for task in options.only if task not in known]
    if unknown:
        raise TaskError(f"no task {', '.join(unknown)} in {options.path or options.dataset}")


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
