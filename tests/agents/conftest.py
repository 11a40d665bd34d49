"""Fixtures of the agents room's tests: an impatient client, and a ledger."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from importlib.resources import files
from typing import Any

import pytest
import yaml

from agents import AgentConfig, Assignment, BashAgent, Trajectory
from agents.llm.config import ModelConfig
from agents.llm.fake import FakeModel
from agents.llm.fake_faults import FaultMix
from agents.llm.fake_server import FakeServer, Responder, ServerOptions
from agents.llm.ledger import Ledger
from agents.llm.openai_client import OpenAIModel
from sandbox.base import ExecResult
from sandbox.errors import SandboxFileNotFound


def hasty(base_url: str, **changes: object) -> ModelConfig:
    """A configuration with waits short enough for a test."""
    settings: dict[str, object] = {"request_timeout_s": 10, "call_deadline_s": 60, "backoff_cap_s": 0.02}
    return ModelConfig.model_validate({"name": "fake-model", "base_url": base_url, **settings, **changes})


class Bench:
    """A fake server and clients for it, closed together."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.server: FakeServer

    async def serve(
        self, responder: Responder | None = None, faults: FaultMix | None = None, **options: object
    ) -> FakeServer:
        self.server = FakeServer(responder, ServerOptions.model_validate(options), faults=faults)
        return await self._stack.enter_async_context(self.server)

    def client(self, **changes: object) -> OpenAIModel:
        model = OpenAIModel(hasty(self.server.base_url, **changes))
        self._stack.push_async_callback(model.close)
        return model


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        yield Bench(stack)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger("test")


class ScriptedSandbox:
    """A sandbox that answers commands from a table and records them."""

    def __init__(self, outputs: Mapping[str, ExecResult | str | Exception] | None = None) -> None:
        self.outputs = dict(outputs or {})
        self.commands: list[str] = []
        self.timeouts: list[float] = []
        self.environment: Mapping[str, str] = {}

    async def exec(
        self,
        command: str,
        *,
        timeout: float,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        merge_stderr: bool = False,
        trusted_exit: bool = False,
    ) -> ExecResult:
        self.commands.append(command)
        self.timeouts.append(timeout)
        self.environment = dict(env or {})
        result = self.outputs.get(command, "")
        if isinstance(result, Exception):
            raise result
        if isinstance(result, ExecResult):
            return result
        await asyncio.sleep(60 if command == "sleep" else 0)
        return ExecResult("exited", 0, result.encode(), stdout_total=len(result))

    async def read_file(self, path: str, *, max_bytes: int = 64 << 20) -> bytes:
        raise SandboxFileNotFound(path)

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644) -> None: ...

    async def kill_all(self) -> None: ...

    async def close(self) -> None: ...


@pytest.fixture(scope="session")
def agent_settings() -> dict[str, Any]:
    """The shipped agent section."""
    text = files("configs").joinpath("default.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text)["agent"])


class Story:
    """One rollout of the bash agent: the model's script, the sandbox's answers, and what was saved."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.model = FakeModel()
        self.sandbox = ScriptedSandbox()
        self.ledger = Ledger("rollout")
        self.saved: list[Trajectory] = []
        self.assignment = Assignment(
            rollout_id="heat-0/rollout-00", task_id="t", instruction="Fix the bug.", workdir="/testbed", seed=7
        )

    async def play(self, *replies: object, **settings: object) -> Trajectory:
        self.model.enqueue(*replies)
        agent = BashAgent(AgentConfig.model_validate({**self.settings, **settings}))
        return await agent.run(self.assignment, self.sandbox, self.model, self.ledger, self.saved.append)

    @property
    def last_request(self) -> list[dict[str, Any]]:
        return list(self.model.requests[-1].messages)


@pytest.fixture
def story(agent_settings: dict[str, Any]) -> Story:
    return Story(agent_settings)


@pytest.fixture
def sandbox_class() -> type[ScriptedSandbox]:
    return ScriptedSandbox
