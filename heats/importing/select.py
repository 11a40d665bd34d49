"""Selection alone: attempts made elsewhere become the first heat of a run, and only its tournament is played.

The run directory is an ordinary one: existing parts are not redone, and reports, exports and resuming work as usual.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from agents.llm.ledger import Usage
from agents.trajectory import Exit, Trajectory
from core.sanitize import for_model
from core.text import cut
from envs import RepositoryEnv
from envs.base import Grade, Patch, Task
from envs.errors import PatchRejected
from envs.patches import read_patch
from heats.config import HeatsConfig
from heats.errors import UsageError
from heats.importing.attempts import ImportedAttempt
from heats.importing.read import summary_key
from heats.runner.announcements import announce_outcome
from heats.runner.heat import hold_tournament, rollout_ids
from heats.runner.rollout import Plan, TaskRun
from heats.runner.run import RunRequest, announce_end, at_work
from heats.runner.server_metrics import metered
from heats.store.records import Outcome, TaskResult
from heats.store.store import RolloutStore
from sandbox.base import Sandbox, SandboxBackend, SandboxLimits
from sandbox.errors import BackendUnavailable
from summarizer.fallback import baseline_summary, harness_summary
from summarizer.schema import Summary
from tournament.registry import needs_model
from tournament.strip import strip_comments
from tournament.view import FIELDS


@dataclass(frozen=True, slots=True)
class Contest:
    """The attempts at one task."""

    id: str
    statement: str
    attempts: tuple[ImportedAttempt, ...]

    def named(self) -> list[tuple[str, ImportedAttempt]]:
        """The attempts with the rollout ids they play under."""
        return list(zip(rollout_ids(0, len(self.attempts)), self.attempts, strict=True))

    def digest(self) -> str:
        """Digest of everything the selection depends on."""
        whole = sha256(self.id.encode("utf-8", "surrogatepass"))
        for attempt in self.attempts:
            told = attempt.trajectory.model_dump_json() if attempt.trajectory else ""
            for part in (told.encode("utf-8", "surrogatepass"), attempt.patch):
                whole.update(sha256(part).digest())
        return whole.hexdigest()


def make_contests(
    attempts: Sequence[ImportedAttempt], issue: str | None = None, issues: Mapping[str, str] | None = None
) -> list[Contest]:
    """Group attempts by task, in order of first appearance.

    Args:
        attempts: result of `at_tasks`: either all of them name a task, or none does.
        issue: text of the only task.
        issues: texts by task id; for other tasks the attempts' own statements are used.

    Raises:
        UsageError: one text for several tasks.
    """
    ids = list(dict.fromkeys(one.instance for one in attempts))
    if len(ids) > 1 and issue is not None:
        raise UsageError(
            f"--issue is one text, but the attempts are at {len(ids)} tasks ({', '.join(ids[:3])} ...): "
            "give a .json or .jsonl file with instance_id and problem_statement"
        )
    contests = []
    for name in ids:
        own = tuple(one for one in attempts if one.instance == name)
        told = next((one.statement for one in own if one.statement.strip()), "")
        contests.append(Contest(name or "attempts", issue or (issues or {}).get(name) or told, own))
    return contests


class AttemptsEnv:
    """An env with one task per contest.

    Args:
        contests: the contests.
        repository: where patches are verified with its tests; None if nothing is executed.
    """

    grades = False

    def __init__(self, contests: Sequence[Contest], repository: RepositoryEnv | None = None) -> None:
        whole = sha256("".join(contest.digest() for contest in contests).encode())
        self.name = f"attempts-{whole.hexdigest()[:16]}"
        self.repository = repository
        blank = repository.task if repository else Task(id="", statement="", image="")
        self._tasks = [blank.model_copy(update={"id": one.id, "statement": one.statement}) for one in contests]

    def tasks(self) -> Sequence[Task]:
        """All tasks, in the contests' order."""
        return self._tasks

    async def prepare(self, task: Task, sandbox: Sandbox) -> None:
        """Check out the repository's tree and run the set-up.

        Raises:
            SetupFailed, SandboxError
        """
        await self._place().prepare(task, sandbox)

    async def prepare_once(self, backend: SandboxBackend, limits: SandboxLimits) -> Sequence[str]:
        """Prepare what the sandboxes of all tasks start from; see `PreparesOnce`.

        Raises:
            SetupFailed, SandboxError
        """
        return await self._place().prepare_once(backend, limits)

    async def collect(self, task: Task, sandbox: Sandbox) -> Patch:
        """Diff against the repository's base commit.

        Raises:
            PatchRejected, SandboxError
        """
        return await self._place().collect(task, sandbox)

    async def grade(self, task: Task, patch: Patch, backend: SandboxBackend) -> Grade | None:
        """Return None: there are no hidden tests.

        Args:
            task: one of this env's tasks.
            patch: the submission.
            backend: unused.
        """
        return None

    def _place(self) -> RepositoryEnv:
        if self.repository is None:
            raise BackendUnavailable("these attempts have no repository")
        return self.repository


async def play_selection(request: RunRequest, contests: Sequence[Contest]) -> list[TaskResult]:
    """Select among the attempts of every contest; returns the results in their order.

    Args:
        request: the run; its env is the `AttemptsEnv` of the contests, and `select_k` of its configuration is the
            number of attempts kept per contest.
        contests: the contests.

    Raises:
        Whatever `heats.runner.run.play` raises.
    """
    async with at_work(request) as work:
        at_once = asyncio.Semaphore(request.config.at_once + 2)

        async def one(contest: Contest, task: Task) -> TaskResult:
            async with at_once:
                return await _select_task(work.task_run(task), contest)

        async with metered(work.services), asyncio.TaskGroup() as group:
            pairs = zip(contests, request.env.tasks(), strict=True)
            tasks = [group.create_task(one(contest, task)) for contest, task in pairs]
        results = [task.result() for task in tasks]
        announce_end(work.services.events, results)
    return results


async def _select_task(run: TaskRun, contest: Contest) -> TaskResult:
    from heats.runner.pipeline import Nodes, State, run_nodes  # langgraph takes a second to import

    run = replace(run, needs_patch=any(_checked(attempt.patch)[0] for attempt in contest.attempts))

    class Imported(Nodes):
        """The graph's nodes, with a heat whose rollouts are imported."""

        async def heat(self, state: State) -> dict[str, Any]:
            await _hold_heat(run, contest)
            return {"stop": True}

    return await run_nodes(run, Imported(run))


async def _hold_heat(run: TaskRun, contest: Contest) -> None:
    """Import the attempts as rollouts of heat 0 and hold its tournament."""
    names = [name for name, _ in contest.named()]
    run.services.events.emit("heat_started", task=run.task.id, heat=0, rollouts=names, context=[])
    await asyncio.to_thread(_admit_all, run, contest)
    bracket = run.store.bracket(0)
    if bracket is None:
        coming = {name: run.candidate(Plan(rollout=name)) for name in names}
        bracket = await hold_tournament(run, 0, coming, 1)
    kept = bracket.ranking[: min(run.services.config.select_k, len(bracket.ranking) - len(bracket.ineligible))]
    if bracket.selected != kept:  # the tournament went on to one, so that votes name the winner whatever K is
        bracket = bracket.model_copy(update={"selected": kept})
        run.store.save_bracket(0, bracket)
    run.services.events.emit("selected", task=run.task.id, heat=0, selected=bracket.selected, final=True)


def _admit_all(run: TaskRun, contest: Contest) -> None:
    for name, attempt in contest.named():
        files = run.store.rollout(name)
        if files.outcome() is None:
            outcome = admit(files, attempt, run.task, run.services.config)
            announce_outcome(run.services.events, run.task.id, outcome)


def admit(files: RolloutStore, attempt: ImportedAttempt, task: Task, config: HeatsConfig) -> Outcome:
    """Store an attempt as a finished rollout.

    If no model has to read the attempt, its summary is made here: for a patch without a trajectory it is the patch, and
    for selectors and views that do not read summaries it is the facts.

    Args:
        files: the rollout's store.
        attempt: the attempt.
        task: its task.
        config: the run's configuration.

    Returns:
        The stored outcome.
    """
    found = attempt.trajectory or Trajectory(id="", task_id="", agent="imported", model=attempt.model, seed=0)
    patch, rejected = _checked(attempt.patch)
    end = found.exit or Exit(kind="submitted" if attempt.trajectory is None else "cancelled", detail="imported")
    trajectory = found.model_copy(
        update={
            "id": files.rollout,
            "task_id": task.id,
            "exit": end,
            "usage": Usage(),  # the cost of the attempt is not charged to this run
            "parents": (),
            "extra": {**found.extra, "imported_usage": found.usage.model_dump()},
        }
    )
    files.save_trajectory(trajectory)
    summary = _summary(attempt, trajectory, patch, task, config)
    if summary is not None:
        files.save_summary(summary.model_copy(update={"rollout_id": files.rollout}))
    if config.evidence and attempt.evidence is not None and task.test_command is None:
        files.save_evidence(attempt.evidence)
    outcome = Outcome(
        rollout=files.rollout,
        exit=end.kind,
        detail=f"imported from {attempt.source}",
        steps=trajectory.agent_steps,
        duration_s=trajectory.duration_s,
        patch_sha256=patch.sha256 if patch else "",
        patch_bytes=len(patch.data),
        rejected=rejected,
        notes=patch.notes,
        model=attempt.model or trajectory.model,
        seed=trajectory.seed,
    )
    files.finish(outcome, patch)
    return outcome


def _checked(data: bytes) -> tuple[Patch, tuple[str, ...]]:
    try:
        return read_patch(data), ()
    except PatchRejected as error:
        return Patch(b""), error.reasons


def _summary(
    attempt: ImportedAttempt, trajectory: Trajectory, patch: Patch, task: Task, config: HeatsConfig
) -> Summary | None:
    """The summary, if it can be made without a model; else None."""
    if attempt.trajectory is None:
        return _of_patch(trajectory, patch, config)
    if not reads_summaries(config):
        return harness_summary(trajectory, task.statement, patch.data)
    if attempt.summary is not None and attempt.summarized_by == summary_key(config.identity()):
        return attempt.summary
    return None


def _of_patch(trajectory: Trajectory, patch: Patch, config: HeatsConfig) -> Summary:
    """The summary of an attempt of which only the patch is known: the diff, unless judges see it beside the summary."""
    judge = config.tournament.judge
    summary = baseline_summary(trajectory, patch.data, config.summarizer.model_copy(update={"method": "patch"}))
    if {"change", "patch"} & set(FIELDS[judge.view]):
        return summary.model_copy(update={"progress": ""})
    if not judge.strip_comments:
        return summary
    shown = for_model(strip_comments(patch.data.decode("utf-8", "replace")))
    return summary.model_copy(update={"progress": cut(shown, config.summarizer.max_chars)})


def reads_summaries(config: HeatsConfig) -> bool:
    """Whether the selection reads summaries, so that they must be made."""
    tournament = config.tournament
    return needs_model(tournament) and "summary" in FIELDS[tournament.judge.view]
