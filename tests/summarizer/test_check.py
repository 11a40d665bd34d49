"""Claims are held against what the trajectory recorded."""

import pytest

from summarizer.check import check_claims
from summarizer.schema import Claim


def checked(story, **claim):
    fields = {"command": "pytest -q", "outcome": "passed", "finding": "", "step_id": 3, **claim}
    return check_claims((Claim(**fields),), story)[0]


def test_a_true_claim_is_supported(story) -> None:
    assert checked(story).supported
    assert checked(story, command="python check.py", outcome="failed", step_id=4).supported


@pytest.mark.parametrize(
    ("claim", "note"),
    [
        ({"outcome": "failed"}, "ended with exit 0 and its output reports no failure"),
        ({"command": "python check.py", "step_id": 4}, "ended with exit 1"),
        ({"command": "make test"}, "step 3 ran no such command"),
        ({"step_id": 77, "command": "make test"}, "there is no step 77"),
        ({"step_id": 4}, "ran in step 3, not 4 (exit 0)"),
        ({"command": ""}, "step 3 ran no such command"),
    ],
)
def test_a_false_claim_is_marked_with_the_reason(story, claim, note) -> None:
    assert (checked(story, **claim).supported, checked(story, **claim).note) == (False, note)


def test_a_log_that_says_passed_does_not_outweigh_the_exit_code(kit) -> None:
    story = kit.trajectory(kit.ran(3, "pytest -q", "all tests pass", 1))
    assert checked(story).note == "ended with exit 1"


def test_an_exit_code_hidden_by_a_pipe_does_not_outweigh_reported_failures(kit) -> None:
    story = kit.trajectory(kit.ran(3, "pytest -q | tail -3", "2 failed, 1 passed", 0))
    assert checked(story).note == "exit 0, but its output reports failures"
    assert checked(story, outcome="failed").supported


def test_a_command_that_timed_out_did_not_pass(kit) -> None:
    story = kit.trajectory(kit.ran(3, "pytest -q", "", None, status="timeout"))
    assert checked(story).note == "ended with timeout"
    assert checked(story, outcome="failed").supported


def test_white_space_and_quoting_a_part_of_a_command_do_not_matter(kit) -> None:
    story = kit.trajectory(kit.ran(3, "cd /testbed &&\n  python -m pytest   -q", "3 passed", 0))
    assert checked(story, command="$ python -m pytest -q").supported
