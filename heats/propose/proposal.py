"""What is proposed: a patch, and the facts that its text is written from.

A proposal is read from a run or from a bundle: a directory that holds only `proposal.json` and `patch.diff`, with which
a job without a token hands over to a job with one. A bundle is untrusted and contains no finished text.
"""

import os
import stat
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from agents.llm.ledger import Usage
from core.record import Record
from core.sanitize import excerpt, one_line
from envs.base import EndState, Evidence, Patch, Task, TestReport
from envs.errors import PatchRejected
from envs.patches import PatchRules, check_patch
from heats.errors import PatchRefused, UsageError
from heats.propose.attempts import PlayedMatch, TriedRollout, read_attempts, read_contests
from heats.report.decision import Decision, read_decision
from heats.store.files import read_record, write_bytes, write_record
from heats.store.reader import RolloutFacts, TaskFacts, read_task, statement, task_ids
from heats.store.store import RunStore

MAX_FACTS_BYTES = 4 << 20
MAX_NAMES = 400

Names = tuple[str, ...]


class Tests(Record):
    """One run of the user's tests."""

    __test__ = False

    command: str = Field(max_length=4000)
    status: str = Field(max_length=40)
    passed: int = Field(0, ge=0)
    failed: int = Field(0, ge=0)
    duration_s: float = Field(0.0, ge=0)


class Proposal(Record):
    """The facts about one patch.

    Attributes:
        issue: the issue, verbatim.
        base_commit: commit that the patch applies to.
        verified: what failed now passes, nothing that passed fails, and this was confirmed.
        passes: the same without confirmation; `lacking` says why it is missing, one line each.
        same: number of other rollouts that made the same change.
        omitted: number of rollouts and matches left out because there are too many.
    """

    version: Literal[1] = 1
    run: str = Field(max_length=200)
    task: str = Field(max_length=400)
    model: str = Field("", max_length=400)
    issue: str = Field("", max_length=20_000)
    base_commit: str = Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")
    patch_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    rollout: str = Field(max_length=400)
    verified: bool
    passes: bool = False
    lacking: Names = Field((), max_length=MAX_NAMES)
    verdict: str = Field("", max_length=1000)
    before: Tests | None = None
    after: Tests | None = None
    fixed: Names = Field((), max_length=MAX_NAMES)
    broken: Names = Field((), max_length=MAX_NAMES)
    still_failing: Names = Field((), max_length=MAX_NAMES)
    restored: Names = Field((), max_length=MAX_NAMES)
    attempts: tuple[TriedRollout, ...] = Field((), max_length=MAX_NAMES)
    contests: tuple[PlayedMatch, ...] = Field((), max_length=MAX_NAMES)
    same: int = Field(0, ge=0)
    omitted: int = Field(0, ge=0)
    usage: Usage = Usage()
    decision: Decision = Decision()


def read_run(run: RunStore, task_id: str | None = None, rollout: str | None = None) -> tuple[Proposal, Patch]:
    """Read the proposal for a run's patch.

    Args:
        run: the run.
        task_id: required if the run has several tasks.
        rollout: propose this candidate instead of the selected one.

    Raises:
        UsageError: no such task or rollout, or the task is not finished.
        PatchRefused: there is no patch, or its file was modified since the run.
    """
    task = read_task(run, _one_task(run, task_id))
    if task.result is None:
        raise UsageError(f"task {one_line(task.id)} is not finished: finish the run first")
    name = rollout or task.selected
    chosen = task.find(name)
    if rollout is not None and chosen is None:
        raise UsageError(f"--rollout: the run has no rollout {rollout}; they are named like heat-0/rollout-03")
    if name is None or chosen is None:
        raise PatchRefused(f"the run has no patch to propose: {one_line(task.result.detail or task.result.status)}")
    patch = task.store.rollout(name).patch()
    known = task.result.patch_sha256 if name == task.selected else ""
    if chosen.outcome is None or (known and patch.sha256 != known):
        raise PatchRefused(f"patch.diff of {name} was changed after the run; its digest differs")
    if not patch:
        raise PatchRefused(f"{name} produced no patch")
    if isinstance(patch, EndState):
        raise PatchRefused("attempts at this task submit the end state of their sandbox, not a patch")
    return _facts(run, task, chosen, patch), patch


def _one_task(run: RunStore, wanted: str | None) -> str:
    run.manifest  # noqa: B018 - says what is wrong with a directory that holds no run
    names = task_ids(run)
    if wanted is not None:
        if wanted not in names:
            raise UsageError(f"--task: the run has no task {wanted}")
        return wanted
    if len(names) != 1:
        raise UsageError(f"the run has {len(names)} tasks: choose one with --task")
    return names[0]


def _facts(run: RunStore, task: TaskFacts, chosen: RolloutFacts, patch: Patch) -> Proposal:
    result = task.result
    evidence = chosen.evidence
    standing = evidence.verdict if evidence is not None else "unverified"
    if result is not None and chosen.id == result.selected:
        evidence = result.evidence or evidence
        standing = result.status if result.status in ("verified", "passes") else "unverified"
    if evidence is None or evidence.patch_sha256 != patch.sha256:
        standing = "unverified"
    attempts, contests = read_attempts(task), read_contests(task, chosen.id)
    asked = statement(task.store, task.store.rollout(chosen.id).trajectory())
    before = (evidence.before if evidence else None) or task.baseline
    return Proposal(
        run=one_line(run.manifest.run_id),
        task=one_line(task.id, 400),
        model=one_line(chosen.outcome.model if chosen.outcome else ""),
        issue=excerpt(asked, 16_000),
        base_commit=_base(task),
        patch_sha256=patch.sha256,
        rollout=chosen.id,
        verified=standing == "verified",
        passes=standing == "passes",
        lacking=tuple(one_line(why, 400) for why in evidence.strength_reasons[:MAX_NAMES]) if evidence else (),
        verdict=one_line(_reason(task, chosen, evidence), 900),
        before=_tests(before),
        after=_tests(evidence.after if evidence else None),
        **_changes(evidence),
        attempts=attempts[:MAX_NAMES],
        contests=contests[:MAX_NAMES],
        same=sum(len(bracket.merged.get(chosen.id, ())) for bracket in task.brackets if bracket is not None),
        omitted=max(len(attempts) - MAX_NAMES, 0) + max(len(contests) - MAX_NAMES, 0),
        usage=result.usage if result is not None else Usage(),
        decision=read_decision(task, chosen),
    )


def _base(task: TaskFacts) -> str:
    kept = read_record(task.store.directory / "task.json", Task)
    found = (task.result.base_commit if task.result else "") or (kept.base_commit if kept else "")
    if not found:
        raise PatchRefused("the run does not record a base commit to branch from")
    return found


def _reason(task: TaskFacts, chosen: RolloutFacts, evidence: Evidence | None) -> str:
    if task.result is not None and chosen.id == task.result.selected and task.result.detail:
        return task.result.detail
    return evidence.reason if evidence is not None else "no tests ran on it"


def _tests(report: TestReport | None) -> Tests | None:
    if report is None:
        return None
    return Tests(
        command=excerpt(report.command, 3000),
        status=report.status,
        passed=len(report.ids("passed")),
        failed=len(report.ids("failed", "error")),
        duration_s=max(report.duration_s, 0.0),
    )


def _changes(evidence: Evidence | None) -> dict[str, Names]:
    if evidence is None:
        return {}
    names = ("fixed", "broken", "still_failing", "restored")
    return {name: tuple(one_line(test) for test in getattr(evidence, name)[:MAX_NAMES]) for name in names}


def is_bundle(directory: Path) -> bool:
    """Whether a directory holds a bundle."""
    return (directory / "proposal.json").exists()


def write_bundle(directory: Path, proposal: Proposal, patch: Patch) -> None:
    """Write a bundle into an empty or new directory.

    Args:
        directory: the directory.
        proposal: facts about the patch.
        patch: the patch.

    Raises:
        UsageError: the directory contains other files.
    """
    if directory.is_dir() and {path.name for path in directory.iterdir()} - {"proposal.json", "patch.diff"}:
        raise UsageError(f"--bundle: {directory} holds other files: choose an empty directory")
    write_bytes(directory / "patch.diff", patch.data, mode=0o644)
    write_record(directory / "proposal.json", proposal)
    (directory / "proposal.json").chmod(0o644)


def read_bundle(directory: Path) -> tuple[Proposal, Patch]:
    """Read a bundle and validate it as strictly as any external input.

    Raises:
        PatchRefused: other files, links, unknown keys, or a patch that breaks the rules or differs from the one
            described.
    """
    others = {path.name for path in directory.iterdir()} - {"proposal.json", "patch.diff"}
    if others:
        raise PatchRefused(f"the bundle holds other files: {one_line(', '.join(sorted(others)))}")
    try:
        proposal = Proposal.model_validate_json(_read(directory / "proposal.json", MAX_FACTS_BYTES))
    except ValidationError as error:
        first = error.errors()[0]
        where = one_line(".".join(map(str, first["loc"])))
        raise PatchRefused(f"the bundle's proposal.json is not valid: {where}: {first['msg']}") from None
    patch = Patch(_read(directory / "patch.diff", PatchRules().max_bytes))
    if patch.sha256 != proposal.patch_sha256:
        raise PatchRefused("the bundle's patch.diff is not the patch that its proposal.json describes")
    return proposal, patch


def check(patch: Patch) -> None:
    """Refuse a patch that must not be applied anywhere.

    Raises:
        PatchRefused
    """
    try:
        check_patch(patch.data)
    except PatchRejected as rejected:
        raise PatchRefused(f"the patch breaks the rules: {'; '.join(rejected.reasons[:5])}") from None


def _read(path: Path, limit: int) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise PatchRefused(f"the bundle's {path.name} cannot be read: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise PatchRefused(f"the bundle's {path.name} is not a file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise PatchRefused(f"the bundle's {path.name} is larger than {limit} bytes")
    return data
