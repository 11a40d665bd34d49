"""The record of one rollout: every message, tool call and observation, in order.

The trajectory is what summaries, judges and reports are made from. `agents/atif.py` writes it as ATIF v1.7 and reads
it back without loss.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from agents.llm.base import ToolCall
from agents.llm.ledger import Usage
from core.record import Record

ExitKind = Literal[
    "submitted",
    "step_limit",
    "time_limit",
    "token_limit",
    "cost_limit",
    "format_errors",
    "context_overflow",
    "model_error",
    "agent_failed",
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
"""By the kind of a `LimitExceeded`."""


class Observation(Record):
    """What came of one tool call.

    Attributes:
        content: the text that the model was shown, cut as it was cut for the model.
        status: the sandbox's `ExecStatus`, or `rejected` for a call that was not run.
        exit_code: None unless status is `exited` or `oom`.
    """

    tool_call_id: str
    content: str
    status: str = "exited"
    exit_code: int | None = None
    duration_s: float = 0.0
    output_bytes: int = 0


class Step(Record):
    """One message of the conversation and, for the agent's, what its tool calls did. Ids count from 1 without gaps.

    Attributes:
        problems: what in the agent's message could not be made a call; a user message that says so follows.
    """

    id: int
    source: Literal["system", "user", "agent"]
    content: str
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    observations: tuple[Observation, ...] = ()
    problems: tuple[str, ...] = ()
    usage: Usage | None = None
    finish_reason: str | None = None
    sent: dict[str, Any] | None = None
    """The assistant message as it went back to the server, where the other fields do not tell."""
    timestamp: str = ""
    """ISO 8601, UTC; for display, never for deadlines."""


class Exit(Record):
    """How the rollout ended. `detail` is one line for a person."""

    kind: ExitKind
    detail: str = ""


class Trajectory(Record):
    """One rollout, start to end (or so far, while `exit` is None)."""

    id: str
    """`heat-0/rollout-03` within its task."""
    task_id: str
    agent: str
    model: str
    seed: int
    steps: tuple[Step, ...] = ()
    exit: Exit | None = None
    usage: Usage = Usage()
    duration_s: float = 0.0
    parents: tuple[str, ...] = ()
    """Rollouts whose summaries were this one's refinement context."""
    extra: dict[str, Any] = Field(default_factory=dict)

    @property
    def agent_steps(self) -> int:
        """Model turns: the figure reported as "steps"."""
        return sum(step.source == "agent" for step in self.steps)
