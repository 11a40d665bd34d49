"""The terminal agent: one tmux session, keystrokes and waits as tool calls, screen updates as observations.

It shares the bash agent's turn loop. A submission must be confirmed: the first `submit` only shows the screen. An
interrupted rollout starts over, since a terminal's state cannot be restored.
"""

from dataclasses import dataclass, field
from typing import Any

from agents.attempt import Attempt, without_sandbox
from agents.base import Assignment, SaveStep
from agents.config import AgentConfig
from agents.errors import ModelConfigError
from agents.llm.base import ChatModel, ToolCall
from agents.llm.ledger import Ledger
from agents.llm.replies import CUT
from agents.prompting import Prompts
from agents.terminal.calls import SUBMIT, TURN, TYPE, Typing, calls_in_turn, typing_of
from agents.terminal.config import TerminalConfig
from agents.terminal.screen import Screen
from agents.terminal.tmux import Terminal, View
from agents.trajectory import Observation, Step, Trajectory
from core.sanitize import for_model, for_model_counted
from core.text import elide
from sandbox.base import Sandbox
from sandbox.errors import SandboxError


class TerminalAgent:
    """The terminal agent; one instance can serve any number of concurrent rollouts.

    Raises:
        ModelConfigError: the configuration lacks the section `agent.terminal`.
    """

    name = "terminal"

    def __init__(self, config: AgentConfig) -> None:
        if config.terminal is None:
            raise ModelConfigError("the terminal agent needs the section agent.terminal of the configuration")
        self.config = config
        self.terminal: TerminalConfig = config.terminal
        self.prompts = Prompts({**dict(config.templates), **dict(config.terminal.templates)}.items())

    async def run(
        self, assignment: Assignment, sandbox: Sandbox, model: ChatModel, ledger: Ledger, save: SaveStep
    ) -> Trajectory:
        """Work until a confirmed submission or a limit; see `Agent.run`.

        Args:
            assignment: the task; `resume` is ignored.
            sandbox: runs the tmux session.
            model: the chat model, with or without tool calls.
            ledger: accounts for the rollout's tokens and enforces its limits.
            save: called after every step.

        Raises:
            TerminalMissing: the image has no tmux.
            ModelConfigError: no rollout can succeed with this model as configured.
        """
        terminal = Terminal(sandbox, self.terminal)
        await terminal.start()
        screen = Screen(self.terminal.rows, self.terminal.history)
        screen.news(await terminal.look() or View(()))
        return await _TerminalAttempt(
            self, assignment, sandbox, model, ledger, save, terminal=terminal, settings=self.terminal, screen=screen
        ).work()


@dataclass(kw_only=True)
class _TerminalAttempt(Attempt):
    """One rollout of the terminal agent."""

    terminal: Terminal
    settings: TerminalConfig
    screen: Screen
    asked_to_confirm: bool = field(default=False)

    def _means(self) -> dict[str, Any]:
        if self.in_text:
            return {"response_schema": TURN}
        return {"tools": (TYPE, SUBMIT, *self.panel.tools), **({"tool_choice": "required"} if self.forced else {})}

    def _calls_in_text(self, content: str, call_id: str) -> tuple[tuple[ToolCall, ...], str]:
        return calls_in_turn(content, call_id)

    def _open(self) -> None:
        settings = self.settings
        system = self.agent.prompts.render(
            "system",
            text_protocol=self.in_text,
            columns=settings.columns,
            rows=settings.rows,
            wait_limit_s=settings.wait_limit_s,
        )
        self._tell("system", system)
        self._tell_task()

    async def _run_calls(self, step: Step, observations: list[Observation]) -> None:
        calls = step.tool_calls
        for index, call in enumerate(calls):
            self._check_time()
            cut = step.finish_reason == "length" and index == len(calls) - 1 and not step.problems
            problem = CUT if cut else ""
            if self.panel.owns(call) and not cut:
                self._call_watcher(call, calls[index + 1 :], observations)
                continue
            typing, wrong = (None, problem) if problem else typing_of(call, self.settings.wait_limit_s)
            if wrong:
                observations.append(self._rejected(call, wrong))
            elif typing is not None:
                observations.append(await self._type(call.id, typing))
            elif self.asked_to_confirm:
                return self._submit(call, calls[index + 1 :], observations)
            else:
                observations.append(await self._ask_to_confirm(call.id))
                rest = calls[index + 1 :]
                observations += [self._rejected(one, "the submission has to be confirmed first") for one in rest]
                return None
        return None

    async def _type(self, call_id: str, typing: Typing) -> Observation:
        self.asked_to_confirm = False
        waits = not typing.text and not typing.keys
        try:
            await self.terminal.press(typing.text, typing.keys)
            await self.terminal.settle(typing.wait_s, early=not waits)
            content, exit_code = await self._show_screen()
        except SandboxError as error:
            raise without_sandbox(error) from error
        return Observation(tool_call_id=call_id, content=content, exit_code=exit_code, output_bytes=len(content))

    async def _ask_to_confirm(self, call_id: str) -> Observation:
        self.asked_to_confirm = True
        try:
            screen, _ = await self._show_screen()
        except SandboxError as error:
            raise without_sandbox(error) from error
        return Observation(tool_call_id=call_id, content=self.agent.prompts.render("confirm", screen=screen))

    async def _show_screen(self) -> tuple[str, int | None]:
        """Render what is new on the screen, and return it with the exit code of a command that has ended since.

        If the shell has ended, it is restarted.
        """
        view = await self.terminal.look()
        restarted = view is None
        if view is None:
            await self.terminal.start()
            self.screen.forget()
            view = await self.terminal.look() or View(())
        news = self.screen.news(view)
        code = None if restarted else news.exit_code
        config = self.agent.config
        shown, omitted = elide(news.text, config.observation_head, config.observation_tail)
        output, escaped = for_model_counted(shown)
        content = self.agent.prompts.render(
            "screen",
            output=output,
            whole=news.kind == "whole",
            changed=news.kind == "changed",
            lost=news.lost,
            exit_code=code,
            running=for_model(view.running),
            restarted=restarted,
            omitted=omitted,
            escaped=escaped,
        )
        return content, code
