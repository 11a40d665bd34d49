"""`heats sweep` killed at random times and restarted: nothing lost, nothing repeated, nothing left over.

A few kills by default. HEATS_KILLS=20 HEATS_KILL_SEEDS=3 HEATS_KILL_TASKS=19 is the full test and takes some minutes.
HEATS_KILL_MODEL=builtin:repair replaces the scripted model by the built-in one. HEATS_KILL_POLICIES names other
allocation policies, which play one attempt at a time; `routing` is `fixed` with routed votes and summaries.
"""

import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from processes import containers, model_server_of, stats

from heats.store.store import RunStore

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("HEATS_KILLS", "4"))
SEEDS = int(os.environ.get("HEATS_KILL_SEEDS", "1"))
TASKS = int(os.environ.get("HEATS_KILL_TASKS", "4"))
MODEL = os.environ.get("HEATS_KILL_MODEL", "fake-model")
SANDBOXES = [pytest.param("docker", marks=pytest.mark.docker), pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)]
POLICIES = os.environ.get("HEATS_KILL_POLICIES", "fixed two-pass").split()
OPTIONS = {"two-pass": ("first=1", "mean=2"), "prune": ("at=1", "peers=2")}
SCRIPT = {"rules": [{"variants": [["ls", "echo one > note.txt"], ["echo two > note.txt", "ls -la", "true"], ["ls"]]}]}


def policy_flags(policy, model, base_url):
    """Options of the command for a policy; two settings of the model for those that choose among models."""
    if policy == "fixed":
        return []
    if policy == "routing":
        small = json.dumps({"name": model, "base_url": base_url, "temperature": 0.3})
        flags = ["routing.votes=true", "routing.summaries=true", "routing.warm_up=2", "routing.sample=0.5"]
        flags += [f"judge_model={small}", f"summarizer_model={small}", "summarizer.when=always"]
        return [part for flag in flags for part in ("-c", flag)]
    at_once = () if policy == "prune" else ("at_once=1",)
    flags = [f"policy.name={policy}", *(f"policy.options.{one}" for one in (*at_once, *OPTIONS.get(policy, ())))]
    if policy in ("cascade", "bandit"):
        models = [{"name": model, "base_url": base_url, "temperature": heat} for heat in (0.2, 0.9)]
        flags.append(f"models={json.dumps(models)}")
    return [part for flag in flags for part in ("-c", flag)]


class Sweep:
    """One `heats sweep` command line over built-in tasks, which can be started repeatedly."""

    def __init__(self, directory, base_url, sandbox, seed, policy):
        self.run_dir = directory / f"run-{secrets.token_hex(4)}"
        self.scratch = directory / "scratch"
        model = ["--model", MODEL] if ":" in MODEL else ["--model", MODEL, "--base-url", base_url]
        self.command = [
            *(sys.executable, "-c", "from heats.cli import main; main()", "sweep", "demo", "--slice", f":{TASKS}"),
            *("--rollouts", "2", "--iterations", "1", "--votes", "1", "--workers", "4", "--seed", str(seed), *model),
            *("--sandbox", sandbox, "--out", str(self.run_dir), "--progress", "quiet", "--json"),
            *("-c", f"sandbox.scratch_dir={self.scratch}", "-c", "retries.wait_s=0"),
            *policy_flags(policy, MODEL, base_url),
        ]
        self.environment = {**os.environ, "OPENAI_API_KEY": "none"}

    def start(self):
        quiet = subprocess.DEVNULL
        return subprocess.Popen(self.command, stdout=quiet, stderr=quiet, env=self.environment)

    def kill_after(self, events, pause_s):
        """Start, wait for further events and then a moment, and kill; returns whether it was still running."""
        process, before = self.start(), self.events_bytes().count(b"\n")
        while process.poll() is None and self.events_bytes().count(b"\n") < before + events:
            time.sleep(0.02)
        time.sleep(pause_s)
        process.kill()
        return process.wait(30) == -signal.SIGKILL

    def finish(self):
        done = subprocess.run(self.command, capture_output=True, text=True, timeout=3000, env=self.environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def events_bytes(self):
        path = self.run_dir / "events.jsonl"
        return path.read_bytes() if path.exists() else b""

    def predictions(self):
        files = [*self.run_dir.glob("*preds.json*"), *self.run_dir.glob("preds/*")]
        return {path.relative_to(self.run_dir).as_posix(): path.read_bytes() for path in files}

    def finished(self):
        """How often each rollout finished."""
        events = [json.loads(line) for line in self.events_bytes().splitlines()]
        return Counter((one["task"], one["rollout"]) for one in events if one["kind"] == "rollout_finished")

    def routed(self):
        """How often each vote or summary was routed, and compared."""
        found = Counter()
        for path in self.run_dir.glob("tasks/*/routing.jsonl"):
            lines = map(json.loads, path.read_text().splitlines())
            found.update((path.parent.name, line["kind"], line["unit"], "route" in line) for line in lines)
        return found

    def calls(self):
        return sum(charge.usage.calls for charge in RunStore(self.run_dir).charges())


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("sandbox", SANDBOXES)
@pytest.mark.timeout(7200)
def test_a_sweep_killed_at_random_ends_as_one_that_was_not(tmp_path, sandbox, policy):
    seed = random.randrange(10**6)
    print("seed", seed, "run directories", tmp_path)
    draw = random.Random(seed)
    for number in range(SEEDS):
        kills = KILLS // SEEDS + (number < KILLS % SEEDS)
        for name in ("uncut", "cut"):
            (tmp_path / f"{name}{number}").mkdir()
        with model_server_of(tmp_path / f"uncut{number}", SCRIPT, latency=0.1) as base_url:
            uncut = Sweep(tmp_path / f"uncut{number}", base_url, sandbox, number, policy)
            wanted = uncut.finish()
        with model_server_of(tmp_path / f"cut{number}", SCRIPT, latency=0.1) as base_url:
            cut = Sweep(tmp_path / f"cut{number}", base_url, sandbox, number, policy)
            most = uncut.events_bytes().count(b"\n") // (kills + 1)
            killed = sum(cut.kill_after(draw.randint(1, max(2, most)), draw.uniform(0, 0.5)) for _ in range(kills))
            ended = cut.finish()
            repeated = stats(base_url).get("repeated", 0)
        assert ended["results"] == wanted["results"]
        assert cut.predictions() == uncut.predictions() != {}
        assert set(cut.finished().values()) == {1}
        assert cut.finished() == uncut.finished()
        assert containers(cut.run_dir) == set() if sandbox == "docker" else not list(cut.scratch.glob("*"))
        assert set(cut.routed().values()) == ({1} if policy == "routing" else set())
        more = cut.calls() - uncut.calls()
        print(f"seed {number}: {killed} of {kills} kills hit; {len(cut.finished())} rollouts ended once each; ", end="")
        print(f"{uncut.calls()} calls uncut, {more} more with kills, {repeated} replies repeated")
        # A kill within the few milliseconds between a reply's arrival and its record loses it; at most one per worker.
        assert repeated <= 4 * killed
