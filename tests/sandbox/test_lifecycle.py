"""From start to end: what is refused before anything runs, what is left behind, and which left-overs are removed."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import docker
import pytest

from sandbox import (
    BackendUnavailable,
    ImageMissing,
    Sandbox,
    SandboxBackend,
    SandboxConfig,
    SandboxLost,
    SandboxStartError,
    collect_garbage,
    open_backend,
)
from sandbox.owner import Owner
from sandbox.scratch import make_scratch, scratch_leftovers

pytestmark = pytest.mark.asyncio(loop_scope="module")

Start = Callable[..., Awaitable[Sandbox]]
DEAD = "00000000-dead-dead-dead-000000000000"


def dead_owner() -> dict[str, str]:
    mine = Owner.this_process()
    return {"heats.owner": f"{mine.boot}:{mine.pid}:{mine.started + 1}", "heats.host": mine.host, "heats.run": "old"}


async def test_a_closed_sandbox_is_gone_and_says_so(start: Start) -> None:
    sbx = await start()
    await sbx.exec("sleep 7773 >/dev/null 2>&1 &", timeout=120)
    await sbx.close()
    await sbx.close()
    with pytest.raises(SandboxLost):
        await sbx.exec("true", timeout=5)
    for _ in range(100):  # the kernel removes a namespace a moment after its first process
        commands = b"".join(_read(path / "cmdline") for path in Path("/proc").iterdir() if path.name.isdigit())
        if b"sleep\0007773" not in commands:
            return
        await asyncio.sleep(0.05)
    pytest.fail("a process outlived its sandbox")


async def test_a_close_that_is_cancelled_still_removes_everything(start: Start, scratch: Path) -> None:
    """Attempts that a policy drops were cancelled while their sandboxes closed, and left a directory behind."""
    for turns in (0, 1, 2, 5, 20, 100):
        sbx = await start()
        closing = asyncio.create_task(sbx.close())
        for _ in range(turns):
            await asyncio.sleep(0.0005)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        await sbx.close()
        assert not os.listdir(scratch)


async def test_starting_and_closing_leaves_no_file_descriptor_and_no_directory(
    start: Start, kind: Any, scratch: Path
) -> None:
    await (await start()).close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        sbx = await start()
        await sbx.exec("sleep 1 & echo x; mkdir -p closed; chmod 000 closed", timeout=120)
        await sbx.close()
    assert len(os.listdir("/proc/self/fd")) <= before + (25 if kind.container else 1)  # the SDK keeps up to 25
    assert not list(scratch.glob("*")) if scratch.exists() else True


@pytest.mark.kinds("docker", "bubblewrap")
async def test_all_missing_images_are_named_at_once(backend: SandboxBackend, kind: Any) -> None:
    with pytest.raises(ImageMissing) as caught:
        await backend.preflight([kind.image, "no-such-b", "no-such-a:1"])
    assert caught.value.images == ("no-such-a:1", "no-such-b")
    with pytest.raises(ImageMissing):
        await backend.start(kind.spec(image="no-such-b"))


@pytest.mark.kinds("docker")
async def test_a_start_that_fails_leaves_no_container(start: Start, daemon: docker.DockerClient) -> None:
    with pytest.raises(SandboxStartError, match="nobody-of-that-name"):
        await start(user="nobody-of-that-name", labels={"run": "fails"})
    assert daemon.api.containers(all=True, filters={"label": "heats.run=fails"}) == []


@pytest.mark.kinds("docker", "docker-uid", "docker-busybox")
async def test_a_working_directory_that_is_made_belongs_to_the_sandboxs_user(start: Start) -> None:
    sbx = await start(workdir="/tmp/made/here")
    assert (await sbx.exec("pwd; echo x >written && cat written", timeout=120)).stdout == b"/tmp/made/here\nx\n"


@pytest.mark.kinds("docker-uid")
async def test_a_working_directory_that_cannot_be_made_is_said(start: Start) -> None:
    with pytest.raises(SandboxStartError, match="cannot create the working directory /no/such"):
        await start(workdir="/no/such")


@pytest.mark.docker
async def test_a_runtime_that_the_daemon_lacks_is_refused() -> None:
    backend = await open_backend(SandboxConfig(backend="docker", runtime="no-such-runtime"))
    with pytest.raises(BackendUnavailable, match=r"no-such-runtime.*runc"):
        await backend.preflight([])
    await backend.close()


@pytest.mark.kinds("docker")
async def test_only_containers_of_dead_owners_are_collected(start: Start, daemon: docker.DockerClient) -> None:
    living = await start()
    settings = {"image": "heats-base:latest", "command": ["sleep", "60"], "detach": True, "network_mode": "none"}
    ours = daemon.containers.run(**settings, labels=dead_owner())
    elsewhere = daemon.containers.run(**settings, labels={**dead_owner(), "heats.host": "another/pid:[1]"})
    foreign = daemon.containers.run(**settings, labels={"heats": "mine"})
    try:
        listed = {left.name: left for left in await collect_garbage(remove=False)}
        assert listed[ours.name].labels["run"] == "old"
        assert not listed[ours.name].removed
        removed = {left.name for left in await collect_garbage() if left.removed}
        assert ours.name in removed
        assert not removed & {living.machine.name, elsewhere.name, foreign.name}
        assert (await living.exec("echo alive", timeout=120)).ok
    finally:
        for container in (elsewhere, foreign):
            container.remove(force=True)


async def test_only_directories_of_dead_owners_are_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    living = make_scratch(tmp_path, "local", {"run": "now"})
    mine = Owner.this_process()
    with monkeypatch.context() as patch:
        patch.setattr(Owner, "this_process", classmethod(lambda cls: Owner(mine.host, DEAD, mine.pid, mine.started)))
        dead = make_scratch(tmp_path, "local", {"run": "old"})
        pipes = make_scratch(tmp_path, "docker", {"run": "old"})
    (tmp_path / "local-foreign").mkdir()
    assert [left.labels["run"] for left in scratch_leftovers(tmp_path, "local")] == ["old"]
    found = await collect_garbage(SandboxConfig(scratch_dir=tmp_path, docker_host="unix:///no/such.sock"))
    assert [(left.name, left.removed) for left in found] == [(str(dead), True)]
    assert "could not look for containers: no Docker daemon answers at unix:///no/such.sock" in caplog.text
    assert living.is_dir()
    assert not pipes.exists()
    assert (tmp_path / "local-foreign").is_dir()


async def test_nothing_is_concluded_about_owners_elsewhere_or_alive() -> None:
    mine = Owner.this_process()
    assert not mine.dead
    assert Owner.parse(mine.host, str(mine)) == mine
    assert Owner(mine.host, mine.boot, mine.pid, mine.started + 1).dead
    assert Owner(mine.host, DEAD, mine.pid, mine.started).dead
    assert not Owner("elsewhere/pid:[1]", DEAD, 1, 1).dead
    assert [Owner.parse("h", text) for text in ("", "a:b:c", "a:1", "a:1:2:3")] == [None] * 4


async def test_a_scratch_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(BackendUnavailable, match="scratch_dir"):
        make_scratch(tmp_path / "link", "local", {})


@pytest.mark.kinds("docker")
@pytest.mark.parametrize("settings", [{"channel": "cli"}, {"persistent": False}], ids=str)
async def test_the_other_ways_into_a_container_give_the_same_results(kind: Any, settings: dict[str, Any]) -> None:
    backend = await open_backend(SandboxConfig.model_validate({"backend": "docker", **settings}))
    sbx = await backend.start(kind.spec())
    try:
        for _ in range(2):
            result = await sbx.exec("cat; echo err >&2; exit 3", timeout=120, stdin=b"\0\xff")
            assert (result.status, result.exit_code, result.stdout, result.stderr) == ("exited", 3, b"\0\xff", b"err\n")
        assert (await sbx.exec("setsid sleep 60 & sleep 60", timeout=0.5)).status == "timeout"
        assert (await sbx.exec("sleep 60 & echo hi", timeout=120)).stdout == b"hi\n"
        assert (await sbx.exec("echo alive", timeout=120)).stdout == b"alive\n"
    finally:
        await sbx.close()
        await backend.close()


@pytest.mark.slow
@pytest.mark.kinds("docker")
async def test_sixteen_start_and_end_at_once(start: Start) -> None:
    sandboxes = await asyncio.gather(*(start(limits={"memory_mb": 128, "tmp_mb": 16}) for _ in range(16)))
    results = await asyncio.gather(*(sbx.exec(f"echo {n}", timeout=120) for n, sbx in enumerate(sandboxes)))
    assert [int(result.stdout) for result in results] == list(range(16))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
