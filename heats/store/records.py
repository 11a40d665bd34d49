"""What a run directory holds, record by record. `heats/store/store.py` says where each lies.

Rooms below bring their own records: `Trajectory`, `Summary`, `Evidence`, `TestReport`, `Bracket`, `Vote`, `Grade`.
"""

from collections.abc import Mapping
from typing import Any, Literal

from agents.llm.ledger import Usage
from agents.trajectory import ExitKind
from core.record import Record
from envs.base import Evidence, TestOutcome
from heats.retries import FailureClass
from tournament.base import Vote

STORE_VERSION: Literal[1] = 1


class Manifest(Record):
    """`run.json`: what the run is. A second process with another identity is refused.

    Attributes:
        identity: everything that decides results: configuration, seed, task digests, image ids. No secrets, no URLs.
        about: what does not decide results: versions, host, model endpoint facts.
    """

    store_version: Literal[1] = STORE_VERSION
    run_id: str
    command: str
    identity: dict[str, Any]
    about: dict[str, Any] = {}


class Outcome(Record):
    """`outcome.json`: the last file of a rollout to be written; where it exists, the rollout is finished.

    Attributes:
        exit: how the trajectory ended; None when no attempt could be made (`error` says why).
        patch_sha256: of `patch.diff`; empty when there is no patch.
        rejected: why a patch was taken but not stored.
        notes: what was left out of the patch, and what was mended in reading it.
        failure: class of the infrastructure failure that ended the last attempt; such a rollout is tried again by
            whoever goes on with its run before its heat is decided.
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
        """What a person should know of the patch: why there is none, what is not in it, how it was read."""
        return (*(f"patch refused: {reason}" for reason in self.rejected), *self.notes)


class Charge(Record):
    """One line of `ledger.jsonl`."""

    scope: str
    usage: Usage

    @property
    def task(self) -> str:
        """Whose it is: charges are made in a heat of a task, by a rollout or by the tournament."""
        return self.scope.rpartition("/heat-")[0]


class TaskResult(Record):
    """`result.json`: how one task ended.

    Attributes:
        status: `verified`, `passes`, `unverified` and `no_patch` as in `Evidence`; `error` when infrastructure
            prevented a result, `budget` when a limit did.
        cause: of an `error`: the `task` cannot be attempted here as given, the `infrastructure` failed, or a fault
            of heats or of the env (`internal`).
        kept: ids kept after each heat but the last.
        state_image: image that keeps the winner's end state, where one was to be kept.
        by_lot: votes on the winner were asked for and none could be read: a lot chose it.
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
    by_lot: bool = False


class StoredVotes(Record):
    """One line of `votes.jsonl`."""

    match: str
    contestants: tuple[str, ...]
    votes: tuple[Vote, ...]


CrossOutcome = TestOutcome | Literal["missing"]


class CrossCell(Record):
    """One line of `cross.jsonl`: one author's tests on one tree.

    Attributes:
        tests: digest of the tests.
        patch: key of the patch they ran on; empty for the base.
        problem: why they did not run.
    """

    tests: str
    patch: str
    status: Literal["passed", "failed", "missing", "timeout", "oom", "indeterminate"] = "indeterminate"
    outcomes: Mapping[str, TestOutcome] = {}
    problem: str = ""


class CrossRow(Record):
    """One test that an attempt wrote, and what came out on every candidate's patch.

    Attributes:
        author: the rollout that speaks by it; `authors` all that wrote exactly the same test files.
        base: outcome on the base; `missing` where it did not run, so on a patch, too.
        outcomes: by candidate.
        counts: it tells patches apart and somebody besides its author bears it out.
    """

    author: str
    authors: tuple[str, ...]
    test: str
    base: CrossOutcome
    outcomes: Mapping[str, CrossOutcome]
    counts: bool


class CrossTable(Record):
    """`heat-0/cross.json`: the tests that each rollout wrote, run on every candidate's patch.

    Attributes:
        candidates: columns; those with a patch.
        rows: by author.
        voices: authors of tests that count.
        shares: by candidate, the mean over the voices of the share of their counting tests that it passes.
        ranks: by candidate 1, 0 or -1, for more, just or less than half; empty where too few have a voice.
    """

    candidates: tuple[str, ...] = ()
    rows: tuple[CrossRow, ...] = ()
    voices: tuple[str, ...] = ()
    shares: Mapping[str, float] = {}
    ranks: Mapping[str, int] = {}
