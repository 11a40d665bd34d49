"""Where the run behind a claim is searched in the trajectory, and what terminals show of it."""

import json

import pytest

from agents.llm.base import ToolCall
from agents.trajectory import Observation, Step
from summarizer.check import check_claims
from summarizer.schema import Claim


def checked(story, **claim):
    fields = {"command": "pytest -q", "tree": "changed", "outcome": "passes", "finding": "", "step_id": 3, **claim}
    return check_claims((Claim(**fields),), story)[0]


def typed(step, text, screen, keys=(), exit_code=None):
    """A step of the terminal agent, whose shell may report how its command ended."""
    call = ToolCall(id=f"c{step}", name="type", arguments=json.dumps({"text": text, "keys": list(keys), "wait_s": 5}))
    return Step(
        id=step, source="agent", content="", tool_calls=(call,),
        observations=(Observation(tool_call_id=call.id, content=screen, exit_code=exit_code),),
    )  # fmt: skip


def test_a_true_claim_is_confirmed(story) -> None:
    assert checked(story).mark == "confirmed"
    assert checked(story, command="python check.py", outcome="reproduces", step_id=4).mark == "confirmed"


@pytest.mark.parametrize(
    ("claim", "mark", "note"),
    [
        ({"outcome": "regresses"}, "contradicted", "the run reports: 3 passed"),
        ({"command": "python check.py", "step_id": 4}, "contradicted", "ended with AssertionError and exit 1"),
        ({"command": "make test"}, "unconfirmed", "no command like this was found in step 3"),
        ({"step_id": 77, "command": "make test"}, "unconfirmed", "there is no step 77"),
        ({"step_id": 4}, "unconfirmed", "ran in step 3, not 4 (exit 0)"),
        ({"command": ""}, "unconfirmed", "no command like this was found in step 3"),
    ],
)
def test_another_claim_is_marked_with_the_reason(story, claim, mark, note) -> None:
    assert (checked(story, **claim).mark, checked(story, **claim).note) == (mark, note)


@pytest.mark.parametrize(
    ("status", "mark"), [("timeout", "contradicted"), ("oom", "contradicted"), ("rejected", "unconfirmed")]
)
def test_what_was_cut_off_did_not_pass_and_what_was_not_run_says_nothing(kit, status, mark) -> None:
    story = kit.trajectory(kit.ran(3, "pytest -q", "", None, status=status))
    assert checked(story).mark == mark
    assert checked(story, outcome="reproduces", finding="it hangs").mark != "contradicted"


def test_a_report_that_came_before_the_time_limit_counts(kit) -> None:
    story = kit.trajectory(kit.ran(3, "pytest -q && sleep 999", "3 passed in 0.1s", None, status="timeout"))
    assert checked(story).mark == "confirmed"


def test_a_claim_is_held_against_its_own_step(kit) -> None:
    story = kit.trajectory(
        kit.ran(3, "pytest -q", "1 failed in 0.1s", 1), kit.ran(9, "pytest -q", "1 passed in 0.1s", 0)
    )
    assert checked(story, step_id=9).mark == "confirmed"
    assert checked(story, step_id=3).mark == "contradicted"
    assert checked(story, step_id=3, tree="base", outcome="reproduces").mark == "confirmed"


PROMPT = "root@box:/app#"
OLD = f"{PROMPT} cd /app && pytest -q\n..F\n1 failed, 2 passed in 0.12s"
QUOTED = "python3 -c 'print(\"a b\")'"
UNITS = "python3 -m pytest tests/units/test_parse.py tests/units/test_cli.py"
SLOW = f"1 failed, 2 passed in 0.12s\n{PROMPT} pytest -q tests/slow.py\n.."
TERMINAL = [
    typed(5, "cd /app && pytest -q\n", f"{OLD}\n{PROMPT}"),
    typed(6, f"{QUOTED}\n", f"{OLD}\n{PROMPT} {QUOTED}\na b\n{PROMPT}"),
    typed(7, "pytest -q tests/slow.py\n", SLOW),
    typed(8, "", f"{SLOW}...\n5 passed in 30.1s\n{PROMPT}"),
    typed(9, "make test", f"{PROMPT} make test"),
    typed(10, "", f"{PROMPT} make test\ngcc\nmake: *** [Makefile:3: test] Error 2\n{PROMPT}", ["Enter"]),
    typed(11, "./check.sh\n", f"{PROMPT} ./check.sh\n{PROMPT}"),
    typed(12, "echo $?\n", f"{PROMPT} echo $?\n3\n{PROMPT}"),
    typed(13, f"{UNITS}\n", f"{PROMPT} {UNITS[:40]}\n{UNITS[40:]}\n=== 9 passed in 0.2s ==="),
]


@pytest.mark.parametrize(
    ("command", "step", "true", "false"),
    [
        ("cd /app && pytest -q", 5, ("base", "reproduces", "1 failed"), ("changed", "passes", "3 passed")),
        ("pytest -q tests/slow.py", 7, ("changed", "passes", "5 passed"), ("changed", "regresses", "1 failed")),
        ("pytest -q tests/slow.py", 8, ("changed", "passes", "5 passed"), ("changed", "regresses", "1 failed")),
        ("make test", 9, ("changed", "regresses", "Error 2"), ("changed", "passes", "it is built")),
        ("make test", 10, ("changed", "regresses", "Error 2"), ("changed", "passes", "it is built")),
        ("./check.sh", 11, ("base", "reproduces", "it fails"), ("changed", "passes", "all is well")),
        (
            "pytest tests/units/test_parse.py ...",
            13,
            ("changed", "passes", "9 pass"),
            ("base", "reproduces", "1 fails"),
        ),
    ],
)
def test_what_was_typed_into_a_terminal_is_held_against_what_the_screen_showed(kit, command, step, true, false) -> None:
    story = kit.trajectory(*TERMINAL)
    for (tree, outcome, finding), mark in ((true, "confirmed"), (false, "contradicted")):
        assert checked(story, command=command, step_id=step, tree=tree, outcome=outcome, finding=finding).mark == mark


def test_a_typed_command_with_quotes_is_found_however_it_is_quoted(kit) -> None:
    story = kit.trajectory(*TERMINAL)
    for command in (QUOTED, f"`{QUOTED}`", json.dumps({"text": f"{QUOTED}\n", "keys": [], "wait_s": 5})):
        assert checked(story, command=command, step_id=6, finding="prints 'a b'").mark == "confirmed"


def test_an_exit_code_that_a_later_look_shows_is_that_of_the_command(kit) -> None:
    story = kit.trajectory(
        typed(3, "./check.sh\n", "$ ./check.sh"), typed(4, "", "exit code 1\nnew on the screen:\n$", exit_code=1)
    )
    assert checked(story, command="./check.sh", finding="all is well").mark == "contradicted"
    assert checked(story, command="./check.sh", tree="base", outcome="reproduces", step_id=4).mark == "confirmed"


def test_a_terminal_without_an_exit_code_contradicts_nothing_by_itself(kit) -> None:
    story = kit.trajectory(typed(3, "./run.sh\n", "$ ./run.sh\ndone\n$"))
    assert checked(story, command="./run.sh", finding="runs through").mark == "unconfirmed"
