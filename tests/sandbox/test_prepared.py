"""Environments that are set up once: what is kept, who waits for whom, and what a killed process leaves."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from secrets import token_hex

import pytest

from sandbox import SandboxBackend, SandboxConfig, SandboxSpec
from sandbox.garbage import prepared_environments
from sandbox.prepared import prepare_once

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.kinds("docker", "bubblewrap")]
MINE = "mkdir -p /venv/bin; echo 'echo mine' >/venv/bin/mine; chmod +x /venv/bin/mine"
FILL = f"{MINE}; date +%s%N >/venv/made; date +%s%N >$HOME/made; echo tree >made"


@pytest.fixture
def store(tmp_path: Path, backend: SandboxBackend) -> Path:
    backend._config = backend._config.model_copy(update={"prepared_dir": tmp_path / "prepared"})
    return tmp_path / "prepared"


@pytest.fixture
async def spec(kind, backend: SandboxBackend, store: Path):
    spec = kind.spec(prepared=f"tests-{token_hex(8)}")
    yield spec
    if kind.backend == "docker":
        await backend.engine.call("remove", backend.engine.api.remove_image, await backend.prepared_name(spec))


def filling(runs: list[str], command: str = FILL):
    async def fill(sandbox) -> None:
        result = await sandbox.exec(command, timeout=60, merge_stderr=True)
        runs.append(result.text())
        assert result.ok, result.text()

    return fill


async def seen(backend: SandboxBackend, spec: SandboxSpec) -> str:
    sandbox = await backend.start(spec)
    try:
        return (await sandbox.exec("cat /venv/made $HOME/made made; mine", timeout=60, merge_stderr=True)).text()
    finally:
        await sandbox.close()


async def test_a_set_up_runs_once_and_every_later_sandbox_starts_from_it(backend, spec) -> None:
    runs: list[str] = []
    assert await prepare_once(backend, spec, filling(runs), "none")
    assert not await prepare_once(backend, spec, filling(runs), "none")
    first, second = await seen(backend, spec), await seen(backend, spec)
    assert len(runs) == 1
    assert first == second
    assert first.endswith("tree\nmine\n")


async def test_what_a_sandbox_changes_stays_out_of_the_kept_environment(backend, spec) -> None:
    await prepare_once(backend, spec, filling([]), "none")
    before = await seen(backend, spec)
    sandbox = await backend.start(spec)
    assert (await sandbox.exec("echo spoilt | tee /venv/made $HOME/made made", timeout=60)).ok
    await sandbox.close()
    assert await seen(backend, spec) == before


async def test_those_who_need_the_same_environment_wait_for_the_first(backend, spec) -> None:
    runs: list[str] = []
    made = await asyncio.gather(
        *(prepare_once(backend, spec, filling(runs, f"{FILL}; sleep 1"), "none") for _ in "abc")
    )
    assert sorted(made) == [False, False, True]
    assert len(runs) == 1


async def test_a_set_up_that_fails_leaves_nothing(backend, spec) -> None:
    with pytest.raises(AssertionError):
        await prepare_once(backend, spec, filling([], f"{FILL}; exit 3"), "none")
    assert not await backend.has_prepared(await backend.prepared_name(spec))
    assert await prepare_once(backend, spec, filling([]), "none")


async def test_gc_removes_what_was_not_used_for_a_while(backend, spec, store: Path) -> None:
    await prepare_once(backend, spec, filling([]), "none")
    name = await backend.prepared_name(spec)

    async def found(unused_s: float) -> list[str]:
        config = SandboxConfig(backend=backend.name, prepared_dir=store, scratch_dir=backend._config.scratch_dir)
        left = await prepared_environments(config, unused_s=unused_s, remove=False)
        return [one.name for one in left if one.name.endswith(name)]

    assert not await found(3600)
    os.utime(store / f"{name}.used", (1, 1))
    assert len(await found(3600)) == 1
    await prepare_once(backend, spec, filling([]), "none")  # used again
    assert not await found(3600)


KILLED = """
import asyncio, os, sys
from pathlib import Path
from sandbox import SandboxConfig, SandboxLimits, SandboxSpec, open_backend
from sandbox.prepared import prepare_once

async def main():
    kind, image, key, store, scratch, ready = sys.argv[1:]
    config = SandboxConfig(backend=kind, prepared_dir=Path(store), scratch_dir=Path(scratch))
    backend = await open_backend(config)
    async def fill(sandbox):
        await sandbox.exec("mkdir -p /venv; head -c 60000000 /dev/zero >/venv/big", timeout=60)
        Path(ready).touch()
        await sandbox.exec(f"sleep {os.environ['HOLD']}", timeout=60)
    await prepare_once(backend, SandboxSpec(image=image, prepared=key, labels={"run": "tests-sandbox"}), fill, "none")

asyncio.run(main())
"""


@pytest.mark.parametrize("hold", ["30", "0"], ids=["in the set-up", "while it is kept"])
async def test_kill_9_during_the_preparation_leaves_nothing_half_made_in_use(
    backend, spec, store: Path, tmp_path: Path, hold: str
) -> None:
    ready, program = tmp_path / "ready", textwrap.dedent(KILLED)
    arguments = [backend.name, spec.image, spec.prepared, str(store), str(backend._config.scratch()), str(ready)]
    environment = {**os.environ, "HOLD": hold, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], env=environment)
    while not ready.exists() and process.poll() is None:
        await asyncio.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    name, deadline = await backend.prepared_name(spec), time.monotonic() + 5
    while backend.name == "docker" and hold == "0" and time.monotonic() < deadline:
        await asyncio.sleep(0.5)  # the daemon may go on with what it was asked to keep
    if await backend.has_prepared(name):
        assert await seen_size(backend, spec) == 60_000_000  # it came in time, and is whole
        return
    assert await prepare_once(backend, spec, filling([]), "none")
    assert (await seen(backend, spec)).endswith("tree\nmine\n")
    await prepared_environments(SandboxConfig(backend=backend.name, prepared_dir=store), unused_s=1e9)
    assert not list(store.glob("bubblewrap-*"))


async def seen_size(backend: SandboxBackend, spec: SandboxSpec) -> int:
    sandbox = await backend.start(spec)
    try:
        return int((await sandbox.exec("wc -c </venv/big", timeout=60)).text())
    finally:
        await sandbox.close()
