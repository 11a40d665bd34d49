"""The turn loop shared by conversational agents: the conversation, its record, and how it ends."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, NoReturn, Protocol

from agents.base import Assignment, SaveStep, Slice
from agents.choose.base import StepChooser, Turn, open_chooser
from agents.choose.config import ChooserConfig
from agents.config import AgentConfig
from agents.errors import ContextOverflow, LimitExceeded, ModelConfigError, ModelError, ReplyInvalid, ToolsNotTaken
from agents.llm.base import ChatModel, Completion, History, Message, Reply, ToolCall
from agents.llm.ledger import Ledger, Usage
from agents.llm.replies import CUT
from agents.llm.truncation import PromptGrowth
from agents.prompting import Prompts
from agents.resume import as_message, with_odd_message
from agents.trajectory import LIMIT_EXITS, Exit, ExitKind, Observation, Proposal, Step, Trajectory
from agents.watchers.base import Refuse, Restart, Seen, Stop
from agents.watchers.panel import Panel
from core.sanitize import for_model
from core.text import elide
from sandbox.base import Sandbox
from sandbox.errors import DiskLimitExceeded, SandboxError

_UNUSABLE_SHOWN = 600
"""Characters kept from the beginning and from the end of an unusable reply."""
_FORCED_AFTER = 2
"""Consecutive turns without a usable call before the server must constrain replies to calls."""
_TEXT_CALL = "text_"


class Finished(Exception):
    """The rollout is over; carries its exit."""

    def __init__(self, kind: ExitKind, detail: str = "") -> None:
        self.exit = Exit(kind=kind, detail=" ".join(detail.split())[:500])
        super().__init__(kind)


def without_sandbox(error: SandboxError) -> Finished:
    """End a rollout whose sandbox is gone; a full disk is its own fault."""
    return Finished("disk_limit" if isinstance(error, DiskLimitExceeded) else "sandbox_lost", str(error))


class TalkingAgent(Protocol):
    """What an `Attempt` needs from its agent.

    Example:
        >>> from types import SimpleNamespace
        >>> settings = AgentConfig.model_construct(step_limit=10)
        >>> agent: TalkingAgent = SimpleNamespace(name="mine", config=settings, prompts=Prompts([("system", "Hi.")]))
        >>> agent.prompts.render("system")
        'Hi.'
    """

    name: str
    config: AgentConfig
    prompts: Prompts


@dataclass
class Attempt:
    """The loop: ask the model, execute its calls, show the results. Subclasses define the tools.

    Attributes:
        in_text: whether this conversation uses text instead of tool calls.
        proposals: what else was proposed for the step that is recorded next.
        repeated_s: seconds that the commands of copied turns took when they were run again.
        forced: whether the server must constrain replies to calls: a tool call, or a JSON object in text.
        watched: whether `agent.watchers` and `agent.chooser` apply.
    """

    watched: ClassVar[bool] = True
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
    chooser: StepChooser = field(init=False)
    proposals: tuple[Proposal, ...] = ()
    repeated_s: float = 0.0
    panel: Panel = field(init=False)

    def __post_init__(self) -> None:
        self.spent_before = self.ledger.spent
        config = self.agent.config
        self.chooser = open_chooser(config.chooser if self.watched else ChooserConfig())
        self.panel = Panel.open(config.watchers, config.watcher_options) if self.watched else Panel(())

    async def work(self) -> Trajectory:
        """Run the loop until the rollout is over; see `Agent.run`."""
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

    # What subclasses define.

    def _open(self) -> None:
        """Send the system prompt and the task."""
        raise NotImplementedError

    def _means(self) -> dict[str, Any]:
        """Arguments of `ChatModel.complete` that specify how the model expresses its calls."""
        raise NotImplementedError

    def _calls_in_text(self, content: str, call_id: str) -> tuple[tuple[ToolCall, ...], str]:
        """For models without tool calls: the calls in a reply's text, and what is wrong with it."""
        raise NotImplementedError

    async def _run_calls(self, step: Step, observations: list[Observation]) -> None:
        """Execute calls in order, appending to `observations`, so results survive if a later call ends the rollout."""
        raise NotImplementedError

    async def _catch_up(self) -> None:
        """Continue from an unfinished trajectory if the agent can; `_opens_like` says whether it matches this task."""

    # The loop.

    @property
    def _model_wants_text(self) -> bool:
        return self.agent.config.text_protocol or bool(getattr(self.model, "text_protocol", False))

    @property
    def _turns(self) -> int:
        return sum(step.source == "agent" for step in self.steps)

    @property
    def _slice(self) -> Slice:
        return self.assignment.slice or Slice(self.agent.config.step_limit)

    @property
    def _copied(self) -> int:
        return sum(step.copied for step in self.steps if step.source == "agent")

    def _begin(self, *, in_text: bool) -> None:
        """Open the conversation, or reopen it if it began in a form that the model does not understand."""
        self.messages, self.steps, self.growth = History(), [], PromptGrowth()
        self.in_text, self.format_errors = in_text, 0
        self.forced = self.agent.config.force_calls or (in_text and bool(getattr(self.model, "drops_tools", False)))
        self._open()

    def _opens_like(self, earlier: Trajectory) -> bool:
        """Whether a trajectory begins like this one; switches this conversation to text if the other was in text.

        A branch begins with the messages of the rollout that it branched off.
        """
        if earlier.steps and earlier.steps[0].copied:
            self._open_as(earlier)
            return True
        opening = [one.content for one in earlier.steps[:2]]
        if opening == [one.content for one in self.steps]:
            return True
        if self.in_text:
            return False
        self._begin(in_text=True)
        if opening == [one.content for one in self.steps]:
            return True
        self._begin(in_text=False)
        return False

    def _open_as(self, branch: Trajectory) -> None:
        """Open the conversation with a branch's first two messages, in the form that its calls have."""
        calls = [call for step in branch.steps for call in step.tool_calls]
        self._begin(in_text=any(call.id.startswith(_TEXT_CALL) for call in calls))
        self.messages, self.steps = History(), list(branch.steps[:2])
        self.messages.extend({"role": step.source, "content": step.content} for step in self.steps)

    def _tell(self, source: Literal["system", "user"], content: str, **more: Any) -> None:
        """Append a message that is not a tool result; `more` are further fields of its step."""
        self.messages.append({"role": source, "content": content})
        self._record(Step(id=len(self.steps) + 1, source=source, content=content, timestamp=_now(), **more))

    def _tell_task(self) -> None:
        """Send the first user message: the task, and what watchers add to it."""
        parts = [self.agent.prompts.first_user_message(self.assignment), *self.panel.openings(self._seen())]
        self._tell("user", "\n\n".join(parts))

    async def _turn(self) -> None:
        """Ask the model once and act on its reply."""
        part = self._slice
        if self._turns - self._copied >= part.turns:
            raise Finished("paused" if part.later else "step_limit", f"{part.turns} steps")
        self._watch()
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
        turn = Turn(
            messages=self.messages,
            means=self._means(),
            model=self.model,
            drafter=self.assignment.drafter,
            ledger=self.ledger,
            sampling=sampling,
            calls=self._calls_of,
        )
        try:
            reply, self.proposals = await self.chooser.choose(turn)
        except ReplyInvalid as error:
            self.proposals = ()
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

    def _calls_of(self, completion: Completion) -> tuple[ToolCall, ...]:
        if self.in_text:
            return self._calls_in_text(completion.content, f"{_TEXT_CALL}{len(self.steps) + 1}")[0]
        return completion.tool_calls

    def _step_of(self, completion: Completion, usage: Usage) -> Step:
        """Record a reply. If it contains no call, only its beginning and end are kept, in the conversation as well."""
        calls, problems = completion.tool_calls, completion.problems
        if self.in_text:
            calls, wrong = self._calls_in_text(completion.content, f"{_TEXT_CALL}{len(self.steps) + 1}")
            calls = tuple(map(self.panel.read, calls))
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
            proposals=self.proposals,
            usage=usage,
            finish_reason=completion.finish_reason,
            timestamp=_now(),
        )
        return with_odd_message(step, completion)

    async def _act(self, observations: list[Observation]) -> None:
        """Execute the last step's calls, except those that already have `observations`, and show the results."""
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
        """Check the time limit between two calls of one reply."""
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
        """Count consecutive turns without a usable call, and change how calls are requested when they accumulate."""
        unusable = all(one.status == "rejected" for one in step.observations)
        self.format_errors = self.format_errors + 1 if unusable else 0
        self.forced = self.forced or self.format_errors >= _FORCED_AFTER
        if self.format_errors >= self.agent.config.max_format_errors:
            last = f"; the last: {'; '.join(step.problems)}" if step.problems else ""
            raise Finished("format_errors", f"{self.format_errors} turns in a row without a usable call{last}")

    # Watchers.

    def _seen(self) -> Seen:
        limit, time_s = self._slice.turns + self._slice.later, self.assignment.time_limit_s
        turns = self._turns - self._copied
        left = {"replies": 1 - turns / limit, **self.ledger.left()}
        if time_s:
            left["time"] = min(left.get("time", 1.0), max(0.0, 1 - (time.monotonic() - self.started) / time_s))
        return Seen(
            steps=tuple(self.steps),
            turns_left=limit - turns,
            left=left,
            test_command=self.assignment.test_command,
            in_text=self.in_text,
        )

    def _watch(self) -> None:
        """Ask the watchers about the last turn, unless a resumed rollout has their answer already."""
        since = [step for step in reversed(self.steps) if step.source == "agent" or step.watcher]
        if not self.panel or not since or since[0].watcher:
            return
        names, verdict = self.panel.after_turn(self._seen())
        if isinstance(verdict, Stop):
            raise Finished(verdict.kind, f"{names}: {verdict.reason}")
        if isinstance(verdict, Restart):
            self._restart()
        if verdict is not None:
            self._tell("user", for_model(verdict.text), watcher=names, restarts=isinstance(verdict, Restart))

    def _restart(self) -> None:
        """Drop the conversation but for system prompt and task."""
        opening = self.messages[:2]
        self.messages, self.growth, self.format_errors = History(), PromptGrowth(), 0
        self.messages.extend(opening)

    def _submit(self, call: ToolCall, rest: Sequence[ToolCall], observations: list[Observation]) -> None:
        """End the rollout by a submission, unless a watcher refuses it.

        Args:
            call: the call that submits.
            rest: the calls after it, which are not executed.
            observations: receives the results.
        """
        name, verdict = self.panel.at_submission(self._seen())
        if not isinstance(verdict, Refuse):
            end = Finished("submitted") if verdict is None else Finished(verdict.kind, verdict.reason)
            self._end_at(call, rest, observations, end)
        observations.append(self._refused(call, name, verdict.text))
        observations += [self._rejected(one, "the submission was refused") for one in rest]

    def _call_watcher(self, call: ToolCall, rest: Sequence[ToolCall], observations: list[Observation]) -> None:
        """Have a watcher answer a call of its tool, which may end the rollout; see `_submit`."""
        name, verdict = self.panel.called(call, self._seen())
        if isinstance(verdict, Stop):
            self._end_at(call, rest, observations, Finished(verdict.kind, verdict.reason))
        observations.append(self._refused(call, name, "noted" if verdict is None else verdict.text))

    def _end_at(
        self, call: ToolCall, rest: Sequence[ToolCall], observations: list[Observation], end: Finished
    ) -> NoReturn:
        observations.append(Observation(tool_call_id=call.id, content=end.exit.kind, exit_code=0))
        observations += [self._rejected(one, "the work was submitted before") for one in rest]
        raise end

    def _refused(self, call: ToolCall, watcher: str, text: str) -> Observation:
        return Observation(tool_call_id=call.id, content=for_model(text), status="refused", watcher=watcher)

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
            extra=self._extra(),
        )

    def _extra(self) -> dict[str, Any]:
        """What a resumed rollout needs for the same first messages, and what a branch cost."""
        started_from, limits = self.assignment.started_from, self.assignment.limits
        return {
            **({"repeated_s": round(self.repeated_s, 3)} if self._copied else {}),
            **({"started_from": started_from} if started_from else {}),
            **({"limits": list(limits)} if limits else {}),
        }


def _ends(text: str) -> str:
    return elide(text.strip(), _UNUSABLE_SHOWN, _UNUSABLE_SHOWN)[0]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
