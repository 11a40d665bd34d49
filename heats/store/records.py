"""The records of a run directory. `heats/store/store.py` says where each is stored.

Rooms below define further records: `Trajectory`, `Summary`, `Evidence`, `TestReport`, `Bracket`, `Vote`, `Grade`.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import AliasChoices, Field

from agents.llm.ledger import Usage
from agents.trajectory import ExitKind
from core.record import Record
from envs.base import Evidence, TestOutcome
from heats.policies.base import Action, Event
from heats.retries import FailureClass
from tournament.base import Vote

STORE_VERSION: Literal[1] = 1


class Manifest(Record):
    """`run.json`: the run's identity. A process with another identity is refused.

    Attributes:
        run_id: the name of the run directory.
        instance: random; tells apart runs that had the same directory one after another. Empty in older runs.
        identity: everything that decides results: configuration, seed, task digests, image ids. No secrets, no URLs.
        about: everything else: versions, host, model endpoint facts.
    """

    store_version: Literal[1] = STORE_VERSION
    run_id: str
    instance: str = ""
    command: str
    identity: dict[str, Any]
    about: dict[str, Any] = {}

    @property
    def unique_id(self) -> str:
        """The run's id with its instance."""
        return f"{self.run_id}/{self.instance}" if self.instance else self.run_id


class Outcome(Record):
    """`outcome.json`: the last file of a rollout to be written; if it exists, the rollout is finished.

    Attributes:
        exit: how the trajectory ended; None if no attempt could be made (`error` says why).
        patch_sha256: digest of `patch.diff`; empty if there is no patch.
        rejected: why a collected patch was not stored.
        notes: what was left out or repaired when the patch was read.
        failure: class of the infrastructure failure that ended the last attempt; resuming the run retries such a
            rollout unless its heat is decided.
    """

    rollout: str
    exit: ExitKind | None
    detail: str = ""
    steps: int = 0
    duration_s: float = 0.0
    usage: Usage = Usage()
    patch_sha256: str = ""
    patch_bytes: int = 0
    rejected: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""
    failure: FailureClass | None = None
    model: str = ""
    temperature: float | None = None
    seed: int = 0

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks on the patch: why it is missing, what was left out, and how it was read."""
        return (*(f"patch refused: {reason}" for reason in self.rejected), *self.notes)


class Charge(Record):
    """One line of `ledger.jsonl`."""

    scope: str
    usage: Usage

    @property
    def task(self) -> str:
        """The charged task: charges are made in a heat of a task, by a rollout or by the tournament."""
        return self.scope.rpartition("/heat-")[0]


class TaskResult(Record):
    """`result.json`: how one task ended.

    Attributes:
        status: `verified`, `passes`, `unverified` and `no_patch` as in `Evidence`; `error` if infrastructure prevented
            a result, `budget` if a limit did.
        cause: cause of an `error`: the `task` cannot be attempted here as given, the `infrastructure` failed, or heats
            or the env has a bug (`internal`).
        kept: ids kept after each heat but the last.
        state_image: image with the winner's end state, if it was to be kept.
        by_chance: votes were cast but none could be read, so the winner was chosen at random.
    """

    task: str
    status: Literal["verified", "passes", "unverified", "no_patch", "error", "budget"]
    detail: str = ""
    cause: Literal["task", "infrastructure", "internal"] | None = None
    base_commit: str = ""
    selected: str | None = None
    patch_sha256: str = ""
    heats: int = 0
    rollouts: tuple[str, ...] = ()
    kept: tuple[tuple[str, ...], ...] = ()
    evidence: Evidence | None = None
    usage: Usage = Usage()
    state_image: str = ""
    by_chance: bool = Field(default=False, validation_alias=AliasChoices("by_chance", "by_lot"))


class StoredVotes(Record):
    """One line of `votes.jsonl`."""

    match: str
    contestants: tuple[str, ...]
    votes: tuple[Vote, ...]


class PolicyDecision(Record):
    """One line of a task's `policy.jsonl`: what its allocation policy was told, and what it decided."""

    event: Event
    actions: tuple[Action, ...] = ()


class RoutingLine(Record):
    """One line of a task's `routing.jsonl`: who answers a match or a summary, or how both models' answers compared.

    Attributes:
        unit: the match with its contestants, or the rollout whose summary it is.
        route: the decision; empty in the line of a comparison.
        number: position among the comparisons of the run, from 1; 0 in the line of a decision.
        agree: the result of the comparison.
        switch: the large model answers from here on.
        why: reason for the decision or the switch.
    """

    kind: Literal["votes", "summaries"]
    unit: str
    route: Literal["small", "large", "both", ""] = ""
    number: int = 0
    agree: bool | None = None
    switch: bool = False
    why: str = ""


class PassDecisions(Record):
    """One line of the run's `passes.jsonl`: how the paused tasks of a sweep continue, by task."""

    number: int
    actions: Mapping[str, tuple[Action, ...]]


CrossOutcome = TestOutcome | Literal["missing"]


class CrossCell(Record):
    """One line of `cross.jsonl`: a set of tests on one tree.

    Attributes:
        tests: digest of the tests: those of one author, or the project's own.
        patch: key of the patch they ran on; empty for the base.
        outcomes: by test id. Of the project's own tests only those that do not pass.
        words: the first lines of output of some tests that do not pass.
        seconds: that the sandbox was there.
        problem: why they did not run.
    """

    tests: str
    patch: str
    status: Literal["passed", "failed", "missing", "timeout", "oom", "indeterminate"] = "indeterminate"
    outcomes: Mapping[str, TestOutcome | Literal["missing"]] = {}
    words: Mapping[str, str] = {}
    seconds: float = 0.0
    problem: str = ""


class ProbeScript(Record):
    """One line of `scripts.jsonl`: the script that a judge wrote for a match; empty if none could be read."""

    match: str
    contestants: tuple[str, ...]
    script: str


class CrossRow(Record):
    """One test written by a rollout, and its outcome on every candidate's patch.

    Attributes:
        author: the rollout whose voice it belongs to; `authors` are all rollouts that wrote exactly the same test
            files.
        base: outcome on the base; `missing` if it did not run there, or on a patch.
        outcomes: outcomes by candidate.
        counts: it distinguishes patches, and somebody besides its author confirms it.
        guard: it passes on the base: what it checks worked before.
    """

    author: str
    authors: tuple[str, ...]
    test: str
    base: CrossOutcome
    outcomes: Mapping[str, CrossOutcome]
    counts: bool
    guard: bool = False


class CrossTable(Record):
    """`heat-0/cross.json`: what was executed on every candidate besides the user's tests.

    Attributes:
        candidates: columns; those with a patch.
        rows: tests that rollouts wrote, by author.
        voices: authors of tests that count.
        shares: by candidate, the mean over the voices of the share of their counting tests that it passes.
        ranks: by candidate, its place among all by what was executed; higher is better, equal is undecided.
        existing: number of the project's own tests that pass on the base, and `existing_files` that hold them.
        broken: by candidate, those of them that fail with its patch; absent for candidates on which they did not run.
        words: by candidate, the first lines of output of tests that fail, by test id.
        behaviours: by candidate, a digest of how all the tests ended; equal for patches that no test tells apart.
        seconds: of sandboxes, for all heats of the task so far.
        left_out: why something was not run.
    """

    candidates: tuple[str, ...] = ()
    rows: tuple[CrossRow, ...] = ()
    voices: tuple[str, ...] = ()
    shares: Mapping[str, float] = {}
    ranks: Mapping[str, int] = {}
    existing: int = 0
    existing_files: tuple[str, ...] = ()
    broken: Mapping[str, tuple[str, ...]] = {}
    words: Mapping[str, Mapping[str, str]] = {}
    behaviours: Mapping[str, str] = {}
    seconds: float = 0.0
    left_out: tuple[str, ...] = ()
