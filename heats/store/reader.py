"""Read a run directory for display: complete or in progress, of this version or damaged by a crash."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from agents.trajectory import Trajectory
from envs.base import Evidence, Grade, Task, TestReport
from heats.formatting import INFRASTRUCTURE_EXITS
from heats.store.events import RunEvent
from heats.store.files import read_lines, read_record, slug
from heats.store.records import Outcome, TaskResult
from heats.store.store import RunStore, TaskStore
from tournament.base import Bracket

Basis = Literal["pass", "verified", "none"]
"""The definition of success: the hidden tests' grades, else the evidence, else unknown."""


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """The small records of one rollout."""

    id: str
    outcome: Outcome | None = None
    evidence: Evidence | None = None
    grade: Grade | None = None

    @property
    def infrastructure_failed(self) -> bool:
        """Whether the model or the machine failed, which says nothing about the attempt itself."""
        if self.grade is not None and self.grade.outcome == "invalid":
            return True
        return self.outcome is not None and (self.outcome.exit is None or self.outcome.exit in INFRASTRUCTURE_EXITS)

    def passed(self, basis: Basis) -> bool | None:
        """Whether it succeeded; None if unknown. A missing patch or failed infrastructure count as failure."""
        if basis == "none" or self.outcome is None:
            return None
        if basis == "pass" and self.grade is not None:
            return self.grade.outcome == "pass"
        if basis == "verified" and self.evidence is not None:
            return self.evidence.verdict == "verified"
        return False if not self.outcome.patch_bytes or self.infrastructure_failed else None


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """The small records of one task: everything but trajectories, summaries and patches."""

    id: str
    store: TaskStore
    result: TaskResult | None
    baseline: TestReport | None
    heats: tuple[tuple[RolloutFacts, ...], ...]
    brackets: tuple[Bracket | None, ...]
    failed: TaskResult | None = None
    """Why there is no result, if the task was tried."""

    def ending(self, basis: Basis) -> str:
        """How the task ended: its status or, if hidden tests graded the choice, `solved` or `not_solved`."""
        ended = self.result or self.failed
        if ended is None:
            return "running"
        if basis != "pass" or ended.status in ("error", "budget", "no_patch"):
            return ended.status
        chosen = self.find(self.selected)
        passed = chosen.passed(basis) if chosen is not None else None
        return ended.status if passed is None else "solved" if passed else "not_solved"

    def rollouts(self) -> Iterator[RolloutFacts]:
        """All rollouts, in order."""
        for heat in self.heats:
            yield from heat

    def find(self, rollout: str | None) -> RolloutFacts | None:
        """The rollout of this id."""
        return next((one for one in self.rollouts() if one.id == rollout), None)

    @property
    def selected(self) -> str | None:
        """The final choice, once there is one."""
        return None if self.result is None else self.result.selected

    def kept(self, heat: int) -> tuple[str, ...]:
        """Ids kept after a heat."""
        bracket = self.brackets[heat] if heat < len(self.brackets) else None
        return () if bracket is None else bracket.selected


def task_ids(run: RunStore, events: Sequence[RunEvent] | None = None) -> list[str]:
    """Ids of the run's tasks in order: those in the manifest and the events, then others with files."""
    manifest = run.manifest.identity.get("tasks")
    names = dict.fromkeys(str(name) for name in manifest) if isinstance(manifest, dict | list) else {}
    if not names:
        names = dict.fromkeys(event.task for event in events or read_events(run) if event.task is not None)
    known = {slug(name) for name in names}
    folder = run.directory / "tasks"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and path.name not in known:
            result = read_record(path / "result.json", TaskResult)
            names[result.task if result is not None and slug(result.task) == path.name else path.name] = None
    return list(names)


def read_task(run: RunStore, task_id: str) -> TaskFacts:
    """The small records of one task."""
    store, grades = run.task(task_id), run.grades
    heats: list[tuple[RolloutFacts, ...]] = []
    while names := store.rollouts(len(heats)):
        facts = []
        for name in names:
            rollout = store.rollout(name)
            facts.append(RolloutFacts(name, rollout.outcome(), rollout.evidence(), grades.grade(task_id, name)))
        heats.append(tuple(facts))
    brackets = tuple(store.bracket(heat) for heat in range(len(heats)))
    return TaskFacts(task_id, store, store.result(), store.baseline(), tuple(heats), brackets, store.failed())


def stopping_policy(run: RunStore) -> str:
    """The run's allocation policy if it may have ended tasks at a success, which makes shares of passes too high."""
    config = run.manifest.identity.get("config")
    policy = config.get("policy") if isinstance(config, dict) else None
    name = policy.get("name") if isinstance(policy, dict) else None
    return name if isinstance(name, str) and name != "fixed" else ""


def played_in_slices(tasks: Iterable[TaskFacts]) -> bool:
    """Whether attempts were played in slices: then rollouts are parts of attempts, and their figures say little."""
    return any(one.outcome is not None and one.outcome.exit == "paused" for task in tasks for one in task.rollouts())


def find_basis(run: RunStore) -> Basis:
    """Grades if there are any, else evidence if there is any."""
    if any((run.directory / "grades").rglob("rollout-*.json")):
        return "pass"
    return "verified" if any((run.directory / "tasks").glob("*/heat-*/rollout-*/evidence.json")) else "none"


def statement(store: TaskStore, trajectory: Trajectory | None) -> str:
    """The task's issue if it is stored, else the first message of a rollout."""
    task = read_record(store.directory / "task.json", Task)
    if task is not None:
        return task.statement
    steps = () if trajectory is None else trajectory.steps
    return next((step.content for step in steps if step.source == "user"), "")


def read_events(run: RunStore) -> Iterator[RunEvent]:
    """Events in order; incomplete or invalid lines are skipped."""
    return read_lines(run.events_path, RunEvent)
