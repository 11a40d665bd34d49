"""Model servers' counters over a run: read before and after, stored as events, shown in the report."""

from types import SimpleNamespace

import pytest

from agents.llm.counters import Counters
from heats.report.servers import served
from heats.runner.server_metrics import is_local, metered
from heats.store.events import EventLog, read_events


class CountingModel:
    """A model whose server has counters; `pages` are their successive values."""

    def __init__(self, name, place, *pages):
        self.name, self.place, self.pages = name, place, list(pages)

    async def counters(self):
        return self.pages.pop(0)


def counted(prompt, generated, hits):
    return Counters(
        requests=2, prompt_tokens=prompt, generation_tokens=generated, prefix_queries=prompt, prefix_hits=hits
    )


async def events_of(tmp_path, *models, error=None):
    log = EventLog(tmp_path / "events.jsonl")
    facts = {"m": {"model": "m", "vllm": "0.32.0"}}
    services = SimpleNamespace(models=dict(enumerate(models)), events=log, facts=facts)
    try:
        async with metered(services):
            if error:
                raise error
    finally:
        log.close()
    return list(read_events(tmp_path / "events.jsonl"))


async def test_the_difference_is_stored_once_for_each_server(tmp_path):
    model = CountingModel("m", "here", counted(100, 10, 50), counted(300, 30, 210))
    same_place = CountingModel("judge", "here")
    (event,) = await events_of(tmp_path, model, same_place, object())
    assert event.kind == "server" and event.data["model"] == "m"
    assert event.data["prompt_tokens"] == 200 and event.data["prefix_hits"] == 160
    assert "here" not in str(event.data)


async def test_work_that_fails_is_counted_too(tmp_path):
    model = CountingModel("m", "here", counted(0, 0, 0), counted(10, 1, 0))
    with pytest.raises(ValueError):
        await events_of(tmp_path, model, error=ValueError("no"))
    assert [event.kind for event in read_events(tmp_path / "events.jsonl")] == ["server"]


async def test_a_server_that_started_anew_gives_what_it_counted_since(tmp_path):
    model = CountingModel("m", "here", counted(500, 50, 0), counted(20, 2, 0))
    (event,) = await events_of(tmp_path, model)
    assert event.data["prompt_tokens"] == 20


async def test_a_server_that_does_not_count_leaves_nothing(tmp_path):
    assert await events_of(tmp_path, CountingModel("m", "here", None)) == []


async def test_several_processes_are_summed(tmp_path):
    first = CountingModel("m", "here", counted(0, 0, 0), counted(100, 50, 80))
    second = CountingModel("m", "here", counted(100, 50, 80), counted(200, 100, 170))
    await events_of(tmp_path, first)
    (one,) = served(await events_of(tmp_path, second))
    assert (one.counted.prompt_tokens, one.counted.hit_rate) == (200, 0.85)
    assert str(one).startswith(
        "Server of m (vLLM 0.32.0), by its own count: 85.0 % of prompt tokens from its prefix cache"
    )


def test_a_server_of_each_machine_is_told_from_one_that_they_share():
    own = ("http://localhost:8000", "http://127.0.0.1:1", "http://[::1]:80", "http://x.localhost", "")
    assert all(is_local(place) for place in own)
    assert not any(is_local(place) for place in ("http://10.0.0.7:8000", "https://models.example.org/v1"))
