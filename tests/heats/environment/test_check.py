"""`heats check` as a command: it tries what it proposes, and writes what works."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

FILES = {
    "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-q'\n",
    "test_a.py": "import os, time\ndef test_works(): pass\ndef test_fails(): assert 0\n"
    "def test_varies():\n    import pathlib\n    p = pathlib.Path('/tmp/seen')\n    seen = p.exists()\n"
    "    p.touch()\n    assert seen\n",
}
OFFLINE = ["--test", "PYTHONPATH=/opt/heats/toolbox python3 -m pytest -q", "--setup", "echo made >made.txt"]


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "repo"
    path.mkdir()
    for name, text in FILES.items():
        (path / name).write_text(text)
    git = ["git", "-C", str(path), "-c", "user.name=T", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "base"]):
        subprocess.run([*git, *arguments], check=True)
    return path


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from heats.cli import main; main()", "check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_dry_run_shows_the_proposal_and_runs_nothing(repo: Path) -> None:
    done = check(str(repo), "--dry-run")
    assert done.returncode == 0
    assert "set-up   python3 -m venv /venv && " in done.stderr
    assert not (repo / "heats.yaml").exists()


def test_nothing_known_asks_for_a_test_command(repo: Path) -> None:
    subprocess.run(["git", "-C", str(repo), "rm", "-q", *FILES], check=True)
    subprocess.run(["git", "-C", str(repo), "-c", "user.name=T", "-c", "user.email=t@e.org", "commit", "-qm", "x"])
    done = check(str(repo), "--dry-run")
    assert done.returncode == 2
    assert "give --test" in done.stderr


@pytest.mark.bubblewrap
def test_it_runs_the_tests_twice_and_writes_what_works(repo: Path) -> None:
    assert check(str(repo), "--sandbox", "bubblewrap", *OFFLINE).returncode == 6  # 2 of 3 fail
    done = check(str(repo), "--sandbox", "bubblewrap", "--json", "--force", *OFFLINE)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["unstable"] == ["test_a.py::test_varies"]
    assert "test_a.py::test_fails" in result["failing"]
    assert len(result["test_s"]) == 2
    written = yaml.safe_load((repo / "heats.yaml").read_text())
    assert written == {"test": OFFLINE[1], "setup": OFFLINE[3]}


@pytest.mark.bubblewrap
def test_a_file_that_is_there_is_followed_and_not_replaced(repo: Path) -> None:
    (repo / "heats.yaml").write_text(f"test: {OFFLINE[1]}\nsetup: 'true'\n")
    done = check(str(repo), "--sandbox", "bubblewrap", "--setup", "echo other", "--test", "true")
    assert done.returncode == 0, done.stderr
    assert "--force replaces it" in done.stderr
    assert "setup: 'true'" in (repo / "heats.yaml").read_text()


@pytest.mark.bubblewrap
def test_what_is_missing_is_named_and_nothing_is_written(repo: Path) -> None:
    (repo / "test_a.py").write_text("import no_such_package\ndef test_a(): pass\n")
    subprocess.run(["git", "-C", str(repo), "-c", "user.name=T", "-c", "user.email=t@e.org", "commit", "-qam", "x"])
    done = check(str(repo), "--sandbox", "bubblewrap", *OFFLINE)
    assert done.returncode == 6
    assert "Missing in the sandbox: no_such_package" in done.stderr
    assert not (repo / "heats.yaml").exists()


def test_a_heats_yaml_with_an_unknown_key_is_refused(repo: Path) -> None:
    (repo / "heats.yaml").write_text("tests: make\n")
    done = check(str(repo), "--dry-run")
    assert done.returncode == 2
    assert "tests" in done.stderr
