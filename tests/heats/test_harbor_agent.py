"""heats inside Harbor, with a stub of Harbor's interface: copies of its machine, and restoring the winner's state."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from agents.atif import from_atif
from heats.harbor.agent import HeatsAgent
from heats.harbor.machine import Copied, EnvironmentSandbox
from sandbox import SandboxConfig, open_backend
from sandbox.base import SandboxSpec
from sandbox.errors import FileTooLarge, SandboxFileNotFound
from sandbox.images import Images, as_user

sys.path.insert(0, str(Path(__file__).parent))

RIGHT = "echo right >answer.txt; rm old.txt; mkdir -p /opt/made; echo more >/opt/made/file"
PERSONA = {"rules": [{"when": "Do it", "commands": [RIGHT]}], "pick": "first"}


class HarborsMachine:
    """The part of Harbor's `BaseEnvironment` that heats uses, over a sandbox."""

    def __init__(self, sandbox, *, known=True):
        self.sandbox, self.known = sandbox, known

    async def exec(self, command, cwd=None, env=None, timeout_sec=None, user=None):
        if "mountinfo" in command and not self.known:
            return SimpleNamespace(stdout="", stderr="", return_code=1)
        async with as_user(self.sandbox, "0" if user == "root" else None) as who:
            done = await who.exec(command, cwd=cwd, env=env, timeout=timeout_sec or 60)
        if done.status == "timeout":
            raise RuntimeError(f"Command timed out after {timeout_sec} seconds")
        out, err = done.stdout.decode(), done.stderr.decode()
        return SimpleNamespace(stdout=out, stderr=err, return_code=done.exit_code)

    async def upload_file(self, source_path, target_path):
        await self.sandbox.write_file(target_path, Path(source_path).read_bytes())


@pytest.fixture
async def machine():
    backend = await open_backend(SandboxConfig(backend="docker"))
    sandbox = await backend.start(SandboxSpec(image="heats-base:latest", workdir="/app", profile="machine"))
    await sandbox.exec("echo old >old.txt", timeout=120)
    yield HarborsMachine(sandbox)
    await sandbox.close()
    assert [one.name for one in await Images.of(backend).made("state") if "harbor" in one.name] == []
    await backend.close()


@pytest.fixture
def agent(tmp_path):
    persona = tmp_path / "persona.json"
    persona.write_text(json.dumps(PERSONA))
    return HeatsAgent(tmp_path / "logs", f"fake:{persona}", rollouts=2, **{"sandbox.limits.memory_mb": 512})


@pytest.fixture
def context():
    return SimpleNamespace(n_input_tokens=None, metadata=None)


@pytest.mark.docker
async def test_the_winners_state_ends_up_in_harbors_machine(agent, machine, context, tmp_path):
    await agent.run("Do it.", machine, context)
    there = await machine.sandbox.exec("cat answer.txt /opt/made/file; ls old.txt", timeout=120)
    assert there.stdout == b"right\nmore\n"
    assert context.n_input_tokens > 0
    assert context.metadata["selected"].startswith("heat-0/")
    record = from_atif(json.loads((tmp_path / "logs" / "trajectory.json").read_text()))
    assert record.exit.kind == "submitted"


@pytest.mark.docker
async def test_a_machine_that_cannot_be_copied_is_worked_in_directly(agent, machine, context, tmp_path):
    machine.known = False
    await agent.run("Do it.", machine, context)
    assert (await machine.sandbox.exec("cat answer.txt", timeout=120)).stdout == b"right\n"
    assert context.metadata == {"heats": "one rollout in place"}
    assert (tmp_path / "logs" / "trajectory.json").exists()


@pytest.mark.docker
async def test_harbors_environment_is_a_sandbox(machine):
    sandbox = EnvironmentSandbox(machine)
    await sandbox.write_file("/app/deep/x", b"\x00\xff'odd", mode=0o600)
    assert await sandbox.read_file("/app/deep/x") == b"\x00\xff'odd"
    assert (await sandbox.exec("cat; exit 3", timeout=120, stdin=b"in")).exit_code == 3
    assert (await sandbox.exec("sleep 30", timeout=1)).status == "timeout"
    with pytest.raises(SandboxFileNotFound):
        await sandbox.read_file("/app/none")
    with pytest.raises(FileTooLarge):
        await sandbox.read_file("/app/deep/x", max_bytes=2)


def test_a_copy_has_the_limits_of_its_original_and_no_shared_network():
    host = {"NetworkMode": "container:abc", "Memory": 1 << 30, "NanoCpus": 2_000_000_000}
    task = Copied("image", {"User": "worker", "WorkingDir": "/w"}, host).task("Do it.", 60)
    assert (task.network, task.machine.memory_mb, task.machine.cpus, task.machine.user) == ("none", 1024, 2, "worker")
    assert (task.submission, task.workdir, task.agent_timeout_s) == ("state", "/w", 60)


def test_agent_arguments_are_keys_of_the_configuration(tmp_path):
    agent = HeatsAgent(tmp_path, "m", rollouts=3, timeout_sec="90", config="quick", extra_env={}, logger=None)
    assert (agent._config.rollouts, agent._config.within_timeout, agent._config.model.name) == (3, True, "m")
    assert (agent.name(), bool(agent.version())) == ("heats", True)
    assert HeatsAgent(tmp_path, "m")._config.seed != HeatsAgent(tmp_path, "m")._config.seed
