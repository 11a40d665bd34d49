"""The record of one rollout: every message, tool call and observation, in order.

Summaries, judges and reports are based on the trajectory. `agents/atif.py` converts it to and from ATIF v1.7 without
loss.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from agents.llm.base import ToolCall
from agents.llm.ledger import Usage
from core.record import Record

ExitKind = Literal[
    "submitted",
    "paused",
    "step_limit",
    "time_limit",
    "token_limit",
    "cost_limit",
    "format_errors",
    "context_overflow",
    "model_error",
    "agent_failed",
    "stopped",
    "declined",
    "sandbox_lost",
    "disk_limit",
    "cancelled",
]
LIMIT_EXITS: Mapping[str, ExitKind] = {
    "calls": "step_limit",
    "tokens": "token_limit",
    "cost": "cost_limit",
    "time": "time_limit",
}
"""Exits by the kind of a `LimitExceeded`."""


class Observation(Record):
    """The result of one tool call.

    Attributes:
        tool_call_id: ID of the call.
        content: the text as the model was shown it, including any cut.
        status: the sandbox's `ExecStatus`, `rejected` for a call that was not executed, or `refused` for one that a
            watcher answered.
        exit_code: None unless status is `exited` or `oom`.
        duration_s: wall time in seconds.
        output_bytes: bytes of output before any cut.
        watcher: name of the watcher that refused the call.
    """

    tool_call_id: str
    content: str
    status: str = "exited"
    exit_code: int | None = None
    duration_s: float = 0.0
    output_bytes: int = 0
    watcher: str = ""


class Proposal(Record):
    """What a step chooser knows about one of several messages proposed for a step.

    Attributes:
        content: text of a message that was not chosen, with its `tool_calls`; empty for the chosen one.
        model: name of the model that proposed it.
        copies: number of proposals that do the same.
        score: the scorer's, from 0 to 9.
        reason: the judge's, for the chosen one.
        chosen: this is the message that the step holds.
    """

    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    model: str = ""
    copies: int = 1
    score: float | None = None
    reason: str = ""
    chosen: bool = False


class Step(Record):
    """One message of the conversation and, for the agent's, the results of its tool calls. IDs count from 1 without
    gaps.

    Attributes:
        problems: parts of the agent's message that could not be parsed as calls; a user message reporting them follows.
        proposals: what else was proposed for this step, and what decided; empty if nothing else was.
        watcher: names of the watchers that wrote a user message.
        restarts: whether the conversation continues from this message and the task alone.
        copied: whether the rollout took this step over from the one that it branched off.
    """

    id: int
    source: Literal["system", "user", "agent"]
    content: str
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    observations: tuple[Observation, ...] = ()
    problems: tuple[str, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    usage: Usage | None = None
    finish_reason: str | None = None
    sent: dict[str, Any] | None = None
    """The assistant message as it was sent back to the server, if it cannot be rebuilt from the other fields."""
    watcher: str = ""
    restarts: bool = False
    copied: bool = False
    timestamp: str = ""
    """ISO 8601, UTC; for display, never for deadlines."""


class Exit(Record):
    """How the rollout ended; `paused` after its slice, for others to continue. `detail` is a one-line explanation."""

    kind: ExitKind
    detail: str = ""


class Trajectory(Record):
    """One rollout from start to end, or so far while `exit` is None."""

    id: str
    """`heat-0/rollout-03`, unique within its task."""
    task_id: str
    agent: str
    model: str
    seed: int
    steps: tuple[Step, ...] = ()
    exit: Exit | None = None
    usage: Usage = Usage()
    duration_s: float = 0.0
    parents: tuple[str, ...] = ()
    """Rollouts whose summaries formed this one's refinement context."""
    extra: dict[str, Any] = Field(default_factory=dict)

    @property
    def agent_steps(self) -> int:
        """Number of model turns, reported as "steps"."""
        return sum(step.source == "agent" for step in self.steps)

    @property
    def copied_steps(self) -> int:
        """Number of model turns taken over from the rollout that this one branched off."""
        return sum(step.copied for step in self.steps if step.source == "agent")
