"""The reference agent: a bash tool, a fresh shell per command, and submission by an explicit call.

The loop asks the model, executes the calls of its reply in order, and shows their results. Nothing that a command
prints can end it. Only a `submit` call in the model's own message can, and only as the sole call of its reply: the
results of other calls have to be seen first.
"""

from dataclasses import dataclass
from typing import Any

from agents.attempt import Attempt, without_sandbox
from agents.base import Assignment, SaveStep
from agents.config import AgentConfig
from agents.llm.base import ChatModel, ToolCall
from agents.llm.ledger import Ledger
from agents.llm.replies import CUT
from agents.prompting import Prompts
from agents.resume import as_message, before_submission, repeat_commands
from agents.text_protocol import BASH_TURN, calls_in_text
from agents.tools import SUBMIT, Command, bash_tool, command_of
from agents.trajectory import Observation, Step, Trajectory
from sandbox.base import ExecResult, Sandbox
from sandbox.errors import SandboxError

WITHOUT_TERMINAL = {
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "MANPAGER": "cat",
    "EDITOR": "true",
    "VISUAL": "true",
    "GIT_EDITOR": "true",
    "GIT_TERMINAL_PROMPT": "0",
}
"""Environment of commands: no one is present to page, edit or answer."""
_NOT_YET = "not handed in yet: look first at what the other calls of this reply did, then call submit alone"


class BashAgent:
    """The bash agent; one instance can serve any number of concurrent rollouts."""

    name = "bash"

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self.prompts = Prompts(config.templates)

    async def run(
        self, assignment: Assignment, sandbox: Sandbox, model: ChatModel, ledger: Ledger, save: SaveStep
    ) -> Trajectory:
        """Work until submission or a limit; see `Agent.run`.

        Args:
            assignment: the task; an unfinished `resume` is continued.
            sandbox: runs the commands.
            model: the chat model, with or without tool calls.
            ledger: accounts for the rollout's tokens and enforces its limits.
            save: called after every step.

        Raises:
            ModelConfigError: no rollout can succeed with this model as configured.
            Diverged: a command of the rollout to resume ended differently.
        """
        return await BashAttempt(self, assignment, sandbox, model, ledger, save).work()


@dataclass
class BashAttempt(Attempt):
    """One rollout of the bash agent, or of an agent that ends in another way."""

    def _open(self) -> None:
        config, prompts = self.agent.config, self.agent.prompts
        means = {"text_protocol": self.in_text, "guided": self.in_text and self.forced}
        self._tell("system", prompts.render("system", command_timeout_s=config.command_timeout_s, **means))
        self._tell_task()

    def _means(self) -> dict[str, Any]:
        config = self.agent.config
        if self.in_text:
            return {"response_schema": BASH_TURN} if self.forced else {}
        tools = (bash_tool(config.command_timeout_s, config.longest_command_s), SUBMIT, *self.panel.tools)
        return {"tools": tools, **({"tool_choice": "required"} if self.forced else {})}

    def _calls_in_text(self, content: str, call_id: str) -> tuple[tuple[ToolCall, ...], str]:
        return calls_in_text(content, call_id)

    async def _catch_up(self) -> None:
        """Continue an unfinished trajectory: rerun its commands without showing the results, and restore its
        conversation.

        Raises:
            Diverged: a command ended differently this time.
        """
        earlier = self.assignment.resume
        if earlier is None or not self._opens_like(earlier):
            return
        self.started -= earlier.duration_s
        self.spent_before = self.spent_before - earlier.usage
        for step in earlier.steps[2:]:
            self.steps.append(step)
            try:
                seconds = await repeat_commands(step, self._run)
            except SandboxError as error:
                raise without_sandbox(error) from error
            self.repeated_s += seconds if step.copied else 0.0
            if step.source != "agent":
                if step.restarts:
                    self._restart()
                self.messages.append({"role": step.source, "content": step.content})
            elif step is earlier.steps[-1]:
                await self._act(before_submission(step))
            else:
                self.messages.append(as_message(step))
                self._show(list(step.observations))
                self._count_format_errors(step)

    async def _run_calls(self, step: Step, observations: list[Observation]) -> None:
        calls = step.tool_calls
        alone = all(call.name == "submit" for call in calls) and not step.problems
        for index, call in list(enumerate(calls))[len(observations) :]:
            self._check_time()
            cut = step.finish_reason == "length" and index == len(calls) - 1 and not step.problems
            if self.panel.owns(call) and not cut:
                self._call_watcher(call, calls[index + 1 :], observations)
                continue
            command, problem = (None, CUT) if cut else command_of(call)
            if problem:
                observations.append(self._rejected(call, problem))
            elif command is not None:
                observations.append(await self._execute(call.id, command))
            elif alone:
                return self._submit(call, calls[index + 1 :], observations)
            else:
                observations.append(Observation(tool_call_id=call.id, content=_NOT_YET, status="rejected"))
        return None

    async def _execute(self, call_id: str, command: Command) -> Observation:
        config = self.agent.config
        try:
            result = await self._run(command)
        except SandboxError as error:
            raise without_sandbox(error) from error
        content = self.agent.prompts.observation(
            result, timeout_s=self._timeout_s(command), head=config.observation_head, tail=config.observation_tail
        )
        return Observation(
            tool_call_id=call_id,
            content=content,
            status=result.status,
            exit_code=result.exit_code,
            duration_s=result.duration_s,
            output_bytes=result.stdout_total + result.stderr_total,
        )

    async def _run(self, command: Command) -> ExecResult:
        timeout_s = self._timeout_s(command)
        return await self.sandbox.exec(command.text, timeout=timeout_s, env=WITHOUT_TERMINAL, merge_stderr=True)

    def _timeout_s(self, command: Command) -> float:
        config = self.agent.config
        return min(command.timeout_s or config.command_timeout_s, config.longest_command_s)
