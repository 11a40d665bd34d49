"""A rollout's gateway over its real socket, as an agent sees it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from agents.base import Assignment
from agents.gateway.asking import Asking
from agents.gateway.door import NAME, Door
from agents.llm.base import ChatModel, Sampling
from agents.llm.ledger import Ledger

RUN = {"type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"]}
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
GENERATE = "/v1beta/models/any:generateContent"
STREAM = GENERATE.replace("generate", "streamGenerate") + "?alt=sse"
"""Google's format has another path for streams."""


@dataclass
class Gateway:
    """One open gateway; `post` sends a request with the rollout's token."""

    asking: Asking
    door: Door
    socket: Path
    http: aiohttp.ClientSession

    async def post(self, path: str, body: Any, **options: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.door.token}", **options.pop("headers", {})}
        async with self.http.post(f"http://gateway{path}", json=body, headers=headers, **options) as reply:
            text = await reply.text()
            return reply.status, events(text) if "event-stream" in reply.content_type else json.loads(text)


def events(text: str) -> list[Any]:
    """The data of server-sent events."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@asynccontextmanager
async def open_gateway(
    model: ChatModel,
    folder: Path,
    *,
    ledger: Ledger | None = None,
    step_limit: int = 100,
    sampling: Sampling | None = None,
) -> AsyncIterator[Gateway]:
    assignment = Assignment(
        rollout_id="r", task_id="t", instruction="i", workdir="/w", seed=7, sampling=sampling or Sampling()
    )
    asking = Asking(model, ledger or Ledger("rollout"), assignment, step_limit=step_limit)
    door = Door(asking)
    folder.mkdir(exist_ok=True)
    await door.open(folder)
    try:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(folder / NAME), limit=0)) as http:
            yield Gateway(asking, door, folder / NAME, http)
    finally:
        await door.close()


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    """A chat completion request; a text is a user's message."""
    said = [{"role": "user", "content": one} if isinstance(one, str) else one for one in messages]
    tool = {"type": "function", "function": {"name": "run", "description": "runs", "parameters": RUN}}
    return {"model": "any", "messages": said, "tools": [tool], **more}
