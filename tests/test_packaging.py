"""The wheel contains every tracked file of the rooms, and runs without the source tree."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ["heats", "tournament", "summarizer", "envs", "agents", "sandbox", "configs"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command isolated from this source tree and its environment."""
    kept = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**kept, "UV_PYTHON_DOWNLOADS": "never"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def uv() -> str:
    """The uv that `make setup` used."""
    bootstrapped = ROOT / ".cache" / "uv-venv" / "bin" / "uv"
    found = str(bootstrapped) if bootstrapped.exists() else shutil.which("uv")
    if not found:
        pytest.skip("no uv here: run `make setup`")
    return found


@pytest.fixture(scope="module")
def wheel(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    built = run(uv, "build", "--wheel", "--quiet", "--out-dir", folder, ROOT, cwd=folder)
    assert built.returncode == 0, built.stderr
    return next(folder.glob("heats-*.whl"))


@pytest.fixture(scope="module")
def python(uv: str, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel and the locked versions of its dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    export = ["export", "--frozen", "--no-dev", "--no-emit-project", "--quiet", "--project", ROOT]
    locked = run(uv, *export, "-o", folder / "locked.txt", cwd=folder)
    assert locked.returncode == 0, locked.stderr
    made = run(uv, "venv", "--quiet", folder / "venv", "--python", ROOT / ".venv" / "bin" / "python", cwd=folder)
    assert made.returncode == 0, made.stderr
    interpreter = folder / "venv" / "bin" / "python"
    pip = [uv, "pip", "install", "--quiet", "--python", interpreter]
    for what in (["-r", folder / "locked.txt"], ["--no-deps", wheel]):
        installed = run(*pip, *what, cwd=folder)
        assert installed.returncode == 0, installed.stderr
    return interpreter


def test_the_wheel_holds_exactly_the_tracked_files_of_the_rooms(wheel: Path) -> None:
    listed = run("git", "ls-files", "-z", *ROOMS, cwd=ROOT)
    tracked = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.partition("/")[0] in ROOMS}
    assert tracked - packed == set(), "git has it, the wheel does not"
    assert {name for name in packed - tracked if not untracked(name)} == set(), "the wheel has it, git does not"


def untracked(name: str) -> bool:
    """True for an untracked file that is not ignored: work in progress is not a packaging error."""
    shown = run("git", "status", "--porcelain", "--untracked-files=all", "--", name, cwd=ROOT)
    return shown.stdout.startswith("?? ")


def test_the_wheel_brings_presets_prompts_and_demo_tasks(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"configs/default.yaml", "configs/paper.yaml", "configs/quick.yaml"} <= set(names)
    assert [name for name in names if name.startswith("envs/demo/tasks/") and name.endswith(".py")]


def test_an_installed_heats_runs_without_the_source_tree(python: Path, tmp_path: Path) -> None:
    shown = run(python.parent / "heats", "--help", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "solve" in shown.stdout and "demo" in shown.stdout
    found = run(python, "-I", "-c", "import heats, envs; print(heats.__file__, envs.__file__)", cwd=tmp_path)
    assert str(ROOT) + "/" not in found.stdout


def test_an_installed_heats_finds_its_presets_and_demo_tasks(python: Path, tmp_path: Path) -> None:
    printed = run(python.parent / "heats", "demo", "-c", "paper", "--print-config", cwd=tmp_path)
    assert printed.returncode == 0, printed.stderr
    assert "rollouts: 16" in printed.stdout
    script = "from envs.demo import DemoEnv; print(len(DemoEnv(image='x').tasks()))"
    counted = run(python, "-I", "-c", script, cwd=tmp_path)
    assert int(counted.stdout or 0) >= 12, counted.stderr
