"""A judge that runs code, through `heats select` in real sandboxes: what decides, is kept, and cannot leak."""

import json
import shlex
import sys
from pathlib import Path

import probing_model
import pytest
from test_cross import BASE, RIGHT, WRONG, fix, repository

from heats.cli import main
from heats.store.store import RunStore

pytestmark = [pytest.mark.timeout(180), pytest.mark.bubblewrap]


@pytest.fixture
def select(tmp_path, monkeypatch, capsys):
    """`heats select` on two fixes that the users' test cannot tell apart; the second is right."""
    monkeypatch.chdir(tmp_path)
    repository(tmp_path / "repo", BASE)
    Path("attempts").mkdir()
    for number, body in enumerate((WRONG[0], RIGHT[0])):
        (tmp_path / "attempts" / f"p{number}.diff").write_text(fix("    return x", body))
    for name in ("script", "check", "first"):
        monkeypatch.setattr(probing_model.Judge, name, getattr(probing_model.Judge, name))
    monkeypatch.setattr(probing_model.Judge, "seen", [])
    probing_model.ASKED.clear()

    def go(*more):
        asked = "--model python:probing_model:Judge --issue clamp --view probe --sandbox bubblewrap --json"
        command = ["heats", "select", "attempts", "--repo", "repo", "--test", "python3 -m unittest"]
        command += [*shlex.split(asked), "--progress", "quiet", "--out", "out", *more]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit):
            main()
        told = json.loads(capsys.readouterr().out)["tasks"][0]
        return told, RunStore(tmp_path / "out").task(told["task"])

    return go


def test_what_a_judge_runs_in_the_trees_decides_where_tests_do_not(select):
    told, task = select()
    assert told["ranking"][0]["source"].endswith("p1.diff")
    (match,) = task.bracket(0).matches
    assert [vote.ran for vote in match.votes] == ["sandbox", "sandbox"] and match.decided_by == "votes"
    names = {word for vote in match.votes for word in (*vote.labels, "base", "on")}
    assert any(set(seen.split()) & names for seen in probing_model.Judge.seen)
    inquiries = sorted((task.directory / "heat-0" / "inquiries").iterdir())
    assert len(inquiries) == 2 and all((one / "trajectory.json").exists() for one in inquiries)
    assert told["ledger"]["sandbox_s"] > 0


def test_a_script_that_tells_them_apart_spares_the_inquiries_and_is_not_run_twice(select, tmp_path):
    probing_model.Judge.script = 'python3 -c "from calc import clamp; print(clamp(-5, 0, 3))"'
    _, task = select()
    assert "inquiry" not in probing_model.ASKED
    (match,) = task.bracket(0).matches
    assert {vote.ran for vote in match.votes} == {"script"}
    cells = (task.directory / "cross.jsonl").read_text().splitlines()
    outputs = [json.loads(line)["words"]["output"] for line in cells]
    assert sorted(outputs) == ["exit code 0\n-5", "exit code 0\n-5", "exit code 0\n0"]  # the base, and both fixes
    for name in ("heat-0/tournament.json", "result.json", "heat-0/votes.jsonl"):
        (task.directory / name).unlink()
    select()
    assert (task.directory / "cross.jsonl").read_text().splitlines() == cells
    assert probing_model.ASKED.count("probe_script") == 1


MENDED = "def clamp(x, low, high): return sorted((low, x, high))[1]"
SABOTAGE = (
    f"ls ~/kept /tmp/x; cat calc.py; echo '{MENDED}' >calc.py; rm -rf tests; mkdir -p ~/kept; touch ~/kept/x /tmp/x; "
    "python3 -c 'import socket; socket.create_connection((\"192.0.2.1\", 80), 2)'"
)


def test_nothing_that_a_judge_does_in_its_sandbox_reaches_verification_or_the_next_inquiry(select):
    """The judge mends every tree that it sees, and chooses the attempt that changes nothing."""
    useless = fix("    return x", "    return x + 0")
    Path("attempts", "p0.diff").write_text(useless)
    probing_model.Judge.script, probing_model.Judge.first = "echo same", SABOTAGE
    probing_model.Judge.check = f"grep 'x + 0' TREES/LABEL/calc.py && echo '{MENDED}' >TREES/LABEL/calc.py"
    told, task = select("-c", "evidence=false", "-c", "workers=1")
    firsts = [one for one in probing_model.Judge.seen if "No such file" in one]
    assert len(firsts) == 2 and all("return x" in one and "unreachable" in one for one in firsts)
    assert told["ranking"][0]["source"].endswith("p0.diff") and told["status"] == "unverified"
    assert task.rollout(task.result().selected).patch().data.decode() == useless
    assert task.result().evidence.after.tests == {"tests.test_calc.TestClamp.test_high": "failed"}


def test_scripts_and_inquiries_are_limited_by_the_budget_for_evidence(select):
    _, task = select("-c", "execution.sandboxes=1", "-c", "workers=1")
    (match,) = task.bracket(0).matches
    assert {vote.ran for vote in match.votes} == {""} and len(match.votes) > 0
    assert not (task.directory / "heat-0" / "inquiries").exists()
