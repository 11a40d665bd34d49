"""One rollout in progress, of any agent that talks in turns: the conversation, its record, and how it ends."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from agents.base import Assignment, SaveStep
from agents.config import AgentConfig
from agents.errors import ContextOverflow, LimitExceeded, ModelConfigError, ModelError, ReplyInvalid, ToolsNotTaken
from agents.llm.base import ChatModel, Completion, History, Message, Reply, ToolCall
from agents.llm.ledger import Ledger, Usage
from agents.llm.replies import CUT
from agents.llm.truncation import PromptGrowth
from agents.prompting import Prompts
from agents.resume import as_message, with_odd_message
from agents.trajectory import LIMIT_EXITS, Exit, ExitKind, Observation, Step, Trajectory
from core.sanitize import for_model
from core.text import elide
from sandbox.base import Sandbox
from sandbox.errors import DiskLimitExceeded, SandboxError

_UNUSABLE_SHOWN = 600
"""Characters that are kept of the beginning, and of the end, of a reply that could not be used."""
_FORCED_AFTER = 2
"""Turns in a row without a usable call after which the server is asked to allow nothing but calls."""


class Finished(Exception):
    """The attempt is over; carries its exit."""

    def __init__(self, kind: ExitKind, detail: str = "") -> None:
        self.exit = Exit(kind=kind, detail=" ".join(detail.split())[:500])
        super().__init__(kind)


def without_sandbox(error: SandboxError) -> Finished:
    """The end of an attempt whose sandbox is gone: its own doing where it filled the disk."""
    return Finished("disk_limit" if isinstance(error, DiskLimitExceeded) else "sandbox_lost", str(error))


class TalkingAgent(Protocol):
    """What an `Attempt` needs of its agent."""

    name: str
    config: AgentConfig
    prompts: Prompts


@dataclass
class Attempt:
    """The loop: ask the model, do what it says, show what came of it. Agents say what the tools are.

    Attributes:
        in_text: this conversation asks for text in place of tool calls.
        forced: the server is asked to allow nothing but calls: a tool call, or a JSON object in text.
    """

    agent: TalkingAgent
    assignment: Assignment
    sandbox: Sandbox
    model: ChatModel
    ledger: Ledger
    save: SaveStep
    messages: History = field(default_factory=History)
    steps: list[Step] = field(default_factory=list)
    in_text: bool = False
    forced: bool = False
    format_errors: int = 0
    growth: PromptGrowth = field(default_factory=PromptGrowth)
    started: float = field(default_factory=time.monotonic)
    spent_before: Usage = field(init=False)

    def __post_init__(self) -> None:
        self.spent_before = self.ledger.spent

    async def work(self) -> Trajectory:
        """Go on until the attempt is over; see `Agent.run`."""
        try:
            self._begin(in_text=self._model_wants_text)
            await self._catch_up()
            while True:
                await self._turn()
        except Finished as finished:
            return self._close(finished.exit)
        except asyncio.CancelledError:
            self._close(Exit(kind="cancelled"))
            raise

    # What an agent says.

    def _open(self) -> None:
        """Tell the model who it is and what the task is."""
        raise NotImplementedError

    def _means(self) -> dict[str, Any]:
        """How the model is to say what it does: arguments of `ChatModel.complete`."""
        raise NotImplementedError

    def _calls_in_text(self, content: str, call_id: str) -> tuple[tuple[ToolCall, ...], str]:
        """The calls in the text of a reply, and what is wrong with it, where a model does not call tools."""
        raise NotImplementedError

    async def _run_calls(self, step: Step, observations: list[Observation]) -> None:
        """Run calls in order into `observations`, which keeps what was done when a later call ends the attempt."""
        raise NotImplementedError

    async def _catch_up(self) -> None:
        """Go on from an unfinished trajectory, where the agent can; `_opens_like` says whether it is of this task."""

    # The loop.

    @property
    def _model_wants_text(self) -> bool:
        return self.agent.config.text_protocol or bool(getattr(self.model, "text_protocol", False))

    @property
    def _turns(self) -> int:
        return sum(step.source == "agent" for step in self.steps)

    def _begin(self, *, in_text: bool) -> None:
        """Open the conversation; anew where it had begun in a form that the model does not understand."""
        self.messages, self.steps, self.growth = History(), [], PromptGrowth()
        self.in_text, self.format_errors = in_text, 0
        self.forced = self.agent.config.force_calls or (in_text and bool(getattr(self.model, "drops_tools", False)))
        self._open()

    def _opens_like(self, earlier: Trajectory) -> bool:
        """Whether a trajectory begins as this one does; begins anew in text if that one did."""
        told = [one.content for one in earlier.steps[:2]]
        if told == [one.content for one in self.steps]:
            return True
        if self.in_text:
            return False
        self._begin(in_text=True)
        if told == [one.content for one in self.steps]:
            return True
        self._begin(in_text=False)
        return False

    def _tell(self, source: Literal["system", "user"], content: str) -> None:
        """Say something that is no tool result."""
        self.messages.append({"role": source, "content": content})
        self._record(Step(id=len(self.steps) + 1, source=source, content=content, timestamp=_now()))

    async def _turn(self) -> None:
        """Ask the model once and do what it says."""
        if self._turns >= self.agent.config.step_limit:
            raise Finished("step_limit", f"{self.agent.config.step_limit} steps")
        try:
            completion, usage = await self._ask()
        except ToolsNotTaken as error:
            if self.in_text or self._has_called:
                raise Finished("model_error", str(error)) from error
            return self._begin(in_text=True)
        if self._model_wants_text and not self.in_text and not self._has_called and not completion.tool_calls:
            return self._begin(in_text=True)
        self._record(self._step_of(completion, usage))
        await self._act([])
        return None

    @property
    def _has_called(self) -> bool:
        return any(step.tool_calls for step in self.steps)

    async def _ask(self) -> tuple[Completion, Usage]:
        given = self.assignment.sampling
        seed = self.assignment.seed if given.seed is None else given.seed
        sampling = given.model_copy(update={"seed": seed, "turn": self._turns})
        try:
            reply = await self.model.complete(self.messages, ledger=self.ledger, sampling=sampling, **self._means())
        except ReplyInvalid as error:
            if not isinstance(error.reply, Reply):
                raise Finished("model_error", str(error)) from error
            reply = error.reply
        except LimitExceeded as error:
            raise Finished(LIMIT_EXITS[error.kind], str(error)) from error
        except ModelConfigError:
            self._close(Exit(kind="model_error", detail="the model is not usable as configured"))
            raise
        except ContextOverflow as error:
            raise Finished("context_overflow", str(error)) from error
        except ToolsNotTaken:
            raise
        except ModelError as error:
            raise Finished("model_error", str(error)) from error
        try:
            self.growth.check(self.messages, reply.usage)
        except ContextOverflow as error:
            raise Finished("context_overflow", str(error)) from error
        return reply.first, reply.usage

    def _step_of(self, completion: Completion, usage: Usage) -> Step:
        """The record of a reply; of one that holds no call only its ends are kept, in the conversation as well."""
        calls, problems = completion.tool_calls, completion.problems
        if self.in_text:
            calls, wrong = self._calls_in_text(completion.content, f"text_{len(self.steps) + 1}")
            problems = (*problems, wrong) if wrong else problems
        if not calls:
            cut = completion.finish_reason == "length"
            problems = problems or (CUT if cut else "there is no tool call",)
            content, reasoning = _ends(completion.content), _ends(completion.reasoning or "")
            message = {"role": "assistant", "content": content or "(no text)"}
            update = {"content": content, "reasoning": reasoning or None, "message": message}
            completion = completion.model_copy(update=update)
        step = Step(
            id=len(self.steps) + 1,
            source="agent",
            content=completion.content,
            reasoning=completion.reasoning,
            tool_calls=calls,
            problems=problems,
            usage=usage,
            finish_reason=completion.finish_reason,
            timestamp=_now(),
        )
        return with_odd_message(step, completion)

    async def _act(self, observations: list[Observation]) -> None:
        """Do what the last step says, but for the calls that have `observations` already, and show what came out."""
        step = self.steps[-1]
        self.messages.append(as_message(step))
        try:
            await self._run_calls(step, observations)
        finally:
            self.steps.pop()
            done = step.model_copy(update={"observations": tuple(observations)})
            self._record(done)
        self._show(observations)
        if step.problems:
            self._tell("user", self._format_error("; ".join(step.problems)))
        self._count_format_errors(done)

    def _check_time(self) -> None:
        """Look at the limit of time between two calls of one reply."""
        try:
            self.ledger.check()
        except LimitExceeded as error:
            if error.kind == "time":
                raise Finished("time_limit", str(error)) from error

    def _rejected(self, call: ToolCall, problem: str) -> Observation:
        return Observation(tool_call_id=call.id, content=self._format_error(problem), status="rejected")

    def _format_error(self, problem: str) -> str:
        guided = self.in_text and (self.forced or self.format_errors + 1 >= _FORCED_AFTER)
        shown = for_model(problem)
        return self.agent.prompts.render("format_error", problem=shown, text_protocol=self.in_text, guided=guided)

    def _show(self, observations: list[Observation]) -> None:
        for one in observations:
            role: Message = {"role": "user"} if self.in_text else {"role": "tool", "tool_call_id": one.tool_call_id}
            self.messages.append({**role, "content": one.content})

    def _count_format_errors(self, step: Step) -> None:
        """Count turns in a row without a call that could be run; each further one is asked for in another way."""
        unusable = all(one.status == "rejected" for one in step.observations)
        self.format_errors = self.format_errors + 1 if unusable else 0
        self.forced = self.forced or self.format_errors >= _FORCED_AFTER
        if self.format_errors >= self.agent.config.max_format_errors:
            last = f"; the last: {'; '.join(step.problems)}" if step.problems else ""
            raise Finished("format_errors", f"{self.format_errors} turns in a row without a usable call{last}")

    # The record.

    def _record(self, step: Step) -> None:
        self.steps.append(step)
        self.save(self._trajectory(None))

    def _close(self, end: Exit) -> Trajectory:
        trajectory = self._trajectory(end)
        self.save(trajectory)
        return trajectory

    def _trajectory(self, end: Exit | None) -> Trajectory:
        return Trajectory(
            id=self.assignment.rollout_id,
            task_id=self.assignment.task_id,
            agent=self.agent.name,
            model=self.model.name,
            seed=self.assignment.seed,
            steps=tuple(self.steps),
            exit=end,
            usage=self.ledger.spent - self.spent_before,
            duration_s=time.monotonic() - self.started,
            parents=self.assignment.parents,
        )


def _ends(text: str) -> str:
    return elide(text.strip(), _UNUSABLE_SHOWN, _UNUSABLE_SHOWN)[0]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
