"""The same tasks, agent and scripted model in Harbor and in heats: are rewards and model calls the same?

    python -m benchmarks.harbor_parity --python PATH --repeats 3

PATH is the Python (3.12) of an environment with `harbor` and heats' dependencies. In Harbor, heats' bash agent works
directly in Harbor's container (`heats.harbor:HeatsAgent` without a Docker daemon of its own), on an environment over
plain docker commands. In heats, the same agent plays `heats sweep` with one rollout. Each task is played with its
solution and with commands that solve nothing. What is compared is the reward, the number of requests, and every message
of the last request, which repeats all before it; but not two lines that only heats' own sandboxes can give: the limits
of the rollout, and how many processes a command left running.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.llm.fake_persona import Persona, Rule, Script
from agents.llm.fake_server import FakeServer, ServerOptions

ROOT = Path(__file__).resolve().parent.parent
_MODEL = "fake-model"
_TIMEOUT_S = 900.0
_OWN_LINES = re.compile(r"(Limits: [^\\]*|processes left running in the background: \d+)\\n")


@dataclass(frozen=True, slots=True)
class Side:
    """What one side made of a task: its reward, and the messages of its last request, which holds the whole talk."""

    reward: str
    messages: tuple[str, ...]
    requests: int


def script_of(tasks: Sequence[Path], *, solves: bool) -> Script:
    """A model that plays each task's solution as one command, or does nothing of use."""
    rules = []
    for task in tasks:
        solution = (task / "solution" / "solve.sh").read_text().partition("\n")[2].strip()
        when = re.escape((task / "instruction.md").read_text().strip())
        rules.append(Rule(when=when, commands=("ls -a", solution if solves else "echo nothing of use")))
    return Script(rules=tuple(rules))


async def run(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run a program to its end.

    Raises:
        RuntimeError: it fails, with its last lines.
    """
    pipe, merged = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=pipe, stderr=merged, cwd=ROOT, env={**os.environ, **environment}
    )
    async with asyncio.timeout(_TIMEOUT_S):
        out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{arguments[0]} {arguments[1]}: {out.decode('utf-8', 'replace')[-1500:]}")


async def in_harbor(python: Path, task: Path, server: FakeServer, folder: Path) -> str:
    """Play a task in Harbor; returns its reward."""
    kwargs = {"model.base_url": server.base_url, "seed": 0}
    job = {
        "job_name": "parity",
        "jobs_dir": str(folder),
        "n_concurrent_trials": 1,
        "environment": {"import_path": "tests.tools.plain_docker:PlainDocker"},
        "agents": [{"import_path": "heats.harbor:HeatsAgent", "model_name": _MODEL, "kwargs": kwargs}],
        "tasks": [{"path": str(task)}],
    }
    (folder / "job.json").write_text(json.dumps(job))
    environment = {"PYTHONPATH": str(ROOT), "DOCKER_HOST": "unix:///nowhere", "HARBOR_TELEMETRY": "0"}
    await run((str(python.with_name("harbor")), "run", "-c", str(folder / "job.json")), environment)
    return await asyncio.to_thread(_harbors_reward, folder)


def _harbors_reward(folder: Path) -> str:
    (result,) = folder.glob("parity/*/result.json")
    found = json.loads(result.read_text())
    rewards = (found.get("verifier_result") or {}).get("rewards")
    return _said(rewards) if rewards else f"none: {(found.get('exception_info') or {}).get('exception_message')}"


async def in_heats(task: Path, server: FakeServer, folder: Path) -> str:
    """Play a task in heats; returns its reward."""
    model = ("--model", _MODEL, "--base-url", server.base_url)
    once = ("--rollouts", "1", "--iterations", "1", "--seed", "0", "--out", str(folder / "run"), "--progress", "quiet")
    await run((sys.executable, "-m", "heats", "sweep", str(task), *model, *once), {})
    return await asyncio.to_thread(_heats_reward, folder)


def _heats_reward(folder: Path) -> str:
    (graded,) = (folder / "run" / "grades").rglob("*.json")
    found = json.loads(graded.read_text())
    return _said(found["rewards"]) if found.get("rewards") else f"none: {found.get('reason')}"


def _said(rewards: Mapping[str, float]) -> str:
    return " ".join(f"{name}={value:g}" for name, value in sorted(rewards.items()))


def talk(server: FakeServer) -> tuple[tuple[str, ...], int]:
    """The messages of the agent's last request, and the number of its requests."""
    asked = [request for request in server.requests if request.get("tools")]
    told = (json.dumps(message, sort_keys=True) for message in asked[-1]["messages"])
    return tuple(_OWN_LINES.sub("", message) for message in told), len(asked)


async def compared(python: Path, task: Path, script: Script) -> tuple[Side, Side]:
    """Play a task on both sides."""
    sides = []
    for play in ("harbor", "heats"):
        async with FakeServer(Persona(script), ServerOptions(model=_MODEL)) as server:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                here = in_harbor(python, task, server, folder) if play == "harbor" else in_heats(task, server, folder)
                reward = await here
            sides.append(Side(reward, *talk(server)))
    return sides[0], sides[1]


def differences(harbor: Side, heats: Side) -> list[str]:
    """What is not the same, one line each."""
    found = [f"requests: {harbor.requests} and {heats.requests}"] if harbor.requests != heats.requests else []
    if len(harbor.messages) != len(heats.messages):
        found.append(f"messages: {len(harbor.messages)} and {len(heats.messages)}")
    for place, (one, other) in enumerate(zip(harbor.messages, heats.messages, strict=False)):
        found += [f"message {place}:\n  harbor {one}\n  heats  {other}"] if one != other else []
    return found


async def measure(python: Path, tasks: Sequence[Path], repeats: int) -> list[dict[str, Any]]:
    """Play every task with its solution and without, as often as wanted."""
    rows = []
    for task in tasks:
        for solves in (True, False):
            for _ in range(repeats):
                harbor, heats = await compared(python, task, script_of(tasks, solves=solves))
                row = {"task": task.name, "plays": "solution" if solves else "nothing", "harbor": harbor.reward}
                row |= {"heats": heats.reward, "requests": heats.requests, "differs": differences(harbor, heats)}
                print(json.dumps(row), flush=True)
                rows.append(row)
    return rows


def main() -> None:
    """Play the tasks and print what differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", type=Path, required=True, help="Python of an environment with harbor")
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    sys.path.append(str(ROOT / "tests" / "envs"))
    from tiny_harbor import FOR_PARITY  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as name:
        tasks = [write(Path(name)) for write in FOR_PARITY]
        rows = asyncio.run(measure(options.python.absolute(), tasks, options.repeats))
    same = sum(row["harbor"] == row["heats"] and not row["differs"] for row in rows)
    print(f"{same} of {len(rows)} plays are the same in rewards and in every message")


if __name__ == "__main__":
    main()
