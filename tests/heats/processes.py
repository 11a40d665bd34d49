"""A scripted model server and `heats solve` as separate processes, as users run them."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

BUGGY = "def add(a, b):\n    return a - b\n"
TEST = """
from calc import add


def test_add():
    assert add(2, 3) == 5


def test_zero():
    assert add(0, 0) == 0
"""
RIGHT = "sed -i 's/a - b/a + b/' calc.py"
SCRIPT = {
    "rules": [
        {
            "when": "add\\(\\) subtracts",
            "variants": [
                ["cat calc.py", RIGHT, "python3 -c 'from calc import add; print(add(2, 3))'"],
                ["ls", "sed -i 's/a - b/b - a/' calc.py"],
                ["cat calc.py", "ls -la", "sed -i 's/a - b/sum((a, b))/' calc.py"],
                ["ls"],
            ],
        }
    ]
}


def make_repository(path: Path, files: Mapping[str, str] | None = None) -> Path:
    """A repository; by default one with a failing and a passing test. Equal files have equal commit ids and seeds."""
    path.mkdir(parents=True)
    for name, content in (files or {"calc.py": BUGGY, "test_calc.py": TEST}).items():
        (path / name).write_text(content)
    git = ["git", "-C", str(path), "-c", "user.name=T", "-c", "user.email=t@example.org"]
    dates = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-01-01T00:00:00Z")
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "base"]):
        subprocess.run([*git, *arguments], check=True, env={**os.environ, **dates})
    return path


@contextmanager
def model_server(directory: Path, *, latency: float = 0.0):
    """The scripted server; yields its base URL."""
    with model_server_of(directory, SCRIPT, latency=latency) as base_url:
        yield base_url


@contextmanager
def model_server_of(directory: Path, persona: dict, *, latency: float = 0.0):
    """Restart the server with another script."""
    script = directory / "persona.json"
    script.write_text(json.dumps(persona))
    command = [sys.executable, "-m", "agents.llm.fake_server", "--script", str(script), "--latency", str(latency)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def stats(base_url: str) -> dict:
    """The server's counters."""
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/stats", timeout=10) as answer:
        return json.load(answer)


class Solve:
    """One `heats solve` command line, which can be started repeatedly."""

    def __init__(self, directory: Path, base_url: str, sandbox: str, *more: str) -> None:
        self.run_dir = directory / f"run-{secrets.token_hex(4)}"
        repository = directory / "repo"
        if not repository.exists():
            make_repository(repository)
        self.command = [
            *(sys.executable, "-c", "from heats.cli import main; main()", "solve", "--json", "--progress", "plain"),
            *("--repo", str(repository), "--issue", "add() subtracts", "--out", str(self.run_dir)),
            *("--test", "PYTHONPATH=/opt/heats/toolbox python3 -m pytest -q", "--sandbox", sandbox, "--seed", "3"),
            *("--model", "fake-model", "--base-url", base_url, *more),
        ]
        self.environment = {**os.environ, "OPENAI_API_KEY": "none"}

    def decisions(self) -> bytes:
        """The decisions of the allocation policy so far, up to the last complete line."""
        journals = list(self.run_dir.glob("tasks/*/policy.jsonl"))
        content = journals[0].read_bytes() if journals else b""
        return content[: content.rfind(b"\n") + 1]

    def finish(self, timeout: float = 300) -> tuple[int, dict, str]:
        """Run to the end; returns exit code, the JSON object and the messages."""
        done = subprocess.run(self.command, capture_output=True, text=True, timeout=timeout, env=self.environment)
        return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr

    def start_and_kill(self, after_s: float, number: int = signal.SIGKILL, *, once: str = "") -> int | None:
        """Start, and send a signal after a while; None if it had ended before.

        Args:
            once: first wait, up to a minute, until this appears in the events.
        """
        process = subprocess.Popen(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment
        )
        events = self.run_dir / "events.jsonl"
        for _ in range(600 if once else 0):
            if events.exists() and once in events.read_text(errors="replace"):
                break
            time.sleep(0.1)
        time.sleep(after_s)
        if process.poll() is not None:
            return None
        process.send_signal(number)
        return process.wait(120)


def containers(run: Path) -> set[str]:
    """Names of the containers that a run left, running or not."""
    listed = ["docker", "ps", "-a", "--format", "{{.Names}}", "--filter", f"label=heats.run={run.name}"]
    return set(subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split())
