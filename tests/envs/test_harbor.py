"""Harbor tasks: reading a directory, describing an end state to judges, and turning rewards into grades."""

import sys
from pathlib import Path

import pytest

from envs import open_env, patch_key
from envs.base import EndState
from envs.errors import TaskError
from envs.harbor.endstate import interesting, listening, own_processes, without_keys
from envs.harbor.layout import read_task, workdir_of
from envs.harbor.taskfile import read_task_file, resolved
from envs.harbor.verifier import RewardFault, main_reward, read_rewards
from sandbox.fake import FakeSandbox
from sandbox.images import PathChange

sys.path.insert(0, str(Path(__file__).parent))
from tiny_harbor import write_task


def test_a_directory_of_tasks_becomes_tasks_that_hand_in_a_state(tmp_path):
    write_task(tmp_path, "b")
    write_task(tmp_path, "a", environment='env = { MODE = "x" }\nallow_internet = false')
    first, second = open_env("harbor", {"path": tmp_path}).tasks()
    assert (first.id, second.id, first.submission, first.workdir) == ("a", "b", "state", "/app")
    assert (first.machine.memory_mb, first.machine.cpus, first.agent_timeout_s) == (1024, 1, 60)
    assert first.env == {"MODE": "x"}
    assert "42" not in first.model_dump_json()


def test_a_single_task_directory_is_a_task(tmp_path):
    assert [task.id for task in open_env("harbor", {"path": write_task(tmp_path)}).tasks()] == ["answer"]


@pytest.mark.parametrize(
    ("tables", "option", "network"),
    [({}, "none", "none"), ({}, "task", "bridge"), ({"environment": "allow_internet = false"}, "task", "none")],
)
def test_there_is_a_network_only_when_user_and_task_want_it(tmp_path, tables, option, network):
    write_task(tmp_path, **tables)
    assert open_env("harbor", {"path": tmp_path, "network": option}).tasks()[0].network == network


@pytest.mark.parametrize(
    ("files", "tables", "why"),
    [
        ({"environment/docker-compose.yaml": "services: {}"}, {}, "docker-compose"),
        ({"tests/test.sh": ""}, {}, "no tests/test.sh"),
        ({"instruction.md": ""}, {}, "instruction.md"),
        ({"environment/Dockerfile": ""}, {}, "neither"),
        ({}, {"environment": "gpus = 1"}, "GPU"),
        ({}, {"environment": 'allowed_hosts = ["a.org"]'}, "allowlist"),
        ({}, {"environment": 'network_mode = "allowlist"\nallowed_hosts = ["http://a.org"]'}, "host name"),
        ({}, {"verifier": 'network_mode = "no-network"'}, "another network"),
        ({"tests/compose.yaml": "services: {}"}, {"verifier": 'environment_mode = "separate"'}, "tests/compose.yaml"),
        ({}, {"verifier": '[[verifier.collect]]\ncommand = "true"\nservice = "db"'}, "services.*: db"),
        ({}, {"agent": "timeout_sec = "}, "TOML"),
        ({}, {"environment": "[[steps]]\nname = 'one'"}, "several steps"),
        ({}, {"environment": 'env = { KEY = "${SECRET}" }'}, "SECRET"),
    ],
)
def test_a_task_that_cannot_be_used_is_refused_with_the_reason(tmp_path, files, tables, why):
    write_task(tmp_path, files=files, **tables)
    with pytest.raises(TaskError, match=why):
        open_env("harbor", {"path": tmp_path, "network": "task"})


def test_no_value_of_the_users_environment_reaches_a_task(monkeypatch):
    monkeypatch.setenv("SECRET", "leaked")
    assert resolved({"A": "${SECRET:-none}", "B": "x${GIVEN}"}, {"GIVEN": "y"}) == {"A": "none", "B": "xy"}
    with pytest.raises(TaskError, match="SECRET"):
        resolved({"A": "${SECRET}"}, {})


def test_an_image_name_follows_the_build_context(tmp_path):
    directory = write_task(tmp_path)
    before = read_task(directory)
    (directory / "environment" / "question.txt").write_text("seven times six\n")
    assert before.image.startswith("heats-task/answer:")
    assert read_task(directory).image != before.image
    (directory / "tests" / "test.sh").write_text("other")
    assert read_task(directory).image == read_task(directory).image


def test_a_named_image_is_taken_unless_a_build_is_wanted(tmp_path):
    directory = write_task(tmp_path, environment='docker_image = "some/image:1"')
    assert read_task(directory).image == "some/image:1"
    assert read_task(directory, force_build=True).image.startswith("heats-task/answer:")


@pytest.mark.parametrize(
    ("lines", "workdir"),
    [
        ("FROM a\nWORKDIR /x\nWORKDIR y/../z", "/x/z"),
        ("FROM a\nWORKDIR /x\nFROM b", ""),
        ("FROM a\nWORKDIR sub", ""),
        ("FROM a\nWORKDIR $HOME", ""),
    ],
)
def test_the_working_directory_is_the_last_stages(tmp_path, lines, workdir):
    (tmp_path / "Dockerfile").write_text(lines)
    assert workdir_of(tmp_path / "Dockerfile") == workdir


def test_old_and_unknown_keys_of_a_task_file_are_read_or_passed_over():
    file = read_task_file('version = "1.0"\nodd = 1\n[environment]\nmemory = "512M"\nstorage = "10G"\nodd = 2')
    assert (file.schema_version, file.environment.memory_mb, file.agent_network.mode) == ("1.0", 512, "public")


@pytest.mark.parametrize(
    ("files", "rewards"),
    [
        ({"reward.txt": b"1\n"}, {"reward": 1.0}),
        ({"reward.txt": b"0", "reward.json": b'{"a": 0.5, "b": true}'}, {"a": 0.5, "b": 1.0}),
        ({"reward.txt": b"nan"}, "not contain a number"),
        ({"reward.txt": b""}, "not contain a number"),
        ({"reward.json": b'{"a": 1e999}'}, "finite"),
        ({"reward.json": b'{"a": "1"}'}, "finite"),
        ({"reward.json": b"[1]"}, "object"),
        ({}, "no reward"),
    ],
)
async def test_rewards_are_finite_numbers_or_the_grade_is_invalid(files, rewards):
    sandbox = FakeSandbox(files={f"/logs/verifier/{name}": data for name, data in files.items()})
    if isinstance(rewards, str):
        with pytest.raises(RewardFault, match=rewards):
            await read_rewards(sandbox)
    else:
        assert await read_rewards(sandbox) == rewards


def test_the_named_reward_decides_else_the_lowest():
    assert main_reward({"reward": 1.0, "other": 0.0}) == 1.0
    assert main_reward({"a": 1.0, "b": 0.5}) == 0.5


def test_noise_and_bare_parents_are_no_changes():
    paths = ["/run", "/run/heats", "/app", "/app/x", "/root/.cache/a", "/app/__pycache__/b.pyc", "/app/bad\nname"]
    assert [one.path for one in interesting(PathChange(path, "changed") for path in paths)] == ["/app/x"]


def test_only_what_the_attempt_started_counts_as_running():
    listing = "\n".join(
        [
            "1 0 sh -c n=0; while keeper 480 15",
            "7 1 sleep 15",
            "8 0 sh -c _h_dir=/run/heats ...",
            "20 8 bash -c for p in",
            "9 1 sh -c n=0; while keeper 480 15",
            "10 9 sh -c n=0; while keeper 480 15",
            "21 10 bash -c for p in",
            "30 1 nginx: master process",
            "31 30 nginx: worker",
            "40 1 tmux -L heats new-session",
            "41 40 -bash",
            "43 40 bash --rcfile /dev/fd/9 -i",
            "42 41 python3 serve.py",
        ]
    )
    assert own_processes(listing) == ["nginx: master process", "nginx: worker", "python3 serve.py"]


@pytest.mark.parametrize("kind", ["RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PRIVATE KEY", "PGP PRIVATE KEY BLOCK"])
def test_a_private_key_never_gets_into_a_description(kind):
    """Descriptions of end states go to judges and refiners, and once contained a certificate's key."""
    key = f"-----BEGIN {kind}-----\nMIIEvQsecret\nmore+secret==\n-----END {kind}-----\n"
    told = without_keys(f"before\n{key}between\n{key.partition('-----END')[0]}")
    assert "secret" not in told and told.startswith("before") and "between" in told
    assert told.count("[private key left out]") == 2
    public = "-----BEGIN PUBLIC KEY-----\nMIIBpublic\n-----END PUBLIC KEY-----\n"
    assert without_keys(public) == public


def test_listening_ports_are_read_from_the_kernels_table():
    assert listening("0100007F:0016\n00000000000000000000000000000000:01BB\n") == [22, 443]


def test_two_states_are_equal_only_with_the_same_description():
    one, other = (EndState(f"{text}\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n".encode()) for text in "12")
    assert patch_key(one) != patch_key(other)
    assert patch_key(one) == patch_key(EndState(one.data))


def test_a_byte_order_mark_in_a_tasks_files_is_read_over(tmp_path):
    directory = write_task(tmp_path)
    for name in ("task.toml", "instruction.md", "environment/Dockerfile"):
        (directory / name).write_bytes(b"\xef\xbb\xbf" + (directory / name).read_bytes())
    (task,) = open_env("harbor", {"path": directory}).tasks()
    assert (task.statement[:5], task.workdir, task.agent_timeout_s) == ("Write", "/app", 60)


async def test_one_task_that_cannot_be_used_is_left_out_and_the_others_are_there(tmp_path):
    write_task(tmp_path, "bad", {"environment/docker-compose.yaml": "services: {}"})
    write_task(tmp_path, "good")
    write_task(tmp_path, "wants", verifier='env = { JUDGE_KEY = "${JUDGE_KEY}" }')
    env = open_env("harbor", {"path": tmp_path})
    assert ([task.id for task in env.tasks()], list(env.listing())) == (["good", "wants"], ["bad", "good", "wants"])
    assert set(await env.unusable(grading=False)) == {"bad"}
    told = await env.unusable(grading=True)
    assert "docker-compose" in told["bad"] and "-O 'env_values={JUDGE_KEY: ...}'" in told["wants"]
