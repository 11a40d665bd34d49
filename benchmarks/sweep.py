"""How well a sweep keeps its workers busy: many tasks, a scripted model of a known latency, real sandboxes.

    python -m benchmarks.sweep                              # 64 tasks x 4 rollouts, 16 workers, 1 s a reply
    python -m benchmarks.sweep --iterations 2 --sandbox docker

The ideal is the time for the rollouts' replies alone if every worker always waits for one: replies of rollouts x
latency / workers. It excludes starting sandboxes, running commands, collecting patches, summaries and votes, and the
end of the run, when fewer rollouts than workers are left.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from envs.base import Grade, Patch, Task
from envs.basetree import make_base_tree
from envs.worktree import put_tree, take_patch
from heats.config import HeatsConfig, load_config
from heats.runner.run import RunRequest, play
from heats.store.events import RunEvent
from heats.store.reader import read_events
from heats.store.records import TaskResult
from heats.store.store import RunStore
from sandbox.base import Sandbox, SandboxBackend

COMMANDS = ("cat notes.txt", "ls -la", "echo {} >> notes.txt", "wc notes.txt", "git status --short", "git diff", "true")


class ManyTasks:
    """Small tasks without tests: this measures waiting, not tests.

    Args:
        count: number of tasks.
        image: sandbox image; empty for the backend's default.
    """

    name = "many"

    def __init__(self, count: int = 64, image: str = "") -> None:
        self._tree = make_base_tree({"notes.txt": b"nothing yet\n"})
        self._tasks = [
            Task(id=f"task-{n:03}", statement=f"Write note {n}.", image=image, base_commit=self._tree.commit)
            for n in range(count)
        ]

    def tasks(self) -> Sequence[Task]:
        """All of them."""
        return self._tasks

    async def prepare(self, task: Task, sandbox: Sandbox) -> None:
        """Write the single file."""
        await put_tree(sandbox, task.workdir, self._tree)

    async def collect(self, task: Task, sandbox: Sandbox) -> Patch:
        """Diff the attempt."""
        return await take_patch(sandbox, task.workdir, self._tree)

    async def grade(self, task: Task, patch: Patch, backend: SandboxBackend) -> Grade | None:
        """Return None: there are no hidden tests.

        Args:
            task: the task.
            patch: the submission.
            backend: unused.
        """
        return None


@contextmanager
def model_server(directory: Path, latency_s: float):
    """Run the scripted server as a separate process; yields its base URL."""
    variants = [[command.format(number) for command in COMMANDS] for number in range(4)]
    script = directory / "persona.json"
    script.write_text(json.dumps({"rules": [{"variants": variants}]}))
    command = [sys.executable, "-m", "agents.llm.fake_server", "--script", str(script), "--latency", str(latency_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


def main() -> None:
    """Run once and print how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=64)
    parser.add_argument("--rollouts", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=1)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--latency", type=float, default=1.0, help="seconds a reply")
    parser.add_argument("--sandbox", default="bubblewrap")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, model_server(Path(name), options.latency) as base_url:
        os.environ["OPENAI_API_KEY"] = "none"
        config = load_config(
            (),
            {
                "rollouts": options.rollouts,
                "iterations": options.iterations,
                "select_k": min(2, options.rollouts),
                "workers": options.workers,
                "model.name": "fake-model",
                "model.base_url": base_url,
                "model.max_concurrency": 256,
                "sandbox.backend": options.sandbox,
            },
        )
        directory = Path(name) / "run"
        report(directory, measure(directory, config, options.tasks), config, options.latency)


def measure(directory: Path, config: HeatsConfig, tasks: int) -> float:
    """Seconds from the first rollout's start to the end of the run.

    Args:
        directory: the run directory.
        config: the configuration.
        tasks: number of tasks.
    """
    request = RunRequest(command="sweep", directory=directory, config=config, env=ManyTasks(tasks))
    began = time.monotonic()
    results: list[TaskResult] = asyncio.run(play(request))
    took = time.monotonic() - began
    wrong = [result for result in results if result.status == "error"]
    if wrong:
        sys.exit(f"{len(wrong)} tasks failed, the first: {wrong[0].detail}")
    return took


def report(directory: Path, took: float, config: HeatsConfig, latency_s: float) -> None:
    """Print wall time compared with the ideal, and how busy the workers were.

    Args:
        directory: the run directory.
        took: seconds of the run.
        config: the configuration.
        latency_s: seconds per reply.
    """
    run = RunStore(directory)
    events = list(read_events(run))
    steps = sum(int(event.data["steps"]) for event in events if event.kind == "rollout_finished")
    rollouts = sum(event.kind == "rollout_finished" for event in events)
    ideal = steps * latency_s / config.at_once
    busy, last = worked(events)
    print(f"{rollouts} rollouts of {steps / rollouts:.1f} replies, {latency_s:g} s each, {config.at_once} workers")
    print(f"ideal {ideal:.1f} s, wall {took:.1f} s, ratio {took / ideal:.3f}")
    print(
        f"workers busy {busy / (config.at_once * took):.1%} of the time; a rollout took {busy / rollouts:.2f} s, "
        f"{steps * latency_s / rollouts:.2f} s of it waiting for replies; {took - last:.1f} s after the last rollout"
    )
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(f"this process: {usage.ru_utime + usage.ru_stime:.1f} s of CPU, {usage.ru_maxrss / 1024:.0f} MB at most")


def worked(events: Sequence[RunEvent]) -> tuple[float, float]:
    """Total seconds of all rollouts, and the end of the last one in seconds from the run's start."""
    times = {event.seq: datetime.fromisoformat(event.time).timestamp() for event in events}
    started: dict[tuple[str | None, str | None], float] = {}
    busy, last, first = 0.0, 0.0, times[events[0].seq]
    for event in events:
        place, now = (event.task, event.rollout), times[event.seq]
        if event.kind == "rollout_started":
            started[place] = now
        elif event.kind == "rollout_finished":
            busy, last = busy + now - started[place], now - first
    return busy, last


if __name__ == "__main__":
    main()
