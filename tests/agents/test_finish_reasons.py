"""Every way in which servers say that a reply ended."""

import pytest

from agents.llm.replies import UnusableReply, completions_of


def ended(reason):
    choice = {"message": {"role": "assistant", "content": "hi"}, "finish_reason": reason}
    return completions_of({"choices": [choice]})[0][0].finish_reason


@pytest.mark.parametrize(
    ("reason", "meaning"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "content_filter"),
        ("repetition", "length"),
        ("model_length", "length"),
        ("eos_token", "stop"),
        ("function_call", "tool_calls"),
    ],
)
def test_known_reasons_have_one_of_four_meanings(reason, meaning):
    assert ended(reason) == meaning


@pytest.mark.parametrize("reason", [None, "abort", "error", "", "STOP IT", 7, ["stop"]])
def test_a_reply_that_ended_otherwise_is_never_taken_for_a_whole_one(reason):
    with pytest.raises(UnusableReply, match="finish_reason"):
        ended(reason)
