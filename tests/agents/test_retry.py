"""What each failure means: retry decisions are data."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from agents.errors import (
    ContextOverflow,
    LimitExceeded,
    ModelConfigError,
    ModelError,
    ModelRefused,
    ModelUnavailable,
)
from agents.llm.chat_http import BrokenReply, ConnectError, StatusError
from agents.llm.replies import InBandError, UnusableReply
from agents.llm.retry import classify


def status_error(status, message="no", **headers):
    return StatusError(status, headers, {"error": {"message": message}})


@pytest.mark.parametrize("status", [*range(400, 432), 451, 499, 500, 502, 503, 504, 529])
def test_every_status_becomes_a_decision_with_an_error_of_this_room(status):
    decision = classify(status_error(status))
    assert isinstance(decision.error, ModelError)
    passing = status in (408, 409, 423, 424, 425, 429) or status >= 500
    assert decision.retry == passing
    permanent = ContextOverflow if status == 413 else ModelConfigError
    assert isinstance(decision.error, ModelUnavailable if passing else permanent)
    assert (decision.kind == "rate_limit") == (status == 429)
    assert decision.server_down == (status in (502, 503, 504, 529))


@pytest.mark.parametrize(("error", "sent"), [(BrokenReply(), True), (ConnectError(), False), (TimeoutError(), True)])
def test_connection_failures_are_waited_for(error, sent):
    decision = classify(error)
    assert (decision.retry, decision.kind, decision.server_down) == (True, "transient", True)
    assert decision.sent is sent


def test_useless_replies_are_worth_another_request_but_do_not_open_the_circuit():
    decision = classify(UnusableReply("no choices"))
    assert (decision.retry, decision.server_down) == (True, False)


@pytest.mark.parametrize("error", [LimitExceeded("run", "calls", 1, 1), ModelRefused("x"), ValueError("a bug of ours")])
def test_our_own_errors_and_bugs_pass_unchanged(error):
    decision = classify(error)
    assert (decision.retry, decision.error) == (False, error)


def test_a_limit_that_stops_a_request_says_nothing_of_the_server():
    assert classify(LimitExceeded("run", "calls", 1, 1)).sent is False


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens.",
        "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens.",
        "the request exceeds the available context size (4096 tokens), try increasing it",
        "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
        "Requested token count exceeds the model's maximum context length of 4096 tokens.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens",
        "context_length_exceeded",
    ],
)
def test_overflow_is_known_by_every_servers_words(message):
    decision = classify(status_error(400, message))
    assert isinstance(decision.error, ContextOverflow)
    assert decision.retry is False


@pytest.mark.parametrize("message", ["Invalid value for temperature", "extra inputs are not permitted: foo"])
def test_other_rejections_are_not_taken_for_overflow(message):
    assert isinstance(classify(status_error(400, message)).error, ModelConfigError)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers, seconds):
    assert classify(status_error(429, **headers)).retry_after == seconds


def test_retry_after_may_be_a_date():
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert classify(status_error(503, **{"retry-after": date})).retry_after == pytest.approx(29, abs=2)


@pytest.mark.parametrize(
    ("code", "retry"), [(500, True), ("server_error", True), (None, True), (401, False), (429, True)]
)
def test_an_error_object_with_status_200_is_judged_by_its_code(code, retry):
    assert classify(InBandError("engine died", code)).retry is retry
