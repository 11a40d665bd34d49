"""SWE-bench instances as an env: what an agent may see of them, their sandboxes, and how patches are collected.

The answer (gold patch, test patch, names of tests, evaluation script) stays in `Instance` objects here. No `Task` holds
any of it, and it enters a sandbox only when a patch is graded there.
"""

import json
import sys
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import Field

from core.record import Record
from envs.base import Grade, Patch, Task
from envs.errors import TaskError
from envs.existing_tests import TestRunner
from envs.swebench.datasets import known
from envs.swebench.foreign import read_scripts
from envs.swebench.grading import Place, grade_here
from envs.swebench.history import Base, cut_future, snapshot
from envs.swebench.official import find_harness, grade_officially, row_for, rows_without_specification
from envs.swebench.place import activate, activation_file, hide
from envs.swebench.plan import make_plan
from envs.swebench.rows import IMAGE_KEYS, Instance, image_name, make_instance, read_rows
from envs.swebench.shapes import strings
from envs.swebench.visible import visible_runner
from envs.worktree import take_patch
from sandbox.base import ExecResult, Network, Sandbox, SandboxBackend, SandboxLimits
from sandbox.toolbox import TOOLBOX

GRADE_LIMITS = SandboxLimits(memory_mb=4096, cpus=2, pids=1024, tmp_mb=1024, output_bytes=32 << 20)
"""Limits of the sandboxes that grade. Test results are read from the output, which must not be truncated."""


class SweBenchSource(Record):
    """Which instances to use, in which images, and how to grade them.

    Attributes:
        source: file, directory, task repository, or a name on the Hub (`verified`, `org/name`); see `read_rows`.
        split: split to use, if the source has several; by default the data set's usual one, else `test`.
        revision: commit, branch or tag of a data set on the Hub; by default its newest.
        image_template: overrides the images that rows name; see `image_name`.
        only: ids of the instances to use; empty for all.
        hints: append the row's hints to the statement. The benchmark's standard setting omits them.
        test_command: command for tests that agents may see, used as evidence; rows provide none that agents may know.
        history: `past`: agents get the commits before the base commit; `none`: the base commit alone, which is faster.
        environment: name of the conda environment in the images.
        workdir: directory of the tree in the images; defaults to the data set's value, else `/testbed`.
        network: network of agents' and grading sandboxes. With network access, agents can download fixed releases.
        grader: `own`, or `official`: the `swebench` package, in a separate environment.
        swebench_python: interpreter of that environment; defaults to heats' own, if the package is installed there.
        scripts: folder with SWE-bench Pro's run scripts and parsers; see `read_scripts`.
        test_timeout_s: time limit for one run of an instance's tests, in seconds.
        grade_limits: limits of grading sandboxes.
    """

    source: str
    split: str | None = None
    revision: str | None = None
    image_template: str | None = None
    only: tuple[str, ...] = ()
    hints: bool = False
    test_command: str | None = None
    history: Literal["past", "none"] = "past"
    environment: str = "testbed"
    workdir: str | None = None
    network: Network = "none"
    grader: Literal["own", "official"] = "own"
    swebench_python: Path | None = None
    scripts: Path | None = None
    test_timeout_s: float = Field(1800.0, gt=0)
    grade_limits: SandboxLimits = GRADE_LIMITS


class SweBenchEnv:
    """The selected instances of a source, in source order."""

    name = "swebench"
    Options = SweBenchSource

    def __init__(
        self,
        source: SweBenchSource,
        instances: Sequence[Instance],
        left_out: Mapping[str, str] | None = None,
        order: Sequence[str] = (),
        revision: str = "",
    ) -> None:
        self.source = source
        self.revision = revision
        self._left_out = dict(left_out or {})
        self._order = tuple(order) or tuple(instance.id for instance in instances)
        self._instances = {instance.id: instance for instance in instances}
        self._clean: dict[str, str] = {}
        self._bases: dict[int, Base] = {}
        self._shared: weakref.WeakValueDictionary[str, Base] = weakref.WeakValueDictionary()

    @classmethod
    def open(cls, source: SweBenchSource) -> "SweBenchEnv":
        """Read and select the rows. Blocks: call it in a thread.

        Raises:
            TaskError: nothing to read, no usable row, or an unknown id.
        """
        found = read_rows(source.source, source.split, source.revision)
        instances = [_with_scripts(make_instance(row), source.scripts) for row in found.rows]
        wanted = set(source.only) or {*found.order}
        left_out = {name: why for name, why in found.left_out.items() if name in wanted}
        order = [name for name in found.order if name in wanted]
        return cls(source, choose(instances, source, found.left_out), left_out, order, found.revision)

    def listing(self) -> Sequence[str]:
        """Ids of all rows, in source order; a row without an id is listed by its position."""
        return self._order

    def content_digest(self, task: Task) -> str:
        """Digest of the row, hidden tests included."""
        instance = self._instances[task.id]
        row = json.dumps(instance.row, sort_keys=True, default=str)
        scripts = instance.program.source + instance.program.run if instance.program and instance.program.run else ""
        return sha256((row + scripts).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    async def unusable(self, *, grading: bool) -> Mapping[str, str]:
        """Rows that cannot be read or, if `grading`, cannot be graded by the chosen grader.

        Raises:
            TaskError: the official grader is not installed.
        """
        found = dict(self._left_out)
        if not grading:
            return found
        official = self.source.grader == "official"
        harness = await find_harness(self._swebench_python()) if official else None
        instances = list(self._instances.values())
        unknown = await rows_without_specification(harness, instances) if harness is not None else set[str]()
        for instance in instances:
            try:
                if harness is None:
                    make_plan(instance)
                    continue
                task = self._task(instance)
                row_for(harness, instance, task.image, task.workdir)
                if instance.id in unknown:
                    found[instance.id] = (
                        f"swebench 4.1 does not know {instance.repo} {instance.version or '(no version)'}"
                    )
            except TaskError as error:
                found[instance.id] = str(error).removeprefix(f"{instance.id}: ")
        return found

    def _swebench_python(self) -> Path | None:
        return self.source.swebench_python or (Path(sys.executable) if find_spec("swebench") else None)

    def tasks(self) -> Sequence[Task]:
        """The instances, reduced to what agents may know."""
        return tuple(self._task(instance) for instance in self._instances.values())

    def _task(self, instance: Instance) -> Task:
        source = self.source
        hints = f"\n\n{instance.hints}" if source.hints and instance.hints.strip() else ""
        workdir = source.workdir or instance.workdir or "/testbed"
        template = source.image_template
        if template is None and not any(instance.row.get(key) for key in IMAGE_KEYS):
            template = known(source.source).images or None
        return Task(
            id=instance.id,
            statement=instance.problem_statement + hints,
            image=image_name(instance.row, template),
            workdir=workdir,
            base_commit=instance.base_commit,
            repository=instance.repo,
            test_command=source.test_command,
            env={"BASH_ENV": activation_file(workdir)},
            network=source.network,
            test_timeout_s=source.test_timeout_s,
            toolbox=any(TOOLBOX in str(instance.row.get(key)) for key in ("test_cmd", "eval_script")),
        )

    async def prepare(self, task: Task, sandbox: Sandbox) -> None:
        """Remove the answer's files and the repository's future, verify that, find the image's Python environment, and
        record the tree.

        Raises:
            SetupFailed, SandboxError
        """
        await hide(sandbox, task.workdir, self._instances[task.id].hidden)
        await activate(sandbox, task.workdir, self.source.environment)
        self._clean[task.image] = await cut_future(
            sandbox,
            task.workdir,
            task.base_commit,
            past=self.source.history == "past",
            known=self._clean.get(task.image, ""),
        )
        base = self._shared.get(task.id)
        tree = await snapshot(sandbox, task.workdir, base.tree if base else None)
        if base is None or base.tree is not tree:
            base = self._shared[task.id] = Base(tree)
        # Kept as long as the sandbox: a pack for every instance would not fit into memory.
        self._bases[id(sandbox)] = base
        weakref.finalize(sandbox, self._bases.pop, id(sandbox), None)

    async def prepare_to_grade(self, task: Task, sandbox: Sandbox) -> None:
        """Like `prepare`, for a sandbox that no agent uses: patched code must not find the future either.

        Raises:
            SetupFailed, SandboxError
        """
        await activate(sandbox, task.workdir, self.source.environment)
        await cut_future(sandbox, task.workdir, task.base_commit, past=False)

    async def collect(self, task: Task, sandbox: Sandbox) -> Patch:
        """Diff the attempt against the tree as shipped in the image, which is what graders apply patches to.

        Raises:
            PatchRejected, SandboxError
        """
        base = self._bases.get(id(sandbox))
        if base is None:
            raise TaskError(f"{task.id}: this sandbox was not prepared by this env")
        return await take_patch(sandbox, task.workdir, base.tree)

    def test_runner(self, task: Task) -> TestRunner | None:
        """How the instance's project runs test files that exist on the base; no hidden name is in it."""
        return visible_runner(self._instances[task.id])

    async def grade(self, task: Task, patch: Patch, backend: SandboxBackend) -> Grade | None:
        """Run the hidden tests on the patch, with the chosen grader.

        Args:
            task: one of this env's tasks.
            patch: the submission.
            backend: starts sandboxes for our own grader; the official one starts containers itself.

        Raises:
            TaskError: the row has nothing to grade with, or the official package is not installed.
        """
        instance = self._instances[task.id]
        if self.source.grader == "official":
            return await grade_officially(instance, task, patch, self._swebench_python())
        place = Place(backend=backend, limits=self.source.grade_limits, prepare=self.prepare_to_grade)
        return await grade_here(task, instance, patch, place)

    async def solve(self, task_id: str, sandbox: Sandbox) -> ExecResult:
        """Apply the gold patch in a prepared sandbox, for the oracle.

        Raises:
            TaskError: the row has none.
            SandboxError
        """
        instance = self._instances[task_id]
        if not instance.patch:
            raise TaskError(f"{task_id}: the row has no reference patch")
        command = "git apply --whitespace=nowarn -"
        return await sandbox.exec(
            command, timeout=120, cwd=self._task(instance).workdir, stdin=instance.patch.encode(), merge_stderr=True
        )

    def reference(self, task_id: str) -> Patch:
        """The gold patch, for checking graders and data sets; never for selection or agents."""
        return Patch(self._instances[task_id].patch.encode())


def _with_scripts(instance: Instance, scripts: Path | None) -> Instance:
    """A row of SWE-bench Pro with the scripts that grade it; any other row, and one without scripts, as it is."""
    if scripts is None or instance.eval_script or instance.test_command:
        return instance
    try:
        files = strings(instance.row.get("selected_test_files_to_run")) or ()
        return replace(instance, program=read_scripts(scripts.expanduser(), instance.id, files))
    except TaskError as error:
        return replace(instance, harness=str(error).removeprefix(f"{instance.id}: "))


def choose(
    instances: Sequence[Instance], source: SweBenchSource, left_out: Mapping[str, str] | None = None
) -> list[Instance]:
    """The instances that a source's `only` names, in source order.

    Args:
        instances: all usable instances.
        source: names the ids to select.
        left_out: reasons for rows that exist but cannot be used, by id.

    Raises:
        TaskError: an id does not exist.
    """
    unknown = sorted(set(source.only) - {instance.id for instance in instances} - set(left_out or {}))
    if unknown:
        raise TaskError(f"{source.source} has no instance {', '.join(unknown[:5])}")
    return [instance for instance in instances if not source.only or instance.id in source.only]
