"""Run any command-line agent in the sandbox: installed in its image, or brought along (`presets.py`).

`command:mytool --task-file {instruction}` writes the task to a file outside the working directory, runs the command in
the working directory, and collects what it leaves behind: the changed tree, and the record. The command reaches the
model through the gateway, without network and without a key; its requests are charged to the ledger as they are made
and become the trajectory. Without requests, the record is a trajectory file that the command wrote, or its output.
"""

import asyncio
import json
import os
import re
import secrets
import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from agents.attempt import without_sandbox
from agents.base import Assignment, SaveStep
from agents.config import AgentConfig
from agents.errors import AgentUnusable, LimitExceeded, TrajectoryFormatError
from agents.gateway.asking import Asking
from agents.gateway.line import Line, open_line
from agents.gateway.record import now
from agents.importers import parse_trajectory
from agents.llm.base import ChatModel, ToolCall
from agents.llm.ledger import Ledger, Usage
from agents.trajectory import LIMIT_EXITS, Exit, Observation, Step, Trajectory
from core.errors import UnknownPart
from core.sanitize import for_model
from core.text import elide
from sandbox.base import ExecResult, Sandbox, SharesFolder
from sandbox.errors import SandboxError, SandboxFileNotFound

PREFIX = "command:"
_PLACES = (
    *("instruction", "trajectory", "model", "base_url", "origin", "key", "seed", "workdir", "folder", "kit"),
    *("context", "reply", "test"),
)
_TOLD = ("instruction", "trajectory", "model", "seed")
_CHECK_S = 2.0
_USUAL_CONTEXT = 131_072
"""Tokens, for a server that does not state the length of its context."""
_NOT_THERE = (126, 127)
_MAX_TRAJECTORY = 64 << 20
_OUTPUT_CHARS = 2000
"""Characters kept from the beginning and from the end of what the command printed, beside the gateway's record."""


class CommandAgent:
    """An agent that is a command in the sandbox.

    Args:
        config: `name` is `command:` followed by the command, in which `{instruction}` and `{trajectory}` (paths in the
            sandbox), `{model}`, `{base_url}`, `{key}`, `{seed}` and `{workdir}` are replaced, quoted for the shell.
            Without `{instruction}`, the task is passed on standard input.

    Attributes:
        env: environment of the command, with the same placeholders.
        files: files for the command, by path in its own folder, with the same placeholders.
        kit: path in the sandbox of what the agent brings along.
        node: path in the sandbox of the kit's Node.js program, if it has one; `python` likewise.
        needs_model: whether the command is useless without the gateway.

    Raises:
        UnknownPart: there is no command.
    """

    env: Mapping[str, str] = {}
    files: Mapping[str, str] = {}
    kit = node = python = ""
    needs_model = False

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self.command = config.name.removeprefix(PREFIX).strip()
        if not self.command:
            raise UnknownPart(
                '--agent command: needs a command, such as --agent command:"mytool --task-file {instruction}"'
            )
        self.name = PREFIX + self.command.split()[0].rsplit("/", 1)[-1]

    async def run(
        self, assignment: Assignment, sandbox: Sandbox, model: ChatModel, ledger: Ledger, save: SaveStep
    ) -> Trajectory:
        """Run the command until it ends or reaches a limit; see `Agent.run`.

        Args:
            assignment: the task; `resume` is ignored.
            sandbox: runs the command.
            model: answers the command's requests.
            ledger: accounts for the rollout's tokens and enforces its limits. What a command without gateway spends is
                charged afterwards, if its record states it.
            save: called at the start, after every reply, and at the end.

        Raises:
            AgentUnusable: the command is missing, or cannot reach the model.
            ModelConfigError: no rollout can succeed with this model as configured.
        """
        return await _Run(self, assignment, sandbox, model, ledger, save).work()


class _Run:
    """One rollout of a command."""

    def __init__(
        self,
        agent: CommandAgent,
        assignment: Assignment,
        sandbox: Sandbox,
        model: ChatModel,
        ledger: Ledger,
        save: SaveStep,
    ) -> None:
        self.agent, self.assignment, self.sandbox, self.model = agent, assignment, sandbox, model
        self.ledger, self.save = ledger, save
        self.config = agent.config.command
        self.folder = _folder_in(sandbox)
        self.started, self.spent_before = time.monotonic(), ledger.spent
        self.instruction = instruction_of(assignment)
        self.asking = Asking(model, ledger, assignment, step_limit=agent.config.step_limit, seen=self._seen)
        self.line: Line | None = None
        self.opening = Step(id=1, source="user", content=self.instruction, timestamp=now())

    async def work(self) -> Trajectory:
        self._seen()
        try:
            self.ledger.check()
            async with AsyncExitStack() as stack:
                self.line = await self._gateway(stack)
                command, result = await self._played()
            return await self._ended(command, result)
        except LimitExceeded as limit:
            return self._close(self._steps(ended=True), Exit(kind=LIMIT_EXITS[limit.kind], detail=str(limit)))
        except SandboxError as error:
            return self._close(self._steps(), without_sandbox(error).exit)
        except asyncio.CancelledError:
            self._close(self._steps(), Exit(kind="cancelled"))
            raise

    async def _gateway(self, stack: AsyncExitStack) -> Line | None:
        """Open the gateway; None if the command does without.

        Raises:
            AgentUnusable: the command needs the gateway, and the sandbox cannot have one.
        """
        if not self.agent.needs_model and (not self.config.gateway or self.config.base_url):
            return None
        try:
            return await stack.enter_async_context(
                open_line(self.asking, self.sandbox, self.folder, node=self.agent.node, python=self.agent.python)
            )
        except AgentUnusable:
            if self.agent.needs_model:
                raise
            return None

    async def _played(self) -> tuple[str, ExecResult]:
        """Run the command; returns it with its result."""
        await self.sandbox.write_file(f"{self.folder}/instruction.md", self.instruction.encode())
        for name, text in self.agent.files.items():
            await self.sandbox.write_file(f"{self.folder}/{name}", self._filled(text, _in_json).encode())
        command = self._filled(self.agent.command, shlex.quote)
        return command, await self._watched(command)

    async def _ended(self, command: str, result: ExecResult) -> Trajectory:
        """The trajectory, once the gateway is closed and nothing can be added to its record."""
        if self.asking.error is not None:
            self._close(self._steps(), Exit(kind="model_error", detail="the model is not usable as configured"))
            raise self.asking.error
        end = self._exit(result)
        if self.asking.replies:
            return self._close(self._steps(), end, output=result)
        if result.status == "exited" and result.exit_code in _NOT_THERE:
            said = _last_output(result)
            raise AgentUnusable(f"the agent's command cannot run in the sandbox: {command} ({said})")
        return await self._recorded(command, result, end)

    async def _recorded(self, command: str, result: ExecResult, end: Exit) -> Trajectory:
        """The record of a command that the gateway saw nothing of."""
        problem = ""
        try:
            found = await self._record()
        except (TrajectoryFormatError, SandboxError) as error:
            found, problem = None, str(error)
        if found is not None:
            if self.line is None:  # else every call was made through the gateway, and is charged
                self.ledger.charge(found.usage)
            if end.kind == "submitted" and found.exit is not None and found.exit.kind != "model_error":
                end = found.exit
            return self._close(found.steps, end, found=found)
        step = Step(
            id=2,
            source="agent",
            content="",
            tool_calls=(ToolCall(id="command", name="bash", arguments=json.dumps({"command": command})),),
            observations=(self._observation(result),),
            timestamp=now(),
        )
        return self._close((self.opening, step), end, problem=problem)

    def _filled(self, text: str, quote: Callable[[str], str] = str) -> str:
        values = self._places()

        def fill(match: re.Match[str]) -> str:
            return quote(values[match[1]])

        return re.sub(r"\{(" + "|".join(_PLACES) + r")\}", fill, text)

    def _places(self) -> Mapping[str, str]:
        known = getattr(getattr(self.model, "config", None), "base_urls", ())
        direct = self.config.base_url or next(iter(known), "")
        return {
            "instruction": f"{self.folder}/instruction.md",
            "trajectory": self.config.trajectory or f"{self.folder}/trajectory.json",
            "model": self.model.name,
            "base_url": self.line.base_url if self.line else direct,
            "origin": (self.line.base_url if self.line else direct).removesuffix("/v1"),
            "key": self.line.token if self.line else "none",
            "seed": str(self.assignment.seed),
            "workdir": self.assignment.workdir,
            "folder": self.folder,
            "kit": self.agent.kit,
            "test": self.assignment.test_command or "",
            "context": str(self._context),
            "reply": str(
                min(getattr(getattr(self.model, "config", None), "max_tokens", None) or 32_000, self._context)
            ),
        }

    @property
    def _context(self) -> int:
        """Length of the model's context in tokens, which agents need to know in time for compacting."""
        return getattr(getattr(self.model, "quirks", None), "context", None) or _USUAL_CONTEXT

    def _environment(self) -> dict[str, str]:
        """Environment of the command. The server's own address is useful only to a sandbox with a network."""
        places = self._places()
        env = {f"HEATS_{name.upper()}": places[name] for name in _TOLD}
        network = getattr(getattr(self.sandbox, "spec", None), "network", "none")
        if self.line is not None:
            env |= self.line.environment(self.model.name)
        elif network != "none" and places["base_url"]:
            env |= {"OPENAI_BASE_URL": places["base_url"], "OPENAI_API_KEY": "none", "OPENAI_MODEL": places["model"]}
        env |= {name: self._filled(text) for name, text in self.agent.env.items()}
        return env | {name: os.environ[name] for name in self.config.forward_env if name in os.environ}

    async def _watched(self, command: str) -> ExecResult:
        """Run the command, and stop it once the rollout is over: by a limit, of other rollouts too, or by the model.

        Raises:
            LimitExceeded: a limit is reached.
            SandboxError: the sandbox failed.
        """
        stdin = None if "{instruction}" in self.agent.command else self.instruction.encode()
        running = asyncio.ensure_future(
            self.sandbox.exec(
                command,
                timeout=self.config.time_limit_s,
                cwd=self.assignment.workdir,
                env=self._environment(),
                stdin=stdin,
                merge_stderr=True,
            )
        )
        over = asyncio.ensure_future(self.asking.over.wait())
        try:
            while not running.done():
                await asyncio.wait({running, over}, timeout=_CHECK_S, return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    break
                if over.done():
                    return ExecResult("exited", 0, b"")
                self.ledger.check()
            return running.result()
        finally:
            over.cancel()
            if not running.done():
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                await self.sandbox.kill_all()

    def _exit(self, result: ExecResult) -> Exit:
        if self.asking.exit is not None:
            return self.asking.exit
        match result.status:
            case "timeout":
                return Exit(kind="time_limit", detail=f"{self.config.time_limit_s:g} s")
            case "oom":
                return Exit(kind="agent_failed", detail="out of memory")
            case "indeterminate":
                return Exit(kind="sandbox_lost", detail="it is not known how the command ended")
        if result.exit_code:
            failed = f"the command ended with exit code {result.exit_code}: {_last_output(result)}".removesuffix(": ")
            return self.asking.problem or Exit(kind="agent_failed", detail=failed)
        if self.agent.needs_model and not self.asking.replies:
            silent = f"it ended without a reply of the model: {_last_output(result)}"
            return self.asking.problem or Exit(kind="agent_failed", detail=silent)
        return Exit(kind="submitted")

    async def _record(self) -> Trajectory | None:
        """Read the trajectory that the command wrote, if any.

        Raises:
            TrajectoryFormatError: it has no known format.
            SandboxError: it cannot be read.
        """
        path = self._places()["trajectory"]
        try:
            data = await self.sandbox.read_file(path, max_bytes=_MAX_TRAJECTORY)
        except SandboxFileNotFound:
            return None
        return await asyncio.to_thread(parse_trajectory, data, path)

    def _observation(self, result: ExecResult) -> Observation:
        config = self.agent.config
        shown, _ = elide(result.text(), config.observation_head, config.observation_tail)
        return Observation(
            tool_call_id="command",
            content=for_model(shown),
            status=result.status,
            exit_code=result.exit_code,
            duration_s=result.duration_s,
            output_bytes=result.stdout_total + result.stderr_total,
        )

    def _seen(self) -> None:
        self.save(self._trajectory(self._steps(), None))

    def _steps(self, *, ended: bool = False) -> tuple[Step, ...]:
        """What the gateway saw, or else the task, and the command where it has ended."""
        if self.asking.record.steps:
            return tuple(self.asking.record.steps)
        last = Step(id=2, source="agent", content="", timestamp=now())
        return (self.opening, last) if ended else (self.opening,)

    def _close(
        self,
        steps: tuple[Step, ...],
        end: Exit,
        *,
        found: Trajectory | None = None,
        problem: str = "",
        output: ExecResult | None = None,
    ) -> Trajectory:
        """Save and return the finished trajectory.

        Args:
            steps: its steps.
            end: how the rollout ended.
            found: the trajectory that the command wrote, if it is the record.
            problem: why such a trajectory could not be read.
            output: what the command printed, if that is not among the steps.
        """
        trajectory = self._trajectory(steps, end, found)
        extra = {"trajectory_problem": problem} if problem else {}
        if output is not None and output.stdout:
            extra["output"] = for_model(elide(output.text(), _OUTPUT_CHARS, _OUTPUT_CHARS)[0])
        trajectory = trajectory.model_copy(update={"extra": trajectory.extra | extra})
        self.save(trajectory)
        return trajectory

    def _trajectory(self, steps: tuple[Step, ...], end: Exit | None, found: Trajectory | None = None) -> Trajectory:
        return Trajectory(
            id=self.assignment.rollout_id,
            task_id=self.assignment.task_id,
            agent=self.agent.name,
            model=(found.model if found else "") or self.model.name,
            seed=self.assignment.seed,
            steps=steps,
            exit=end,
            usage=found.usage if found else self._usage(),
            duration_s=time.monotonic() - self.started,
            parents=self.assignment.parents,
            extra={**(found.extra if found else {}), "command": self.agent.command},
        )

    def _usage(self) -> Usage:
        return self.ledger.spent - self.spent_before


def instruction_of(assignment: Assignment) -> str:
    """Build the task text for agents with their own prompts: task, location, and what earlier rollouts found."""
    parts = [assignment.instruction.rstrip(), f"The project is in {assignment.workdir}; change it there."]
    if assignment.test_command:
        base = assignment.base
        parts.append(f"The tests are run with: {assignment.test_command}")
        parts += [f"Without any change it {base.ending} after {base.seconds} s."] if base else []
    parts += [assignment.knowledge] if assignment.knowledge else []
    if assignment.refinement:
        parts.append("Earlier attempts at this task, the best first. They may be wrong; check what you take over.")
        if assignment.diffs:
            parts.append(f"Their changes are files that apply: `git apply {assignment.diffs}/attempt-1.diff`, ...")
        parts += [f"Attempt {number}\n{record}" for number, record in enumerate(assignment.refinement, start=1)]
        parts += [f"Not kept: {other}" for other in assignment.others]
    return for_model("\n\n".join(parts)) + "\n"


def _folder_in(sandbox: Sandbox) -> str:
    """Choose the folder for the command's files.

    In an isolated sandbox it is always the same: agents name it in their prompts, whose beginnings rollouts share.
    """
    shared = sandbox.shared if isinstance(sandbox, SharesFolder) else None
    isolated = shared is not None and shared.inside != str(shared.host)
    return f"/tmp/heats-agent-{'files' if isolated else secrets.token_hex(6)}"  # noqa: S108 - inside the sandbox


def _in_json(text: str) -> str:
    """Escape a text for a string in JSON or TOML."""
    return json.dumps(text)[1:-1]


def _last_output(result: ExecResult) -> str:
    return " ".join(for_model(result.text()[-4000:]).split())[-200:]
