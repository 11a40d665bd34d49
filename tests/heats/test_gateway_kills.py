"""An agent behind the gateway, in a run that is killed with -9 and started again: nothing lost, nothing left."""

import asyncio
import signal
import subprocess

import pytest
from processes import RIGHT, Solve, containers, make_repository, model_server_of, stats

from agents import INSTALLED
from agents.llm.fake_server import FakeServer, ServerOptions
from heats.store.store import RunStore
from tests.agents.shop import TASK, repair, shop_files

AGENT = """
import json, os, subprocess, sys, urllib.request
tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("bash", "submit")]
head = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}
said = [{"role": "user", "content": sys.stdin.read()}]
while True:
    body = json.dumps({"messages": said, "tools": tools}).encode()
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body, head)
    said.append(json.load(urllib.request.urlopen(request))["choices"][0]["message"])
    for call in said[-1].get("tool_calls") or [{"function": {"name": "submit"}}]:
        if call["function"]["name"] == "submit":
            sys.exit()
        command = json.loads(call["function"]["arguments"])["command"]
        done = subprocess.run(command, shell=True, capture_output=True, text=True)
        said.append({"role": "tool", "tool_call_id": call["id"], "content": done.stdout + done.stderr})
"""
SANDBOXES = [pytest.param("docker", marks=pytest.mark.docker), pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("sandbox", SANDBOXES)
def test_a_killed_run_leaves_nothing_and_resumes(tmp_path, sandbox):
    repository = make_repository(tmp_path / "repo")
    (repository / "agent.py").write_text(AGENT)
    git = ["git", "-C", str(repository), "-c", "user.name=T", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "An agent"], check=True)
    scratch = tmp_path / "scratch"
    few = ("--rollouts", "2", "--iterations", "1", "--select-k", "1", "-c", "tournament.votes=2")
    with model_server_of(tmp_path, {"rules": [{"commands": ["cat calc.py", RIGHT, "ls"]}]}, latency=0.5) as base_url:
        solve = Solve(
            tmp_path,
            base_url,
            sandbox,
            "--agent",
            "command:python3 agent.py",
            *few,
            "-c",
            f"sandbox.scratch_dir={scratch}",
        )
        assert solve.start_and_kill(0.3, once='"rollout_step"') == -signal.SIGKILL
        assert list(scratch.glob("*/pipes/model.sock")), "it was killed before the gateway was open"
        code, answer, messages = solve.finish(1000)
        served = stats(base_url)
    assert (code, answer.get("status")) == (0, "verified"), (answer, messages)
    assert not list(scratch.glob("*"))
    assert sandbox != "docker" or not containers(solve.run_dir)
    charged = sum(charge.usage.calls for charge in RunStore(solve.run_dir).charges())
    # What was in flight at the moment of the kill: one request of each rollout.
    assert 0 <= served["replies"] - charged <= 2


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.tool("agents")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", INSTALLED)
async def test_a_killed_run_of_an_installed_agent_leaves_nothing_and_resumes(tmp_path, tool_env, name):
    make_repository(tmp_path / "repo", shop_files())
    scratch = tmp_path / "scratch"
    options = ["--rollouts", "2", "--iterations", "1", "--issue", TASK, "--test", "python3 -m unittest"]
    options += ["--agent", name, "-c", f"agent.installed.directory={tool_env('agents')}/kits"]
    options += ["-c", f"sandbox.scratch_dir={scratch}"]
    async with FakeServer(repair, ServerOptions(context=200_000, latency_s=2)) as server:
        solve = Solve(tmp_path, server.base_url, "docker", *options)
        killed = await asyncio.to_thread(solve.start_and_kill, 0.5, once='"rollout_step"')
        assert killed == -signal.SIGKILL
        code, answer, messages = await asyncio.to_thread(solve.finish, 600)
        replies = server.counts["replies"]
    assert (code, answer.get("status")) == (0, "verified"), (answer, messages)
    assert not list(scratch.glob("*"))
    assert not containers(solve.run_dir)
    charged = sum(charge.usage.calls for charge in RunStore(solve.run_dir).charges())
    assert 0 <= replies - charged <= 2
