"""Requests that do not fit: by how much, and when a shorter reply helps."""

import pytest

from agents.errors import ContextOverflow
from agents.llm.base import Sampling
from agents.llm.counters import Counters, read_counters, read_kv_tokens
from agents.llm.fake import count_tokens
from agents.llm.fake_wire import error_reply
from agents.llm.overflow import Fit, fit_in

USER = [{"role": "user", "content": "hello"}]
VLLM = (
    "This model's maximum context length is 8192 tokens. However, your prompt contains at least 8193 input tokens, "
    "which exceeds this limit even without any output tokens. Please reduce the length of the input prompt."
)
OLD_VLLM = (
    "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (800 in the messages, "
    "8200 in the completion). Please reduce the length of the messages or completion."
)
VLLM_REPLY = (
    "'max_tokens' or 'max_completion_tokens' is too large: 8000. This model's maximum context length is 8192 tokens "
    "and your request has 2422 input tokens (8000 > 8192 - 2422)."
)
OPENAI = (
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 130001 tokens. "
    "Please reduce the length of the messages. context_length_exceeded"
)
TOO_LONG = "max_tokens=9000 cannot be greater than max_model_len=8192. Please request fewer output tokens."
OPENAI_TOO_LONG = "max_tokens is too large: 9000. This model supports at most 4096 completion tokens."


@pytest.mark.parametrize(
    ("words", "fit"),
    [
        (VLLM, Fit(None, 8192)),
        (OLD_VLLM, Fit(800, 8192)),
        (VLLM_REPLY, Fit(2422, 8192)),
        (OPENAI, Fit(130001, 128000)),
    ],
)
def test_the_servers_words_are_read(words, fit):
    assert fit_in(words) == fit


async def rejecting(bench, monkeypatch, words, accepts):
    """A server that rejects every request but those that `accepts`."""
    server = await bench.serve(lambda request: "fine")
    honest = server._answer
    monkeypatch.setattr(server, "_answer", lambda body: honest(body) if accepts(body) else error_reply(400, words))
    return server


@pytest.mark.parametrize("words", [OLD_VLLM, VLLM_REPLY])
async def test_a_reply_that_is_too_long_for_the_rest_is_asked_for_once_more_and_shorter(
    bench, ledger, monkeypatch, words
):
    server = await rejecting(bench, monkeypatch, words, lambda body: body["max_tokens"] < 8000)
    reply = await bench.client().complete(USER, ledger=ledger, sampling=Sampling(max_tokens=8200))
    assert reply.first.content == "fine"
    assert [request["max_tokens"] for request in server.requests] == [8200, 8192 - fit_in(words).prompt]


@pytest.mark.parametrize("words", [VLLM, OPENAI, OLD_VLLM])
async def test_what_stays_too_long_is_not_asked_again(bench, ledger, monkeypatch, words):
    server = await rejecting(bench, monkeypatch, words, lambda body: False)
    with pytest.raises(ContextOverflow):
        await bench.client().complete(USER, ledger=ledger, sampling=Sampling(max_tokens=300))
    assert len(server.requests) == ledger.spent.calls == 1


@pytest.mark.parametrize("tokenizes", [True, False])
async def test_who_asked_learns_how_much_of_the_prompt_would_fit(bench, ledger, tokenizes):
    await bench.serve(lambda request: "fine", context=500, tokenizes=tokenizes)
    long = [{"role": "user", "content": "word " * 800}]
    with pytest.raises(ContextOverflow) as caught:
        await bench.client().complete(long, ledger=ledger, sampling=Sampling(max_tokens=100))
    error = caught.value
    assert (error.prompt, error.limit, error.reply) == (count_tokens(long[0]), 500, 256)
    assert error.fitting_share == 250 / error.prompt
    assert ContextOverflow("nobody counted").fitting_share is None


@pytest.mark.parametrize(("words", "most"), [(TOO_LONG, 8192), (OPENAI_TOO_LONG, 4096)])
async def test_the_longest_reply_of_a_server_is_learned(bench, ledger, monkeypatch, words, most):
    server = await rejecting(bench, monkeypatch, words, lambda body: body["max_tokens"] <= most)
    client = bench.client(max_tokens=9000)
    for _ in range(2):
        await client.complete(USER, ledger=ledger)
    assert [request["max_tokens"] for request in server.requests] == [9000, most, most]


METRICS = """\
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 100.0
vllm:prefix_cache_queries_total{engine="1",model_name="m"} 60.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 80.0
vllm:prefix_cache_hits_created{engine="0",model_name="m"} 1.7e+09
vllm:generation_tokens_total{engine="0",model_name="m"} 1.2e+03
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="1000"} 1.0
vllm:cache_config_info{block_size="16",engine="1",kv_cache_size_tokens="500"} 1.0
"""


def test_counters_are_summed_over_engines():
    counted = read_counters(METRICS)
    assert counted == Counters(prefix_queries=160, prefix_hits=80, generation_tokens=1200, running=3)
    assert counted.hit_rate == 0.5
    assert read_kv_tokens(METRICS) == 16500


def test_other_pages_have_no_counters():
    assert read_counters("go_goroutines 12\n") is None
