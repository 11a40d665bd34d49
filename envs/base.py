"""The env contract: tasks as data, and how a task is prepared, collected, verified and graded.

A `Task` holds only what an agent may see. What it must not see (gold patch, hidden tests) stays in the env's own
grading data and is read only by `grade`. Grading and verification run in a fresh sandbox that receives nothing but the
patch's bytes.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol, runtime_checkable

from core.record import Record
from sandbox.base import ExecResult, Network, Profile, Sandbox, SandboxBackend, SandboxLimits, SetupNetwork


class Machine(Record):
    """Resources that a task requires of its sandbox; None keeps the configured value.

    Attributes:
        user: see `SandboxSpec.user`.
        life_s: minimum lifetime of the sandbox, in seconds.
    """

    profile: Profile = "strict"
    user: str = "root"
    cpus: float | None = None
    memory_mb: int | None = None
    pids: int | None = None
    life_s: float = 0.0


class Task(Record):
    """One software task: the part of it that agents may see.

    Attributes:
        id: unique within its env; slugged, it is used as a directory name.
        statement: the issue, verbatim.
        image: image of the task's sandbox.
        base_commit: commit that patches apply to and that is checked out in the sandbox.
        test_command: the command a user runs to test the tree; None if there is none.
        setup: command run after checkout, such as `pip install -e .`.
        setup_network: network of the set-up, if it runs in a sandbox of its own.
        setup_env: names of variables in the environment of heats that only the set-up receives.
        prepared: key of the environment that the set-up leaves; a sandbox started from it needs no set-up.
        submission: what an attempt submits: a `patch`, or the `state` of its sandbox. For a state, only a description
            is stored (as a `Patch` that is never applied); it is graded in place by `GradesStates`.
        workdir: directory of the tree; for a `state`, empty means the image's own working directory.
        repository: name of the project, the same for all of its tasks; empty if unknown.
        folder: subfolder of `workdir` where commands run; empty for `workdir` itself. Patches always cover the whole
            tree.
        agent_timeout_s: time limit for one attempt, if the task sets one.
    """

    id: str
    statement: str
    image: str
    workdir: str = "/testbed"
    base_commit: str = ""
    test_command: str | None = None
    setup: str | None = None
    env: Mapping[str, str] = {}
    network: Network = "none"
    setup_network: SetupNetwork = "none"
    setup_env: tuple[str, ...] = ()
    prepared: str = ""
    toolbox: bool = False
    """The commands use the read-only Python tools mounted at /opt/heats/toolbox (pytest). They are also mounted where
    the test command, the set-up or `env` names that path."""
    setup_timeout_s: float = 600.0
    test_timeout_s: float = 600.0
    submission: Literal["patch", "state"] = "patch"
    machine: Machine = Machine()
    agent_timeout_s: float | None = None
    folder: str = ""
    repository: str = ""

    @property
    def runs_in(self) -> str:
        """Directory in which set-up, tests and agents start."""
        return f"{self.workdir}/{self.folder}" if self.folder else self.workdir


@dataclass(frozen=True)
class Patch:
    """A diff against the task's base commit, byte for byte: never stripped, truncated or re-encoded.

    Attributes:
        notes: what was left out or repaired when the patch was read, one line each.
    """

    data: bytes
    notes: tuple[str, ...] = field(default=(), compare=False)

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the patch's bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def __bool__(self) -> bool:
        return bool(self.data)


class EndState(Patch):
    """What an attempt leaves behind in its sandbox, described as text, for tasks that grade the end state.

    It takes the place of a patch wherever attempts are compared and stored, but cannot be applied or proposed.
    """


TestOutcome = Literal["passed", "failed", "error", "skipped"]


class TestPlace(Record):
    """Where a test function is defined: file relative to the working directory, and first line."""

    __test__ = False

    file: str
    line: int


class TestReport(Record):
    """The result of one run of a test command.

    Attributes:
        status: `passed` for exit code 0, else `failed`; `missing` if the shell did not find the command; `timeout`,
            `oom` and `indeterminate` as for the sandbox.
        tests: outcome by test id; empty if no per-test results could be read.
        output: the end of what the command printed.
        source: where `tests` come from: heats' own `recorder` in the test process, a report `file` that the command
            wrote, or its `printed` output; empty if only the exit code is known.
        runner: the test runner, if it could be identified.
        ended: False if a test runner started and never reported its end.
        collection_errors: error message by the name of each file or module that the runner could not load.
        places: definitions of the tests that do not pass.
        files: known test files, relative to the working directory.
        trusted: True if nothing that ran in the sandbox could have forged the status and exit code.
    """

    __test__ = False

    command: str
    status: Literal["passed", "failed", "missing", "timeout", "oom", "indeterminate"]
    exit_code: int | None = None
    tests: Mapping[str, TestOutcome] = {}
    output: str = ""
    duration_s: float = 0.0
    source: Literal["recorder", "file", "printed", ""] = ""
    runner: str = ""
    ended: bool = True
    collection_errors: Mapping[str, str] = {}
    places: Mapping[str, TestPlace] = {}
    files: tuple[str, ...] = ()
    trusted: bool = False

    def ids(self, *outcomes: TestOutcome) -> tuple[str, ...]:
        """Sorted ids of the tests that ended with one of these outcomes."""
        return tuple(sorted(test for test, outcome in self.tests.items() if outcome in outcomes))

    @property
    def failing(self) -> bool:
        """Whether any test fails; judged by exit code only if there are no per-test results."""
        return bool(self.ids("failed", "error")) if self.tests else self.status != "passed"


Verdict = Literal["verified", "passes", "unverified", "no_patch"]
Strength = Literal["none", "exit-code", "report", "confirmed"]


class Evidence(Record):
    """What was run to verify one patch, and the results.

    Attributes:
        verdict: both `verified` and `passes` mean that something that failed now passes and nothing that passed now
            fails. Only `verified` has also been confirmed. `no_patch` stands for an empty patch.
        reason: one line for the user, whatever the verdict.
        strength: what the verdict rests on. `exit-code`: the command's exit code alone. `report`: per-test results.
            `confirmed`: per-test results from heats' own recorder, sentinel copies of the fixed tests that passed or
            failed as they should, and a second run of the base in which the fixed tests failed again.
        strength_reasons: why the strength is not `confirmed`, one line each.
        fixed: tests that failed before and pass now; `broken` is the reverse; `still_failing` failed both times.
        rank: evidence class; a candidate of a higher class always beats one of a lower class. 3: all relevant tests
            fixed and none broken; 2: some fixed, none broken; 1: nothing changed; 0: something broken, tampering, or
            the patch does not apply.
    """

    patch_sha256: str
    verdict: Verdict
    reason: str
    rank: int
    strength: Strength = "none"
    strength_reasons: tuple[str, ...] = ()
    before: TestReport | None = None
    after: TestReport | None = None
    fixed: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    still_failing: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    """Tests and test settings that the patch changed or added and that verification restored or removed."""


class Grade(Record):
    """An env's verdict from its hidden tests; `invalid` means the infrastructure failed: neither pass nor fail.

    Attributes:
        rewards: rewards by name, for envs that grade with numbers.
    """

    task_id: str
    outcome: Literal["pass", "fail", "invalid"]
    reason: str = ""
    report: TestReport | None = None
    rewards: Mapping[str, float] = {}


class Env(Protocol):
    """A source of tasks, and the only component that can grade them."""

    name: str

    def tasks(self) -> Sequence[Task]:
        """All tasks, in a fixed order."""
        ...

    async def prepare(self, task: Task, sandbox: Sandbox) -> None:
        """Check out the base commit in a fresh sandbox and run the task's set-up.

        Raises:
            SetupFailed, SandboxError.
        """
        ...

    async def collect(self, task: Task, sandbox: Sandbox) -> Patch:
        """Kill the remaining processes and diff the attempt against the base commit, inside the sandbox.

        Raises:
            PatchRejected, SandboxError.
        """
        ...

    async def grade(self, task: Task, patch: Patch, backend: SandboxBackend) -> Grade | None:
        """Run the hidden tests in a fresh sandbox.

        Args:
            task: one of this env's tasks.
            patch: the submission, diffed against the task's base commit.
            backend: starts the sandbox used for grading.

        Returns:
            The grade, or None if the env has no hidden tests.
        """
        ...


@runtime_checkable
class ChecksTasks(Protocol):
    """An env that can tell from its files, before anything is spent, which tasks are unusable."""

    def listing(self) -> Sequence[str]:
        """Ids of everything the source holds, usable or not, in source order."""
        ...

    async def unusable(self, *, grading: bool) -> Mapping[str, str]:
        """Why tasks cannot be played: one line each, by task id. Such tasks may be missing from `tasks`.

        Args:
            grading: also report tasks that could be played but not graded.

        Raises:
            TaskError: something that every task needs is missing.
        """
        ...


@runtime_checkable
class GradesStates(Protocol):
    """An env whose tasks submit the state of their sandbox."""

    async def grade_state(self, task: Task, sandbox: Sandbox, backend: SandboxBackend) -> Grade:
        """Grade the sandbox as the attempt left it, with its processes still running.

        The hidden tests enter the sandbox only now. Failures of the infrastructure, and of the verifier itself, give
        the outcome `invalid`; nothing is raised.

        Args:
            task: one of this env's tasks.
            sandbox: the attempt's sandbox. It may be closed, and is of no use afterwards.
            backend: starts further sandboxes, such as a separate verifier's.
        """
        ...


@runtime_checkable
class GradesKeptStates(Protocol):
    """An env that can grade a saved state."""

    async def grade_kept(self, task: Task, description: Patch, sandbox: Sandbox, backend: SandboxBackend) -> Grade:
        """Grade a sandbox started from an image of the state, with its files but without its processes.

        The outcome is `invalid` if the state may have failed only because its processes are missing; nothing is raised.

        Args:
            task: one of this env's tasks.
            description: what `collect` returned for the state.
            sandbox: sandbox started from the image of the state.
            backend: starts further sandboxes, such as a separate verifier's.
        """
        ...


@runtime_checkable
class MakesImages(Protocol):
    """An env that builds or fetches its tasks' images."""

    async def make_images(self, images: Collection[str], backend: SandboxBackend) -> Mapping[str, str]:
        """Build or fetch the images that do not exist yet; called before the backend's preflight.

        Returns:
            The images that could not be made, each with the reason.

        Raises:
            SandboxError: no image could be made.
        """
        ...


@runtime_checkable
class PreparesOnce(Protocol):
    """An env that prepares what all sandboxes of a task start from."""

    async def prepare_once(self, backend: SandboxBackend, limits: SandboxLimits) -> Sequence[str]:
        """Prepare what is not kept already; called before any sandbox of a task is started.

        Args:
            backend: starts the sandbox that is prepared.
            limits: its limits.

        Returns:
            What the user should know, one line each.

        Raises:
            SetupFailed: a set-up failed; the message ends with its last lines.
            SandboxError.
        """
        ...


@runtime_checkable
class DigestsTasks(Protocol):
    """An env that can tell whether a task is the same as in another run, its hidden tests included."""

    def content_digest(self, task: Task) -> str:
        """Digest of everything that decides how a task is played and graded; reveals nothing of it."""
        ...


@runtime_checkable
class HasRevision(Protocol):
    """An env whose tasks come from a place that keeps versions of them."""

    @property
    def revision(self) -> str:
        """The version that was read, such as a commit; empty if there are none."""
        ...


@runtime_checkable
class KnowsSolution(Protocol):
    """An env that can play a task's reference solution; only the oracle ever receives it."""

    async def solve(self, task_id: str, sandbox: Sandbox) -> ExecResult:
        """Run the reference solution in a prepared sandbox.

        Raises:
            TaskError: the task has no reference solution.
            SandboxError.
        """
        ...
