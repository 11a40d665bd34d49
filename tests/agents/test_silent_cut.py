"""A server that silently drops what does not fit."""

import pytest

from agents.errors import ContextOverflow
from agents.llm.ledger import Usage
from agents.llm.truncation import PromptGrowth


def turn(number, **more):
    return [{"role": "assistant", "content": f"turn {number}", **more}, {"role": "tool", "content": "out " * 100}]


def played(counts, calls=1, **more):
    """A conversation that grows by a turn each time, with the server's token count for each."""
    growth, messages = PromptGrowth(), [{"role": "user", "content": "Fix it."}]
    for number, tokens in enumerate(counts):
        growth.check(messages, Usage(calls=calls, prompt_tokens=tokens))
        messages += turn(number, **more)


@pytest.mark.parametrize("counts", [(1000, 1250, 1250), (1000, 1250, 800)])
def test_a_history_that_grows_without_more_tokens_was_cut(counts):
    with pytest.raises(ContextOverflow, match="drops what does not fit its context"):
        played(counts)


@pytest.mark.parametrize("counts", [(1000, 1250, 1400), (0, 0, 0), (1000, 0, 900), (1000, 120, 110)])
def test_a_server_that_counts_more_or_nothing_or_what_is_new_alone_is_believed(counts):
    played(counts)


def test_nothing_is_concluded_from_templates_that_drop_reasoning_or_calls_of_several_requests():
    played((1000, 1250, 800), reasoning="because")
    played((1000, 1250, 800), calls=2)


def test_what_was_counted_is_counted_anew_when_a_history_was_shortened_or_is_another_one():
    growth, first = PromptGrowth(), [{"role": "user", "content": "Fix it."}, *turn(0), *turn(1)]
    growth.check(first, Usage(calls=1, prompt_tokens=1000))
    growth.check(first[:1], Usage(calls=1, prompt_tokens=900))
    growth.check([{"role": "user", "content": "Fix that."}, *turn(0)[:1]], Usage(calls=1, prompt_tokens=800))
    with pytest.raises(ContextOverflow, match="had 800 before it grew by 431 "):
        growth.check([{"role": "user", "content": "Fix that."}, *turn(0)], Usage(calls=1, prompt_tokens=700))


async def test_a_rollout_ends_there_and_keeps_what_it_did(story, monkeypatch):
    from agents.llm import fake
    from agents.llm.fake import bash

    monkeypatch.setattr(fake, "count_tokens", lambda value: 700)
    trajectory = await story.play(bash("one " * 50), bash("two " * 50), bash("three"))
    assert (trajectory.exit.kind, trajectory.agent_steps) == ("context_overflow", 1)
