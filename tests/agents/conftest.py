"""Shared by the agents room's tests: a client that is in a hurry, and a ledger."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from agents.llm.config import ModelConfig
from agents.llm.fake_faults import FaultMix
from agents.llm.fake_server import FakeServer, Responder, ServerOptions
from agents.llm.ledger import Ledger
from agents.llm.openai_client import OpenAIModel

OpenServer = Callable[..., "object"]


def hasty(base_url: str, **changes: object) -> ModelConfig:
    """A configuration with waits cut to what a test can afford."""
    settings: dict[str, object] = {"request_timeout_s": 0.4, "call_deadline_s": 20, "backoff_cap_s": 0.02}
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
