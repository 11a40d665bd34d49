"""Harbor tasks end to end: the oracle must get 1, doing nothing 0, and both agents 1 when they type the solution.

    python -m benchmarks.harbor_tasks DIRECTORY --repeats 3

The bash agent's scripted model runs `solution/solve.sh` as one command. The terminal agent's model types it into a
file, ends it with C-d, runs it, and waits while it is in the foreground. No sandbox has a network. Needs Docker;
missing images are built. Without a directory, tiny built-in tasks are played, one of each kind; their image has no
terminal. With `--submission patch`, attempts submit patches of git repositories.
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agents import Assignment, open_agent
from agents.base import Agent
from agents.llm.base import Completion, Message
from agents.llm.fake import FakeModel, bash, calls
from agents.llm.ledger import Ledger
from envs.base import Grade, Task
from envs.harbor import HarborEnv
from envs.machine import spec_for
from heats.config import HeatsConfig, load_config
from heats.runner.oracle import OracleAgent
from sandbox import SandboxConfig, open_backend
from sandbox.base import SandboxBackend

PLAYERS = ("oracle", "noop", "bash", "terminal")
_SCRIPT = "/tmp/solve.sh"


@dataclass(frozen=True, slots=True)
class Played:
    """One attempt: its grade, and the seconds that each part took."""

    task: str
    player: str
    grade: Grade
    exit: str
    prepare_s: float
    work_s: float
    describe_s: float
    grade_s: float

    @property
    def reward(self) -> str:
        """The verifier's reward, or why there is none."""
        return f"{self.grade.rewards['reward']:g}" if "reward" in self.grade.rewards else self.grade.outcome


def scripted(player: str, solution: str) -> FakeModel:
    """A model that plays a solution with an agent's own means."""
    if player == "bash":
        return FakeModel(bash(solution), calls(("submit", {})))
    if player == "terminal":
        return FakeModel(responder=lambda messages: _at_terminal(messages, solution))
    return FakeModel()


def _at_terminal(messages: Sequence[Message], solution: str) -> Completion:
    turn = sum(message["role"] == "assistant" for message in messages)
    if turn == 0:
        return _type(f"cat >{_SCRIPT}\n", 0.5)
    if turn == 1:
        return _type(solution if solution.endswith("\n") else solution + "\n", 0.5, "C-d")
    if turn == 2:
        return _type(f"bash {_SCRIPT}; echo the end\n", 30)
    return _type("", 10) if "in the foreground" in str(messages[-1]["content"]) else calls(("submit", {}))


def _type(text: str, wait_s: float, *keys: str) -> Completion:
    return calls(("type", {"text": text, "keys": list(keys), "wait_s": wait_s}))


async def attempt(env: HarborEnv, task: Task, player: str, backend: SandboxBackend, config: HeatsConfig) -> Played:
    """Play one attempt in a fresh sandbox and grade the state it leaves.

    Args:
        env: source of the task.
        task: the task.
        player: `oracle`, or the name of an agent.
        backend: starts the sandbox.
        config: the configuration.
    """
    named = config.agent.model_copy(update={"command_timeout_s": task.agent_timeout_s or 600.0})
    agent: Agent = OracleAgent(env) if player == "oracle" else open_agent(player, named)
    source = env.directory(task.id).solution().get("solve.sh")
    model = scripted(player, source.data.decode() if source else "")
    marks = [time.perf_counter()]
    sandbox = await backend.start(spec_for(task, {"run": "benchmark"}))
    try:
        await env.prepare(task, sandbox)
        marks.append(time.perf_counter())
        workdir = task.workdir or (await sandbox.exec("pwd", timeout=60)).text().strip()
        told = Assignment(
            rollout_id="heat-0/rollout-00", task_id=task.id, instruction=task.statement, workdir=workdir, seed=0
        )
        async with asyncio.timeout(task.agent_timeout_s):
            trajectory = await agent.run(told, sandbox, model, Ledger("benchmark"), lambda _: None)
        marks.append(time.perf_counter())
        submitted = await env.collect(task, sandbox)
        marks.append(time.perf_counter())
        if task.submission == "patch":
            grade = await env.grade(task, submitted, backend)
            assert grade is not None
        else:
            grade = await env.grade_state(task, sandbox, backend)
    finally:
        await sandbox.close()
    marks.append(time.perf_counter())
    took = [later - sooner for sooner, later in itertools.pairwise(marks)]
    return Played(task.id, player, grade, trajectory.exit.kind if trajectory.exit else "", *took)


async def measure(env: HarborEnv, players: Sequence[str], repeats: int) -> list[Played]:
    """Play every task with every player.

    Args:
        env: source of the tasks.
        players: names of the players.
        repeats: attempts per task and player.
    """
    config = load_config((), {"model.name": "fake"})
    backend = await open_backend(SandboxConfig(backend="docker"))
    found: list[Played] = []
    try:
        await env.make_images([task.image for task in env.tasks()], backend)
        for task in env.tasks():
            for player in players:
                for _ in range(repeats):
                    found.append(await attempt(env, task, player, backend, config))
                    print(json.dumps(_row(found[-1])), flush=True)
    finally:
        await backend.close()
    return found


def _row(one: Played) -> dict[str, object]:
    times = {name: round(getattr(one, f"{name}_s"), 1) for name in ("prepare", "work", "describe", "grade")}
    more = {} if one.grade.rewards else {"reason": one.grade.reason[:300]}
    return {"task": one.task, "player": one.player, "reward": one.reward, "exit": one.exit, **times, **more}


def table(found: Sequence[Played], players: Sequence[str]) -> str:
    """A table of the rewards of all repeats by task and player, and the median seconds of each part."""
    lines = [
        f"| task | {' | '.join(players)} | prepare s | oracle s | describe s | grade s |",
        "|---" * (len(players) + 5) + "|",
    ]
    for task in dict.fromkeys(one.task for one in found):
        rows = [one for one in found if one.task == task]
        rewards = [" ".join(one.reward for one in rows if one.player == player) for player in players]
        times = [
            _median([one.prepare_s for one in rows]),
            _median([one.work_s for one in rows if one.player == "oracle"]),
            _median([one.describe_s for one in rows]),
            _median([one.grade_s for one in rows]),
        ]
        lines.append(f"| {task} | {' | '.join(rewards)} | {' | '.join(f'{one:.1f}' for one in times)} |")
    return "\n".join(lines)


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0


def main() -> None:
    """Play the tasks and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path, nargs="?", help="a Harbor task, or a directory of them")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--players", nargs="+", choices=PLAYERS, default=list(PLAYERS))
    parser.add_argument("--only", nargs="*", default=[], help="names of tasks")
    parser.add_argument("--submission", choices=("state", "patch"), default="state")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        players = options.players
        if options.directory is None:
            sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "envs"))
            from tiny_harbor import KINDS  # type: ignore[import-not-found]

            options.directory, players = Path(folder), [one for one in players if one != "terminal"]
            for write in KINDS:
                write(options.directory)
        env = HarborEnv(path=options.directory, only=tuple(options.only), submission=options.submission)
        found = asyncio.run(measure(env, players, options.repeats))
    print(table(found, players))


if __name__ == "__main__":
    main()
