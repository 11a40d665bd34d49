"""Run any command-line agent installed in the sandbox's image.

`command:mytool --task-file {instruction}` writes the task to a file outside the working directory, runs the command in
the working directory, and collects what it leaves behind: the changed tree, and a trajectory file or its output as the
record. The ledger does not see requests that the tool makes itself; their usage is charged afterwards if the record
states it.
"""

import asyncio
import json
import os
import re
import secrets
import shlex
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from agents.attempt import without_sandbox
from agents.base import Assignment, SaveStep
from agents.config import AgentConfig
from agents.errors import AgentUnusable, LimitExceeded, TrajectoryFormatError
from agents.importers import parse_trajectory
from agents.llm.base import ChatModel, ToolCall
from agents.llm.ledger import Ledger, Usage
from agents.trajectory import LIMIT_EXITS, Exit, Observation, Step, Trajectory
from core.errors import UnknownPart
from core.sanitize import for_model
from core.text import elide
from sandbox.base import ExecResult, Sandbox
from sandbox.errors import SandboxError, SandboxFileNotFound

PREFIX = "command:"
_PLACES = ("instruction", "trajectory", "model", "base_url", "seed", "workdir")
_CHECK_S = 2.0
_NOT_THERE = (126, 127)
_MAX_TRAJECTORY = 64 << 20


class CommandAgent:
    """An agent that is a command in the sandbox.

    Args:
        config: `name` is `command:` followed by the command, in which `{instruction}` and `{trajectory}` (paths in the
            sandbox), `{model}`, `{base_url}`, `{seed}` and `{workdir}` are replaced, quoted for the shell. Without
            `{instruction}`, the task is passed on standard input.

    Raises:
        UnknownPart: there is no command.
    """

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
            model: supplies the name and the server address for the command.
            ledger: limits the rollout; charged afterwards with the usage that the record states.
            save: called at the start and at the end.

        Raises:
            AgentUnusable: the image lacks the command.
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
        self.folder = f"/tmp/heats-agent-{secrets.token_hex(6)}"  # noqa: S108 - inside the sandbox
        self.started = time.monotonic()
        self.instruction = instruction_of(assignment)

    async def work(self) -> Trajectory:
        opening = Step(id=1, source="user", content=self.instruction, timestamp=_now())
        self.save(self._trajectory((opening,), None))
        try:
            self.ledger.check()
            return await self._played(opening)
        except LimitExceeded as limit:
            end = Exit(kind=LIMIT_EXITS[limit.kind], detail=str(limit))
            return self._close((opening, Step(id=2, source="agent", content="", timestamp=_now())), end)
        except SandboxError as error:
            return self._close((opening,), without_sandbox(error).exit)
        except asyncio.CancelledError:
            self._close((opening,), Exit(kind="cancelled"))
            raise

    async def _played(self, opening: Step) -> Trajectory:
        await self.sandbox.write_file(f"{self.folder}/instruction.md", self.instruction.encode())
        command = self._filled()
        result = await self._watched(command)
        if result.status == "exited" and result.exit_code in _NOT_THERE:
            output = " ".join(result.text().split())[-200:]
            raise AgentUnusable(f"the agent's command cannot run in the sandbox: {command} ({output})")
        end = self._exit(result)
        problem = ""
        try:
            found = await self._record()
        except (TrajectoryFormatError, SandboxError) as error:
            found, problem = None, str(error)
        if found is not None:
            self.ledger.charge(found.usage)
            if end.kind == "submitted" and found.exit is not None and found.exit.kind != "model_error":
                end = found.exit
            return self._close(found.steps, end, found)
        step = Step(
            id=2,
            source="agent",
            content="",
            tool_calls=(ToolCall(id="command", name="bash", arguments=json.dumps({"command": command})),),
            observations=(self._observation(result),),
            timestamp=_now(),
        )
        return self._close((opening, step), end, problem=problem)

    def _filled(self) -> str:
        values = self._places()

        def fill(match: re.Match[str]) -> str:
            return shlex.quote(values[match[1]])

        return re.sub(r"\{(" + "|".join(_PLACES) + r")\}", fill, self.agent.command)

    def _places(self) -> Mapping[str, str]:
        known = getattr(getattr(self.model, "config", None), "base_urls", ())
        return {
            "instruction": f"{self.folder}/instruction.md",
            "trajectory": self.config.trajectory or f"{self.folder}/trajectory.json",
            "model": self.model.name,
            "base_url": self.config.base_url or next(iter(known), ""),
            "seed": str(self.assignment.seed),
            "workdir": self.assignment.workdir,
        }

    def _environment(self) -> dict[str, str]:
        """Environment of the command. A server address is useful only to a sandbox with a network."""
        places = self._places()
        env = {f"HEATS_{name.upper()}": places[name] for name in ("instruction", "trajectory", "model", "seed")}
        network = getattr(getattr(self.sandbox, "spec", None), "network", "none")
        if network != "none" and places["base_url"]:
            env |= {"OPENAI_BASE_URL": places["base_url"], "OPENAI_API_KEY": "none", "OPENAI_MODEL": places["model"]}
        return env | {name: os.environ[name] for name in self.config.forward_env if name in os.environ}

    async def _watched(self, command: str) -> ExecResult:
        """Run the command, and stop it if a limit of the ledger is reached meanwhile, by time or by other rollouts.

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
        try:
            while not running.done():
                await asyncio.wait({running}, timeout=_CHECK_S)
                if not running.done():
                    self.ledger.check()
            return running.result()
        finally:
            if not running.done():
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                await self.sandbox.kill_all()

    def _exit(self, result: ExecResult) -> Exit:
        match result.status:
            case "timeout":
                return Exit(kind="time_limit", detail=f"{self.config.time_limit_s:g} s")
            case "oom":
                return Exit(kind="agent_failed", detail="out of memory")
            case "indeterminate":
                return Exit(kind="sandbox_lost", detail="it is not known how the command ended")
        if result.exit_code:
            return Exit(kind="agent_failed", detail=f"the command ended with exit code {result.exit_code}")
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
        return parse_trajectory(data, path)

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

    def _close(
        self, steps: tuple[Step, ...], end: Exit, found: Trajectory | None = None, problem: str = ""
    ) -> Trajectory:
        trajectory = self._trajectory(steps, end, found, problem)
        self.save(trajectory)
        return trajectory

    def _trajectory(
        self, steps: tuple[Step, ...], end: Exit | None, found: Trajectory | None = None, problem: str = ""
    ) -> Trajectory:
        extra = {**(found.extra if found else {}), "command": self.agent.command}
        return Trajectory(
            id=self.assignment.rollout_id,
            task_id=self.assignment.task_id,
            agent=self.agent.name,
            model=(found.model if found else "") or self.model.name,
            seed=self.assignment.seed,
            steps=steps,
            exit=end,
            usage=found.usage if found else Usage(),
            duration_s=time.monotonic() - self.started,
            parents=self.assignment.parents,
            extra=extra | ({"trajectory_problem": problem} if problem else {}),
        )


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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
