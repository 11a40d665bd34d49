"""Podman's Docker-compatible socket in place of a Docker daemon."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.types import Ulimit

import sandbox.docker
from sandbox import SandboxConfig, SandboxLimits, SandboxSpec, open_backend

pytestmark = [
    pytest.mark.slow,
    pytest.mark.docker,
    pytest.mark.skipif(shutil.which("podman") is None, reason="podman is not installed"),
]

IMAGE = "heats-base:latest"
CAP_SYS_RESOURCE = 24


@pytest.fixture(scope="module")
def podman(request: pytest.FixtureRequest) -> Iterator[str]:
    """A Podman service with separate storage that has the base image; yields its address."""
    folder = Path(tempfile.mkdtemp(prefix="podman-"))  # pytest's own folder names are too long for Podman
    request.addfinalizer(lambda: shutil.rmtree(folder, ignore_errors=True))
    command = ["podman", "--root", str(folder / "root"), "--runroot", str(folder / "run"), "--cgroup-manager=cgroupfs"]
    address = f"unix://{folder}/podman.sock"
    with (
        subprocess.Popen(["docker", "save", IMAGE], stdout=subprocess.PIPE) as saved,
        subprocess.Popen([*command, "system", "service", "--time=0", address], stderr=subprocess.DEVNULL) as service,
    ):
        try:
            loaded = subprocess.run([*command, "load"], stdin=saved.stdout, capture_output=True, timeout=100)
            assert loaded.returncode == 0, loaded.stderr
            wait_for(folder / "podman.sock")
            yield address
        finally:
            service.terminate()
    subprocess.run([*command, "system", "reset", "--force"], capture_output=True, timeout=60)
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in sorted((one for one in mounted if one.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", place], check=True)


def wait_for(path: Path) -> None:
    for _ in range(100):
        with socket.socket(socket.AF_UNIX) as knock:
            if knock.connect_ex(str(path)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("podman's service does not answer")


@pytest.fixture(autouse=True)
def limits_that_may_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Podman raises the process limit on its own, which even root may not do everywhere: request a lower one."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    if int(status["CapEff"], 16) >> CAP_SYS_RESOURCE & 1:
        return
    ours, lower = sandbox.docker.DockerBackend._host_config, Ulimit(name="nproc", soft=2000, hard=2000)

    def with_fewer(self, *args):
        config = ours(self, *args)
        return {**config, "ulimits": [*config["ulimits"], lower]}

    monkeypatch.setattr(sandbox.docker.DockerBackend, "_host_config", with_fewer)


async def test_a_sandbox_of_podmans_is_attested_and_works(podman: str) -> None:
    backend = await open_backend(SandboxConfig(backend="docker", docker_host=podman))
    await backend.preflight([IMAGE])
    limits = SandboxLimits(max_life_s=300, disk_mb=200)
    sbx = await backend.start(SandboxSpec(image=IMAGE, limits=limits, labels={"run": "tests-sandbox"}))
    try:
        result = await sbx.exec("pwd; cat; echo err >&2; exit 3", timeout=120, stdin=b"\0\xff")
        assert (result.exit_code, result.stdout, result.stderr) == (3, b"/testbed\n\0\xff", b"err\n")
        assert (await sbx.exec("setsid sleep 7774 & sleep 7774", timeout=1)).status == "timeout"
        left = await sbx.exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 777[4]'", timeout=120)
        assert left.stdout == b"0\n"
        await sbx.write_file("deep/file", b"\0x")
        assert await sbx.read_file("deep/file") == b"\0x"
        assert set(await backend._written([])) == {sbx.machine.name}
    finally:
        await sbx.close()
        await backend.close()
