"""A sweep on a Ray cluster of two nodes equals that of one machine: results, resuming, budgets."""

import json
import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import model_server_of, stats

from heats.store.store import RunStore

pytestmark = [pytest.mark.slow, pytest.mark.bubblewrap, pytest.mark.tool("ray"), pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = {"rules": [{"variants": [["ls", "echo one > note.txt"], ["echo two > note.txt", "ls -la", "true"], ["ls"]]}]}


@contextmanager
def cluster(python, environment):
    command = [python, Path(__file__).with_name("ray_cluster.py")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def lose_a_node():
        process.stdin.write("\n")
        process.stdin.flush()

    try:
        yield process.stdout.readline().strip(), lose_a_node
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(60)


class Sweep:
    """`heats sweep demo` in Ray's environment."""

    def __init__(self, python, environment, base_url):
        self.environment = environment
        self.command = [python, "-c", "from heats.cli import main; main()", "sweep", "demo", "--slice", ":4"]
        self.command += ["--rollouts", "2", "--iterations", "1", "--votes", "1", "--workers", "2", "--json"]
        self.command += ["--model", "fake-model", "--base-url", base_url, "--sandbox", "bubblewrap"]

    def start(self, out, *more, **changes):
        command = [*self.command, "--progress", "quiet", "--out", str(out), *more]
        piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env={**self.environment, **changes}, cwd=ROOT, **piped)

    def finish(self, out, *more, **changes):
        process = self.start(out, *more, **changes)
        told, said = process.communicate(timeout=400)
        return process.returncode, json.loads(told) if told.startswith("{") else {}, said


def predictions(run):
    return {path.name: path.read_bytes() for path in [*run.glob("*preds.json*"), *run.glob("preds/*")]}


def test_a_cluster_plays_what_one_machine_plays_and_goes_on_after_a_kill_or_the_loss_of_a_machine(tmp_path, tool_env):
    python = tool_env("ray") / "bin" / "python"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "none", "RAY_USAGE_STATS_ENABLED": "0"}
    with (
        model_server_of(tmp_path, SCRIPT, latency=0.1) as base_url,
        cluster(python, environment) as (address, lose_a_node),
    ):
        sweep = Sweep(python, environment, base_url)
        code, here, said = sweep.finish(tmp_path / "here")
        assert code == 0, said
        remote = ("--executor", "ray")
        limited = sweep.finish(tmp_path / "there", *remote, "-c", "limits.run.calls=9", RAY_ADDRESS=address)
        assert limited[0] == 5, limited[2]
        cut = sweep.start(tmp_path / "there", *remote, RAY_ADDRESS=address)
        while cut.poll() is None and b"task_finished" not in events_after_resume(tmp_path / "there"):
            time.sleep(0.05)
        cut.kill()
        cut.communicate()
        code, there, said = sweep.finish(tmp_path / "there", *remote, RAY_ADDRESS=address)
        repeated = stats(base_url).get("repeated", 0)
        losing = sweep.start(tmp_path / "lost", *remote, RAY_ADDRESS=address)
        while losing.poll() is None and b"rollout_finished" not in events_of(tmp_path / "lost"):
            time.sleep(0.05)
        lose_a_node()
        told, lost_said = losing.communicate(timeout=400)
    assert losing.returncode == 0, lost_said
    assert json.loads(told)["results"] == here["results"]
    assert predictions(tmp_path / "lost") == predictions(tmp_path / "here")
    assert b"a machine of the cluster was lost" in events_of(tmp_path / "lost")
    assert code == 0, said
    assert there["results"] == here["results"]
    assert predictions(tmp_path / "there") == predictions(tmp_path / "here") != {}
    calls = [sum(one.usage.calls for one in RunStore(tmp_path / name).charges()) for name in ("here", "there")]
    events = [json.loads(line) for line in (tmp_path / "there" / "events.jsonl").read_text().splitlines()]
    assert events[0]["data"]["sandbox"] == "Ray, 2 machines"
    print(f"calls here and there {calls}, {repeated} replies repeated")
    ended = [one for one in events if one["kind"] == "rollout_finished" and one["data"]["exit"] == "submitted"]
    finished = [(one["task"], one["rollout"]) for one in ended]
    assert sorted(finished) == sorted(set(finished))


def events_of(run):
    path = run / "events.jsonl"
    return path.read_bytes() if path.exists() else b""


def events_after_resume(run):
    content = events_of(run)
    return content.rpartition(b'"run_resumed"')[2] if b'"run_resumed"' in content else b""
