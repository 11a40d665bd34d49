"""heats' bash agent for side-by-side runs: N rollouts against a scripted model server, recorded as in a run.

The work is everything that a heat does up to collecting patches: a fresh hardened container per rollout, model calls
through the OpenAI client, the ledger, and every step written to a run directory.

    python -m benchmarks.peers_driver --base-url http://127.0.0.1:8199/v1 --image IMAGE --rollouts 16 --out out.json
"""

import argparse
import asyncio
import gc
import json
import tempfile
import time
from pathlib import Path

from agents import Assignment, BashAgent, Trajectory
from agents.llm import ModelConfig, open_model
from agents.llm.base import ChatModel
from agents.llm.ledger import Ledger, Usage
from heats.config import HeatsConfig, load_config
from heats.store.events import EventLog
from heats.store.files import LineLog
from heats.store.records import Charge
from heats.store.store import RolloutStore
from sandbox import SandboxBackend, SandboxSpec, open_backend

TASK = "Benchmark task {i}: the function in module {i} returns the wrong value for empty input. " * 4


def main() -> None:
    """Run the rollouts; exit 0 if all of them submitted."""
    gc.freeze()  # as `heats` does after its imports
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--rollouts", type=int, default=1)
    parser.add_argument("--steps", type=int, default=50, help="only a limit: the server ends the episode")
    parser.add_argument("--sandbox", default="docker")
    parser.add_argument("--runtime", help="of the containers, such as crun")
    parser.add_argument(
        "--together", action="store_true", help="begin when all sandboxes are there: no start falls into a step"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="heats-peers-") as folder:
        exits = asyncio.run(rollouts(options, Path(folder)))
    ok = exits == ["submitted"] * options.rollouts
    result = {"tool": "heats", "ok": ok, "exit": exits, "wall_s": time.perf_counter() - began}
    if options.out:
        options.out.write_text(json.dumps(result))
    if not ok:
        raise SystemExit(f"not all rollouts submitted: {exits}")


async def rollouts(options: argparse.Namespace, folder: Path) -> list[str]:
    """Run all rollouts at once, and return how each ended."""
    keys = {"sandbox.backend": options.sandbox, "model.name": "fake-model", "model.base_url": options.base_url}
    # All sandboxes start at once, as with the other tools; by default heats starts four at a time.
    keys["sandbox.slots.start"] = min(32, options.rollouts)
    if options.runtime:
        keys["sandbox.runtime"] = options.runtime
    config = load_config((), {**keys, "agent.step_limit": options.steps + 1})
    backend = await open_backend(config.sandbox)
    model = open_model(config.model or ModelConfig(name="fake-model"))
    bench = Bench(config, backend, model, folder, asyncio.Barrier(options.rollouts if options.together else 1))
    try:
        await backend.preflight([options.image])
        async with asyncio.TaskGroup() as group:
            names = (f"heat-0/rollout-{number:02}" for number in range(options.rollouts))
            jobs = [group.create_task(bench.rollout(name, options.image)) for name in names]
        return [job.result() for job in jobs]
    finally:
        await model.close()
        await backend.close()
        bench.close()


class Bench:
    """What the rollouts share, as in a run."""

    def __init__(
        self, config: HeatsConfig, backend: SandboxBackend, model: ChatModel, folder: Path, ready: asyncio.Barrier
    ) -> None:
        self.config, self.backend, self.model, self.folder, self.ready = config, backend, model, folder, ready
        self.agent = BashAgent(config.agent)
        self.events = EventLog(folder / "events.jsonl")
        self.charges = LineLog(folder / "ledger.jsonl")
        self.ledger = Ledger("run")
        self.ledger.restore(Usage(), self._charge)

    def _charge(self, scope: str, usage: Usage) -> None:
        self.charges.append(Charge(scope=scope, usage=usage), sync=False)

    async def rollout(self, name: str, image: str) -> str:
        """Run one rollout, from its container's start to its removal."""
        files = RolloutStore(self.folder / name, name)
        spec = SandboxSpec(image=image, workdir="/", limits=self.config.sandbox.limits, labels={"run": "peers"})
        sandbox = await self.backend.start(spec)

        def save(so_far: Trajectory) -> None:
            files.save_trajectory(so_far)
            if so_far.steps and so_far.steps[-1].observations:
                self.events.emit("rollout_step", task="bench", rollout=name, step=so_far.agent_steps)

        try:
            await self.ready.wait()
            assignment = Assignment(
                rollout_id=name, task_id="bench", instruction=TASK.format(i=name), workdir="/", seed=0
            )
            done = await self.agent.run(assignment, sandbox, self.model, self.ledger.child(name), save)
        finally:
            await sandbox.close()
        return done.exit.kind if done.exit else "none"

    def close(self) -> None:
        """Close the files."""
        self.events.close()
        self.charges.close()


if __name__ == "__main__":
    main()
