"""A task's allocation policy at work: asked after every event, each decision stored before it acts, replayed on resume.

`tasks/<task>/policy.jsonl` holds a task's events and decisions; `passes.jsonl` of the run holds those of the passes of
a sweep, one line for all tasks, so that a killed process leaves a pass either decided for every task or for none.
"""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from agents.llm.ledger import Ledger
from agents.trajectory import Trajectory
from envs.base import Task
from heats.config import HeatsConfig
from heats.policies.base import Action, AllocationPolicy, Arm, Attempt, Event, TaskState, end_heat, end_task
from heats.policies.registry import check_tasks, open_policy, whole_heats
from heats.policies.state import acted, after, legal, replayed
from heats.runner.halfway import half_way
from heats.runner.time_budget import TimeBudget
from heats.store.events import EventLog
from heats.store.files import LineLog, read_lines
from heats.store.records import PassDecisions, PolicyDecision
from heats.store.store import RunStore, TaskStore


class Paused(Exception):
    """A task waits for the others of its sweep. Raised through the task's control flow; everything it did is stored."""

    def __init__(self, task: str) -> None:
        super().__init__(f"the policy paused task {task}: policies that pause need all tasks in one process")
        self.task = task


def journal_of(files: TaskStore) -> Path:
    """The file with a task's events and decisions."""
    return files.directory / "policy.jsonl"


def initial(task: Task, config: HeatsConfig) -> TaskState:
    """The state of a task before its first heat."""
    names = [one.name for one in config.models] or ([config.model.name] if config.model else [])
    return TaskState(
        task=task.id,
        rollouts=config.rollouts,
        heats=config.iterations,
        verifiable=task.test_command is not None and config.evidence,
        timed=config.within_timeout and task.agent_timeout_s is not None,
        arms=tuple(Arm(model=name) for name in names),
    )


def checked_policy(config: HeatsConfig, tasks: Iterable[Task]) -> AllocationPolicy:
    """The configured policy, if it can play these tasks.

    Raises:
        UnknownPart, InvalidOptions: there is no such policy, or its settings are wrong for these tasks.
    """
    policy = open_policy(config.policy.name, config.policy.options)
    check_tasks(policy, [initial(task, config) for task in tasks])
    return policy


class Board:
    """The states of all tasks of a run, and the decisions that concern several of them.

    Args:
        config: the run's configuration.
        store: the run's store.
        tasks: the tasks of the run.
        events: the run's event log.
    """

    def __init__(self, config: HeatsConfig, store: RunStore, tasks: Sequence[Task], events: EventLog) -> None:
        self.config, self.events = config, events
        self.policy: AllocationPolicy = open_policy(config.policy.name, config.policy.options)
        self._path = store.directory / "passes.jsonl"
        self.passes = list(read_lines(self._path, PassDecisions))
        self._states: dict[str, TaskState] = {}
        for task in tasks:
            self.load(store.task(task.id), task)

    def load(self, files: TaskStore, task: Task) -> None:
        """Take a task's state from its journal."""
        lines = read_lines(journal_of(files), PolicyDecision)
        self.put(replayed(initial(task, self.config), ((line.event, line.actions) for line in lines)))

    def state(self, task: str) -> TaskState:
        """The state of one task."""
        return self._states[task]

    def put(self, state: TaskState) -> None:
        """Replace the state of one task."""
        self._states[state.task] = state

    def sweep(self) -> tuple[TaskState, ...]:
        """The states of all tasks, in the run's order."""
        return tuple(self._states.values())

    def begin_pass(self, tasks: Sequence[str]) -> None:
        """Decide for all tasks that pause how they continue, and store it, before any of them does."""
        number = len(self.passes) + 1
        events = {task: Event(kind="pass", heat=self._states[task].heat, number=number) for task in tasks}
        states = {**self._states, **{task: after(self._states[task], event) for task, event in events.items()}}
        sweep = tuple(states.values())
        decided = {
            task: tuple(legal(states[task], event, self.policy.decide(event, states[task], sweep)))
            for task, event in events.items()
        }
        self.passes.append(PassDecisions(number=number, actions=decided))
        log = LineLog(self._path)
        try:
            log.append(self.passes[-1])
        finally:
            log.close()


class Allocation:
    """The decisions on one task.

    Args:
        board: the states of all tasks.
        files: the task's store.
        task: the task.
        ledger: the task's ledger, for what its limits leave.
        clock: the task's time, likewise.
    """

    def __init__(self, board: Board, files: TaskStore, task: Task, ledger: Ledger, clock: TimeBudget) -> None:
        self._board, self._files, self._task, self._ledger, self._clock = board, files, task.id, ledger, clock
        board.load(files, task)
        self.whole_heats = whole_heats(board.policy, self.state)
        self.looked: dict[str, float] = {}
        self.news = asyncio.Event()
        self._looks_at: int | None = getattr(board.policy, "looks_at", None)

    @property
    def state(self) -> TaskState:
        """The task's state."""
        return self._board.state(self._task)

    def begin_heat(self, heat: int) -> None:
        """Tell the policy that a heat begins, unless it was told."""
        state = self.state
        if state.heat != heat or not (state.of_heat() or state.over):
            self._decide(Event(kind="heat", heat=heat))

    def unpause(self) -> None:
        """Continue a paused task as a pass decided.

        Raises:
            Paused: that is not decided yet.
        """
        while (state := self.state).paused:
            later = (one for one in self._board.passes if one.number > state.passes and self._task in one.actions)
            now = next(later, None)
            if now is None:
                raise Paused(self._task)
            event = Event(kind="pass", heat=state.heat, number=now.number)
            self._store(event, after(state, event), now.actions[self._task])

    def attempt_ended(self, attempt: Attempt) -> None:
        """Tell the policy that an attempt ended."""
        self._decide(Event(kind="attempt", heat=attempt.heat, attempt=attempt))

    def step_taken(self, trajectory: Trajectory) -> None:
        """Score a running attempt once it has taken as many steps as the policy asks for, and set `news`."""
        own = trajectory.agent_steps - trajectory.copied_steps
        if self._looks_at is None or own < self._looks_at or trajectory.id in self.looked:
            return
        self.looked[trajectory.id] = half_way(trajectory, self._looks_at)
        self.news.set()

    def tell_looks(self) -> None:
        """Tell the policy about attempts scored since the last call that are still running."""
        self.news.clear()
        for name, half in sorted(self.looked.items()):
            running = next((one for one in self.state.running() if one.rollout == name and one.half is None), None)
            if running is not None:
                attempt = running.model_copy(update={"half": half})
                self._decide(Event(kind="half", heat=attempt.heat, attempt=attempt))

    def cut(self, why: str, ended: Sequence[Attempt] = ()) -> None:
        """End the heat from outside, without asking the policy: the attempts that still run are dropped.

        Args:
            why: the reason, in one line.
            ended: attempts that count as ended.
        """
        for attempt in ended:
            event = Event(kind="attempt", heat=attempt.heat, attempt=attempt)
            self._store(event, after(self.state, event), ())
        event = Event(kind="heat", heat=self.state.heat)
        self._store(event, self.state, [end_heat(why)])

    def retry_failed(self) -> None:
        """Let attempts that infrastructure prevented run again, if the heat has no other."""
        state = self.state
        if not (state.over and any(one.state == "ended" for one in state.of_heat())):
            again = tuple(
                one.model_copy(update={"state": "running"}) if one.state == "failed" and one.heat == state.heat else one
                for one in state.attempts
            )
            self._board.put(state.model_copy(update={"attempts": again}))

    def heat_ended(self, event: Event, *, stop: bool) -> bool:
        """Tell the policy of a tournament, unless it was told; returns whether another heat follows.

        Args:
            event: the tournament.
            stop: end the task without asking the policy.
        """
        state = self.state
        if state.heat == event.heat and not state.final and event.heat + 1 < state.heats:
            if stop:
                self._store(event, after(state, event), [end_task(f"{event.selected[0]} is verified")])
            else:
                self._decide(event)
        return self.state.heat > event.heat

    def _decide(self, event: Event) -> None:
        state = self._limited(after(self.state, event))
        self._board.put(state)
        answer = self._board.policy.decide(event, state, self._board.sweep())
        self._store(event, state, legal(state, event, answer))

    def _limited(self, state: TaskState) -> TaskState:
        """The state with what the limits of the task and the run leave."""
        own_s = self._clock.left_s()
        left: dict[str, float] = {} if own_s is None else {"seconds_left": own_s}
        ledger: Ledger | None = self._ledger
        while ledger is not None:
            limits, spent = ledger.limits, ledger.spent
            for name, limit, used in (
                ("tokens_left", limits.tokens, spent.tokens),
                ("usd_left", limits.cost_usd, spent.cost_usd),
                ("seconds_left", limits.time_s, ledger.seconds),
            ):
                if limit is not None:
                    left[name] = min(left.get(name, limit), max(0, limit - used))
            ledger = ledger.parent
        return state.model_copy(update=left)

    def _store(self, event: Event, state: TaskState, actions: Iterable[Action]) -> None:
        """Store a decision, then act on it."""
        decided = tuple(actions)
        log = LineLog(journal_of(self._files))
        try:
            log.append(PolicyDecision(event=event, actions=decided))
        finally:
            log.close()
        for action in decided:
            state = acted(state, action)
            if action.why:
                emit = self._board.events.emit
                emit("policy", task=self._task, heat=event.heat, action=action.do, why=action.why)
        self._board.put(state)
