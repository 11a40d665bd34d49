"""Harbor tasks on real machines: what is built, what survives until grading, and what does not count."""

import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from envs import open_env, spec_for
from envs.errors import SetupFailed
from sandbox import SandboxConfig, open_backend
from sandbox.base import SandboxSpec
from sandbox.errors import BackendUnavailable
from sandbox.images import ImageBuildFailed, Images, changed_paths, keep_state

sys.path.insert(0, str(Path(__file__).parent))
from tiny_harbor import write_task

pytestmark = pytest.mark.docker
ODD = "mkfifo pipe; ln -s /etc/passwd link; mkdir made; touch made/empty; rm question.txt; head -c 40000 /dev/zero >big"
SERVER = "python3 -m http.server 8099 >/tmp/log 2>&1 & sleep 0.3; echo 42 >answer.txt; echo more >>question.txt"
ASK_SERVER = """#!/bin/bash
python3 -c 'import urllib.request as u; u.urlopen("http://localhost:8099/")' && r=1 || r=0
echo "{\\"reward\\": $r, \\"extra\\": 0.5}" >/logs/verifier/reward.json
echo '{"results": {"tests": [{"name": "server", "status": "passed"}]}}' >/logs/verifier/ctrf.json
"""


@pytest.fixture
async def backend():
    opened = await open_backend(SandboxConfig(backend="docker"))
    yield opened
    await opened.close()


@pytest.fixture
def machine(tmp_path, backend):
    """A prepared sandbox for a task defined in the test."""

    @asynccontextmanager
    async def start(files=None, **tables):
        env = open_env("harbor", {"path": write_task(tmp_path, files=files, **tables)})
        (task,) = env.tasks()
        await env.make_images([task.image], backend)
        sandbox = await backend.start(spec_for(task))
        try:
            await env.prepare(task, sandbox)
            yield env, task, sandbox
        finally:
            await sandbox.close()

    return start


async def test_the_solution_passes_and_an_untouched_machine_does_not(machine, backend):
    async with machine() as (env, task, sandbox):
        assert (await env.collect(task, sandbox)).data == b""
        assert (await env.grade_state(task, sandbox, backend)).outcome == "fail"
    async with machine() as (env, task, sandbox):
        await env.solve(task.id, sandbox)
        state = await env.collect(task, sandbox)
        grade = await env.grade_state(task, sandbox, backend)
    assert "added    /app/answer.txt" in state.data.decode()
    assert "+42" in state.data.decode()
    assert (grade.outcome, grade.rewards) == ("pass", {"reward": 1.0})


async def test_what_the_attempt_started_is_described_and_still_runs_when_it_is_graded(machine, backend):
    async with machine({"tests/test.sh": ASK_SERVER}) as (env, task, sandbox):
        await sandbox.exec(SERVER, timeout=120)
        said = (await env.collect(task, sandbox)).data.decode()
        grade = await env.grade_state(task, sandbox, backend)
    assert "python3 -m http.server 8099" in said
    assert "TCP ports: 8099" in said
    assert " six times seven\n+more" in said
    assert (grade.outcome, grade.rewards["extra"], dict(grade.report.tests)) == ("pass", 0.5, {"server": "passed"})


async def test_odd_files_are_named_and_not_read(machine):
    async with machine() as (env, task, sandbox):
        await sandbox.exec(ODD, timeout=120)
        said = (await env.collect(task, sandbox)).data.decode()
    for line in (
        "/app/pipe  fifo",
        "/app/link  symbolic link",
        "/app/big  40000 bytes, sha256",
        "deleted  /app/question.txt",
    ):
        assert line in said
    assert "-six times seven" in said
    assert "root:" not in said


async def test_nothing_hidden_is_on_the_machine_before_it_is_graded(machine):
    async with machine() as (_, _, sandbox):
        found = await sandbox.exec(
            "ls -d /tests /solution; find / -xdev -name 'expected.txt' -o -name solve.sh", timeout=60
        )
        assert found.stdout == b""


async def test_rewards_and_tests_that_the_attempt_put_there_do_not_count(machine, backend):
    cheat = (
        "echo 1 >/logs/verifier/reward.txt; echo '{\"reward\": 1}' >/logs/verifier/reward.json; "
        "mkdir -p /tests; printf '#!/bin/sh\\necho 1 >/logs/verifier/reward.txt' >/tests/test.sh; "
        "chmod +x /tests/test.sh; "
        "echo 41 >/tests/expected.txt; echo 41 >answer.txt"
    )
    async with machine() as (env, task, sandbox):
        await sandbox.exec(cheat, timeout=120)
        grade = await env.grade_state(task, sandbox, backend)
    assert (grade.outcome, grade.rewards) == ("fail", {"reward": 0.0})


@pytest.mark.parametrize(
    ("test", "why"),
    [
        ("#!/bin/bash\necho broken verifier; exit 1\n", "left no reward: broken verifier"),
        ("#!/bin/bash\nsleep 60\n", "did not finish within 1 s"),
        ("#!/bin/bash\nln -s /etc/passwd /logs/verifier/reward.txt\n", "not a regular file"),
    ],
)
async def test_a_verifier_that_fails_makes_the_grade_invalid(machine, backend, test, why):
    files = {"tests/test.sh": test, "task.toml": "[verifier]\ntimeout_sec = 1\n"}
    async with machine(files) as (env, task, sandbox):
        await sandbox.exec("echo 1 >/logs/verifier/reward.txt", timeout=120)
        grade = await env.grade_state(task, sandbox, backend)
    assert grade.outcome == "invalid"
    assert why in grade.reason


async def test_agent_and_verifier_work_as_the_users_that_the_task_names(machine, backend):
    files = {
        "environment/Dockerfile": "FROM heats-base:latest\nRUN useradd -m worker\nWORKDIR /home/worker\n",
        "tests/test.sh": '#!/bin/bash\n[ $(id -u) = 0 ] && [ "$(stat -c %U who.txt)" = worker ] && r=1 || r=0\n'
        "echo $r >/logs/verifier/reward.txt\n",
    }
    async with machine(files, agent='user = "worker"') as (env, task, sandbox):
        result = await sandbox.exec("id -un | tee who.txt; touch /etc/x", timeout=120, merge_stderr=True)
        assert result.text().startswith("worker")
        assert "denied" in result.text()
        assert (await env.grade_state(task, sandbox, backend)).outcome == "pass"


async def test_limits_environment_and_network_are_the_tasks(machine):
    table = 'env = { MODE = "x" }\n'
    async with machine(environment=table) as (_, _, sandbox):
        result = await sandbox.exec(
            "echo $MODE; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max "
            "2>/dev/null; ls /sys/class/net; mount | grep -c ' /tmp '",
            timeout=120,
        )
    assert result.text().splitlines()[:2] == ["x", str(1 << 30)]
    assert "eth0" not in result.text()
    assert result.text().splitlines()[-1] == "0"


async def test_a_health_check_is_waited_for_and_its_failure_is_the_tasks(machine):
    check = '[environment.healthcheck]\ncommand = "{}"\ninterval_sec = 0.05\nretries = 2\n'
    async with machine(environment=check.format("[ -e /tmp/x ] || ! touch /tmp/x")) as (_, _, sandbox):
        assert (await sandbox.exec("ls /tmp/x", timeout=120)).ok
    with pytest.raises(SetupFailed, match="health check"):
        async with machine(environment=check.format("false")):
            pass


async def test_a_build_that_fails_says_what_failed(machine):
    with pytest.raises(ImageBuildFailed, match=r"answer.*exit 3|code: 3"):
        async with machine({"environment/Dockerfile": "FROM heats-base:latest\nRUN exit 3\n"}):
            pass


async def test_one_image_that_cannot_be_built_does_not_keep_the_others_from_it(tmp_path, backend):
    write_task(tmp_path, "good")
    write_task(tmp_path, "bad", {"environment/Dockerfile": "FROM heats-base:latest\nRUN exit 3\n"})
    env = open_env("harbor", {"path": tmp_path})
    bad, good = (task.image for task in env.tasks())
    failed = await env.make_images([bad, good], backend)
    assert list(failed) == [bad]
    assert await Images.of(backend).has(good)


async def test_a_state_is_kept_as_an_image_and_found_again(machine, backend):
    images, name = Images.of(backend), "heats-state/test-of-states:one"
    try:
        async with machine() as (_, task, sandbox):
            await sandbox.exec("echo kept >/tmp/here; echo 42 >answer.txt", timeout=120)
            await keep_state(sandbox, name, {"run": 'odd "$run"', "task": task.id})
            assert {"/app/answer.txt", "/tmp/here"} <= {one.path for one in await changed_paths(sandbox)}
        again = await backend.start(SandboxSpec(image=name, workdir="", profile="machine"))
        try:
            assert (
                await again.exec("cat /tmp/here answer.txt; pwd", timeout=120, merge_stderr=True)
            ).stdout == b"kept\n42\n/app\n"
        finally:
            await again.close()
        assert {one.name: one.labels["run"] for one in await images.made("state")}[name] == 'odd "$run"'
    finally:
        assert await images.remove(name)


async def test_other_backends_are_refused(tmp_path):
    env = open_env("harbor", {"path": write_task(tmp_path)})
    local = await open_backend(SandboxConfig(backend="local", unsafe=True, scratch_dir=tmp_path / "scratch"))
    with pytest.raises(BackendUnavailable, match="Docker images"):
        await env.make_images([env.tasks()[0].image], local)
    await local.close()
