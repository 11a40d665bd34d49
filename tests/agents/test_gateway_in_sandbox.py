"""The gateway from inside real sandboxes: forwarders of every kind, agents as commands, and what is left of them."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from agents import AgentConfig, open_agent
from agents.errors import AgentUnusable
from agents.gateway.asking import Asking
from agents.gateway.line import open_line
from agents.llm.fake import FakeModel, bash
from agents.llm.ledger import Limits
from sandbox import Sandbox, SandboxConfig, SandboxSpec, open_backend

ASK = """
import json, os, sys, urllib.request
def ask(messages):
    body = {"messages": messages, "tools": [{"type": "function", "function": {"name": "bash", "parameters": {}}}]}
    head = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), head)
    return json.load(urllib.request.urlopen(request))["choices"][0]["message"]
"""
LOOP = f"""{ASK}
import subprocess
said = [{{"role": "user", "content": sys.stdin.read()}}]
while True:
    said.append(ask(said))
    if not said[-1].get("tool_calls"):
        break
    for call in said[-1]["tool_calls"]:
        command = json.loads(call["function"]["arguments"])["command"]
        done = subprocess.run(command, shell=True, capture_output=True, text=True)
        said.append({{"role": "tool", "tool_call_id": call["id"], "content": done.stdout + done.stderr}})
print("I am done.")
"""
"""A complete agent in twenty lines, as somebody's own would be."""


@pytest.fixture(
    params=[
        pytest.param("bubblewrap", marks=pytest.mark.bubblewrap),
        pytest.param("docker", marks=pytest.mark.docker),
    ]
)
async def sandbox(request) -> AsyncIterator[Sandbox]:
    backend = await open_backend(SandboxConfig(backend=request.param))
    machine = await backend.start(SandboxSpec(image="", labels={"run": "test-gateway"}))
    try:
        yield machine
    finally:
        await machine.close()
        await backend.close()


def command_agent(story, command, **settings):
    config = AgentConfig.model_validate({**story.settings, "name": f"command:{command}", "command": settings})
    return open_agent(config.name, config)


async def play(story, sandbox, command, **settings):
    agent = command_agent(story, command, **settings)
    return await agent.run(story.assignment, sandbox, story.model, story.ledger, story.saved.append)


async def test_somebodys_own_agent_works_without_network_and_key(story, sandbox):
    await sandbox.write_file("/tmp/agent.py", LOOP.encode())
    story.model.enqueue(bash("echo fixed > a.txt"), bash("cat a.txt"), "Done.")
    trajectory = await play(story, sandbox, "python3 /tmp/agent.py")
    assert (trajectory.exit.kind, trajectory.agent_steps) == ("submitted", 3)
    assert trajectory.steps[2].observations[0].content == "fixed\n"
    assert story.ledger.spent == trajectory.usage
    assert story.ledger.spent.calls == 3
    assert trajectory.extra["output"] == "I am done.\n"
    assert await sandbox.read_file("a.txt") == b"fixed\n"
    assert [len(one.steps) for one in story.saved] == sorted(len(one.steps) for one in story.saved)


async def test_a_limit_stops_the_agent_at_once(story, sandbox):
    await sandbox.write_file("/tmp/agent.py", LOOP.replace("break", "said.append(ask(said))").encode())
    story.ledger.limits = Limits(calls=2)
    story.model.enqueue(bash("echo one"), bash("echo two"), bash("echo three"))
    trajectory = await play(story, sandbox, "python3 /tmp/agent.py; sleep 500")
    assert (trajectory.exit.kind, story.ledger.spent.calls) == ("step_limit", 2)
    assert (await sandbox.exec("pgrep -f [a]gent.py || echo none", timeout=60)).text() == "none\n"


@pytest.mark.parametrize(
    ("command", "kind"), [("exit 3", "agent_failed"), ("kill -9 $$", "agent_failed"), ("sleep 60", "time_limit")]
)
async def test_crashes_and_time_limits_are_typed(story, sandbox, command, kind):
    await sandbox.write_file("/tmp/once.py", f"{ASK}\nask([])\n".encode())
    story.model.enqueue("Hello.")
    trajectory = await play(story, sandbox, f"python3 /tmp/once.py; {command}", time_limit_s=15)
    assert (trajectory.exit.kind, trajectory.agent_steps) == (kind, 1)


async def test_only_the_token_enters_the_sandbox(story, sandbox, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-of-the-server")
    await sandbox.write_file("/tmp/once.py", f"{ASK}\nask([])\nprint(dict(os.environ))".encode())
    story.model.enqueue("Hello.")
    trajectory = await play(story, sandbox, "python3 /tmp/once.py; cat /proc/net/dev")
    assert "secret-of-the-server" not in trajectory.extra["output"]
    assert "'ANTHROPIC_BASE_URL': 'http://127.0.0.1:" in trajectory.extra["output"]


MANY = f"""{ASK}
from concurrent.futures import ThreadPoolExecutor
os.environ.update(OPENAI_BASE_URL=sys.argv[1], OPENAI_API_KEY=sys.argv[2])
def one(n):
    return len(ask([{{"role": "user", "content": str(n) * 2_000_000}}])["content"])
with ThreadPoolExecutor(5) as pool:
    print(list(pool.map(one, range(5))))
"""


@pytest.mark.docker
@pytest.mark.parametrize("missing", ["", "python3"])
async def test_the_forwarder_runs_on_what_the_image_has_for_any_user(story, missing):
    """Large bodies in both directions, several at once."""
    model = FakeModel(responder=lambda messages: messages[0]["content"][:300_000])
    asking = Asking(model, story.ledger, story.assignment, step_limit=9)
    async with started(
        SandboxSpec(image="", user="nobody", workdir="/tmp/w", labels={"run": "test-gateway"})
    ) as sandbox:
        await sandbox.write_file("/tmp/many.py", MANY.encode())
        async with open_line(asking, Without(sandbox, missing), "/tmp/line") as line:
            done = await sandbox.exec(f"python3 /tmp/many.py {line.base_url} {line.token}", timeout=200)
    assert done.text() == f"{[300_000] * 5}\n"


@pytest.mark.docker
async def test_an_image_without_any_interpreter_is_nobodys_attempt(story):
    async with started(SandboxSpec(image="", labels={"run": "test-gateway"})) as sandbox:
        with pytest.raises(AgentUnusable, match="needs python3, node or perl"):
            async with open_line(
                Asking(story.model, story.ledger, story.assignment, step_limit=9),
                Without(sandbox, "python3 perl node"),
                "/tmp/line",
            ):
                pass


class Without:
    """A sandbox in which `command -v` does not find some programs."""

    def __init__(self, sandbox: Sandbox, missing: str) -> None:
        self._sandbox, self._missing = sandbox, missing
        self.write_file, self.shared = sandbox.write_file, sandbox.shared

    async def exec(self, command: str, **options):
        lookup = f"""command() {{ case " {self._missing} " in *" $2 "*) return 1;; esac; builtin command "$@"; }}
export -f command"""
        return await self._sandbox.exec(f"{lookup}\n{command}".replace("sh -c", "bash -c", 1), **options)


@contextlib.asynccontextmanager
async def started(spec):
    backend = await open_backend(SandboxConfig(backend="docker"))
    machine = await backend.start(spec)
    try:
        yield machine
    finally:
        await machine.close()
        await backend.close()
