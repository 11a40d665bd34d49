"""mini-swe-agent as an agent: its loop and prompts with heats' model client, ledger and sandbox.

It is installed with heats (`pip install 'heats[mini]'`) or, because of its many dependencies, in its own environment.
For each rollout, that interpreter runs `mini_driver.py`, which requests replies and commands over its standard streams.
An interrupted rollout starts over, since mini-swe-agent cannot resume.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from agents.attempt import without_sandbox
from agents.base import Assignment, SaveStep
from agents.command import instruction_of
from agents.config import AgentConfig
from agents.errors import (
    AgentUnusable,
    ContextOverflow,
    LimitExceeded,
    ModelConfigError,
    ModelError,
    TrajectoryFormatError,
)
from agents.importers import parse_trajectory
from agents.llm.base import ChatModel, ToolSpec
from agents.llm.ledger import Ledger
from agents.trajectory import LIMIT_EXITS, Exit, Step, Trajectory
from core.errors import UnknownPart
from core.sanitize import for_model
from sandbox.base import ExecResult, Sandbox
from sandbox.errors import SandboxError

_DRIVER = Path(__file__).with_name("mini_driver.py")
_LONGEST_LINE = 256 << 20
_UNAME_S = 30.0


class MiniAgent:
    """An agent that runs mini-swe-agent.

    Raises:
        UnknownPart: it is not installed, or not where the configuration says.
    """

    name = "mini"

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self.python = config.mini.python or _installed()
        if self.python is None or not Path(self.python).exists():
            raise UnknownPart(
                f"mini-swe-agent is not {'installed' if self.python is None else f'at {self.python}'}: "
                "pip install 'heats[mini]', or give the interpreter of its environment with -c agent.mini.python=PATH"
            )

    async def run(
        self, assignment: Assignment, sandbox: Sandbox, model: ChatModel, ledger: Ledger, save: SaveStep
    ) -> Trajectory:
        """Run mini-swe-agent's loop; see `Agent.run`.

        Args:
            assignment: the task; `resume` is ignored.
            sandbox: runs the commands.
            model: the chat model; must support tool calls.
            ledger: accounts for the rollout's tokens and enforces its limits.
            save: called whenever mini-swe-agent saves its own trajectory.

        Raises:
            AgentUnusable: its loop could not be started, or crashed.
            ModelConfigError: no rollout can succeed with this model as configured.
        """
        return await _Play(self, assignment, sandbox, model, ledger, save).work()


def _installed() -> Path | None:
    """The current interpreter if it can import mini-swe-agent, else the one in the shebang line of `mini` on PATH."""
    if find_spec("minisweagent") is not None:
        return Path(sys.executable)
    program = shutil.which("mini")
    if program is None:
        return None
    first = Path(program).read_bytes()[:400].split(b"\n", 1)[0].decode("utf-8", "replace")
    return Path(first.removeprefix("#!").strip()) if first.startswith("#!/") else None


class _Play:
    """One rollout; answers the driver's requests until it ends."""

    def __init__(
        self,
        agent: MiniAgent,
        assignment: Assignment,
        sandbox: Sandbox,
        model: ChatModel,
        ledger: Ledger,
        save: SaveStep,
    ) -> None:
        self.agent, self.assignment, self.sandbox, self.model = agent, assignment, sandbox, model
        self.ledger, self.save = ledger, save
        self.started, self.spent_before = time.monotonic(), ledger.spent
        self.turns = 0
        self.document: dict[str, Any] | None = None
        self.end: Exit | None = None

    async def work(self) -> Trajectory:
        with tempfile.TemporaryDirectory(prefix="heats-mini-") as folder:
            driver = await self._start(Path(folder))
            try:
                await self._serve(driver)
            except SandboxError as error:
                self.end = without_sandbox(error).exit
            except asyncio.CancelledError:
                self._close(Exit(kind="cancelled"))
                raise
            finally:
                await _ended(driver)
        return self._close(self.end)

    async def _start(self, folder: Path) -> asyncio.subprocess.Process:
        """Start the driver, in an environment without API keys and without the user's mini-swe-agent settings."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "MSWEA_CONFIG_DIR") if name in os.environ}
        quiet = {"MSWEA_SILENT_STARTUP": "1", "MSWEA_CONFIGURED": "true", "MSWEA_GLOBAL_CONFIG_DIR": str(folder)}
        return await asyncio.create_subprocess_exec(
            str(self.agent.python),
            str(_DRIVER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**kept, **quiet, "HOME": str(folder), "PYTHONSAFEPATH": "1"},
            limit=_LONGEST_LINE,
            start_new_session=True,
        )

    async def _serve(self, driver: asyncio.subprocess.Process) -> None:
        assert driver.stdin is not None
        assert driver.stdout is not None
        await _tell(driver, await self._order())
        while line := await driver.stdout.readline():
            asked = json.loads(line)
            match asked["ask"]:
                case "reply":
                    await _tell(driver, await self._reply(asked))
                case "run":
                    await _tell(driver, await self._run(asked))
                case "saved":
                    self.document = asked["document"]
                    self.save(self._trajectory(None))
                case "ended":
                    return
                case "crashed":
                    raise AgentUnusable(f"mini-swe-agent failed: {' '.join(asked['error'].split())[-500:]}")
        raise AgentUnusable(f"mini-swe-agent cannot run with {self.agent.python}")

    async def _order(self) -> dict[str, Any]:
        config = self.agent.config
        uname_result = await self.sandbox.exec("uname -s -r -m && uname -v", timeout=_UNAME_S)
        system, release, machine, version = (*uname_result.text().replace("\n", " ").split(" ", 3), "", "", "", "")[:4]
        place = {"cwd": self.assignment.workdir, "timeout": config.command_timeout_s}
        uname = {"system": system, "release": release, "machine": machine, "version": version.strip()}
        return {
            "config": config.mini.config,
            "model": self.model.name,
            "place": {**place, **uname, "node": "sandbox", "processor": ""},
            "step_limit": config.step_limit,
            "task": instruction_of(self.assignment),
        }

    async def _reply(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Request a reply from the model, or report how the rollout ends without one.

        Raises:
            ModelConfigError: no request to the model can succeed.
        """
        tool = ToolSpec.model_validate(asked["tool"])
        given = self.assignment.sampling
        seed = self.assignment.seed if given.seed is None else given.seed
        sampling = given.model_copy(update={"seed": seed, "turn": self.turns})
        choice: Literal["auto", "required"] = "required" if self.agent.config.force_calls else "auto"
        self.turns += 1
        try:
            reply = await self.model.complete(
                asked["messages"], ledger=self.ledger, tools=(tool,), tool_choice=choice, sampling=sampling
            )
        except LimitExceeded as limit:
            self.end = Exit(kind=LIMIT_EXITS[limit.kind], detail=str(limit))
            return {"ended": "LimitsExceeded"}
        except ModelConfigError:
            self._close(Exit(kind="model_error", detail="the model is not usable as configured"))
            raise
        except ModelError as error:
            kind = "context_overflow" if isinstance(error, ContextOverflow) else "model_error"
            self.end = Exit.model_validate({"kind": kind, "detail": str(error)})
            return {"ended": type(error).__name__}
        usage = reply.usage
        return {
            "message": reply.first.message,
            "finish_reason": reply.first.finish_reason,
            "usage": {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens},
            "cost": usage.cost_usd,
        }

    async def _run(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        result = await self.sandbox.exec(
            asked["command"],
            timeout=self.agent.config.command_timeout_s,
            cwd=asked["cwd"] or self.assignment.workdir,
            env=asked["env"],
            merge_stderr=True,
        )
        output = {
            "output": for_model(result.text()),
            "returncode": -1 if result.exit_code is None else result.exit_code,
        }
        return {**output, "exception_info": _exception(result, self.agent.config.command_timeout_s)}

    def _close(self, end: Exit | None) -> Trajectory:
        trajectory = self._trajectory(end, ended=True)
        self.save(trajectory)
        return trajectory

    def _trajectory(self, end: Exit | None, *, ended: bool = False) -> Trajectory:
        """Build the record so far; its exit is what heats observed, else what mini-swe-agent reports."""
        opening = Step(id=1, source="user", content=self.assignment.instruction)
        found = None
        if self.document is not None:
            try:
                found = parse_trajectory(json.dumps(self.document).encode(), "mini-swe-agent")
            except TrajectoryFormatError as error:
                end = end or (Exit(kind="agent_failed", detail=str(error)) if ended else None)
        if ended and end is None:
            end = found.exit if found else Exit(kind="agent_failed", detail="mini-swe-agent left no record")
        return Trajectory(
            id=self.assignment.rollout_id,
            task_id=self.assignment.task_id,
            agent=self.agent.name,
            model=self.model.name,
            seed=self.assignment.seed,
            steps=found.steps if found else (opening,),
            exit=end,
            usage=self.ledger.spent - self.spent_before,
            duration_s=time.monotonic() - self.started,
            parents=self.assignment.parents,
            extra=found.extra if found else {},
        )


async def _tell(driver: asyncio.subprocess.Process, message: Mapping[str, Any]) -> None:
    assert driver.stdin is not None
    try:
        driver.stdin.write(json.dumps(message).encode() + b"\n")
        await driver.stdin.drain()
    except ConnectionError as error:
        raise AgentUnusable("mini-swe-agent exited in the middle of a rollout") from error


async def _ended(driver: asyncio.subprocess.Process) -> None:
    """Kill the driver and everything it started."""
    if driver.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
    await asyncio.shield(driver.wait())


def _exception(result: ExecResult, timeout_s: float) -> str:
    """Text that mini-swe-agent shows the model for a command that did not exit by itself."""
    if result.status == "timeout":
        return f"the command was stopped after {timeout_s:g} s"
    return "" if result.status == "exited" else f"the command ended as {result.status}"
