"""A complete run without machines or servers."""

import json
import subprocess
import sys
from collections import defaultdict
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.llm.ledger import Ledger
from envs.base import Evidence
from heats.cli import main
from heats.config import load_config
from heats.runner.rollout import TaskRun
from heats.runner.run import RunRequest, play
from heats.runner.services import Services
from heats.runner.slots import Slots

sys.path.insert(0, str(Path(__file__).parent))
from doubles import CountingModel, PaperBackend, PaperEnv, TestedEnv

TESTED = {"evidence": True, "grade": False, "summarizer.when": "read"}


@pytest.fixture
def paper_run(tmp_path, monkeypatch):
    """Play a simulated run and return its results. Keyword arguments change the configuration by dotted keys."""
    import heats.runner.run as run_module

    async def go(*ids, model, env=None, mix=None, backend=None, listeners=(), directory=tmp_path / "run", **keys):
        backend = backend or PaperBackend()
        settings = {"rollouts": 4, "select_k": 2, "workers": 8, "model.name": "fake:counting", "seed": 1}
        config = load_config((), {**settings, "retries.wait_s": 0, **keys})
        env = env or PaperEnv(*(ids or ("one",)))

        @asynccontextmanager
        async def services(run_id, config, env, events, *, images, fetch=None):
            from agents import open_agent
            from tournament import open_selector

            yield Services(
                run_id=run_id,
                config=config,
                env=env,
                backend=backend,
                agent=open_agent("bash", config.agent),
                models=defaultdict(lambda: model) | (mix or {}),
                summarizer_model=model,
                selector=open_selector(config.tournament, model),
                events=events,
                slots=Slots(config.at_once),
                facts={},
            )

        monkeypatch.setattr(run_module, "open_services", services)
        ledger = Ledger("run", config.limits.run)
        request = RunRequest(
            command="test", directory=directory, config=config, env=env, listeners=listeners, ledger=ledger
        )
        return await play(request)

    return go


@pytest.fixture
def tested_run(paper_run, monkeypatch):
    """`paper_run` on tasks with tests; the tests themselves are not run, only their result is known."""

    async def prepare(self, state):
        return {"stop": False}

    async def verify(self, patch, rollout):
        right = b"+right" in patch.data
        verdict = "no_patch" if not patch else "verified" if right else "unverified"
        return Evidence(patch_sha256=patch.sha256, verdict=verdict, reason="checked", rank=3 if right else 1)

    monkeypatch.setattr("heats.runner.pipeline.Nodes.prepare", prepare)
    monkeypatch.setattr(TaskRun, "verify", verify)

    async def go(*ids, model=None, timeout_s=None, **keys):
        env = TestedEnv(*(ids or ("one",)), timeout_s=timeout_s)
        return await paper_run(model=model or CountingModel([]), env=env, **TESTED, **keys)

    return go


@pytest.fixture
def repo(tmp_path):
    """A repository whose only test fails until a text file has the right content."""
    path = tmp_path / "repo"
    path.mkdir()
    (path / "README").write_text("a project\n")
    git = ["git", "-C", path, "-c", "user.name=T", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "base"], check=True)
    return path


@pytest.fixture
def heats(monkeypatch, capsys, tmp_path):
    """Run a command line in this process; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def go(*arguments):
        monkeypatch.setattr(sys, "argv", ["heats", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return end.value.code, out, err

    return go


@pytest.fixture
def solve(heats, repo, tmp_path):
    """`heats solve` with valid arguments on the unsafe local backend; keywords replace or add options."""
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"rules": [{"commands": ["echo fixed > note.txt"]}]}))
    sound = {
        "repo": repo,
        "issue": "write the note",
        "test": "grep -rq fixed --include=*.txt .",
        "model": f"fake:{script}",
    }
    sound |= {"sandbox": "local", "out": tmp_path / "run", "rollouts": 2, "select-k": 1, "progress": "quiet"}

    def go(*more, **changes):
        options = {**sound, **{name.replace("_", "-"): value for name, value in changes.items()}}
        pairs = [part for name, value in options.items() if value is not None for part in (f"--{name}", value)]
        return heats("solve", *pairs, "--unsafe", *more)

    return go
