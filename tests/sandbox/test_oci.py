"""OCI images without a container daemon: unpacked once, writable like a container, never changed by a sandbox."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox import (
    BackendUnavailable,
    ImageMissing,
    SandboxBackend,
    SandboxConfig,
    SandboxSpec,
    SandboxStartError,
    open_backend,
)
from sandbox.garbage import prepared_environments
from sandbox.oci import ImageStore, is_reference
from sandbox.prepared import prepare_once
from tests.sandbox.conftest import BUSYBOX_IMAGE, LABELS, busybox_tar, make_busybox_image
from tests.sandbox.tiny_image import layer, write_image

pytestmark = pytest.mark.asyncio
tools = pytest.mark.skipif(not (shutil.which("skopeo") and shutil.which("umoci")), reason="no skopeo or no umoci")
PASSWD = "root:x:0:0:root:/root:/bin/sh\nshop:x:1000:1001::/home/shop:/bin/sh\n"
FILES = {"etc/": "", "etc/passwd": PASSWD, "root/": "", "home/shop/": "", "work/": "", "work/base": "base\n"}


@pytest_asyncio.fixture
async def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SandboxBackend]:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    config = SandboxConfig(backend="bubblewrap", scratch_dir=tmp_path / "scratch", prepared_dir=tmp_path / "prepared")
    opened = await open_backend(config)
    yield opened
    await opened.close()


@pytest.fixture
def image(tmp_path: Path) -> str:
    lower, upper = layer({**FILES, "work/gone": "gone\n"}), layer({"work/.wh.gone": ""})
    config = {"Env": ["PATH=/usr/local/bin:/bin", "SHOP=open"], "WorkingDir": "/work"}
    return write_image(tmp_path / "image", [busybox_tar(), lower, upper], **config)


async def run(backend: SandboxBackend, command: str, **spec) -> str:
    sandbox = await backend.start(SandboxSpec(**{"workdir": "", "labels": LABELS, **spec}))
    try:
        return (await sandbox.exec(command, timeout=60, merge_stderr=True)).text()
    finally:
        await sandbox.close()


@tools
@pytest.mark.bubblewrap
async def test_an_image_gives_its_files_directory_environment_and_user(backend, image: str) -> None:
    seen = await run(backend, "pwd; ls; echo $SHOP $HOME $PATH; id -u; grep -c localhost /etc/hosts", image=image)
    assert seen == "/work\nbase\nopen /root /usr/local/bin:/bin\n0\n2\n"
    assert await run(backend, "id -u; id -g; echo $HOME", image=image, user="shop") == "1000\n1001\n/home/shop\n"
    assert await run(backend, "echo $SHOP", image=image, env={"SHOP": "shut"}) == "shut\n"


@tools
@pytest.mark.bubblewrap
async def test_every_place_is_writable_and_no_other_sandbox_sees_it(backend, image: str, tmp_path: Path) -> None:
    written = "echo new | tee base /etc/new /root/new; rm -r /home/shop; mkdir /home/shop; ls -A /home/shop"
    assert await run(backend, written, image=image) == "new\n"
    assert await run(backend, "cat base; ls /etc/new /root/new 2>/dev/null; ls -d /home/shop", image=image) == (
        "base\n/home/shop\n"
    )
    assert not list((tmp_path / "scratch").iterdir())


@tools
@pytest.mark.bubblewrap
async def test_an_image_is_unpacked_once_and_found_again_by_another_process(
    backend, image: str, tmp_path: Path
) -> None:
    seen = await asyncio.gather(*(run(backend, "cat base", image=image) for _ in range(4)))
    assert seen == ["base\n"] * 4
    store = tmp_path / "prepared"
    (place,) = (path for path in store.glob("image-*") if path.is_dir())
    made = place.stat().st_mtime_ns
    again = await ImageStore(store).unpacked(image)
    assert (again.root, place.stat().st_mtime_ns) == (place / "root", made)
    assert not list(store.glob("bubblewrap-*"))


@tools
@pytest.mark.bubblewrap
async def test_a_prepared_environment_of_an_image_is_found_in_every_place(backend, image: str) -> None:
    async def fill(sandbox) -> None:
        command = "echo 1 >/etc/made; rm base; mkdir -p /venv/bin; printf '#!/bin/sh\necho mine' >/venv/bin/mine"
        assert (await sandbox.exec(f"{command}; chmod +x /venv/bin/mine", timeout=60)).ok

    spec = SandboxSpec(image=image, workdir="", labels=LABELS, prepared="key")
    assert await prepare_once(backend, spec, fill, "none")
    for _ in range(2):
        seen = await run(backend, "cat /etc/made; ls; mine; echo spoilt >/etc/made", image=image, prepared="key")
        assert seen == "1\nmine\n"
    assert await run(backend, "cat base", image=image) == "base\n"


@tools
@pytest.mark.bubblewrap
async def test_where_no_overlay_can_be_mounted_files_are_copied(backend, image: str, monkeypatch) -> None:
    monkeypatch.setattr("sandbox.overlay.Overlay.find", lambda: None)
    await test_every_place_is_writable_and_no_other_sandbox_sees_it(backend, image, backend._config.scratch().parent)
    await test_a_prepared_environment_of_an_image_is_found_in_every_place(backend, image)


@tools
@pytest.mark.bubblewrap
async def test_gc_removes_unused_images_but_none_that_a_sandbox_runs_on(backend, image: str, tmp_path: Path) -> None:
    config = SandboxConfig(backend="bubblewrap", prepared_dir=tmp_path / "prepared", docker_host="unix:///nonexistent")
    sandbox = await backend.start(SandboxSpec(image=image, workdir="", labels=LABELS))
    (left,) = await prepared_environments(config, unused_s=0)
    assert not left.removed
    assert (await sandbox.exec("cat base", timeout=60)).text() == "base\n"
    await sandbox.close()
    (left,) = await prepared_environments(config, unused_s=0)
    assert left.removed
    assert await run(backend, "cat base", image=image) == "base\n"


@tools
@pytest.mark.bubblewrap
async def test_archives_of_docker_and_of_oci_work_too(backend, image: str, tmp_path: Path) -> None:
    for transport in ("docker-archive", "oci-archive"):
        process = await asyncio.create_subprocess_exec(
            "skopeo", "copy", "-q", image, f"{transport}:{tmp_path / transport}.tar:shop:1"
        )
        assert await process.wait() == 0
        assert await run(backend, "cat base", image=f"{transport}:{tmp_path / transport}.tar") == "base\n"


@pytest.fixture
def daemon_address() -> str:
    """The address of a daemon that has the busybox image; `backend` hides it."""
    make_busybox_image()
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


@tools
@pytest.mark.docker
@pytest.mark.bubblewrap
async def test_an_image_of_the_docker_daemon_is_found_by_its_name_even_once_the_daemon_is_gone(
    daemon_address: str, backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in (daemon_address, "unix:///nonexistent"):
        monkeypatch.setattr(backend, "_images", ImageStore(backend.prepared_dir, address))
        assert await run(backend, "ls -d /work", image=BUSYBOX_IMAGE) == "/work\n"


@tools
@pytest.mark.bubblewrap
async def test_an_image_whose_mount_point_is_a_link_is_refused(backend, tmp_path: Path) -> None:
    """bwrap follows links while it sees the host's files, so a hostile image could have directories made there."""
    outside = tmp_path / "outside"
    linked = layer(FILES, links={"opt": f"/oldroot{outside}"})
    name = write_image(tmp_path / "linked", [busybox_tar(), linked])
    (tmp_path / "tools").mkdir()
    with pytest.raises(SandboxStartError, match="/opt is a symbolic link"):
        await run(backend, "true", image=name, read_only_mounts={str(tmp_path / "tools"): "/opt/heats/toolbox"})
    assert not outside.exists()


@tools
@pytest.mark.bubblewrap
async def test_missing_images_are_all_named_before_anything_starts(backend, image: str, tmp_path: Path) -> None:
    missing = [f"oci:{tmp_path}/none:latest", f"docker-archive:{tmp_path}/none.tar"]
    with pytest.raises(ImageMissing) as error:
        await backend.preflight([image, *missing])
    assert set(error.value.images) == set(missing)
    assert "no such file" in str(error.value)


@pytest.mark.bubblewrap
async def test_without_skopeo_one_line_says_what_to_install(backend, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendUnavailable, match=r"skopeo is not installed.*apt-get install skopeo umoci"):
        await backend.preflight(["python:3.12"])


@tools
@pytest.mark.parametrize("broken", ["copy", "unpack"])
async def test_an_image_that_is_not_complete_gets_no_name(tmp_path: Path, image: str, monkeypatch, broken: str) -> None:
    tool = tmp_path / "bin" / ("skopeo" if broken == "copy" else "umoci")
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\n[ "$1" != {broken} ] || exit 3\nexec {shutil.which(tool.name)} "$@"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(SandboxStartError, match="could not be unpacked"):
        await ImageStore(tmp_path / "store").unpacked(image)
    assert [path for path in (tmp_path / "store").iterdir() if path.is_dir()] == []


UNPACK = """
import asyncio, sys
from pathlib import Path
from sandbox.oci import ImageStore
asyncio.run(ImageStore(Path(sys.argv[1])).unpacked(sys.argv[2]))
"""


@tools
async def test_kill_9_while_an_image_is_unpacked_leaves_nothing_half_made_in_use(tmp_path: Path, image: str) -> None:
    store, ready, tool = tmp_path / "store", tmp_path / "ready", tmp_path / "bin" / "umoci"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\n{shutil.which("umoci")} "$@"; touch {ready}; sleep 3\n')
    tool.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tool.parent}{os.pathsep}{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", UNPACK, store, image, env=environment)
    while not ready.exists():
        await asyncio.sleep(0.05)
    process.kill()
    await process.wait()
    assert [path.name.split("-")[0] for path in store.iterdir() if path.is_dir()] == ["bubblewrap"]
    assert (await ImageStore(store).unpacked(image)).root.joinpath("work/base").read_text() == "base\n"
    config = SandboxConfig(backend="bubblewrap", prepared_dir=store, docker_host="unix:///nonexistent")
    assert [left.removed for left in await prepared_environments(config, unused_s=1e9)] == [True]


async def test_names_are_references_and_paths_are_not() -> None:
    names = ["python:3.12", "swebench/sweb.eval.x86_64.a_1776_b-1:latest", "oci:/a", "docker-archive:/a.tar"]
    assert all(map(is_reference, names))
    assert not any(map(is_reference, ["/srv/root", "./root", "../root", "~/root"]))
