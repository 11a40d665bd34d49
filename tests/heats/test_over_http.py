"""`heats solve` against a scripted OpenAI-compatible server, as processes: end to end, killed, interrupted."""

import json
import random
import signal
import subprocess

import pytest
from processes import Solve, containers, model_server, stats

pytestmark = pytest.mark.slow

FIXED = ("-c", "policy.name=fixed")
POLICIES = [FIXED] + [
    ("-c", f"policy.name={name}", "-c", "policy.options.at_once=1", "--iterations", "1")
    for name in ("first-verified", "two-pass")
]
"""One attempt at a time, so that decisions do not depend on which of two ends first."""
SANDBOXES = [pytest.param("docker", marks=pytest.mark.docker), pytest.param("bubblewrap", marks=pytest.mark.bubblewrap)]


@pytest.mark.parametrize("sandbox", SANDBOXES)
@pytest.mark.timeout(300)
def test_the_whole_method_over_http(tmp_path, sandbox):
    with model_server(tmp_path) as base_url:
        code, result, told = Solve(tmp_path, base_url, sandbox, *FIXED).finish()
        served = stats(base_url)
    assert (code, result["status"]) == (0, "verified"), told
    assert result["tests_before"]["failed"] == 1
    assert result["tests_after"]["passed"] == 2
    assert {served[f"replies.{kind}"] > 0 for kind in ("agent", "summary", "vote")} == {True}
    assert result["ledger"]["calls"] == served["requests"]
    assert result["ledger"]["prompt_tokens"] == served["prompt_tokens"]
    assert result["ledger"]["completion_tokens"] == served["completion_tokens"]
    subprocess.run(["git", "-C", tmp_path / "repo", "apply", result["patch"]], check=True)
    assert "a - b" not in (tmp_path / "repo" / "calc.py").read_text()


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy[1].partition("=")[2])
@pytest.mark.parametrize("sandbox", SANDBOXES)
@pytest.mark.timeout(900)
def test_ten_kills_change_nothing_and_repeat_nothing(tmp_path, sandbox, policy):
    """Replies on their way to a killed process are lost; only those are requested again."""
    seed = random.randrange(10**6)
    print("seed", seed)
    draw = random.Random(seed)
    (tmp_path / "uncut").mkdir()
    (tmp_path / "cut").mkdir()
    with model_server(tmp_path / "uncut", latency=0.05) as base_url:
        whole = Solve(tmp_path / "uncut", base_url, sandbox, *policy)
        _, uncut, told = whole.finish()
        asked_uncut = stats(base_url)
    with model_server(tmp_path / "cut", latency=0.05) as base_url:
        solve = Solve(tmp_path / "cut", base_url, sandbox, *policy)
        kills, decided = 0, b""
        for _ in range(10):
            kills += solve.start_and_kill(draw.uniform(1.2, 3.0)) == -signal.SIGKILL
            assert solve.decisions().startswith(decided), "a resumed run decided otherwise"
            decided = solve.decisions()
        code, cut, told = solve.finish()
        asked_cut = stats(base_url)
    assert code == 0, told
    assert actions(solve.decisions()) == actions(whole.decisions())
    for key in ("status", "selected", "fixed", "base_commit"):
        assert cut[key] == uncut[key]
    assert [one["patch_sha256"] for one in cut["rollouts"]] == [one["patch_sha256"] for one in uncut["rollouts"]]
    in_flight = asked_cut["requests"] - asked_uncut["requests"]
    print(f"{kills} kills; {asked_uncut['requests']} requests uncut, {in_flight} more with kills, ", end="")
    print(f"{asked_cut.get('repeated', 0)} replies repeated")
    # A kill within the few milliseconds between a reply's arrival and its record loses the reply. Rollouts that started
    # over would request several replies each, and did (21 in 10 kills) before finished rollouts could be resumed.
    assert asked_cut.get("repeated", 0) <= kills
    if sandbox == "docker":
        assert containers(solve.run_dir) == set()


def actions(decisions):
    """What was decided, in order, without the times in the attempts."""
    return [json.loads(line)["actions"] for line in decisions.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.docker
@pytest.mark.timeout(300)
def test_a_signal_ends_orderly_and_the_same_command_goes_on(tmp_path, number):
    with model_server(tmp_path, latency=0.2) as base_url:
        solve = Solve(tmp_path, base_url, "docker")
        assert solve.start_and_kill(0.5, number, once="rollout_started") == 128 + number
        assert containers(solve.run_dir) == set()
        code, result, told = solve.finish()
        assert (code, result["status"]) == (0, "verified"), told
        assert stats(base_url).get("repeated", 0) <= 4
