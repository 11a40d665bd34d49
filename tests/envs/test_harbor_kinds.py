"""Harbor tasks of each kind on real machines: separate verifiers, patches as submissions, allowed hosts."""

import http.server
import sys
import threading
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from envs import Patch, open_env, spec_for, verify
from envs.bench import Bench
from envs.errors import SetupFailed
from sandbox import SandboxConfig, open_backend

sys.path.insert(0, str(Path(__file__).parent))
from tiny_harbor import ASK, KINDS, write_allowlisted, write_repository, write_separate, write_task

pytestmark = pytest.mark.docker
TWICE_A_FILE = 'artifacts = [{ source = "/app/out", exclude = ["skip*"] }, "/app/out/skipped"]'


@pytest.fixture
async def backend():
    opened = await open_backend(SandboxConfig(backend="docker"))
    yield opened
    await opened.close()


@asynccontextmanager
async def started(env, backend):
    """A prepared sandbox of the env's single task."""
    (task,) = env.tasks()
    assert await env.make_images([task.image], backend) == {}
    sandbox = await backend.start(spec_for(task))
    try:
        await env.prepare(task, sandbox)
        yield task, sandbox
    finally:
        await sandbox.close()


@pytest.mark.parametrize("write", KINDS)
async def test_the_oracle_gets_1_and_doing_nothing_0(tmp_path, backend, write):
    env = open_env("harbor", {"path": write(tmp_path)})
    for solve, reward in ((True, 1.0), (False, 0.0)):
        async with started(env, backend) as (task, sandbox):
            if solve:
                await env.solve(task.id, sandbox)
            grade = await env.grade_state(task, sandbox, backend)
        assert (grade.rewards, grade.reason) == ({"reward": reward}, f"reward {reward:g}")


async def test_an_artifact_that_could_do_harm_is_left_out_and_named(tmp_path, backend):
    checks = "[ ! -e bad ] && [ -L good ] && [ -x tool ] && [ ! -u tool ] && [ ! -e skipped ]"
    directory = write_task(
        tmp_path,
        files={"tests/test.sh": f"#!/bin/bash\ncd out; {checks} && r=1 || r=0; echo $r >/logs/verifier/reward.txt\n"},
        root=TWICE_A_FILE,
        verifier='environment_mode = "separate"',
    )
    env = open_env("harbor", {"path": directory})
    odd = (
        "mkdir out && cd out && ln -s /tests bad && touch tool skipped && ln -s tool good && chmod 4755 tool; mkfifo p"
    )
    async with started(env, backend) as (task, sandbox):
        await sandbox.exec(odd, timeout=60)
        grade = await env.grade_state(task, sandbox, backend)
        assert sandbox.closed
    assert grade.outcome == "pass"
    assert "left out of /app/out: bad: its target may lead out" in grade.reason


async def test_a_verifiers_image_without_tests_or_that_cannot_be_built_is_no_wrong_answer(tmp_path, backend):
    bare = write_separate(tmp_path / "a")
    (bare / "tests" / "Dockerfile").write_text("FROM heats-base:latest\n")
    env = open_env("harbor", {"path": bare})
    async with started(env, backend) as (task, sandbox):
        grade = await env.grade_state(task, sandbox, backend)
    assert (grade.outcome, "holds no /tests/test.sh" in grade.reason) == ("invalid", True)
    (bare / "tests" / "Dockerfile").write_text("FROM heats-base:latest\nRUN exit 3\n")
    env = open_env("harbor", {"path": bare})
    other = open_env("harbor", {"path": write_task(tmp_path / "b")}).tasks()[0].image
    (failed,) = (await env.make_images([env.tasks()[0].image, other], backend)).values()
    assert "the verifier's image cannot be made" in failed


async def test_a_patch_is_verified_and_graded_on_fresh_machines(tmp_path, backend):
    options = {"submission": "patch", "test_command": "python3 -m unittest -v"}
    env = open_env("harbor", {"path": write_repository(tmp_path), **options})
    async with started(env, backend) as (task, sandbox):
        await env.solve(task.id, sandbox)
        await sandbox.exec("git -c user.name=a -c user.email=a@b commit -qam mine; touch /elsewhere", timeout=60)
        patch = await env.collect(task, sandbox)
    assert b"+    return sum(prices) * (100 - discount) / 100" in patch.data
    evidence = await verify(env, task, patch, Bench(backend=backend))
    assert (evidence.verdict, len(evidence.fixed)) == ("verified", 1)
    outcomes = [(await env.grade(task, one, backend)).outcome for one in (patch, Patch(b""))]
    assert outcomes == ["pass", "fail"]


async def test_a_working_directory_that_is_no_repository_submits_no_patch(tmp_path, backend):
    env = open_env("harbor", {"path": write_task(tmp_path), "submission": "patch"})
    with pytest.raises(SetupFailed, match="/app is not the top of a git repository"):
        async with started(env, backend):
            pass


@pytest.fixture
def answering():
    """The port of a local server that answers 42."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"42")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


async def test_allowed_hosts_and_no_others_are_reached(tmp_path, backend, answering):
    here = dict.fromkeys(("a.b.mirror.test", "mirror.test", "other.test"), "127.0.0.1")
    options = {"path": write_allowlisted(tmp_path, answering), "network": "task", "host_addresses": here}
    env = open_env("harbor", options)
    async with started(env, backend) as (task, sandbox):
        await env.solve(task.id, sandbox)
        said = (await env.collect(task, sandbox)).data.decode()
        grade = await env.grade_state(task, sandbox, backend)
    assert (task.network, grade.rewards) == ("none", {"reward": 1.0})
    assert "egress" not in said and "TCP ports: (none)" in said
    async with started(env, backend) as (task, sandbox):
        assert (await env.grade_state(task, sandbox, backend)).outcome == "fail"
    env = open_env("harbor", {**options, "network": "none"})
    async with started(env, backend) as (task, sandbox):
        await env.solve(task.id, sandbox)
        assert (await env.grade_state(task, sandbox, backend)).outcome == "fail"


@pytest.mark.parametrize("own", [True, False])
async def test_a_verifier_may_reach_what_the_agent_may_not(tmp_path, backend, answering, own):
    ask = ASK.format("a.test", answering)
    test = f"#!/bin/bash\n{ask} | grep -q 42 && [ ! -e reached ] && r=1 || r=0\necho $r >/logs/verifier/reward.txt\n"
    allowed = 'network_mode = "allowlist"\nallowed_hosts = ["a.test"]'
    directory = write_task(
        tmp_path,
        files={"tests/test.sh": test},
        root='artifacts = ["/app/reached"]',
        agent='network_mode = "no-network"',
        verifier=f"[verifier.environment]\n{allowed}" if own else allowed,
    )
    options = {"path": directory, "network": "task", "host_addresses": {"a.test": "127.0.0.1"}}
    env = open_env("harbor", options)
    async with started(env, backend) as (task, sandbox):
        assert not (await sandbox.exec(f"{ask} && touch reached", timeout=60)).ok
        grade = await env.grade_state(task, sandbox, backend)
    assert (grade.outcome, grade.reason) == ("pass", "reward 1")
