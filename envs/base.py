"""What an env is: tasks as data, and how one is prepared, collected, verified and graded.

A `Task` holds what an agent may see. What it must not see (gold patch, hidden tests) lives in the env's own grading
data and is read only by `grade`. Grading and verification happen in a fresh sandbox into which only patch bytes cross.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol, runtime_checkable

from core.record import Record
from sandbox.base import ExecResult, Network, Profile, Sandbox, SandboxBackend


class Machine(Record):
    """What a task asks of its sandbox; None leaves what the configuration says.

    Attributes:
        user: as `SandboxSpec.user`.
        life_s: seconds that the sandbox must be able to last, at least.
    """

    profile: Profile = "strict"
    user: str = "root"
    cpus: float | None = None
    memory_mb: int | None = None
    pids: int | None = None
    life_s: float = 0.0


class Task(Record):
    """One software task, as an agent may know it.

    Attributes:
        id: unique in its env; used as a directory name after slugging.
        statement: the issue, as written.
        image: of the sandbox it runs in.
        base_commit: commit id of the tree that patches apply to; also the commit checked out in the sandbox.
        test_command: what a user runs to see whether the tree works; None when there is none.
        setup: run once in a fresh sandbox after the tree is there, such as `pip install -e .`.
        submission: what an attempt hands in: a `patch`, or the `state` of its sandbox. Of a state only a description
            is kept (as a `Patch` that is never applied), and it is graded where it is, by `GradesStates`.
        workdir: empty for the image's own, for a `state`.
        folder: below `workdir`, where commands run; empty for `workdir` itself. Patches are always of the whole tree.
        agent_timeout_s: how long one attempt may take, for tasks that say so.
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
    toolbox: bool = False
    """Its commands use the read-only Python tools mounted at /opt/heats/toolbox (pytest)."""
    setup_timeout_s: float = 600.0
    test_timeout_s: float = 600.0
    submission: Literal["patch", "state"] = "patch"
    machine: Machine = Machine()
    agent_timeout_s: float | None = None
    folder: str = ""

    @property
    def runs_in(self) -> str:
        """The directory in which set-up, tests and agents start."""
        return f"{self.workdir}/{self.folder}" if self.folder else self.workdir


@dataclass(frozen=True)
class Patch:
    """A diff against the task's base commit: exact bytes, never stripped, cut or re-encoded.

    Attributes:
        notes: what was left out of it, and what was mended in the reading; one line each.
    """

    data: bytes
    notes: tuple[str, ...] = field(default=(), compare=False)

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def __bool__(self) -> bool:
        return bool(self.data)


TestOutcome = Literal["passed", "failed", "error", "skipped"]


class TestPlace(Record):
    """Where a test's function is defined: a path relative to the working directory, and its first line."""

    __test__ = False

    file: str
    line: int


class TestReport(Record):
    """One run of a test command.

    Attributes:
        status: `passed` for exit code 0; `failed` otherwise; `missing` when the shell did not find the command;
            `timeout`, `oom` and `indeterminate` as in the sandbox.
        tests: outcome by test id where results could be read test by test, else empty.
        output: last part of what it printed.
        source: where `tests` come from: heats' own `recorder` in the test process, a report `file` that the command
            wrote, or what it `printed`; empty when only the exit code is known.
        runner: the test runner, where it could be told.
        ended: False when a test runner started and never reported its end.
        collection_errors: what the runner could not load, by its name for it, with its own words.
        places: of tests that do not pass.
        files: test files, as far as they are known, relative to the working directory.
        trusted: nothing that ran in the sandbox could have written status and exit code in place of the command.
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
        """Sorted ids of the tests with one of these outcomes."""
        return tuple(sorted(test for test, outcome in self.tests.items() if outcome in outcomes))

    @property
    def failing(self) -> bool:
        """Whether a test fails; by the exit code only where no tests are named."""
        return bool(self.ids("failed", "error")) if self.tests else self.status != "passed"


Verdict = Literal["verified", "passes", "unverified", "no_patch"]
Strength = Literal["none", "exit-code", "report", "confirmed"]


class Evidence(Record):
    """What was executed for one patch, and what came out.

    Attributes:
        verdict: `verified` and `passes` both say that something which failed now passes and that nothing which passed
            fails. Only `verified` was also confirmed; `no_patch` is for an empty patch.
        reason: one line for a person, whatever the verdict.
        strength: what the verdict rests on. `exit-code`: the command's alone. `report`: results test by test.
            `confirmed`: such results from heats' own recorder, copies of the fixed tests that had to pass or fail and
            did, and a second run of the base in which the fixed tests failed again.
        strength_reasons: why it is not `confirmed`, one line each.
        fixed: tests that failed before and pass now; `broken` the reverse; `still_failing` failed both times.
        rank: evidence class; a candidate of a higher class is never beaten by one of a lower class. 3: everything
            that counts is fixed and nothing broken; 2: some fixed, none broken; 1: nothing changed; 0: something
            broken, tampered with, or the patch does not apply.
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
    """Tests and test settings that the patch changed or added, and verification put back or left out."""


class Grade(Record):
    """An env's verdict by hidden tests. `invalid` means the infrastructure failed: neither pass nor fail.

    Attributes:
        rewards: the numbers that a verifier gave, by name, for envs that grade by numbers.
    """

    task_id: str
    outcome: Literal["pass", "fail", "invalid"]
    reason: str = ""
    report: TestReport | None = None
    rewards: Mapping[str, float] = {}


class Env(Protocol):
    """A source of tasks and the only one who can grade them."""

    name: str

    def tasks(self) -> Sequence[Task]:
        """All tasks, in a fixed order."""
        ...

    async def prepare(self, task: Task, sandbox: Sandbox) -> None:
        """Put the tree at the base commit into a fresh sandbox and run the set-up.

        Raises:
            SetupFailed, SandboxError.
        """
        ...

    async def collect(self, task: Task, sandbox: Sandbox) -> Patch:
        """Kill what still runs and take the attempt's diff against the base commit, made inside the sandbox.

        Raises:
            PatchRejected, SandboxError.
        """
        ...

    async def grade(self, task: Task, patch: Patch, backend: SandboxBackend) -> Grade | None:
        """Run the hidden tests in a fresh sandbox; None when the env has none."""
        ...


@runtime_checkable
class ChecksTasks(Protocol):
    """An env that can tell from its files, before anything is spent, which of its tasks cannot be used."""

    def listing(self) -> Sequence[str]:
        """Ids of everything that the source holds, usable or not, in its order."""
        ...

    async def unusable(self, *, grading: bool) -> Mapping[str, str]:
        """Why tasks cannot be played, by their ids, one line each. Some of them may be missing from `tasks`.

        Args:
            grading: also say which could be played but not graded.

        Raises:
            TaskError: something is missing that every task needs.
        """
        ...


@runtime_checkable
class GradesStates(Protocol):
    """An env whose tasks hand in the state of their sandbox."""

    async def grade_state(self, task: Task, sandbox: Sandbox) -> Grade:
        """Grade the sandbox as the attempt left it, what it started still running. Hidden tests enter only now.

        Failures of the infrastructure, and of the verifier itself, are the outcome `invalid`; nothing is raised.
        """
        ...


@runtime_checkable
class GradesKeptStates(Protocol):
    """An env that can grade a state from what was kept of it."""

    async def grade_kept(self, task: Task, description: Patch, sandbox: Sandbox) -> Grade:
        """Grade a sandbox that was started from an image of the state: its files are there, its processes are not.

        `invalid` where the state may have failed for the lack of its processes; nothing is raised.
        """
        ...


@runtime_checkable
class MakesImages(Protocol):
    """An env that builds or fetches the images of its tasks."""

    async def make_images(self, images: Collection[str], backend: SandboxBackend) -> Mapping[str, str]:
        """Make those of the images that are not there; called before the backend's preflight.

        Returns:
            Images that could not be made, and why.

        Raises:
            SandboxError: none of them could be made.
        """
        ...


@runtime_checkable
class KnowsSolution(Protocol):
    """An env that can play a task's reference solution. Only the oracle is ever handed one."""

    async def solve(self, task_id: str, sandbox: Sandbox) -> ExecResult:
        """Run the reference solution in a prepared sandbox.

        Raises:
            TaskError: the task has none.
            SandboxError.
        """
        ...
