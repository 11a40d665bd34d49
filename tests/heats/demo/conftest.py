"""A small agent loop on a local folder, and a few invented bugs."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agents.llm.base import Message, Sampling, ToolSpec
from agents.llm.ledger import Ledger
from heats.demo import RepairModel

TOOLS = (ToolSpec(name="bash", description="", parameters={}), ToolSpec(name="submit", description="", parameters={}))


@dataclass
class Played:
    """One finished rollout."""

    messages: list[Message]
    fixed: bool
    steps: int
    spent: int
    log: list[str] = field(default_factory=list)

    @property
    def trajectory(self) -> str:
        """The steps as they appear in a summary request."""
        return "\n\n".join(self.log)


def observation(done: subprocess.CompletedProcess[str]) -> str:
    """An observation, truncated like the bash agent's."""
    text = done.stdout + done.stderr
    if len(text) > 10_000:
        text = text[:5000] + "\n... cut ...\n" + text[-5000:]
    return f"exit code {done.returncode}\noutput:\n{text}"


async def play(
    model: RepairModel,
    repo: Path,
    command: str,
    seed: int,
    *,
    issue: str = "It is wrong.",
    earlier: str = "",
    limit: int = 40,
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
        return subprocess.run(["bash", "-c", command], cwd=repo, capture_output=True, text=True, timeout=300)

    return await asyncio.to_thread(work)


@pytest.fixture
def model() -> RepairModel:
    """The model as shipped."""
    return RepairModel()


@pytest.fixture
def player() -> Callable[..., Any]:
    """The loop."""
    return play


BUGS: dict[str, tuple[str, str]] = {
    "boundary": (
        "def is_adult(age):\n    return age > 18\n",
        "self.assertTrue(m.is_adult(18)); self.assertFalse(m.is_adult(17))",
    ),
    "running-total": (
        "def total(prices):\n    result = 1\n    for price in prices:\n        result += price\n    return result\n",
        "self.assertEqual(m.total([2, 3]), 5); self.assertEqual(m.total([]), 0)",
    ),
    "last-item": (
        "def tail(items, n):\n    if n > len(items):\n        return items\n    return items[:n]\n",
        "self.assertEqual(m.tail([1, 2, 3], 1), [3]); self.assertEqual(m.tail([1, 2, 3], 2), [2, 3])",
    ),
    "lost-result": (
        "def tidy(text):\n    text.strip()\n    return text.lower()\n",
        "self.assertEqual(m.tidy(' A b '), 'a b')",
    ),
    "shared-default": (
        "def collect(item, into=[]):\n    into.append(item)\n    return into\n",
        "m.collect(1); self.assertEqual(m.collect(2), [2])",
    ),
    "missing-base-case": (
        "def mean(numbers):\n    return sum(numbers) / len(numbers)\n",
        "self.assertEqual(m.mean([]), 0); self.assertEqual(m.mean([1, 2]), 1.5)",
    ),
}
COMMAND = f"{sys.executable} -m unittest -q"


@pytest.fixture
def buggy(tmp_path: Path) -> Callable[[str, int], Path]:
    """Makes a repository with one of the invented bugs and a test that exposes it."""

    def make(name: str, copy: int = 0) -> Path:
        folder = tmp_path / f"{name}-{copy}"
        folder.mkdir()
        source, check = BUGS[name]
        (folder / "m.py").write_text(source)
        test = f"import unittest\nimport m\n\n\nclass T(unittest.TestCase):\n    def test_it(self):\n        {check}\n"
        (folder / "test_m.py").write_text(test)
        return folder

    return make
