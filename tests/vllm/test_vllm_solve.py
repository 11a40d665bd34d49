"""Whole runs against a real vLLM, in real sandboxes."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from agents.llm.fake import FakeModel, bash
from agents.llm.openai_client import OpenAIModel
from benchmarks.tiny_vllm import CLOSES, NAME
from envs import RepositoryEnv, RepositorySource
from heats.config import load_config
from heats.runner.run import RunRequest, play
from heats.store.store import RunStore

pytestmark = [pytest.mark.vllm, pytest.mark.bubblewrap, pytest.mark.timeout(600)]

TEST = """\
import unittest

from calc import add


class AddTest(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(2, 3), 5)
"""
# One block as the text protocol requires, whose letters the random weights choose: every rollout changes a file.
FENCED = {"structured_outputs": {"regex": "```bash\\necho [a-z]{12} > note[.]txt\\n```"}}


@pytest.fixture
def repository(tmp_path):
    path = tmp_path / "repo"
    path.mkdir()
    (path / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    (path / "test_calc.py").write_text(TEST)
    identity = {
        f"GIT_{who}_{what}": f"{who}@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "base"]):
        subprocess.run(["git", "-C", path, *arguments], check=True, env={**os.environ, **identity})
    return path


@pytest.fixture
def solve(tiny, tmp_path, repository):
    """`heats solve` as users start it; returns exit code, result and messages."""
    models = {"model": {**tiny.config(extra_body=FENCED, max_tokens=200).model_dump(), "text_protocol": True}}
    others = tiny.config().model_dump()
    config = {**models, "summarizer_model": others, "judge_model": others, "agent": {"step_limit": 3}}
    config |= {"rollouts": 3, "iterations": 2, "select_k": 2, "workers": 2, "tournament": {"early_stop": "never"}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-c", "from heats.cli import main; main()", "solve", "--json", "--progress", "plain"]
    command += ["--repo", repository, "--issue", "add() subtracts", "--test", "python3 -m unittest", "--seed", "1"]
    command += ["-c", tmp_path / "tiny.yaml", "--sandbox", "bubblewrap", "--out", tmp_path / "run"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_whole_run_fixes_nothing_and_accounts_for_everything(tiny, tmp_path, solve):
    code, result, told = solve
    counted = tiny.counted()
    assert code in (4, 8) and result["status"] == "unverified", told  # 8 if none of its votes could be read
    assert [one["exit"] for one in result["rollouts"]] == ["step_limit"] * 6
    store = RunStore(tmp_path / "run")
    sources = set()
    for one in result["rollouts"]:
        files = store.task(next(iter(store.manifest.identity["tasks"]))).rollout(one["id"])
        assert files.trajectory().exit.kind == "step_limit"
        assert files.patch().data and files.evidence().verdict
        sources.add(files.summary().source)
    assert "model" in sources  # where random weights leave every field empty, heats' own summary stands in
    charges = store.charges()
    votes = [charge.usage for charge in charges if "tournament" in charge.scope]
    spent = result["ledger"]
    assert spent["calls"] == counted.requests == tiny.chats("2xx") and tiny.chats("4xx") == 0
    assert spent["completion_tokens"] == counted.generation_tokens
    # The server returns label probabilities, so a match is one request per order, and no prompt is counted twice.
    assert counted.prompt_tokens == spent["prompt_tokens"]
    assert len(votes) > 4
    for page in ("account.md", "report.html"):
        said = (tmp_path / "run" / page).read_text()
        assert "(vLLM 0.32.0" in said and "of prompt tokens from its prefix cache" in said


class FirstByScript:
    """A model whose first turn is given, and whose further turns come from a real server."""

    text_protocol = False

    def __init__(self, real, *script):
        self.real, self.name, self.script = real, real.name, FakeModel()
        self.script.enqueue(*script)
        self.left = len(script)

    async def complete(self, messages, **asked):
        self.left -= 1
        model = self.script if self.left >= 0 and not asked.get("response_schema") else self.real
        return await model.complete(messages, **asked)

    async def preflight(self):
        return await self.real.preflight()

    async def close(self):
        await self.real.close()


async def test_a_patch_made_before_an_overflow_is_a_candidate_and_can_win(tiny, tmp_path, repository, monkeypatch):
    fix = bash("sed -i 's/a - b/a + b/' calc.py && seq 20000")
    real = OpenAIModel(tiny.config(extra_body=CLOSES))
    monkeypatch.setattr("heats.runner.services.open_model", lambda config, **given: FirstByScript(real, fix))
    settings = {"model.name": NAME, "sandbox.backend": "bubblewrap", "agent.observation_head": 60_000}
    config = load_config((), {**settings, "rollouts": 1, "iterations": 1, "select_k": 1})
    source = RepositorySource(
        repository=str(repository), issue="add() subtracts", test_command="python3 -m unittest", image=""
    )
    env = RepositoryEnv.open(source)
    (result,) = await play(RunRequest(command="solve", directory=tmp_path / "run", config=config, env=env))
    outcome = RunStore(tmp_path / "run").task(result.task).rollout(result.rollouts[0]).outcome()
    assert (outcome.exit, outcome.steps) == ("context_overflow", 1) and "tokens" in outcome.detail
    assert result.status == "verified" and result.selected == result.rollouts[0]
    assert tiny.chats("4xx") == 1
