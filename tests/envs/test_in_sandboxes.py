"""A built-in task in real sandboxes: baseline, collection, verification, grading, and two cheats."""

from collections.abc import AsyncIterator
from importlib.resources import files

import pytest

from envs.base import Patch, Task
from envs.demo import DemoEnv
from envs.machine import prepared, spec_for
from envs.verify import Bench, baseline, verify
from sandbox import SandboxBackend, SandboxConfig, open_backend

GOLD = files("envs.demo") / "tasks" / "roman" / "hidden" / "gold.patch"


@pytest.fixture(
    params=[pytest.param("docker", marks=pytest.mark.docker), pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)]
)
async def machines(request: pytest.FixtureRequest) -> AsyncIterator[SandboxBackend]:
    backend = await open_backend(SandboxConfig(backend=request.param))
    yield backend
    await backend.close()


async def attempt(env: DemoEnv, task: Task, machines: SandboxBackend, command: str) -> Patch:
    async with prepared(env, task, machines, spec_for(task)) as sandbox:
        await sandbox.exec(command, timeout=60)
        return await env.collect(task, sandbox)


async def test_a_built_in_task_from_base_to_grade(machines: SandboxBackend) -> None:
    env = DemoEnv(only=["roman"])
    (task,) = env.tasks()
    bench = Bench(backend=machines)
    before = await baseline(env, task, bench)
    fix = await attempt(env, task, machines, "sed -i 's/(8, .IX.)/(9, \"IX\")/' numerals/symbols.py; rm -rf .git")
    assert fix.data.count(b"\n+ ") == GOLD.read_bytes().count(b"\n+ ") == 1
    found = await verify(env, task, fix, bench, before=before)
    assert (found.verdict, found.strength) == ("verified", "confirmed"), found.reason
    grade = await env.grade(task, fix, machines)
    assert grade is not None
    assert grade.outcome == "pass"
    for cheat in ("echo 'import os; os._exit(0)' >> numerals/__init__.py", "sed -i 's/9, .IX/8, \"IX/' tests/*.py"):
        patch = await attempt(env, task, machines, cheat)
        assert patch
        assert (await verify(env, task, patch, bench, before=before)).verdict == "unverified"
