"""The policy at work on small invented bugs, through nothing but messages and bash."""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.llm.base import ResponseSchema, Sampling, ToolSpec
from agents.llm.ledger import Ledger
from heats.demo import RepairConfig, RepairModel
from heats.demo.edits import read_attempts

pytestmark = pytest.mark.slow

COMMAND = f"{sys.executable} -m unittest -q"
BUGS = ("boundary", "running-total", "last-item", "lost-result", "shared-default", "missing-base-case")
BASH = (ToolSpec(name="bash", description="", parameters={}), ToolSpec(name="submit", description="", parameters={}))


@pytest.mark.parametrize("bug", BUGS)
async def test_a_small_bug_is_fixed_by_some_seed(bug: str, model: RepairModel, player: Any, buggy: Any) -> None:
    played = await asyncio.gather(*(player(model, buggy(bug, seed), COMMAND, seed) for seed in range(3)))
    assert any(one.fixed for one in played)


async def test_seeds_differ_and_the_same_seed_repeats(model: RepairModel, player: Any, buggy: Any) -> None:
    def tried(played: Any) -> list[str]:
        return [attempt.text for attempt in read_attempts(played.trajectory) if attempt.outcome]

    first, other = [await player(model, buggy("last-item", n), COMMAND, n) for n in (1, 2)]
    assert tried(first) != tried(other)
    for length in range(2, len(first.messages)):
        if first.messages[length]["role"] == "assistant":
            ask = RepairModel().complete
            sampling = Sampling(seed=1)
            reply = await ask(first.messages[:length], ledger=Ledger("t"), tools=BASH, sampling=sampling)
            assert reply.first.message == first.messages[length]


async def test_the_tree_holds_the_edit_and_nothing_else(model: RepairModel, player: Any, buggy: Any) -> None:
    repo = buggy("boundary")
    played = await player(model, repo, COMMAND, 0)
    assert sorted(path.name for path in repo.iterdir()) == ["m.py", "test_m.py"]
    assert played.fixed == ("age > 18" not in (repo / "m.py").read_text())


async def summary_of(model: RepairModel, played: Any) -> str:
    from summarizer.schema import draft_schema

    prompt = f"## Task\nIt is wrong.\n\n## Attempt\n{played.trajectory}\n\n## Measured\n"
    schema = ResponseSchema(name="summary", json_schema=draft_schema())
    asked = [{"role": "user", "content": prompt}]
    reply = await model.complete(asked, ledger=Ledger("t"), response_schema=schema)
    draft = json.loads(reply.first.content)
    return "## Earlier attempts\n\n" + "\n".join([draft["progress"], *(item["text"] for item in draft["hypotheses"])])


async def test_what_an_earlier_attempt_found_saves_steps(model: RepairModel, player: Any, buggy: Any) -> None:
    first = await player(model, buggy("last-item", 9), COMMAND, 3)
    earlier = await summary_of(model, first)
    again = [await player(model, buggy("last-item", n), COMMAND, n, earlier=earlier) for n in (20, 21)]
    assert first.fixed and all(one.fixed for one in again)
    assert max(one.steps for one in again) <= min(first.steps, 6)


async def test_what_failed_earlier_is_not_tried_again(player: Any, buggy: Any) -> None:
    model = RepairModel(RepairConfig(checks=1))
    first = await player(model, buggy("running-total", 1), COMMAND, 4)
    failed = {a.patch for a in read_attempts(first.trajectory) if a.outcome and not a.outcome.helps}
    again = await player(model, buggy("running-total", 2), COMMAND, 4, earlier=await summary_of(model, first))
    tried = {a.patch for a in read_attempts("\n".join(again.log)) if a.outcome}
    assert failed and not failed & tried


async def test_a_misleading_report_is_checked_before_it_is_believed(
    model: RepairModel, player: Any, buggy: Callable[..., Path]
) -> None:
    lie = '## Earlier attempts\n\ntried m.py:2:12 "age > 18" -> "age < 18": failing 0 of 1 (all pass)\n'
    lie += 'tried ../x.py:1:1 "" -> "x": failing 0 of 1 (all pass)'
    played = await player(model, buggy("boundary"), COMMAND, 1, earlier=lie)
    assert 'tried m.py:2:12 "age > 18" -> "age < 18": failing 1 of 1' in played.trajectory
    assert "x.py" not in played.trajectory


async def test_passing_tests_leave_nothing_to_do(model: RepairModel, player: Any, tmp_path: Path) -> None:
    (tmp_path / "test_m.py").write_text("import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n")
    played = await player(model, tmp_path, COMMAND, 0)
    assert played.fixed and any("No test fails" in str(message["content"]) for message in played.messages)


async def test_without_a_test_command_one_is_guessed(model: RepairModel, player: Any, buggy: Any) -> None:
    played = await player(model, buggy("boundary"), "", 0)
    assert '"how": "' in played.trajectory
