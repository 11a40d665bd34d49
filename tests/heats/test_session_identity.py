"""Which requests of a run share a session: a rollout's turns, a match's votes, a task's summaries."""

from contextlib import AsyncExitStack

import pytest
from doubles import Persona, Script

from agents.llm.config import ModelConfig
from agents.llm.fake_server import FakeServer, ServerOptions
from agents.llm.openai_client import OpenAIModel
from heats.config import load_config
from heats.store.store import RolloutStore, _differences

SCRIPT = {"rules": [{"variants": [["look", f"patch {word}"] for word in ("right", "wrong", "odd", "even")]}]}


class Router:
    """A server that keeps the session of every request by its kind."""

    def __init__(self, stack):
        self.stack = stack

    async def start(self):
        options = ServerOptions(finishes_sessions=True)
        self.server = await self.stack.enter_async_context(FakeServer(Persona(Script.model_validate(SCRIPT)), options))
        config = ModelConfig(name="fake-model", base_url=self.server.base_url, session="vllm-router")
        self.model = OpenAIModel(config, workers=8)
        self.stack.push_async_callback(self.model.close)
        return self

    def sessions(self, kind):
        """The sessions of requests of one kind, each as often as it was used."""
        requests = zip(self.server.requests, self.server.headers, strict=True)
        return [headers["x-session-id"] for request, headers in requests if kind_of(request) == kind]


def kind_of(request):
    return ((request.get("response_format") or {}).get("json_schema") or {}).get("name") or "agent"


@pytest.fixture
async def router():
    async with AsyncExitStack() as stack:
        yield await Router(stack).start()


async def test_turns_votes_and_summaries_have_their_sessions_and_all_are_released(paper_run, router):
    await paper_run("one", model=router.model, iterations=1, **{"summarizer.when": "always"})
    agents, votes, summaries = (router.sessions(kind) for kind in ("agent", "vote", "summary"))
    assert len(set(agents)) == 4 and len(agents) == 12
    assert len(set(votes)) in (3, 4) and len(votes) > len(set(votes))
    assert len(set(summaries)) == 1 and len(summaries) == 4
    await router.model.close()
    assert set(router.server.finished_sessions) == {*agents, *votes, *summaries}


async def test_a_summary_in_the_rollouts_own_conversation_has_the_rollouts_session(paper_run, router):
    await paper_run(
        "one", model=router.model, iterations=1, **{"summarizer.when": "always", "summarizer.method": "conversation"}
    )
    assert sorted(router.sessions("summary")) == sorted(set(router.sessions("agent")))


def test_an_attempt_that_goes_on_keeps_its_number_and_a_fresh_one_has_the_next(tmp_path):
    files = RolloutStore(tmp_path / "rollout-00", "heat-0/rollout-00")
    assert [files.attempt(fresh=False), files.attempt(fresh=False)] == [1, 1]
    assert [files.attempt(fresh=True), files.attempt(fresh=False)] == [2, 2]


def test_how_many_are_at_work_follows_from_the_machine_and_the_models_limit(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 48)
    assert load_config().at_once == 48
    assert load_config(["workers=7"]).at_once == 7
    limited = ["model.name=m", "model.max_concurrency=10"]
    assert load_config(limited).at_once == 10
    assert load_config([*limited, "model.base_url=[http://a/v1,http://b/v1]"]).at_once == 20


def test_runs_of_before_go_on_whatever_their_number_of_requests_at_once():
    identity = load_config(["model.name=m", "model.session=sglang", "model.max_concurrency=3"]).identity()
    old = {**identity, "model": {**identity["model"], "max_concurrency": 64}}
    assert _differences(old, identity) == []
