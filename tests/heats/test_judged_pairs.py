"""The benchmark of judged pairs chooses and scores pairs without giving an outcome away."""

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.judged_pairs import Pair, choose_pairs, env_of, interval, points
from benchmarks.real_attempts import Pool, read_pools
from tournament.base import Vote

LABELS = ("K7Q", "B3X")


def patch(line: str) -> str:
    return f"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 0\n+{line}\n"


def pools(tmp_path: Path, outcomes: dict[str, list[bool | None]], **more: object) -> list[Pool]:
    known = {"label_trust": "graded here", "equals_reference": False, **more}
    attempts = [
        {"instance_id": name, "attempt_id": f"{name}-{n}", "model_patch": patch(f"x = {n}"), "resolved": one, **known}
        for name, own in outcomes.items()
        for n, one in enumerate(own, 1)
    ]
    (tmp_path / "attempts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in attempts))
    return read_pools(tmp_path / "attempts.jsonl", [])


def vote(choice: str | None) -> Vote:
    return Vote(order=("a", "b"), labels=LABELS, choice=choice)


def test_every_pair_has_one_resolving_patch_in_either_place(tmp_path: Path) -> None:
    outcomes: dict[str, list[bool | None]] = {"one": [True, False, None, False, True, False], "two": [True, False]}
    pairs = choose_pairs(pools(tmp_path, outcomes), {}, 20, seed=1)
    resolved = {f"{name}-{n}": one for name, own in outcomes.items() for n, one in enumerate(own, 1)}
    assert Counter(pair.instance for pair in pairs) == {"one": 6, "two": 1}
    assert all(sorted(map(bool, (resolved[name] for name in pair.attempts))) == [False, True] for pair in pairs)
    assert {resolved[pair.attempts[0]] for pair in pairs} == {True, False}
    assert not any(pair.equal for pair in pairs)


def test_instances_take_turns_and_unused_attempts_come_first(tmp_path: Path) -> None:
    found = pools(tmp_path, {"one": [True, False, True, False], "two": [True, False]})
    pairs = choose_pairs(found, {}, 3, seed=1)
    assert Counter(pair.instance for pair in pairs) == {"one": 2, "two": 1}
    assert len({name for pair in pairs for name in pair.attempts}) == 6
    assert pairs == choose_pairs(found, {}, 3, seed=1)


@pytest.mark.parametrize("doubt", [{"label_trust": "claim only"}, {"equals_reference": True}])
def test_claimed_outcomes_and_copies_of_the_reference_make_no_pair(tmp_path: Path, doubt: dict[str, object]) -> None:
    assert choose_pairs(pools(tmp_path, {"one": [True, False]}, **doubt), {}, 20, seed=1) == []


def test_orders_that_disagree_and_unreadable_votes_count_half() -> None:
    assert points([vote("a"), vote("a")], "a") == 1
    assert points([vote("b"), vote("b")], "a") == 0
    assert points([vote("a"), vote("b")], "a") == points([vote("a"), vote(None)], "a") == points([], "a") == 0.5


def test_pairs_of_one_instance_are_resampled_together() -> None:
    assert interval({"one": [1.0] * 10, "two": [0.0] * 10}) == (0, 1)
    assert interval({"one": [1.0, 0.0], "two": [0.0, 1.0]}) == (0.5, 0.5)


def test_a_pairs_task_keeps_the_image_and_statement_of_its_instance() -> None:
    row = {"instance_id": "a__b-1", "repo": "a/b", "base_commit": "c" * 40, "problem_statement": "It is broken."}
    env = env_of([Pair(id="pair-00", instance="a__b-1", attempts=("x", "y"), equal=False)], {"a__b-1": row})
    (task,) = env.tasks()
    assert (task.id, task.statement) == ("pair-00", "It is broken.")
    assert "a_1776_b-1" in task.image
