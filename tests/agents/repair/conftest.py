"""A small agent loop on a local folder, and a few invented bugs."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agents.llm.base import Message, Sampling, ToolSpec
from agents.llm.ledger import Ledger
from agents.llm.repair import RepairModel

TOOLS = (ToolSpec(name="bash", description="", parameters={}), ToolSpec(name="submit", description="", parameters={}))


@dataclass
class Played:
    """One rollout, played to its end."""

    messages: list[Message]
    fixed: bool
    steps: int
    spent: int
    log: list[str] = field(default_factory=list)

    @property
    def trajectory(self) -> str:
        """The steps as a summary's request shows them."""
        return "\n\n".join(self.log)


def observation(done: subprocess.CompletedProcess[str]) -> str:
    """An observation, cut like the bash agent's."""
    text = done.stdout + done.stderr
    if len(text) > 10_000:
        text = text[:5000] + "\n... cut ...\n" + text[-5000:]
    return f"exit code {done.returncode}\noutput:\n{text}"


async def play(
    model: RepairModel, repo: Path, command: str, seed: int, *, issue: str = "It is wrong.", earlier: str = "", limit: int = 40
) -> Played:
    """Let the model work in `repo` until it submits."""
    task = f"{issue}\n\nTest command: {command}\nWorking directory: {repo}\n{earlier}"
    played = Played([{"role": "system", "content": "Use tools."}, {"role": "user", "content": task}], False, 0, 0)
    ledger = Ledger("test")
    for _ in range(limit):
        reply = await model.complete(played.messages, ledger=ledger, tools=TOOLS, sampling=Sampling(seed=seed))
        played.messages.append(reply.first.message)
        played.steps += 1
        for call in reply.first.tool_calls:
            if call.name == "submit":
                played.log.append(f"[step {played.steps}] submit (exited): ")
                played.fixed = (await run(command, repo)).returncode == 0
                played.spent = ledger.spent.tokens
                return played
            done = await run(json.loads(call.arguments)["command"], repo)
            text = observation(done)
            told = json.loads(call.arguments)["command"]
            played.log.append(f"[step {played.steps}] bash (exit {done.returncode}): {told[:1500]}\n{text}")
            played.messages.append({"role": "tool", "tool_call_id": call.id, "content": text})
    raise AssertionError("never submitted")


async def run(command: str, repo: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a sandbox would."""

    def work() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-c", command], cwd=repo, capture_output=True, text=True, timeout=120)

    return await asyncio.to_thread(work)


@pytest.fixture
def model() -> RepairModel:
    """The model as shipped."""
    return RepairModel()


@pytest.fixture
def player() -> Callable[..., Any]:
    """The loop."""
    return play
