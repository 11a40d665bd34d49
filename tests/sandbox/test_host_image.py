"""Bubblewrap's image `host` shows one Python and its standard library, and nothing private."""

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sandbox import BackendUnavailable, Sandbox, SandboxConfig, SandboxSpec, SandboxStartError, open_backend
from sandbox.attest import checked_mounts, refuse_private
from sandbox.host_image import host_binds, package_directories

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.kinds("bubblewrap")]

Start = Callable[..., Awaitable[Sandbox]]
LABELS = {"run": "tests-sandbox"}


async def test_python_has_its_standard_library_and_no_installed_package(sbx: Sandbox) -> None:
    library = "import ctypes, sqlite3, ssl, unittest, venv; print(ssl.OPENSSL_VERSION)"
    assert (await sbx.exec(f"python3 -c '{library}'", timeout=120)).ok
    listed = "from importlib.metadata import distributions; print([d.name for d in distributions()])"
    assert (await sbx.exec(f"python3 -c '{listed}'", timeout=120)).stdout == b"[]\n"
    assert b"No module named pytest" in (await sbx.exec("python3 -m pytest", timeout=120)).stderr


async def test_python_and_python3_are_the_interpreter_that_heats_runs_on(sbx: Sandbox) -> None:
    for name in ("python", "python3", "/run/bin/python"):
        seen = await sbx.exec(f'{name} -c "import sys; print(sys.version)"', timeout=120)
        assert seen.text().strip() == sys.version


async def test_scripts_of_hidden_packages_are_not_found(
    sbx: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pytest").write_text("#!/usr/bin/env python3\n")
    (tmp_path / "bin" / "tool").write_text("#!/bin/sh\n")
    monkeypatch.setattr("sandbox.host_image._LOCAL_BIN", tmp_path / "bin")
    shown = [bind[-1] for bind in host_binds(tmp_path, packages=False)]
    assert (str(tmp_path / "bin" / "tool") in shown, str(tmp_path / "bin" / "pytest") in shown) == (True, False)
    hidden = [path for path in Path("/usr/local/bin").glob("*") if b"python" in path.read_bytes()[:60].split(b"\n")[0]]
    for path in hidden[:5]:
        assert not (await sbx.exec(f"command -v {path}", timeout=120)).ok


async def test_packages_are_shown_where_the_configuration_asks_for_them(tmp_path: Path) -> None:
    backend = await open_backend(SandboxConfig(backend="bubblewrap", host_packages=True, scratch_dir=tmp_path / "s"))
    sandbox = await backend.start(SandboxSpec(image="", labels=LABELS))
    there = [path for path in package_directories() if list(path.glob("*.dist-info"))]
    try:
        for path in there:
            assert (await sandbox.exec(f"ls {path} | grep -c dist-info", timeout=120)).ok
    finally:
        await sandbox.close()
        await backend.close()


LOOK = """import asyncio
from sandbox import SandboxConfig, SandboxSpec, open_backend

async def main():
    backend = await open_backend(SandboxConfig(backend="bubblewrap"))
    sandbox = await backend.start(SandboxSpec(image="", labels={"run": "tests-sandbox"}))
    count = b"from importlib.metadata import distributions as d; print(len(list(d())))"
    print((await sandbox.exec("python -", timeout=120, stdin=count)).text(), end="")
    print((await sandbox.exec("command -v python3 pytest; echo $PATH; ls /usr/local/bin", timeout=120)).text(), end="")
    await sandbox.close()
    await backend.close()

asyncio.run(main())
"""


async def test_another_python_that_runs_heats_gives_the_same_view() -> None:
    """Whether it is the system's Python, pyenv's or a venv's: only the version may differ."""
    pythons, version = [sys.executable, "/usr/bin/python3"], "import sys; print(sys.version_info[:2])"
    if not os.access(pythons[1], os.X_OK) or len({subprocess.check_output([p, "-c", version]) for p in pythons}) > 1:
        pytest.skip("the system has no Python that can use the packages of this environment")
    packages = os.pathsep.join(path for path in (str(Path(__file__).parents[2]), *sys.path) if path)
    environment = {**os.environ, "PYTHONPATH": packages}
    seen = [subprocess.check_output([python, "-c", LOOK], env=environment, text=True) for python in pythons]
    assert seen[0].splitlines()[:2] == ["0", "/run/bin/python3"]
    assert seen[0] == seen[1]


@pytest.mark.parametrize("image", ["/", "/root/..", "home", "run"])
async def test_a_root_that_shows_the_machine_the_home_or_the_run_directory_is_refused(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    for folder in ("usr", "home/me", "srv/runs/today"):
        (root / folder).mkdir(parents=True)
    named = image if image.startswith("/") else str(root)
    if image == "home":
        monkeypatch.setenv("HOME", str(root / "home" / "me"))
    config = SandboxConfig(backend="bubblewrap", scratch_dir=tmp_path / "s")
    backend = await open_backend(config.hiding(root / "srv/runs/today") if image == "run" else config)
    with pytest.raises(BackendUnavailable, match=r"not usable as an image: it (is the whole machine|contains)"):
        await backend.start(SandboxSpec(image=named, labels=LABELS))
    await backend.close()


async def test_the_run_directory_is_not_mounted_either(tmp_path: Path) -> None:
    (tmp_path / "runs/today/tasks").mkdir(parents=True)
    for folder in ("", "runs", "runs/today", "runs/today/tasks"):
        with pytest.raises(SandboxStartError, match="no sandbox may see"):
            checked_mounts({str(tmp_path / folder): "/opt/x"}, [tmp_path / "runs/today"])
    assert refuse_private(tmp_path, []) == ""
