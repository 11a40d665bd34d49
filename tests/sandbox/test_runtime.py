"""Another runtime than the daemon's own: crun, which `.ci/run` gives to the daemon that it starts."""

from collections.abc import AsyncIterator

import docker
import pytest
import pytest_asyncio

from sandbox import BackendUnavailable, Sandbox, SandboxConfig, SandboxSpec, SandboxStartError, open_backend

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.docker]

SPEC = SandboxSpec(image="heats-base:latest", labels={"run": "tests-sandbox"})


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    client = docker.from_env()
    known = client.info()["Runtimes"]
    client.close()
    if "crun" not in known:
        pytest.skip("the Docker daemon has no runtime named crun (dockerd --add-runtime crun=/usr/bin/crun)")
    backend = await open_backend(SandboxConfig(backend="docker", runtime="crun"))
    await backend.preflight([SPEC.image])
    try:
        sandbox = await backend.start(SPEC)
    except SandboxStartError as error:
        await backend.close()
        if "against ending" in str(error):
            pytest.skip(f"crun and this machine's AppArmor profiles do not go together: {error}")
        raise
    yield sandbox
    await sandbox.close()
    await backend.close()


async def test_containers_run_in_the_runtime_that_was_asked_for_with_the_same_boundary(sandbox: Sandbox) -> None:
    client = docker.from_env()
    about = client.api.inspect_container(sandbox.machine.name)  # type: ignore[attr-defined]
    client.close()
    assert about["HostConfig"]["Runtime"] == "crun"
    status = (await sandbox.exec("grep -E 'Cap(Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/self/status", timeout=20)).text()
    assert status.split() == ["CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"]


async def test_limits_timeouts_and_files_are_the_same(sandbox: Sandbox) -> None:
    late = await sandbox.exec("setsid sleep 700 & sleep 700", timeout=0.5)
    assert late.status == "timeout"
    assert (await sandbox.exec("cat /proc/[0-9]*/cmdline | grep -c 70[0]", timeout=20)).stdout == b"0\n"
    eaten = await sandbox.exec("head -c 3000000000 /dev/zero | tail", timeout=60)
    assert eaten.status == "oom"
    await sandbox.write_file("a/b.bin", b"\0\xff" * 1000)
    assert await sandbox.read_file("a/b.bin") == b"\0\xff" * 1000


async def test_a_runtime_that_the_daemon_does_not_know_is_named_with_those_it_knows() -> None:
    backend = await open_backend(SandboxConfig(backend="docker", runtime="runsc"))
    with pytest.raises(BackendUnavailable, match=r"no runtime 'runsc'; it has .*runc"):
        await backend.preflight([SPEC.image])
    await backend.close()
