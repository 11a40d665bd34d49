"""The watcher contract: look at a rollout after each turn and at submission, and say something, refuse or stop it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from agents.llm.base import ToolCall, ToolSpec
from agents.trajectory import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a watcher sees of a rollout.

    Attributes:
        steps: the conversation so far. At a submission the last step is the one that submits.
        turns_left: model turns left before the step limit.
        left: the share of each limit that is left, from 0 to 1, by its kind: `replies`, `tokens`, `cost`, `time`.
        test_command: command that checks whether the tree works, if there is one.
        in_text: whether the conversation uses text instead of tool calls.
    """

    steps: tuple[Step, ...]
    turns_left: int = 0
    left: Mapping[str, float]
    test_command: str | None = None
    in_text: bool = False

    @property
    def agent_steps(self) -> list[Step]:
        """The model's turns."""
        return [step for step in self.steps if step.source == "agent"]

    def said_by(self, watcher: str) -> list[Step]:
        """The messages of a watcher to this rollout, by its name in `agent.watchers`."""
        told = [step for step in self.steps if step.source == "user" and not step.copied]
        return [step for step in told if watcher in step.watcher.split(", ")]

    def refused_by(self, watcher: str) -> int:
        """How often a watcher refused a call of this rollout."""
        own = [step for step in self.agent_steps if not step.copied]
        return sum(one.watcher == watcher for step in own for one in step.observations)


@dataclass(frozen=True, slots=True)
class Say:
    """After a turn: show the model a message."""

    text: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """At a submission or a call of the watcher's tool: not yet, and why."""

    text: str


@dataclass(frozen=True, slots=True)
class Restart:
    """After a turn: forget the conversation but for the task, and go on from this text in the same sandbox."""

    text: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the rollout. One that was `declined` hands in no change."""

    reason: str
    kind: Literal["stopped", "declined"] = "stopped"


AfterTurn = Say | Restart | Stop | None
AtCall = Refuse | Stop | None


class Watcher(Protocol):
    """Watches the rollouts of the bash and the terminal agent. Derive from this class and override what you need.

    One instance serves many rollouts, and a resumed rollout asks again only about turns whose answer was not recorded:
    decide from `Seen` alone, and keep no state.

    Attributes:
        name: the watcher's name in `agent.watchers`; set by heats, and recorded with whatever the watcher says.
        tools: tools that the watcher offers to the model.

    Example:
        >>> class Hurry(Watcher):
        ...     def after_turn(self, seen):
        ...         return Say("Submit soon.") if seen.turns_left == 5 else None
        >>> Hurry().after_turn(Seen(steps=(), turns_left=5, left={})).text
        'Submit soon.'
    """

    name: str = ""
    tools: tuple[ToolSpec, ...] = ()

    def opening(self, seen: Seen) -> str:
        """Return what to add to the task; empty for nothing."""
        return ""

    def after_turn(self, seen: Seen) -> AfterTurn:
        """Return what to do after the model's last turn; None to go on."""
        return None

    def at_submission(self, seen: Seen) -> AtCall:
        """Return what to do about a submission; None to accept it."""
        return None

    def called(self, call: ToolCall, seen: Seen) -> AtCall:
        """Answer a call of one of `tools`.

        Args:
            call: the call.
            seen: the rollout; its last step contains the call.
        """
        return None

    def read(self, text: str) -> tuple[str, Mapping[str, Any]] | None:
        """For models without tool calls: parse a command into a tool's name and arguments; None if it is no call."""
        return None
