"""The reference agent: a bash tool, a fresh shell per command, and submission by an explicit act.

The loop asks the model, runs the calls of its reply in order, and shows what came out. Nothing that a command prints
can end it: only a `submit` call in the model's own message can.
"""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from agents.base import Assignment, SaveStep
from agents.config import AgentConfig
from agents.errors import ContextOverflow, LimitExceeded, ModelConfigError, ModelError
from agents.llm.base import ChatModel, Completion, History, Message, ToolCall
from agents.llm.ledger import Ledger, Usage
from agents.llm.truncation import PromptGrowth
from agents.prompting import Prompts
from agents.resume import as_message, before_submission, repeat_commands, with_odd_message
from agents.text_protocol import calls_in_text
from agents.tools import BASH, SUBMIT, command_of
from agents.trajectory import LIMIT_EXITS, Exit, ExitKind, Observation, Step, Trajectory
from core.sanitize import for_model
from sandbox.base import Sandbox
from sandbox.errors import DiskLimitExceeded, SandboxError


class Finished(Exception):
    """The attempt is over; carries its exit."""

    def __init__(self, kind: ExitKind, detail: str = "") -> None:
        self.exit = Exit(kind=kind, detail=" ".join(detail.split())[:500])
        super().__init__(kind)


def without_sandbox(error: SandboxError) -> Finished:
    """The end of an attempt whose sandbox is gone: its own doing where it filled the disk."""
    return Finished("disk_limit" if isinstance(error, DiskLimitExceeded) else "sandbox_lost", str(error))


class BashAgent:
    """An `Agent`; one instance serves any number of rollouts at once."""

    name = "bash"

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self.prompts = Prompts(config.templates)

    async def run(
        self, assignment: Assignment, sandbox: Sandbox, model: ChatModel, ledger: Ledger, save: SaveStep
    ) -> Trajectory:
        """Work until submission or a limit; see `Agent.run`."""
        return await Attempt(self, assignment, sandbox, model, ledger, save).work()


class TalkingAgent(Protocol):
    """What an `Attempt` needs of its agent."""

    name: str
    config: AgentConfig
    prompts: Prompts


@dataclass
class Attempt:
    """One rollout in progress: the conversation, and its record. Other agents that talk in turns build on it."""

    agent: TalkingAgent
    assignment: Assignment
    sandbox: Sandbox
    model: ChatModel
    ledger: Ledger
    save: SaveStep
    messages: History = field(default_factory=History)
    steps: list[Step] = field(default_factory=list)
    format_errors: int = 0
    growth: PromptGrowth = field(default_factory=PromptGrowth)
    started: float = field(default_factory=time.monotonic)
    spent_before: Usage = field(init=False)

    def __post_init__(self) -> None:
        self.spent_before = self.ledger.spent

    @property
    def text_protocol(self) -> bool:
        """Whether this model is spoken to in fenced blocks."""
        return self.agent.config.text_protocol or bool(getattr(self.model, "text_protocol", False))

    async def work(self) -> Trajectory:
        try:
            self._open()
            await self._catch_up()
            while True:
                await self._turn()
        except Finished as finished:
            return self._close(finished.exit)
        except asyncio.CancelledError:
            self._close(Exit(kind="cancelled"))
            raise

    def _means(self) -> dict[str, Any]:
        """How the model is to say what it does: arguments of `ChatModel.complete`."""
        return {} if self.text_protocol else {"tools": (BASH, SUBMIT)}

    def _calls_in_text(self, content: str, call_id: str) -> tuple[tuple[ToolCall, ...], str]:
        """The calls in the text of a reply, and what is wrong with it, where a model does not call tools."""
        return calls_in_text(content, call_id)

    def _open(self) -> None:
        prompts, timeout_s = self.agent.prompts, self.agent.config.command_timeout_s
        self._tell("system", prompts.render("system", text_protocol=self.text_protocol, command_timeout_s=timeout_s))
        self._tell("user", prompts.first_user_message(self.assignment))

    def _tell(self, source: Literal["system", "user"], content: str) -> None:
        """Say something that is no tool result."""
        self.messages.append({"role": source, "content": content})
        self._record(Step(id=len(self.steps) + 1, source=source, content=content, timestamp=_now()))

    async def _turn(self) -> None:
        """Ask the model once and do what it says."""
        if sum(step.source == "agent" for step in self.steps) >= self.agent.config.step_limit:
            raise Finished("step_limit", f"{self.agent.config.step_limit} steps")
        completion, usage = await self._ask()
        calls = completion.tool_calls
        if self.text_protocol:
            calls = self._calls_in_text(completion.content, f"text_{len(self.steps) + 1}")[0]
        step = Step(
            id=len(self.steps) + 1,
            source="agent",
            content=completion.content,
            reasoning=completion.reasoning,
            tool_calls=calls,
            usage=usage,
            finish_reason=completion.finish_reason,
            timestamp=_now(),
        )
        self._record(with_odd_message(step, completion))
        await self._act([])

    async def _act(self, observations: list[Observation]) -> None:
        """Do what the last step says, but for the calls that have `observations` already, and show what came out."""
        step = self.steps[-1]
        self.messages.append(as_message(step))
        try:
            await self._run_calls(step, observations)
        finally:
            self.steps.pop()
            self._record(step.model_copy(update={"observations": tuple(observations)}))
        self._show(observations)
        problem = self._problem(step)
        if problem:
            self._tell("user", self._format_error(problem))
        self._count_format_errors(bool(problem) or all(one.status == "rejected" for one in observations))

    def _problem(self, step: Step) -> str:
        """Why a reply as a whole is not usable; empty when it is."""
        if step.finish_reason == "length" and not step.tool_calls:
            return "the reply was cut at the token limit"
        if self.text_protocol:
            return self._calls_in_text(step.content, "")[1]
        return "" if step.tool_calls else "there is no tool call"

    async def _catch_up(self) -> None:
        """Go on from an unfinished trajectory: its commands run again unseen, its conversation is taken over.

        Raises:
            Diverged: a command ends differently now.
        """
        earlier = self.assignment.resume
        if earlier is None or [one.content for one in earlier.steps[:2]] != [one.content for one in self.steps]:
            return
        self.started -= earlier.duration_s
        self.spent_before = self.spent_before - earlier.usage
        for step in earlier.steps[2:]:
            self.steps.append(step)
            try:
                await repeat_commands(step, self.sandbox, self.agent.config.command_timeout_s)
            except SandboxError as error:
                raise without_sandbox(error) from error
            if step.source != "agent":
                self.messages.append({"role": step.source, "content": step.content})
            elif step is earlier.steps[-1]:
                await self._act(before_submission(step))
            else:
                self.messages.append(as_message(step))
                self._show(list(step.observations))
                rejected = all(one.status == "rejected" for one in step.observations)
                self.format_errors = self.format_errors + 1 if rejected else 0

    async def _ask(self) -> tuple[Completion, Usage]:
        sampling = self.assignment.sampling
        if sampling.seed is None:
            sampling = sampling.model_copy(update={"seed": self.assignment.seed})
        try:
            reply = await self.model.complete(
                self.messages,
                ledger=self.ledger,
                sampling=sampling,
                **self._means(),
            )
            self.growth.check(self.messages, reply.usage)
        except LimitExceeded as error:
            raise Finished(LIMIT_EXITS[error.kind], str(error)) from error
        except ModelConfigError:
            self._close(Exit(kind="model_error", detail="the model is not usable as configured"))
            raise
        except ContextOverflow as error:
            raise Finished("context_overflow", str(error)) from error
        except ModelError as error:
            raise Finished("model_error", str(error)) from error
        return reply.first, reply.usage

    async def _run_calls(self, step: Step, observations: list[Observation]) -> None:
        """Run calls in order into `observations`, which keeps what was done when a later call ends the attempt."""
        calls = step.tool_calls
        for index, call in list(enumerate(calls))[len(observations) :]:
            cut = step.finish_reason == "length" and index == len(calls) - 1
            command, problem = (None, "the reply was cut at the token limit") if cut else command_of(call)
            if problem:
                observations.append(self._rejected(call, problem))
            elif command is None:
                observations.append(Observation(tool_call_id=call.id, content="submitted", exit_code=0))
                observations += [self._rejected(rest, "the work was submitted before") for rest in calls[index + 1 :]]
                raise Finished("submitted")
            else:
                observations.append(await self._execute(call.id, command))

    async def _execute(self, call_id: str, command: str) -> Observation:
        config = self.agent.config
        try:
            result = await self.sandbox.exec(command, timeout=config.command_timeout_s, merge_stderr=True)
        except SandboxError as error:
            raise without_sandbox(error) from error
        content = self.agent.prompts.observation(
            result, timeout_s=config.command_timeout_s, head=config.observation_head, tail=config.observation_tail
        )
        return Observation(
            tool_call_id=call_id,
            content=content,
            status=result.status,
            exit_code=result.exit_code,
            duration_s=result.duration_s,
            output_bytes=result.stdout_total + result.stderr_total,
        )

    def _rejected(self, call: ToolCall, problem: str) -> Observation:
        return Observation(tool_call_id=call.id, content=self._format_error(problem), status="rejected")

    def _format_error(self, problem: str) -> str:
        render = self.agent.prompts.render
        return render("format_error", problem=for_model(problem), text_protocol=self.text_protocol)

    def _show(self, observations: list[Observation]) -> None:
        for one in observations:
            role: Message = (
                {"role": "user"} if self.text_protocol else {"role": "tool", "tool_call_id": one.tool_call_id}
            )
            self.messages.append({**role, "content": one.content})

    def _count_format_errors(self, unusable: bool) -> None:
        self.format_errors = self.format_errors + 1 if unusable else 0
        if self.format_errors >= self.agent.config.max_format_errors:
            raise Finished("format_errors", f"{self.format_errors} turns in a row without a usable call")

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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
