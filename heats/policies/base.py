"""The allocation contract: events of a task in, actions out.

A policy decides from what it is given and keeps no memory of its own, so that the runner, the simulator and a replay of
stored runs can all use it. The runner stores each decision before it acts on it; a resumed run repeats the stored
decisions instead of asking again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol

from core.record import Record

NOT_STARTED = "nothing is running and the policy starts nothing"


class Attempt(Record):
    """One attempt (rollout) as a policy sees it.

    Attributes:
        arm: index of its model in the mix, if the policy chose one.
        state: `failed` if infrastructure prevented it; `dropped` if it was cancelled.
        exit: how it ended, such as `submitted` or `step_limit`; `paused` where a context rule plays in slices.
        patch: key that equal changes share; empty if nothing was changed.
        derived: its refinement context already contained this change, so that it does not count as independent.
        rank: evidence class from 0 to 3, see `envs.base.Evidence`; None if no tests ran on it.
        seconds: duration of the attempt, without its verification.
        half: its score after `looks_at` steps, higher is better; None if it has none, or ended before.
    """

    rollout: str
    heat: int
    arm: int | None = None
    temperature: float | None = None
    state: Literal["running", "ended", "failed", "dropped"] = "running"
    exit: str = ""
    patch: str = ""
    derived: bool = False
    rank: int | None = None
    verdict: str = ""
    steps: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0
    half: float | None = None

    @property
    def verified(self) -> bool:
        """Whether it leaves nothing to do: it is verified, and all relevant tests are fixed."""
        return self.state == "ended" and self.verdict == "verified" and self.rank == 3


class Event(Record):
    """Something that happened to a task.

    Attributes:
        kind: `heat`: a heat begins. `attempt`: an attempt ended, and its evidence is known. `bracket`: the heat's
            tournament is decided. `pass`: in a sweep, every task has ended or pauses. `half`: an attempt that still
            runs has taken as many steps as the policy's `looks_at` says.
        attempt: the attempt that ended or was scored.
        selected: rollouts that the tournament kept, best first.
        behaviours: digest of how all executed tests ended, by rollout; equal for patches that no test tells apart.
        number: number of the pass that begins, from 1 for the first one after a pause.
    """

    kind: Literal["heat", "attempt", "bracket", "pass", "half"]
    heat: int
    attempt: Attempt | None = None
    selected: tuple[str, ...] = ()
    behaviours: Mapping[str, str] = {}
    number: int = 0


class Action(Record):
    """What to do next. `start`, `end_heat` ... below construct actions.

    Attributes:
        count: number of attempts to start or allow.
        arm: index of the model in the mix to start them on; None leaves it to the weights of the mix.
        temperature: their temperature; None leaves it to the configuration.
        context: name of the context rule of the next heat; None for `refine.context`.
        rollout: the attempt to drop; with `end_task`, the attempt to choose, whatever a tournament says.
        why: the reason in one line, for the account and the report.
    """

    do: Literal["start", "drop", "end_heat", "next_heat", "end_task", "pause", "allow"]
    count: int = 0
    arm: int | None = None
    temperature: float | None = None
    context: str | None = None
    rollout: str = ""
    why: str = ""


def start(count: int, arm: int | None = None, temperature: float | None = None, why: str = "") -> Action:
    """Start attempts in the current heat; those beyond N are not started.

    Args:
        count: number of attempts.
        arm: index of their model in the mix.
        temperature: their temperature.
        why: the reason, in one line.
    """
    return Action(do="start", count=count, arm=arm, temperature=temperature, why=why)


def drop(rollout: str, why: str = "") -> Action:
    """Cancel a running attempt."""
    return Action(do="drop", rollout=rollout, why=why)


def end_heat(why: str = "") -> Action:
    """Cancel what is still running, and hold the tournament."""
    return Action(do="end_heat", why=why)


def next_heat(context: str | None = None, why: str = "") -> Action:
    """Play another heat, after a tournament."""
    return Action(do="next_heat", context=context, why=why)


def end_task(why: str = "", rollout: str = "") -> Action:
    """Play nothing further: the heat's tournament chooses the final patch, or `rollout` is chosen if given."""
    return Action(do="end_task", rollout=rollout, why=why)


def pause(why: str = "") -> Action:
    """Leave the task for now: the policy is asked again once every task of the sweep has ended or pauses."""
    return Action(do="pause", why=why)


def allow(count: int, why: str = "") -> Action:
    """Note that the task may use further attempts; `TaskState.allowed` tells later decisions."""
    return Action(do="allow", count=count, why=why)


class Arm(Record):
    """A model of the mix."""

    model: str


class TaskState(Record):
    """One task as a policy sees it.

    Attributes:
        heat: number of the current heat.
        rollouts: N, the most attempts that a heat may have; `heats` is T, the most heats.
        verifiable: whether the task has a test command, so that attempts can be verified.
        timed: whether everything must fit into the task's own time-out, so that waiting costs attempts.
        attempts: all attempts so far, in the order in which they were started.
        selected: what the last tournament kept, best first.
        behaviours: see `Event`; of all heats so far.
        arms: the models of the mix.
        over: the current heat starts nothing more.
        final: no further heat follows.
        chosen: the attempt that the policy chose in place of a tournament.
        paused: the task waits for the others of the sweep.
        passes: passes that have begun after a pause.
        allowed: attempts that the task may have in total, as far as `allow` said so.
        tokens_left, usd_left, seconds_left: what the limits of the task and the run leave; None without a limit.
    """

    task: str
    heat: int = 0
    rollouts: int = 1
    heats: int = 1
    verifiable: bool = True
    timed: bool = False
    attempts: tuple[Attempt, ...] = ()
    selected: tuple[str, ...] = ()
    behaviours: Mapping[str, str] = {}
    arms: tuple[Arm, ...] = ()
    context: str | None = None
    over: bool = False
    final: bool = False
    chosen: str = ""
    paused: bool = False
    passes: int = 0
    allowed: int = 0
    tokens_left: int | None = None
    usd_left: float | None = None
    seconds_left: float | None = None

    def of_heat(self) -> tuple[Attempt, ...]:
        """Attempts of the current heat."""
        return tuple(one for one in self.attempts if one.heat == self.heat)

    def running(self) -> tuple[Attempt, ...]:
        """Attempts that have not ended."""
        return tuple(one for one in self.attempts if one.state == "running")

    def ended(self) -> tuple[Attempt, ...]:
        """Attempts that ended by themselves, in all heats."""
        return tuple(one for one in self.attempts if one.state == "ended")

    def verified(self) -> Attempt | None:
        """The first attempt that is verified and fixes all relevant tests."""
        return next((one for one in self.attempts if one.verified), None)

    @property
    def open(self) -> int:
        """Attempts that may still be started in the current heat."""
        return 0 if self.over else self.rollouts - len(self.of_heat())


class AllocationPolicy(Protocol):
    """Decides what to spend attempts on.

    A policy that declares `whole_heats = True`, or as a function of a task's state, plays every heat in full; its
    tournaments may then begin while attempts still run, and it is told of no attempts. One that pauses tasks declares
    `pauses = True`. One that declares `looks_at`, a number of steps, gets an event `half` for each attempt that takes
    them. One that has a method `check` may refuse the tasks of a run; see `registry.check_tasks`.

    Example:
        >>> class TwoAtOnce:
        ...     def decide(self, event, task, sweep):
        ...         if event.kind == "bracket":
        ...             return [end_task() if task.verified() else next_heat()]
        ...         return [start(2 - len(task.running()))]
    """

    def decide(self, event: Event, task: TaskState, sweep: Sequence[TaskState]) -> Iterable[Action]:
        """Return what to do after an event.

        Must depend on nothing but the arguments. If nothing is running and nothing is started, the heat ends; if a
        tournament is not followed by `next_heat`, the task ends.

        Args:
            event: what happened; `task` contains it already.
            task: the task that it happened to.
            sweep: all tasks of the run, in order, including this one.

        Returns:
            The actions, in order. Those that are impossible are skipped.
        """
        ...
