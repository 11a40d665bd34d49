"""Agents that people use, for real: in a sandbox without network and key, each by its own loop."""

from dataclasses import replace

import pytest

from agents import open_agent
from agents.presets import PRESETS
from heats.config import load_config
from sandbox import SandboxConfig, SandboxLimits, SandboxSpec, open_backend
from summarizer.record import ran_in
from tests.agents.shop import RIGHT, TASK, repair, shop_files

pytestmark = [pytest.mark.tool("agents"), pytest.mark.slow, pytest.mark.timeout(900)]
DOCKER = pytest.param("docker", marks=pytest.mark.docker)
BUBBLEWRAP = pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)


@pytest.fixture
def agent(tool_env):
    def make(name, **command):
        settings = [f"agent.name={name}", f"agent.installed.directory={tool_env('agents')}/kits"]
        settings += [f"agent.command.{key}={value}" for key, value in {"time_limit_s": 800, **command}.items()]
        return open_agent(name, load_config(settings).agent)

    return make


@pytest.fixture
async def shop():
    """Start a sandbox with the shop in it, for an agent."""
    opened = []

    async def start(kind, agent, **limits):
        backend = await open_backend(SandboxConfig(backend=kind))
        opened.append(backend)
        limits = SandboxLimits(**{"memory_mb": 2048 if kind == "docker" else 1 << 20, **limits})
        spec = SandboxSpec(image="", limits=limits, labels={"run": "t"}, read_only_mounts=await agent.mounts())
        sandbox = await backend.start(spec)
        opened.insert(0, sandbox)
        for name, content in shop_files().items():
            await sandbox.write_file(name, content.encode())
        who = "-c user.name=t -c user.email=t@t"
        await sandbox.exec(f"git init -q && git add . && git {who} commit -qm 'A shop'", timeout=60)
        return sandbox

    yield start
    for one in opened:
        await one.close()


@pytest.mark.parametrize("kind", [DOCKER, BUBBLEWRAP])
@pytest.mark.parametrize("name", list(PRESETS))
async def test_an_agent_repairs_the_shop_without_network_and_key(bench, story, agent, shop, name, kind):
    server = await bench.serve(repair, context=200_000)
    one = agent(name)
    sandbox = await shop(kind, one)
    trajectory = await one.run(
        replace(story.assignment, instruction=TASK, test_command="python3 -m unittest"),
        sandbox,
        bench.client(),
        story.ledger,
        story.saved.append,
    )
    assert trajectory.exit.kind == "submitted", (trajectory.exit, trajectory.extra)
    assert RIGHT in (await sandbox.read_file("price.py")).decode()
    assert story.ledger.spent.calls == server.counts["replies"] == trajectory.usage.calls
    assert story.ledger.spent.prompt_tokens == server.counts["prompt_tokens"]
    assert story.ledger.spent.completion_tokens == server.counts["completion_tokens"]
    ran = [one for one in ran_in(trajectory) if "unittest" in one.command]
    if name == "aider":  # it runs the tests itself, and shows the model only what fails
        assert any("FAILED" in step.content for step in trajectory.steps if step.source == "user")
    else:
        assert "FAILED" in ran[0].output
        assert "OK" in ran[-1].output
    changed = (await sandbox.exec("git status --short -- . ':(exclude)*__pycache__*'", timeout=60)).text().split()
    assert changed == ["M", "price.py"]
