"""Bad input and missing parts: one clear line, no traceback, the right exit code, nothing spent."""

import gc
import json
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from doubles import one_line

from heats.cli.issue import read_issue
from heats.config import load_config
from heats.errors import ExitCode


def test_sound_input_is_solved(solve, tmp_path):
    code, out, _ = solve("--json")
    result = json.loads(out)
    assert (code, result["status"], result["strength"]) == (ExitCode.PASSES, "passes", "exit-code")
    assert result["strength_reasons"] == ["only the test command's exit code is known"]
    assert set(result) >= {"status", "patch", "base_commit", "tests_before", "tests_after", "rollouts", "selected"}
    assert set(result) >= {"ledger", "run_dir"}
    subprocess.run(["git", "-C", tmp_path / "repo", "apply", result["patch"]], check=True)
    assert (tmp_path / "repo" / "note.txt").read_text() == "fixed\n"
    for name in ("account.md", "report.html", "result.json"):
        assert (tmp_path / "run" / name).stat().st_size > 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"repo": "nowhere"}, "nowhere"),
        ({"repo": "."}, "git repository"),
        ({"issue": "  "}, "issue is empty"),
        ({"issue": "isue.md"}, "isue.md: no such file"),
        ({"issue": "./repo"}, "is a directory"),
        ({"issue": "repo"}, "is a directory"),
        ({"issue": "repo/.git/index"}, "not a text"),
        ({"issue": "fault \udcff"}, "not valid UTF-8"),
        ({"model": "qwen", "base-url": "localhost:8000/v1"}, "http://"),
        ({"model": "builtin:magic"}, "builtin:repair"),
        ({"model": "qwen"}, "--base-url"),
        ({"model": None}, "--model"),
        ({"base": "no-such-branch"}, "no-such-branch"),
        ({"selector": "lottery"}, "rtv"),
        ({"agent": "smith"}, "bash"),
        ({"sandbox": "cloud"}, "bubblewrap"),
        ({"config": "tournament.votez=4"}, "did you mean votes"),
        ({"config": "iterations=many"}, "iterations"),
        ({"config": "missing.yaml"}, "missing.yaml"),
        ({"select_k": 9}, "select_k"),
        ({"rollouts": 0}, "rollouts"),
    ],
)
def test_wrong_input_is_exit_2(solve, changes, told, tmp_path):
    code, out, err = solve(**changes)
    assert code == 2
    assert told in one_line(err)
    assert out == ""
    assert not (tmp_path / "run" / "tasks").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["solve", "--reop", "."], "--reop"),
        (["sovle"], "sovle"),
        (["solve"], "--repo"),
        (["report", "nowhere"], "nowhere"),
        (["demo", "--all", "--task", "roman"], "--all"),
        (["export", "run", "csv", "--content"], "--content"),
        (["export", "run", "csv", "--endpoint", "http://x"], "--endpoint"),
        (["learn", "run", "--bank", "b", "--test", "make"], "--repo"),
        (["learn", "run", "--bank", "b", "--base", "main"], "--repo"),
        (["image", ".", "--tag", "x", "--file", "Dockerfile", "--setup", "make"], "--setup"),
    ],
)
def test_wrong_commands_and_flags_are_exit_2(heats, arguments, told):
    code, out, err = heats(*arguments)
    assert code == 2
    assert told in one_line(err)
    assert out == ""


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"test": "no-such-command --all"}, "no-such-command"),
        ({"setup": "exit 7"}, "exit 7"),
        ({"config": "min_free_disk_mb=999999999"}, "MiB"),
    ],
)
def test_what_is_missing_is_exit_6(solve, changes, told):
    code, out, err = solve(**changes)
    assert code == 6
    assert told in one_line(err)
    assert out == ""


@pytest.mark.parametrize(
    "sandbox",
    [pytest.param("docker", marks=pytest.mark.docker), pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)],
)
def test_an_image_that_is_not_there_is_exit_6(solve, sandbox):
    code, out, err = solve(sandbox=sandbox, image="no-such-image:1")
    assert code == 6
    assert "no-such-image:1" in one_line(err)
    assert out == ""


def test_a_server_that_is_down_is_exit_6(solve):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    code, _, err = solve(model="qwen", base_url=url)
    assert code == 6
    assert url.removesuffix("/v1") in one_line(err)


def test_no_sandbox_on_the_machine_is_exit_6(solve, monkeypatch, tmp_path):
    (tmp_path / "bin").mkdir()
    git = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / "bin" / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    code, _, err = solve(sandbox="auto")
    with warnings.catch_warnings():  # the Docker SDK leaves a socket open if nothing is listening
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    assert code == 6
    assert "bubblewrap" in one_line(err)


def test_tests_that_already_pass_are_said_so_and_end_in_exit_4(solve, tmp_path):
    code, out, _ = solve(test="true")
    assert code == 4
    assert "already pass" in out
    assert not (tmp_path / "run" / "tasks" / "x" / "heat-0").exists()


def test_allow_passing_goes_on(solve):
    code, out, _ = solve("--allow-passing", test="true")
    assert code == 4
    assert "already pass" not in out


def test_local_without_unsafe_is_refused(heats, repo):
    code, _, err = heats("solve", "--repo", repo, "--issue", "x", "--model", "builtin:repair", "--sandbox", "local")
    assert code == 6
    assert "unsafe" in one_line(err)


def test_a_second_run_in_one_directory_is_refused(solve, tmp_path):
    from heats.store.store import RunStore

    assert solve()[0] == ExitCode.PASSES
    holder = RunStore.hold(tmp_path / "run")
    code, _, err = solve()
    holder.close()
    assert code == 2
    assert "in use by process" in one_line(err)


@pytest.mark.slow
def test_another_task_in_the_same_directory_is_refused_and_redo_sets_the_old_run_aside(solve, tmp_path):
    assert solve()[0] == ExitCode.PASSES
    code, _, err = solve(issue="something else")
    assert code == 2
    assert "--redo" in one_line(err)
    assert solve("--redo", issue="something else")[0] == ExitCode.PASSES
    assert (tmp_path / "run.old-1" / "run.json").exists()


def test_no_patch_is_exit_4(solve, tmp_path):
    script = tmp_path / "idle.json"
    script.write_text(json.dumps({"rules": [{"commands": ["true"]}]}))
    code, out, _ = solve("--json", model=f"fake:{script}")
    result = json.loads(out)
    assert (code, result["status"], result["patch"]) == (4, "no_patch", None)


def test_help_and_version_are_on_stdout(heats):
    code, out, err = heats("--version")
    assert (code, err) == (0, "")
    assert out.startswith("heats 0.")
    code, out, _ = heats("solve", "-h")
    assert code == 0
    assert "--issue" in out


@pytest.mark.parametrize(("words", "offered"), [("heats sw", "sweep"), ("heats sweep --roll", "--rollouts")])
def test_the_shell_completes_commands_and_flags(words, offered):
    program = str(Path(sys.executable).with_name("heats"))
    asked = {"_HEATS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run([program], env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert offered in done.stdout.split()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_in_a_configuration_or_an_issue_is_read_over(tmp_path, encoding):
    (tmp_path / "more.yaml").write_bytes("rollouts: 3\n".encode(encoding))
    assert load_config([str(tmp_path / "more.yaml")]).rollouts == 3
    (tmp_path / "issue.md").write_bytes("It fails größtenteils.\n".encode(encoding))
    assert read_issue(str(tmp_path / "issue.md")) == "It fails größtenteils.\n"
