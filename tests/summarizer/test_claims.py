"""Claims checked against the record, by the table in `claims.yaml`: no true one is contradicted, inverted ones are."""

from pathlib import Path

import pytest
import yaml

from summarizer.check import check_claims
from summarizer.schema import Claim

CASES = yaml.safe_load(Path(__file__).with_name("claims.yaml").read_text(encoding="utf-8"))
TRUE, FALSE = ("confirmed", "unconfirmed"), ("contradicted", "not contradicted")


def rows(*kinds):
    found = [(case, kind) for case in CASES for kind in kinds if kind in case]
    return pytest.mark.parametrize(("case", "kind"), found, ids=[f"{case['name']}-{kind}" for case, kind in found])


def mark_of(kit, case, kind, command=None, output=None, says=None):
    head, _, finding = case[kind].partition(": ")
    tree, outcome = head.split()
    command = command or case["command"]
    story = kit.trajectory(kit.ran(7, command, case["output"] if output is None else output, case["exit"]))
    quoted = says or case.get("says") or command
    claim = Claim(command=quoted, step_id=7, tree=tree, outcome=outcome, finding=finding)
    return check_claims((claim,), story)[0].mark


def test_the_table_is_large_enough_to_tell() -> None:
    assert len(CASES) >= 90
    assert sum(kind in case for case in CASES for kind in FALSE) >= 70


@rows(*TRUE)
def test_a_true_claim_is_not_contradicted(kit, case, kind) -> None:
    assert mark_of(kit, case, kind) == kind


@rows(*FALSE)
def test_an_inverted_claim_is_caught(kit, case, kind) -> None:
    mark = mark_of(kit, case, kind)
    assert mark == "contradicted" if kind == "contradicted" else mark != "contradicted"


VARIATIONS = {
    "a directory before": lambda case: {"command": f"cd /testbed && {case['command']}"},
    "shell options before": lambda case: {"command": f"set -x\n{case['command']}", "says": case["command"]},
    "line ends of Windows": lambda case: {"output": case["output"].replace("\n", "\r\n")},
    "the agent's heading": lambda case: {"output": f"exit code {case['exit']}\noutput:\n{case['output']}"},
    "warnings before": lambda case: {"output": f"DeprecationWarning: 1 failed idea\n+1 failed\n{case['output']}"},
    "the middle left out": lambda case: {"output": f"line\n[... 9000 characters left out ...]\n{case['output']}"},
    "quoted in a fence": lambda case: {"says": f"`{case.get('says') or case['command']}`"},
    "quoted with a prompt": lambda case: {"says": f"$ {case.get('says') or case['command']}"},
    "other spaces": lambda case: {"says": (case.get("says") or case["command"]).replace(" ", "  ")},
}


@pytest.mark.parametrize("variation", VARIATIONS)
def test_how_it_was_typed_and_shown_does_not_turn_a_mark_round(kit, variation) -> None:
    turned = []
    for case in CASES:
        changes = VARIATIONS[variation](case)
        turned += [case["name"] for kind in TRUE if kind in case and mark_of(kit, case, kind, **changes) == FALSE[0]]
        turned += [
            case["name"] for kind in FALSE[:1] if kind in case and mark_of(kit, case, kind, **changes) == TRUE[0]
        ]
    assert not turned


BASE = "4 failed, 367 passed, 1 skipped, 176 errors in 9.1s"
SAME = "4 failed, 370 passed, 1 skipped, 176 errors in 9.3s"


@pytest.mark.parametrize(
    ("finding", "now", "mark"),
    [
        ("4 failed, 370 passed, 176 errors: as many failures and errors as on base", SAME, "confirmed"),
        ("4 failed, 370 passed, 176 errors; the same failures as before the change", SAME, "confirmed"),
        ("370 passed, no failure that the base does not have", SAME.replace("4", "5", 1), "unconfirmed"),
        ("4 failed, 370 passed, 176 errors: as many as on base", SAME.replace("176", "170"), "unconfirmed"),
        ("all pass", SAME, "contradicted"),
    ],
)
def test_failures_that_the_base_had_in_an_earlier_step_do_not_speak_against_a_claim(kit, finding, now, mark) -> None:
    story = kit.trajectory(kit.ran(4, "pytest -q", BASE, 1), kit.ran(7, "pytest -q tests", now, 1))
    claim = Claim(command="pytest -q tests", step_id=7, tree="changed", outcome="passes", finding=finding)
    assert check_claims((claim,), story)[0].mark == mark


def test_failures_of_part_of_the_tests_that_an_earlier_run_of_all_lists_too_are_as_before(kit) -> None:
    everything = "\n".join(f"ERROR tests/test_a.py::test_{one}[http://x y] - Rec..." for one in range(9))
    part = "\n".join(f"ERROR tests/test_a.py::test_{one}[http://x y] - Rec..." for one in range(3))
    claim = Claim(
        command="pytest -q -k a",
        step_id=6,
        tree="changed",
        outcome="passes",
        finding="41 passed, 3 errors; the base has these errors too",
    )
    for first, mark in ((everything, "confirmed"), (part.replace("test_a", "test_b"), "unconfirmed")):
        story = kit.trajectory(
            kit.ran(4, "pytest -q", f"{first}\n367 passed, 9 errors in 9.1s", 1),
            kit.ran(6, "pytest -q -k a", f"{part}\n41 passed, 3 errors in 1.0s", 1),
        )
        assert check_claims((claim,), story)[0].mark == mark


def test_a_script_that_is_described_is_confirmed_by_what_it_printed(kit) -> None:
    script = "python - <<'P'\\nimport requests\\nfor u in urls:\\n    print(u, repr(tried(requests.get, u)))\\nP"
    story = kit.trajectory(kit.ran(4, script, "http://.x LocationParseError('label empty')\n", 0))
    fields = {"command": "a script that sends requests", "step_id": 4, "tree": "base", "outcome": "reproduces"}
    cut = Claim(**fields, finding="it prints 'http://.x Location...'")
    other = Claim(**fields, finding="it prints 'all is well'")
    marks = [one.mark for one in check_claims((cut, other), story)]
    assert marks == ["confirmed", "unconfirmed"]


def test_a_remark_behind_a_command_with_brackets_of_its_own_does_not_hide_it(kit) -> None:
    command = 'python -c "import requests; requests.get(1)"'
    story = kit.trajectory(kit.ran(4, command, "LocationParseError", 1))
    claim = Claim(command=f"{command} (after a sed)", step_id=4, tree="base", outcome="reproduces", finding="it raises")
    assert check_claims((claim,), story)[0].mark == "confirmed"
