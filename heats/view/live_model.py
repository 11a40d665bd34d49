"""The current state of a run, updated from its event stream.

Nothing is drawn here: `panels.py` draws it live and `plain.py` writes lines. Events are taken as they come. A field
that is missing or has an unexpected type is skipped, because a display must never stop a run.
"""

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Any

from agents.llm.ledger import Usage
from core.ids import heat_name
from heats import formatting as say
from heats.store.events import RunEvent


def number(data: dict[str, Any], name: str) -> float:
    """A number in an event's data; 0 if missing."""
    value = data.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) else 0


def word(data: dict[str, Any], name: str) -> str:
    """A text in an event's data; empty if missing."""
    value = data.get(name)
    return value if isinstance(value, str) else ""


def words(data: dict[str, Any], name: str) -> tuple[str, ...]:
    """The texts of a list in an event's data."""
    value = data.get(name)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list | tuple) else ()


def pairs(data: dict[str, Any], name: str) -> list[tuple[str, str]]:
    """The names and texts of an object in an event's data."""
    value = data.get(name)
    return [(str(key), str(text)) for key, text in value.items()] if isinstance(value, dict) else []


def amount(data: dict[str, Any], name: str) -> int:
    """A count, given as a number or as a list of things."""
    value = data.get(name)
    return len(value) if isinstance(value, list | tuple | dict) else int(number(data, name))


@dataclass
class RolloutView:
    """One rollout so far."""

    id: str
    state: str = "running"
    steps: int = 0
    command: str = ""
    exit_code: int | None = None
    patch_bytes: int = 0
    verdict: str = ""
    verifying: bool = False
    summarized: bool = False
    grade: str = ""


@dataclass
class MatchView:
    """One match so far."""

    id: str
    contestants: tuple[str, ...]
    votes: dict[str, float] = field(default_factory=dict)
    abstained: int = 0
    winner: str = ""
    decided_by: str = ""
    detail: str = ""


@dataclass
class TaskView:
    """One task so far."""

    id: str
    started: float
    heat: int = 0
    planned: int = 0
    tests: str = ""
    rollouts: dict[str, RolloutView] = field(default_factory=dict)
    matches: dict[tuple[int, str], MatchView] = field(default_factory=dict)
    crossing: tuple[int, int] = (0, 0)
    """Runs of tests that rollouts wrote: done, and total."""
    selected: tuple[str, ...] = ()
    final: bool = False
    verdict: str = ""
    reason: str = ""
    status: str = ""

    def heat_rollouts(self) -> list[RolloutView]:
        """Rollouts of the current heat."""
        prefix = f"{heat_name(self.heat)}/"
        here = (one for one in self.rollouts.values() if one.id.startswith(prefix))
        return sorted(here, key=lambda one: (len(one.id), one.id))

    def heat_matches(self) -> list[MatchView]:
        """Matches of the current heat, by id."""
        return [match for (heat, _), match in sorted(self.matches.items()) if heat == self.heat]


@dataclass
class RunView:
    """The run so far. `apply` takes well under a millisecond, whatever the size of the run."""

    about: dict[str, Any] = field(default_factory=dict)
    planned_tasks: int = 0
    running: "OrderedDict[str, TaskView]" = field(default_factory=OrderedDict)
    finished: deque[TaskView] = field(default_factory=lambda: deque(maxlen=20))
    ended: dict[str, str] = field(default_factory=dict)
    """Last status by task; a task that infrastructure failed may be played again."""
    rollouts_finished: int = 0
    grades: "Counter[str]" = field(default_factory=Counter)
    """Graded rollouts by outcome."""
    chosen: dict[str, str] = field(default_factory=dict)
    """The final choice of each finished task."""
    solved: dict[str, bool] = field(default_factory=dict)
    """The hidden tests' verdict on the final choice."""
    grading: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Tasks whose rollouts are being graded: how many are done, and total."""
    usage: Usage = field(default_factory=Usage)
    warnings: deque[str] = field(default_factory=lambda: deque(maxlen=3))
    status: str = ""
    began: float | None = None
    now: float = 0.0
    pace_from: tuple[float, int] = (0.0, 0)
    """When the current process began, and the number of tasks finished by then."""

    @property
    def left_s(self) -> float | None:
        """Estimated seconds for the remaining tasks at the current pace; None before three have finished."""
        moment, before = self.pace_from
        done = len(self.ended) - before
        if done < 3 or self.now <= moment:
            return None
        return (self.now - moment) / done * max(self.planned_tasks - len(self.ended), 0)

    @property
    def statuses(self) -> dict[str, int]:
        """Number of finished tasks by status, or by the grade of the final choice if there is one."""
        words = {True: "solved", False: "not_solved"}
        return Counter(words[self.solved[task]] if task in self.solved else one for task, one in self.ended.items())

    def apply(self, event: RunEvent) -> None:
        """Update the state with one event."""
        self.now = _seconds(event.time) or self.now
        self.began = self.now if self.began is None else self.began
        if event.kind in {"run_started", "run_resumed"}:
            self.about, self.planned_tasks, self.status = event.data, amount(event.data, "tasks"), ""
            self.pace_from = self.now, len(self.ended)
        elif event.kind == "warning":
            self.warnings.append(word(event.data, "text"))
        elif event.kind == "left_out":
            self.warnings.extend(f"left out: {name}: {why}" for name, why in pairs(event.data, "reasons")[:2])
        elif event.kind == "run_finished":
            self.status = word(event.data, "status") or "finished"
        elif event.kind == "rollout_finished":
            self._charge(event.data)
        elif event.kind == "graded":
            self.grades[word(event.data, "outcome")] += 1
        if event.kind in {"grading", "graded"} and event.task is not None:
            self._count_grades(event, event.task)
        if event.task is not None:
            self._apply_task(event, event.task)

    def _count_grades(self, event: RunEvent, task: str) -> None:
        done, total = self.grading.pop(task, (0, 0))
        if event.kind == "grading":
            done, total = 0, amount(event.data, "rollouts")
        else:
            done += 1
            outcome = word(event.data, "outcome")
            if event.rollout is not None and event.rollout == self.chosen.get(task) and outcome in ("pass", "fail"):
                self.solved[task] = outcome == "pass"
        if total:
            self.grading[task] = done, total

    def _charge(self, data: dict[str, Any]) -> None:
        self.rollouts_finished += 1
        tokens, cost = int(number(data, "tokens")), float(number(data, "cost_usd"))
        self.usage = self.usage + Usage(calls=int(number(data, "steps")), prompt_tokens=tokens, cost_usd=cost)

    def _apply_task(self, event: RunEvent, name: str) -> None:
        if event.kind == "task_finished":
            task = self.running.pop(name, None) or TaskView(name, self.now)
            task.status = word(event.data, "status") or "finished"
            task.selected = (word(event.data, "selected"),) if word(event.data, "selected") else task.selected
            task.reason = word(event.data, "detail") or task.reason
            self.ended[name] = task.status
            self.chosen[name] = task.selected[0] if task.selected else ""
            self.finished.append(task)
            return
        known = self.running.get(name) or next((one for one in self.finished if one.id == name), None)
        if known is None and event.kind not in {"grading", "graded", "verifying", "verified", "warning"}:
            known = self.running[name] = TaskView(name, self.now)
        if known is not None:
            _apply(known, event)


def _apply(task: TaskView, event: RunEvent) -> None:
    data = event.data
    if event.rollout is not None:
        _apply_rollout(task.rollouts.setdefault(event.rollout, RolloutView(event.rollout)), event)
    elif event.kind == "baseline":
        task.tests = word(data, "status")
    elif event.kind == "heat_started":
        task.heat, task.planned = int(number(data, "heat")), amount(data, "rollouts")
    elif event.kind == "crossing":
        task.crossing = int(number(data, "done")), int(number(data, "total"))
    elif event.kind == "crossed":
        task.crossing = 0, 0
    elif event.kind in {"votes", "match", "match_dropped"}:
        _apply_match(task, event)
    elif event.kind == "selected":
        task.selected, task.final = words(data, "selected"), data.get("final") is True
    elif event.kind == "verified":
        task.verdict, task.reason = word(data, "verdict"), word(data, "reason")


def _apply_rollout(rollout: RolloutView, event: RunEvent) -> None:
    data = event.data
    if event.kind == "rollout_step":
        code = data.get("exit_code")
        rollout.steps, rollout.command = int(number(data, "step")), say.command(word(data, "command"))
        rollout.exit_code = code if isinstance(code, int) else None
    elif event.kind == "rollout_finished":
        rollout.state = word(data, "exit") or "no attempt"
        rollout.steps = int(number(data, "steps")) or rollout.steps
        rollout.patch_bytes = int(number(data, "patch_bytes"))
    elif event.kind == "verifying":
        rollout.verifying = True
    elif event.kind == "evidence":
        rollout.verdict, rollout.verifying = word(data, "verdict"), False
    elif event.kind == "summarized":
        rollout.summarized = True
    elif event.kind == "graded":
        rollout.grade = word(data, "outcome")


def _apply_match(task: TaskView, event: RunEvent) -> None:
    data = event.data
    key, contestants = (int(number(data, "heat")), word(data, "match")), words(data, "contestants")
    if event.kind == "match_dropped":
        task.matches.pop(key, None)
        return
    match = task.matches.get(key)
    if match is None or not set(contestants) & set(match.contestants) >= set(match.votes):
        match = task.matches[key] = MatchView(key[1], contestants)
    if event.kind == "match":
        match.winner, match.decided_by = word(data, "winner"), word(data, "decided_by")
        match.contestants, match.detail = contestants or match.contestants, word(data, "detail")
        return
    choices, shares = data.get("choices"), data.get("shares")
    given = shares if isinstance(shares, list | tuple) else ()
    for index, choice in enumerate(choices if isinstance(choices, list | tuple) else ()):
        weights = given[index] if index < len(given) and isinstance(given[index], dict) else {}
        if isinstance(choice, str):
            for name in [str(one) for one in weights] or [choice]:
                match.votes[name] = match.votes.get(name, 0) + (number(weights, name) if weights else 1)
        else:
            match.abstained += 1


def _seconds(time: str) -> float:
    try:
        return datetime.fromisoformat(time).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
