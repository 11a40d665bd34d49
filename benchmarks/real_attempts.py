"""Which patch of real systems does executed evidence choose, without any model?

    python -m benchmarks.real_attempts --rows rows.jsonl --attempts attempts.jsonl --cache executed.jsonl [INSTANCE...]

Runs each project's existing tests and the tests inside the patches on every different patch, in fresh sandboxes, and
stores the results in `--cache`, from which it resumes. `--score` only scores stored results. Outcomes (`resolved`) are
used only for scoring.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.real_attempts_scores import report  # noqa: E402
from core.diff import DiffSyntaxError, parse_diff  # noqa: E402
from core.diff_repair import read_diff  # noqa: E402
from envs.base import Patch, Task  # noqa: E402
from envs.bench import Bench  # noqa: E402
from envs.existing_tests import change_of  # noqa: E402
from envs.machine import prepared, spec_for  # noqa: E402
from envs.regression import ExistingTests, choose_existing, run_on, run_stable  # noqa: E402
from envs.same_change import change_key  # noqa: E402
from envs.swebench import SweBenchEnv, SweBenchSource  # noqa: E402
from envs.worktree import apply_patch  # noqa: E402
from heats.runner.cross_tests import voices_of  # noqa: E402
from sandbox import SandboxConfig, SandboxLimits, open_backend  # noqa: E402
from sandbox.errors import FileAccessError, SandboxError  # noqa: E402

LIMITS = SandboxLimits(memory_mb=4096, cpus=1, pids=1024, tmp_mb=1024)


@dataclass
class Pool:
    """The attempts at one instance.

    Attributes:
        patches: by attempt id, as they can be applied; `keys` what equal source changes share.
    """

    instance: str
    attempts: list[Mapping[str, Any]]
    patches: dict[str, Patch] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def columns(self) -> dict[str, Patch]:
        """One patch of each different change."""
        return {self.keys[one]: self.patches[one] for one in reversed(self.patches)}


def read_pools(path: Path, wanted: Sequence[str]) -> list[Pool]:
    """Pools with both outcomes first."""
    pools: dict[str, Pool] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        if not wanted or one["instance_id"] in wanted:
            pools.setdefault(one["instance_id"], Pool(one["instance_id"], [])).attempts.append(one)
    for pool in pools.values():
        for one in pool.attempts:
            try:
                patch = Patch(read_diff(one["model_patch"].encode()).data)
            except DiffSyntaxError:
                continue
            pool.patches[one["attempt_id"]] = patch
            pool.keys[one["attempt_id"]] = change_key(patch)
    mixed = {name for name, pool in pools.items() if {True, False} <= {one["resolved"] for one in pool.attempts}}
    return sorted(pools.values(), key=lambda pool: (pool.instance not in mixed, pool.instance))


class Cache:
    """Completed runs, one per line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[tuple[str, str, str], dict[str, Any]] = {}
        for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            line = json.loads(text)
            self.lines[line["instance"], line["tests"], line["patch"]] = line

    def add(self, **line: Any) -> None:
        """Store one run."""
        self.lines[line["instance"], line["tests"], line["patch"]] = line
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line, sort_keys=True) + "\n")


class Execution:
    """Runs what is missing of a pool."""

    def __init__(self, env: SweBenchEnv, bench: Bench, cache: Cache, options: argparse.Namespace) -> None:
        self.env, self.bench, self.cache, self.options = env, bench, cache, options
        self.slots = asyncio.Semaphore(options.workers)

    async def pool(self, pool: Pool, task: Task) -> None:
        """Choose existing tests, then run them and the authors' on every different patch."""
        existing = await self._existing(pool, task)
        columns = pool.columns()
        work = [self._regression(pool, task, existing, key, patch) for key, patch in columns.items()]
        if existing.runner is not None:
            for voice in voices_of(pool.patches):
                files = await self._read(task, pool.patches[voice.authors[0]], voice.files)
                trees = {"": Patch(b""), **columns} if files else {}
                work += [self._voice(pool, task, existing, voice, files, key, patch) for key, patch in trees.items()]
        await asyncio.gather(*work)

    async def _existing(self, pool: Pool, task: Task) -> ExistingTests:
        if known := self.cache.lines.get((pool.instance, "plan", "")):
            return ExistingTests.model_validate(known["plan"])
        started = time.monotonic()
        change = change_of(parse_diff(patch.data) for patch in pool.columns().values())
        async with self.slots:
            found = await choose_existing(self.env, task, self.bench, change, budget_s=self.options.seconds)
        seconds = round(time.monotonic() - started, 1)
        self.cache.add(instance=pool.instance, tests="plan", patch="", plan=found.model_dump(mode="json"), wall=seconds)
        print(
            f"{pool.instance}: {len(found.stable)} stable tests in {', '.join(found.files)} {found.problem} {seconds} s"
        )
        return found

    async def _regression(self, pool: Pool, task: Task, existing: ExistingTests, key: str, patch: Patch) -> None:
        if existing.problem or existing.runner is None or (pool.instance, "existing", key) in self.cache.lines:
            return
        async with self.slots:
            started = time.monotonic()
            ran = await run_stable(self.env, task, patch, self.bench, existing)
            seconds = round(time.monotonic() - started, 1)
        told = {"status": ran.status, "problem": ran.problem, "broken": sorted(ran.failing)}
        self.cache.add(instance=pool.instance, tests="existing", patch=key, wall=seconds, **told)
        told = f"{ran.status}, {len(ran.failing)} broken {ran.problem[:200]}"
        print(f"{pool.instance}: existing tests {told} {seconds} s", flush=True)

    async def _read(self, task: Task, patch: Patch, files: Sequence[str]) -> dict[str, bytes]:
        async with (
            self.slots,
            prepared(self.env, task, self.bench.backend, spec_for(task, {}, LIMITS)) as sandbox,
        ):
            if await apply_patch(sandbox, task.workdir, patch):
                return {}
            found: dict[str, bytes] = {}
            for path in files:
                try:
                    found[path] = await sandbox.read_file(f"{task.workdir}/{path}", max_bytes=1 << 20)
                except FileAccessError:
                    continue
            return found

    async def _voice(
        self, pool: Pool, task: Task, existing: ExistingTests, voice: Any, files: Any, key: str, patch: Patch
    ) -> None:
        if (pool.instance, voice.digest, key) in self.cache.lines:
            return
        assert existing.runner is not None
        async with self.slots:
            started = time.monotonic()
            found, problem = await run_on(
                self.env, task, patch, self.bench, existing.runner, voice.files, written=files, timeout_s=300
            )
        line = {
            "status": found.status if found else "failed",
            "problem": problem,
            "outcomes": found.tests if found else {},
        }
        self.cache.add(
            instance=pool.instance, tests=voice.digest, patch=key, authors=voice.authors, files=voice.files,
            wall=round(time.monotonic() - started, 1), **line,
        )  # fmt: skip
        print(f"{pool.instance}: tests of {voice.authors[0]}: {line['status']} {problem[:100]}", flush=True)


async def execute(pools: Sequence[Pool], cache: Cache, options: argparse.Namespace) -> None:
    """Run everything that is missing, pool by pool."""
    env = await asyncio.to_thread(SweBenchEnv.open, SweBenchSource(source=str(options.rows)))
    tasks = {task.id: task for task in env.tasks()}
    backend = await open_backend(SandboxConfig(backend="docker"))
    execution = Execution(env, Bench(backend=backend, limits=LIMITS, labels={"run": "real-attempts"}), cache, options)
    try:
        for pool in pools:
            if pool.instance not in tasks:
                continue
            try:
                await execution.pool(pool, tasks[pool.instance])
            except SandboxError as error:
                print(f"{pool.instance}: {error}", flush=True)
    finally:
        await backend.close()


def main() -> None:
    """Run what is missing, then score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instances", nargs="*")
    parser.add_argument("--rows", type=Path, help="SWE-bench rows of the instances")
    parser.add_argument(
        "--attempts", type=Path, required=True, help="a patch a line: instance_id, model_patch, resolved"
    )
    parser.add_argument("--cache", type=Path, default=Path("real-attempts.jsonl"))
    parser.add_argument("--workers", type=int, default=2, help="sandboxes at once")
    parser.add_argument("--seconds", type=float, default=150, help="of existing tests, on the base")
    parser.add_argument("--score", action="store_true", help="run nothing")
    options = parser.parse_args()
    pools, cache = read_pools(options.attempts, options.instances), Cache(options.cache)
    if not options.score:
        asyncio.run(execute(pools, cache, options))
    executed: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in cache.lines.values():
        executed[line["instance"]].append(line)
    print(report(pools, executed))


if __name__ == "__main__":
    main()
