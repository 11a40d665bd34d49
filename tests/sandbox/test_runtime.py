"""Runtimes other than the daemon's default: crun, which `.ci/run` gives to its daemon, and gVisor's runsc."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import docker
import pytest
import pytest_asyncio

from sandbox import (
    BackendUnavailable,
    DiskLimitExceeded,
    Sandbox,
    SandboxConfig,
    SandboxLimits,
    SandboxLost,
    SandboxSpec,
    SandboxStartError,
    open_backend,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.docker]

LABELS = {"run": "tests-sandbox"}
SMALL = {"memory_mb": 256, "tmp_mb": 32, "pids": 48, "max_life_s": 300}
LOOP = "i=0; while [ $i -lt {many} ]; do sleep 20 & i=$((i + 1)); done; wait"
Start = Callable[..., Awaitable[Sandbox]]
crun, runsc = pytest.mark.parametrize("runtime", ["crun"]), pytest.mark.parametrize("runtime", ["runsc"])
both = pytest.mark.parametrize("runtime", ["crun", "runsc"])


@pytest_asyncio.fixture(loop_scope="module")
async def start(runtime: str) -> AsyncIterator[Start]:
    """Start sandboxes in this runtime; they are closed at the end of the test."""
    client = docker.from_env()
    known = client.info()["Runtimes"]
    client.close()
    if runtime not in known:
        how = "see docs/sandboxes.md" if runtime == "runsc" else f"dockerd --add-runtime {runtime}=/usr/bin/{runtime}"
        pytest.skip(f"the Docker daemon has no runtime named {runtime} ({how})")
    backend = await open_backend(SandboxConfig(backend="docker", runtime=runtime))
    await backend.preflight(["heats-base:latest"])
    async with AsyncExitStack() as stack:

        async def begin(user: str = "root", workdir: str = "/tmp", **limits: Any) -> Sandbox:
            spec = SandboxSpec(
                image="heats-base:latest",
                workdir=workdir,
                user=user,
                labels=LABELS,
                limits=SandboxLimits(**limits),
            )
            try:
                sandbox = await backend.start(spec)
            except SandboxStartError as error:
                if runtime == "crun" and "against ending" in str(error):
                    pytest.skip(f"crun and this machine's AppArmor profiles do not go together: {error}")
                raise
            stack.push_async_callback(sandbox.close)
            return sandbox

        yield begin
    await backend.close()


@crun
async def test_containers_run_in_the_runtime_that_was_asked_for_with_the_same_boundary(start: Start) -> None:
    sandbox = await start()
    client = docker.from_env()
    about = client.api.inspect_container(sandbox.machine.name)  # type: ignore[attr-defined]
    client.close()
    assert about["HostConfig"]["Runtime"] == "crun"
    status = (await sandbox.exec("grep -E 'Cap(Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/self/status", timeout=120)).text()
    assert status.split() == ["CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]


@both
async def test_timeouts_and_files_are_the_same(start: Start) -> None:
    sandbox = await start()
    late = await sandbox.exec("setsid sleep 700 & sleep 700", timeout=0.5)
    assert late.status == "timeout"
    assert (await sandbox.exec("cat /proc/[0-9]*/cmdline | grep -c 70[0]", timeout=120)).stdout == b"0\n"
    await sandbox.write_file("a/b.bin", b"\0\xff" * 1000)
    assert await sandbox.read_file("a/b.bin") == b"\0\xff" * 1000
    assert (await sandbox.exec("head -c 10485760 /dev/zero", timeout=120)).stdout_total == 10 << 20


@both
async def test_a_workdir_in_scratch_space_is_made(start: Start) -> None:
    sandbox = await start(workdir="/tmp/made/here")
    assert (await sandbox.exec("pwd; echo x >written", timeout=120)).stdout == b"/tmp/made/here\n"


@crun
async def test_memory_ends_the_command(start: Start) -> None:
    sandbox = await start()
    assert (await sandbox.exec("head -c 3000000000 /dev/zero | tail", timeout=60)).status == "oom"


@runsc
async def test_gvisors_kernel_is_another_and_gives_no_set_uid_program_another_user(start: Start) -> None:
    sandbox = await start(user="1234:1234")
    assert "gVisor" in (await sandbox.exec("dmesg", timeout=120)).text()
    # It belongs to root, is set-uid, and waits for a password.
    look = "grep -h ^Uid: $(grep -ls '^su$' /proc/[0-9]*/comm | sed s/comm/status/)"
    asked = f"[ -u /bin/su ] && {{ sleep 2 | su root & sleep 1; {look}; }}"
    said = await sandbox.exec(asked, timeout=120)
    assert said.stdout.split() == [b"Uid:"] + [b"1234"] * 4, said


@runsc
async def test_the_daemon_sees_what_is_written_in_gvisor(start: Start) -> None:
    sandbox = await start(disk_mb=64)
    assert (await sandbox.exec("head -c 20000000 /dev/zero >/opt/x; sleep 3", timeout=120)).ok
    with pytest.raises(DiskLimitExceeded):
        await sandbox.exec("for i in 1 2 3 4; do head -c 20000000 /dev/zero >/opt/$i; done; sleep 15", timeout=120)


@runsc
async def test_too_many_processes_fail_to_start_in_gvisor_and_leave_the_sandbox_alone(start: Start) -> None:
    sandbox = await start(**SMALL)
    bomb = await sandbox.exec(LOOP.format(many=80), timeout=5)
    assert (bomb.status, b"fork" in bomb.stderr) == ("timeout", True)
    assert (await sandbox.exec("echo alive", timeout=120)).stdout == b"alive\n"


@runsc
async def test_memory_ends_gvisors_kernel_and_with_it_the_sandbox(start: Start) -> None:
    sandbox = await start(**SMALL)
    with pytest.raises(SandboxLost):
        await sandbox.exec("head -c 3000000000 /dev/zero | tail", timeout=60)


async def test_a_runtime_that_the_daemon_does_not_know_is_named_with_those_it_knows() -> None:
    backend = await open_backend(SandboxConfig(backend="docker", runtime="unheard-of"))
    with pytest.raises(BackendUnavailable, match=r"no runtime 'unheard-of'; it has .*runc"):
        await backend.preflight(["heats-base:latest"])
    await backend.close()
